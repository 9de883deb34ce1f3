package io.sparsevideo.cuda.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.tensor.DjlSettings;
import io.sparsevideo.tensor.FloatConversion;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Values: against DJL's PyTorch engine; on a GPU against the fake driver and the host kernels. */
@ParameterizedClass
@EnumSource(TestEngine.class)
class CudaNDArrayTest {

  @Parameter TestEngine kind;

  private CudaNDManager manager;
  private NDManager reference;

  @BeforeEach
  void open() {
    DjlSettings.apply();
    manager = kind.open().newBaseManager();
    reference = kind.newReference();
  }

  @AfterEach
  void close() {
    if (reference != null) {
      reference.close();
    }
    if (manager != null) {
      manager.close();
      assertEquals(0, manager.statistics().tensors());
    }
  }

  /** The operation has the same result here and there, on numbers that start at 1. */
  private void assertLikeReference(Shape shape, Function<NDArray, NDArray> operation) {
    try (NDManager there = reference.newSubManager();
        NDManager here = manager.newSubManager()) {
      NDArray numbers = there.arange(1f, 1f + shape.size()).reshape(shape);
      NDArray copy = here.from(numbers);
      assertSame(here, copy.getManager());
      NDArray expected = operation.apply(numbers);
      NDArray actual = operation.apply(copy);
      assertEquals(expected.getShape(), actual.getShape());
      assertEquals(expected.getDataType(), actual.getDataType());
      assertArrayEquals(expected.toFloatArray(), actual.toFloatArray());
    }
  }

  @Test
  void arraysOfEveryTypeAreFilled() {
    Shape shape = new Shape(3, 7);
    for (DataType type :
        new DataType[] {
          DataType.FLOAT32, DataType.FLOAT16, DataType.BFLOAT16, DataType.INT32,
          DataType.INT64, DataType.UINT8, DataType.INT8, DataType.BOOLEAN
        }) {
      assertEquals(shape, manager.zeros(shape, type).getShape());
      assertEquals(21 * type.getNumOfBytes(), manager.create(shape, type).toByteArray().length);
      for (Number zero : manager.zeros(shape, type).toArray()) {
        assertEquals(0, zero.doubleValue(), type.name());
      }
      for (Number one : manager.ones(shape, type).toArray()) {
        assertEquals(1, one.doubleValue(), type.name());
      }
    }
    assertEquals(-3, manager.full(shape, -3.7f, DataType.INT64).toLongArray()[20]);
    assertEquals(2.5f, manager.full(shape, 2.5f, DataType.BFLOAT16).toFloatArray()[20]);
    assertEquals(0, manager.zeros(new Shape(0, 4)).toFloatArray().length);
    assertEquals(1, manager.ones(new Shape()).toFloatArray().length);
  }

  @Test
  void arraysAreCopiedFromJava() {
    assertArrayEquals(new int[] {1, -2}, manager.create(new int[] {1, -2}).toIntArray());
    assertArrayEquals(new long[] {1L << 40}, manager.create(new long[] {1L << 40}).toLongArray());
    assertArrayEquals(new byte[] {7, -8}, manager.create(new byte[] {7, -8}).toByteArray());
    boolean[] flags = {true, false, true};
    assertArrayEquals(flags, manager.create(flags).toBooleanArray());
    assertEquals(3.5f, manager.create(3.5f).getFloat());
    assertArrayEquals(new int[] {0, 1, 2, 3}, manager.arange(4).toIntArray());
    assertArrayEquals(new float[] {1, 1.5f}, manager.arange(1f, 2f, .5f).toFloatArray());
    float[][] rows = {{1, 2}, {3, 4}};
    assertArrayEquals(new float[] {1, 2, 3, 4}, manager.create(rows).toFloatArray());
    // A view of a byte buffer is big-endian unless it was told otherwise.
    FloatBuffer big = ByteBuffer.allocate(12).order(ByteOrder.BIG_ENDIAN).asFloatBuffer();
    big.put(new float[] {0, 5, 6}).position(1);
    assertArrayEquals(new float[] {5, 6}, manager.create(big, new Shape(2)).toFloatArray());
    assertEquals(1, big.position());
  }

  /**
   * Larger than both pieces of staging memory, and not a multiple of them; of memory that several
   * threads may copy, and of the calling thread's own.
   */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void anySizeIsCopiedFromAndToNativeMemory(boolean shared) {
    int count = (int) (5 * Staging.PIECE / 8) + 3;
    try (Arena arena = shared ? Arena.ofShared() : Arena.ofConfined()) {
      MemorySegment data = arena.allocate(ValueLayout.JAVA_INT, count);
      for (int i = 0; i < count; i++) {
        data.setAtIndex(ValueLayout.JAVA_INT, i, i * 31);
      }
      CudaNDArray array = manager.create(data, new Shape(count), DataType.INT32);
      array.duplicate().copyTo(data.asSlice(0, 4L * count).fill((byte) 1));
      for (int i = 0; i < count; i++) {
        assertEquals(i * 31, data.getAtIndex(ValueLayout.JAVA_INT, i));
      }
      IllegalArgumentException e =
          assertThrows(IllegalArgumentException.class, () -> array.copyTo(data.asSlice(4)));
      assertTrue(e.getMessage().contains("the target has %d bytes".formatted(4L * count - 4)));
    }
  }

  @Test
  void shapesAreViews() {
    Shape shape = new Shape(2, 1, 3, 1);
    assertLikeReference(shape, x -> x.reshape(3, -1));
    assertLikeReference(shape, NDArray::flatten);
    assertLikeReference(shape, x -> x.flatten(1, 3));
    assertLikeReference(shape, NDArray::squeeze);
    assertLikeReference(shape, x -> x.squeeze(1));
    assertLikeReference(shape, x -> x.squeeze(-1));
    assertLikeReference(shape, x -> x.expandDims(0));
    assertLikeReference(shape, x -> x.expandDims(-1));
    NDArray array = manager.zeros(shape);
    array.reshape(6).set(new NDIndex("4"), 8);
    assertEquals(8, array.getFloat(1, 0, 1, 0));
    assertEquals(1, manager.statistics().tensors());
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> array.reshape(4, -1));
    assertTrue(e.getMessage().contains("has 6 elements"), e.getMessage());
    assertThrows(IllegalArgumentException.class, () -> array.squeeze(0));
    assertThrows(IllegalArgumentException.class, () -> array.expandDims(6));
  }

  @Test
  void slices() {
    Shape shape = new Shape(4, 5, 6);
    for (String index :
        new String[] {
          "1",
          "-1",
          "1:3",
          "2:2",
          "1, 2",
          "1, 2:4",
          "1, 2, 3",
          ":, 1",
          "..., 2",
          ":, 1:4, 2:5",
          "::2",
          "1::2, :, ::3",
          "1:2, :, 1",
          "3, :, 5"
        }) {
      assertLikeReference(shape, x -> x.get(index));
    }
    NDArray array = manager.zeros(shape);
    assertEquals(1, manager.statistics().tensors());
    array.get("1:3");
    array.get("2, 1:4");
    assertEquals(1, manager.statistics().tensors(), "rows are views");
    array.get(":, 1");
    assertEquals(2, manager.statistics().tensors(), "columns are copies");
    IndexOutOfBoundsException e =
        assertThrows(IndexOutOfBoundsException.class, () -> array.get("2:5"));
    assertEquals("[2, 5) by 1 is no slice of dimension 0 of (4, 5, 6)", e.getMessage());
    UnsupportedOperationException byArray =
        assertThrows(
            UnsupportedOperationException.class, () -> array.get(manager.create(new int[] {0})));
    assertTrue(byArray.getMessage().startsWith("get by another array"), byArray.getMessage());
  }

  @Test
  void writesIntoSlices() {
    Shape shape = new Shape(4, 5, 6);
    for (String index : new String[] {"1", ":, 2", "..., 1:4", "1:3, ::2, 5", "0, 0, 0", "2:2"}) {
      assertLikeReference(shape, x -> written(x, index, -1));
      assertLikeReference(shape, x -> written(x, index, x.get(index).mul(10)));
    }
    assertLikeReference(shape, x -> written(x, "1:3", x.get("0, :, :")));
    NDArray array = manager.zeros(shape);
    array.set(new NDIndex("1"), part -> part.add(2));
    assertEquals(2, array.getFloat(1, 4, 5));
    array.setScalar(new NDIndex(3, 4, 5), 7);
    assertEquals(7, array.getFloat(3, 4, 5));
    assertThrows(IllegalArgumentException.class, () -> array.setScalar(new NDIndex("1"), 7));
    assertThrows(
        IllegalArgumentException.class,
        () -> array.set(new NDIndex("1"), manager.zeros(new Shape(5, 6), DataType.INT32)));
  }

  /** By a function that works in place, does nothing, or returns another's array. */
  @Test
  void functionsReplaceSlices() {
    NDArray array = manager.zeros(new Shape(3, 4));
    NDArray row = manager.full(new Shape(4), 3f);
    long tensors = manager.statistics().tensors();
    array.set(new NDIndex("1"), part -> part.addi(2));
    array.set(new NDIndex("1:3"), part -> part);
    array.set(new NDIndex(":, 1"), part -> part.add(1).mul(5));
    array.set(new NDIndex("2"), part -> row);
    array.set(new NDIndex("0, 0"), part -> array.get("2, 0"));
    assertArrayEquals(new float[] {3, 5, 0, 0, 2, 15, 2, 2, 3, 3, 3, 3}, array.toFloatArray());
    assertEquals(3, row.getFloat(3));
    assertEquals(tensors, manager.statistics().tensors());
  }

  @Test
  void emptySlicesMayStartPastTheEnd() {
    NDArray array = manager.zeros(new Shape(4, 3));
    assertEquals(new Shape(0, 0), array.get("4:4, 3:3").getShape());
    assertEquals(0, array.get("4:4, 1:").toFloatArray().length);
  }

  @Test
  void longsAreSetExactly() {
    NDArray array = manager.zeros(new Shape(2), DataType.INT64);
    long large = (1L << 53) + 1;
    array.set(new NDIndex("1"), large);
    assertArrayEquals(new long[] {0, large}, array.toLongArray());
  }

  /** Messages name the side that is wrong. */
  @Test
  void refusalsNameTheirValues() {
    NDArray array = manager.zeros(new Shape(2, 3));
    assertRefused(
        "setScalar of (2, 3): the index names the elements (3), not one",
        () -> array.setScalar(new NDIndex("1"), 7));
    assertRefused(
        "set of (3) int32 to float32",
        () -> array.set(new NDIndex("1"), manager.zeros(new Shape(3), DataType.INT32)));
    assertRefused(
        "the target has 16 bytes, the array 24", () -> array.copyTo(manager.zeros(new Shape(4))));
    for (float step : new float[] {0, 1e-9f, Float.NaN}) {
      assertRefused("arange from 0.0 to 9.0 by " + step, () -> manager.arange(0f, 9f, step));
    }
    assertRefused("arange from 9.0 to 0.0 by 0.0", () -> manager.arange(9f, 0f, 0f));
  }

  private static void assertRefused(String message, Runnable call) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call::run);
    assertTrue(e.getMessage().startsWith(message), e.getMessage());
  }

  private static NDArray written(NDArray array, String index, Object value) {
    if (value instanceof NDArray part) {
      array.set(new NDIndex(index), part);
    } else {
      array.set(new NDIndex(index), (Number) value);
    }
    return array;
  }

  @Test
  void layoutsChange() {
    Shape shape = new Shape(3, 4, 5);
    assertLikeReference(shape, NDArray::transpose);
    assertLikeReference(shape, x -> x.transpose(1, 0, 2));
    assertLikeReference(shape, x -> x.swapAxes(1, 2));
    assertLikeReference(new Shape(3, 1, 5), x -> x.broadcast(new Shape(2, 3, 4, 5)));
    for (int axis = 0; axis < 3; axis++) {
      int along = axis;
      assertLikeReference(shape, x -> x.concat(x.mul(2), along));
      assertLikeReference(shape, x -> NDArrays.concat(new NDList(x, x.add(1), x), along));
      assertLikeReference(shape, x -> x.stack(x.neg(), along));
      assertLikeReference(shape, x -> NDArrays.stack(new NDList(x, x.add(1), x), along));
    }
    assertLikeReference(new Shape(4, 6), x -> x.split(2).get(1));
    assertLikeReference(new Shape(4, 6), x -> x.split(3, 1).get(2));
    NDList parts = manager.arange(6f).reshape(2, 3).split(new long[] {1}, 1);
    assertArrayEquals(new float[] {0, 3}, parts.get(0).toFloatArray());
    assertArrayEquals(new float[] {1, 2, 4, 5}, parts.get(1).toFloatArray());
    assertThrows(IllegalArgumentException.class, () -> manager.zeros(shape).transpose(0, 0, 1));
  }

  @Test
  void arithmetic() {
    Shape shape = new Shape(3, 1, 5);
    assertLikeReference(shape, x -> x.add(2.5));
    assertLikeReference(shape, x -> x.sub(2));
    assertLikeReference(shape, x -> x.mul(-3));
    assertLikeReference(shape, x -> x.div(7));
    assertLikeReference(shape, NDArray::neg);
    assertLikeReference(shape, NDArray::square);
    assertLikeReference(shape, x -> x.addi(1).subi(3).muli(2).divi(5).negi());
    assertLikeReference(shape, x -> x.clip(3, 5.5).add(x.minimum(4)).add(x.maximum(2)));
    assertLikeReference(shape, x -> x.maximum(x.neg().add(9)).minimum(x.mul(0.75)));
    assertLikeReference(shape, x -> x.add(x.reshape(1, 3, 5)));
    assertLikeReference(shape, x -> x.sub(x.get("1, 0")));
    assertLikeReference(shape, x -> x.mul(x.get("0, 0, 0")));
    assertLikeReference(shape, x -> x.div(x));
    assertLikeReference(
        shape, x -> x.addi(x).muli(x.get("1").duplicate()).subi(x.get(":, :, 2:3").mul(2)).divi(x));
    NDArray array = manager.zeros(shape);
    assertThrows(IllegalArgumentException.class, () -> array.addi(manager.zeros(new Shape(4, 5))));
    UnsupportedOperationException e =
        assertThrows(
            UnsupportedOperationException.class, () -> manager.zeros(shape, DataType.INT32).mul(2));
    assertTrue(e.getMessage().startsWith("mul of INT32"), e.getMessage());
  }

  @Test
  void typesAreMixedAndCast() {
    Shape shape = new Shape(3, 77);
    assertLikeReference(shape, x -> cast(x.div(3), DataType.FLOAT16));
    assertLikeReference(new Shape(8192), x -> cast(x.div(-3), DataType.FLOAT16));
    float[] thirds = manager.arange(1f, 8193f).div(3).toFloatArray(); // PyTorch's has no BFLOAT16
    float[] rounded = manager.create(thirds).toType(DataType.BFLOAT16, true).toFloatArray();
    for (int i = 0; i < thirds.length; i++) {
      short bits = FloatConversion.floatToBfloat16(thirds[i]);
      assertEquals(FloatConversion.bfloat16ToFloat(bits), rounded[i]);
    }
    NDArray narrow = manager.full(shape, 1.5f, DataType.BFLOAT16);
    assertEquals(DataType.BFLOAT16, narrow.add(narrow).getDataType());
    NDArray sum = narrow.add(manager.full(shape, 0.001f));
    assertEquals(DataType.FLOAT32, sum.getDataType());
    assertEquals(1.501f, sum.toFloatArray()[0]);
    assertEquals(DataType.BFLOAT16, narrow.addi(sum).getDataType());
    assertEquals(1.5f, narrow.toType(DataType.BFLOAT16, false).sub(1.5).toFloatArray()[9]);
    UnsupportedOperationException e =
        assertThrows(
            UnsupportedOperationException.class, () -> narrow.toType(DataType.INT64, true));
    assertTrue(e.getMessage().startsWith("toType from BFLOAT16"), e.getMessage());
  }

  private static NDArray cast(NDArray x, DataType through) {
    return x.toType(through, true).toType(DataType.FLOAT32, false);
  }

  @Test
  void contentsAreComparedAndShown() {
    NDArray array = manager.create(new float[] {1, 2, 3, 4}, new Shape(2, 2));
    assertEquals(array, array.duplicate());
    assertTrue(array.contentEquals(reference.create(new float[] {1, 2, 3, 4}, new Shape(2, 2))));
    assertTrue(array.allClose(array.add(1e-6)));
    assertTrue(!array.equals(array.add(1)));
    assertTrue(array.toString().contains("3."), array.toString());
    NDArray copy = manager.zeros(new Shape(4));
    array.copyTo(copy);
    assertArrayEquals(new float[] {1, 2, 3, 4}, copy.toFloatArray());
    copy.intern(array.add(1));
    assertEquals(new Shape(2, 2), copy.getShape());
    assertArrayEquals(new float[] {2, 3, 4, 5}, copy.toFloatArray());
    copy.intern(copy);
    assertArrayEquals(new float[] {2, 3, 4, 5}, copy.toFloatArray());
    array.close();
    IllegalStateException e = assertThrows(IllegalStateException.class, () -> copy.intern(array));
    assertTrue(e.getMessage().endsWith("is closed"), e.getMessage());
    assertArrayEquals(new float[] {2, 3, 4, 5}, copy.toFloatArray());
  }
}
