package io.sparsevideo.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class CheckpointParametersTest {
  @TempDir Path folder;
  private NDManager manager;
  private WeightFiles files;

  @BeforeEach
  void open() {
    manager = NDManager.newBaseManager();
  }

  @AfterEach
  void close() {
    if (files != null) {
      files.close();
    }
    manager.close();
  }

  private CheckpointParameters parameters(SafeTensorsWriter writer) {
    writer.write(folder.resolve("model.safetensors"));
    files = WeightFiles.open(folder);
    return new CheckpointParameters(files, TestOps.over(manager), manager);
  }

  @Test
  void loadsByNameAndShape() {
    ByteBuffer halves =
        ByteBuffer.allocate(4)
            .order(ByteOrder.LITTLE_ENDIAN)
            .putShort((short) 0x3f80)
            .putShort((short) 0xc040);
    ByteBuffer doubles =
        ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN).putDouble(0.1).putDouble(-1e300);
    CheckpointParameters parameters =
        parameters(
            new SafeTensorsWriter()
                .floats("blocks.0.w", new long[] {2, 3})
                .tensor("half", "BF16", new long[] {2}, halves.array())
                .tensor("double", "F64", new long[] {2}, doubles.array())
                .floats("scalar", new long[] {}, 7)
                .floats("table", new long[] {4, 2}));
    NDArray w = parameters.sub("blocks").sub("0").get("w", 2, 3);
    assertEquals(new Shape(2, 3), w.getShape());
    assertArrayEquals(new float[] {0, 1, 2, 3, 4, 5}, w.toFloatArray());
    assertArrayEquals(new float[] {1, -3}, parameters.getFloat32("half", 2).toFloatArray());
    assertArrayEquals(
        new float[] {0.1f, Float.NEGATIVE_INFINITY}, parameters.get("double", 2).toFloatArray());
    assertEquals(7, parameters.get("scalar").getFloat());
    assertArrayEquals(new float[] {6, 7}, parameters.embedding("table", 4, 2).rows(3));
    assertDoesNotThrow(parameters::finish);
  }

  @Test
  void namesAMissingWeight() {
    CheckpointParameters parameters =
        parameters(
            new SafeTensorsWriter()
                .floats("model.diffusion_model.blocks.0.w", new long[] {1})
                .floats("blocks.0.Norm_Q", new long[] {1}));
    assertRefused(
        () -> parameters.sub("blocks.0").get("v", 2, 3),
        folder.resolve("model.safetensors").toString(),
        "has no weight 'blocks.0.v' of shape (2, 3)");
    assertRefused(
        () -> parameters.get("blocks.0.w", 1), "; it has 'model.diffusion_model.blocks.0.w'");
    assertRefused(() -> parameters.get("blocks.0.norm.q", 1), "; it has 'blocks.0.Norm_Q'");
    String message =
        assertThrows(CheckpointException.class, () -> parameters.get("other", 1)).getMessage();
    assertFalse(message.contains("it has"), message);
  }

  @Test
  void namesAWrongShapeOrType() {
    CheckpointParameters parameters =
        parameters(
            new SafeTensorsWriter()
                .floats("w", new long[] {2, 3})
                .tensor("i", "I64", new long[] {1}, new byte[8])
                .tensor("f8", "F8_E4M3", new long[] {4, 2}, new byte[8]));
    assertRefused(() -> parameters.get("w", 3, 2), "'w' has shape (2, 3), expected (3, 2)");
    assertRefused(() -> parameters.get("i", 1), "'i' is stored as I64, expected F32, F16, BF16");
    assertRefused(() -> parameters.embedding("f8", 4, 2), "'f8' is stored as F8_E4M3, expected");
    assertRefused(() -> parameters.embedding("w", 2, 2), "'w' has shape (2, 3), expected (2, 2)");
  }

  @Test
  void refusesWhatIsLeftOver() {
    SafeTensorsWriter writer = new SafeTensorsWriter().floats("w", new long[] {1});
    for (int i = 0; i < 7; i++) {
      writer.floats("blocks.%d.extra".formatted(i), new long[] {1, 2});
      writer.floats("blocks.%d.norm_added_q.weight".formatted(i), new long[] {1});
    }
    CheckpointParameters parameters =
        parameters(writer).optIgnored(name -> name.contains("norm_added_q"));
    parameters.get("w", 1);
    assertRefused(
        parameters::finish,
        "7 that the model does not have: 'blocks.0.extra' (1, 2), ",
        "'blocks.4.extra' (1, 2) and 2 more");
  }

  @Test
  void acceptsEitherNameOrBoth() {
    String name = "shared.weight";
    String other = "encoder.embed_tokens.weight";
    for (String[] stored : new String[][] {{name}, {other}, {name, other}}) {
      SafeTensorsWriter writer = new SafeTensorsWriter();
      for (String one : stored) {
        float value = one.equals(name) ? 1 : 2;
        writer.floats(one, new long[] {1, 1}, value);
      }
      CheckpointParameters parameters = parameters(writer).optAlternative(name, other);
      float expected = stored[0].equals(name) ? 1 : 2;
      ParameterList list = new ParameterList();
      list.embedding(name, 1, 1);
      assertDoesNotThrow(() -> parameters.verify(list));
      assertArrayEquals(new float[] {expected}, parameters.embedding(name, 1, 1).rows(0));
      assertDoesNotThrow(parameters::finish);
      files.close();
    }
  }

  @Test
  void verifiesAllNamesAndShapesAtOnce() {
    CheckpointParameters parameters =
        parameters(
            new SafeTensorsWriter()
                .floats("good", new long[] {1})
                .floats("turned", new long[] {2, 3})
                .tensor("integer", "I32", new long[] {1}, new byte[4])
                .floats("surplus", new long[] {1}));
    ParameterList list = new ParameterList();
    list.get("good", 1);
    list.get("turned", 3, 2);
    list.get("integer", 1);
    for (int i = 0; i < 8; i++) {
      list.get("missing." + i, 4);
    }
    assertRefused(
        () -> parameters.verify(list),
        "do not fit the model that its config describes: 8 missing: 'missing.0' (4), ",
        "and 3 more; 2 of the wrong shape or type: 'turned' has shape (2, 3), expected"
            + " (3, 2), 'integer' is stored as I32",
        "; 1 that the model does not have: 'surplus' (1)");
  }

  @Test
  void refusesToLoadAWeightTwice() {
    CheckpointParameters parameters =
        parameters(new SafeTensorsWriter().floats("w", new long[] {1}));
    parameters.get("w", 1);
    assertThrows(IllegalStateException.class, () -> parameters.get("w", 1));
  }

  private static void assertRefused(Executable action, String... parts) {
    String message = assertThrows(CheckpointException.class, action).getMessage();
    for (String part : parts) {
      assertTrue(message.contains(part), message);
    }
  }
}
