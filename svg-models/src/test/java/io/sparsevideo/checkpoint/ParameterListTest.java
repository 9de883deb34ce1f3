package io.sparsevideo.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.checkpoint.ParameterList.Entry;
import io.sparsevideo.checkpoint.ParameterList.Use;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ParameterListTest {

  @Test
  void listsAndCountsWhatAModelAsksFor() {
    ParameterList list = new ParameterList();
    assertNull(list.embedding("shared.weight", 256_384, 4096));
    Parameters block = list.sub("blocks").sub("0");
    assertNull(block.get("to_q.weight", 5, 3));
    assertNull(block.getFloat32("norm.bias", 5));
    assertNull(block.sub("inner").embedding("table", 2, 3));
    assertNull(list.get("scalar"));
    assertEquals(
        List.of(
            new Entry("shared.weight", new Shape(256_384, 4096), Use.STORED),
            new Entry("blocks.0.to_q.weight", new Shape(5, 3), Use.COMPUTED),
            new Entry("blocks.0.norm.bias", new Shape(5), Use.FLOAT32),
            new Entry("blocks.0.inner.table", new Shape(2, 3), Use.STORED),
            new Entry("scalar", new Shape(), Use.COMPUTED)),
        list.entries());
    assertEquals(5, list.tensorCount());
    assertEquals(256_384L * 4096 + 15 + 5 + 6 + 1, list.parameterCount());
    assertEquals(2 * (15 + 1) + 4 * 5, list.bytes(DataType.BFLOAT16));
    assertEquals(4 * (15 + 1 + 5), list.bytes(DataType.FLOAT32));
  }

  @Test
  void refusesSizesThatOverflowed() {
    ParameterList list = new ParameterList();
    String message =
        assertThrows(CheckpointException.class, () -> list.get("a", 2, -128)).getMessage();
    assertTrue(message.contains("'a' would have the shape [2, -128]"), message);
  }

  @Test
  void endsAtMoreWeightsThanAnyModelHas() {
    ParameterList list = new ParameterList();
    String message =
        assertThrows(
                CheckpointException.class,
                () -> IntStream.range(0, Integer.MAX_VALUE).forEach(i -> list.get("w" + i, 1)))
            .getMessage();
    assertTrue(message.contains("more than 1000000 weights"), message);
  }

  @Test
  void refusesToListAWeightTwice() {
    ParameterList list = new ParameterList();
    list.get("a.b", 1);
    String message =
        assertThrows(IllegalStateException.class, () -> list.sub("a").getFloat32("b", 1))
            .getMessage();
    assertTrue(message.contains("'a.b'"), message);
  }
}
