package io.sparsevideo.cuda.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.kernels.KernelException;
import io.sparsevideo.tensor.DjlSettings;
import io.sparsevideo.tensor.DjlTensorOps;
import io.sparsevideo.tensor.FloatConversion;
import io.sparsevideo.tensor.TensorOps;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.BiFunction;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Every operation against the CPU backend, on the numbers that the arguments' types hold. */
@ParameterizedClass
@EnumSource(TestEngine.class)
class CudaTensorOpsTest {

  private static final DataType F32 = DataType.FLOAT32;
  private static final List<DataType> COMPUTED = List.of(F32, DataType.BFLOAT16);

  /** Root mean square errors, of 32-bit sums and of one or two roundings to 8 bits. */
  private static final Map<DataType, Double> TOLERANCES =
      Map.of(F32, 5e-6, DataType.FLOAT16, 1e-3, DataType.BFLOAT16, 4e-3);

  @Parameter TestEngine kind;

  private final Random random = new Random(7);
  private CudaTensorOps ops;
  private DjlTensorOps cpu;
  private NDManager scope;

  @BeforeEach
  void open() {
    DjlSettings.apply();
    TestEngine.assumePyTorch();
    CudaEngine engine = kind.open();
    ops = CudaTensorOps.open(engine, Device.gpu(0), kind.openCublas());
    cpu = new DjlTensorOps();
    scope = ops.manager().newSubManager();
  }

  @AfterEach
  void close() {
    if (cpu != null) {
      cpu.close();
    }
    if (ops != null) {
      scope.close();
      assertEquals(0, ops.manager().statistics().arrays());
      ops.close();
      ops.close();
    }
  }

  private NDArray random(DataType type, long... sizes) {
    float[] values = new float[(int) new Shape(sizes).size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian() * 2;
    }
    return scope.create(values, new Shape(sizes)).toType(type, false);
  }

  /** The operation agrees, has a result in the first argument's manager, and leaves no others. */
  private void assertLikeCpu(BiFunction<TensorOps, NDArray[], NDArray> op, NDArray... arguments) {
    try (NDManager here = ops.manager().newSubManager();
        NDManager there = cpu.manager().newSubManager()) {
      arguments[0].attach(here);
      NDArray[] onCpu = new NDArray[arguments.length];
      for (int i = 0; i < arguments.length; i++) {
        NDArray a = arguments[i];
        onCpu[i] = a == null ? null : there.create(a.toFloatArray(), a.getShape());
      }
      NDArray expected = op.apply(cpu, onCpu);
      long before = ops.manager().statistics().arrays();
      NDArray actual = op.apply(ops, arguments);
      assertEquals(before + 1, ops.manager().statistics().arrays());
      assertSame(here, actual.getManager());
      assertEquals(arguments[0].getDataType(), actual.getDataType());
      assertEquals(expected.getShape(), actual.getShape());
      assertClose(expected.toFloatArray(), actual);
      for (int i = 0; i < arguments.length; i++) {
        if (arguments[i] != null) {
          assertArrayEquals(onCpu[i].toFloatArray(), arguments[i].toFloatArray());
        }
      }
    }
  }

  private static void assertClose(float[] expected, NDArray actual) {
    float[] values = actual.toFloatArray();
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < values.length; i++) {
      difference += Math.pow(values[i] - expected[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    double error = Math.sqrt(difference / norm);
    assertTrue(error < TOLERANCES.get(actual.getDataType()), () -> "relative error " + error);
  }

  /** The call fails, and everything that it allocated is freed. */
  private <T extends Throwable> T assertFails(Class<T> type, Executable call) {
    long before = ops.manager().statistics().arrays();
    T thrown = assertThrows(type, call);
    assertEquals(before, ops.manager().statistics().arrays());
    return thrown;
  }

  @Test
  void computesInBfloat16() {
    assertEquals(DataType.BFLOAT16, ops.computeType());
    assertSame(ops.manager().kernels(), ops.kernels());
  }

  @Test
  void linear() {
    for (DataType type : COMPUTED) {
      assertLikeCpu(
          (o, a) -> o.linear(a[0], a[1], a[2]),
          random(type, 7, 24),
          random(type, 40, 24),
          random(type, 40));
      assertLikeCpu(
          (o, a) -> o.linear(a[0], a[1], null), random(type, 3, 5, 16), random(type, 8, 16));
      assertEquals(
          new Shape(0, 8), ops.linear(random(type, 0, 16), random(type, 8, 16), null).getShape());
    }
    assertLikeCpu(
        (o, a) -> o.linear(a[0], a[1], a[2]), random(F32, 33), random(F32, 9, 33), random(F32, 9));
  }

  /** In two parts, which leave 16 of 24 bits. */
  @Test
  void linearOf32BitsByWeightsOf16() {
    DataType brief = DataType.BFLOAT16;
    for (DataType biases : COMPUTED) {
      assertLikeCpu(
          (o, a) -> o.linear(a[0], a[1], a[2]),
          random(F32, 7, 24),
          random(brief, 40, 24),
          random(biases, 40));
    }
    assertLikeCpu(
        (o, a) -> o.linear(a[0], a[1], null), random(F32, 2, 3, 33), random(brief, 9, 33));
    assertLikeCpu(
        (o, a) -> o.feedForward(a[0], a[1], a[2], a[3], a[4]),
        random(F32, 5, 16),
        random(brief, 48, 16),
        random(brief, 48),
        random(brief, 16, 48),
        random(F32, 16));
    assertEquals(
        new Shape(0, 8), ops.linear(random(F32, 0, 16), random(brief, 8, 16), null).getShape());
  }

  /** The fake library has no halves. */
  @Test
  void linearOfHalves() {
    assumeTrue(kind == TestEngine.NVIDIA, "needs a GPU");
    DataType half = DataType.FLOAT16;
    assertLikeCpu(
        (o, a) -> o.linear(a[0], a[1], a[2]),
        random(half, 7, 24),
        random(half, 40, 24),
        random(half, 40));
  }

  @Test
  void activations() {
    for (DataType type : COMPUTED) {
      assertLikeCpu((o, a) -> o.geluTanh(a[0]), random(type, 7, 13));
      assertLikeCpu((o, a) -> o.silu(a[0]), random(type, 2, 3, 5, 7));
      assertEquals(new Shape(0, 3), ops.silu(random(type, 0, 3)).getShape());
    }
  }

  /** With weights of 32 bits as well, which stay so where the model's do. */
  @Test
  void norms() {
    for (DataType type : COMPUTED) {
      for (DataType weights : List.of(type, F32)) {
        assertLikeCpu(
            (o, a) -> o.rmsNorm(a[0], a[1], 1e-6), random(type, 5, 17), random(weights, 17));
        assertLikeCpu(
            (o, a) -> o.layerNorm(a[0], a[1], a[2], 1e-6),
            random(type, 2, 3, 33),
            random(weights, 33),
            random(weights, 33));
      }
      assertLikeCpu((o, a) -> o.layerNorm(a[0], null, null, 1e-6), random(type, 5, 17));
    }
  }

  @Test
  void modulationAndGate() {
    for (DataType type : COMPUTED) {
      for (DataType vectors : List.of(type, F32)) {
        assertLikeCpu(
            (o, a) -> o.modulatedNorm(a[0], a[1], a[2], 1e-6),
            random(type, 5, 19),
            random(vectors, 19),
            random(vectors, 1, 19));
        assertLikeCpu(
            (o, a) -> o.gatedResidual(a[0], a[1], a[2]),
            random(type, 5, 19),
            random(type, 5, 19),
            random(vectors, 1, 19));
      }
      assertLikeCpu(
          (o, a) -> o.gatedResidual(a[0], a[1], null), random(type, 5, 19), random(type, 5, 19));
    }
  }

  @Test
  void normRotary() {
    for (DataType type : COMPUTED) {
      for (DataType weights : List.of(type, F32)) {
        assertLikeCpu(
            (o, a) -> o.normRotary(a[0], a[1], 1e-6, a[2], a[3]),
            random(type, 5, 96),
            random(weights, 96),
            random(F32, 5, 16),
            random(F32, 5, 16));
      }
    }
  }

  @Test
  void feedForward() {
    for (DataType type : COMPUTED) {
      assertLikeCpu(
          (o, a) -> o.feedForward(a[0], a[1], a[2], a[3], a[4]),
          random(type, 7, 24),
          random(type, 40, 24),
          random(type, 40),
          random(type, 16, 40),
          random(type, 16));
    }
    NDArray none = random(F32, 0, 8);
    NDArray weight = random(F32, 8, 8);
    NDArray bias = random(F32, 8);
    assertEquals(none.getShape(), ops.feedForward(none, weight, bias, weight, bias).getShape());
  }

  /** Seven rows of a hidden layer that has room for three. */
  @Test
  void feedForwardInParts() {
    NDArray x = random(F32, 7, 24);
    NDArray up = random(F32, 40, 24);
    NDArray down = random(F32, 16, 40);
    NDArray upBias = random(F32, 40);
    NDArray downBias = random(F32, 16);
    float[] whole = ops.feedForward(x, up, upBias, down, downBias).toFloatArray();
    NDArray[] arguments = {x, up, upBias, down, downBias};
    try (CudaTensorOps small =
        CudaTensorOps.open(
            ops.manager().getEngine(), Device.gpu(0), kind.openCublas(), F32, 3 * 40 * 4)) {
      for (NDArray argument : arguments) {
        argument.attach(small.manager());
      }
      NDArray result = small.feedForward(x, up, upBias, down, downBias);
      assertClose(whole, result);
      long before = small.manager().statistics().arrays();
      assertThrows(
          IllegalArgumentException.class, () -> small.feedForward(x, up, upBias, up, downBias));
      assertEquals(before, small.manager().statistics().arrays());
    }
  }

  /** Of a head dimension that the kernels have, and of others. */
  @Test
  void attention() {
    for (DataType type : COMPUTED) {
      for (int dim : new int[] {64, 33, 384}) {
        assertLikeCpu(
            (o, a) -> o.attention(a[0], a[1], a[2]),
            random(type, 37, 3, dim),
            random(type, 71, 3, dim),
            random(type, 71, 3, dim));
      }
    }
  }

  /** Queries in several steps, the last one shorter. */
  @Test
  void attentionInSteps() {
    int keys = 1 << 16;
    int step = (int) (CudaTensorOps.SCORE_BYTES / (4L * 4 * keys));
    assertLikeCpu(
        (o, a) -> o.attention(a[0], a[1], a[2]),
        random(F32, step + 3, 4, 1),
        random(F32, keys, 4, 1),
        random(F32, keys, 4, 1));
  }

  @Test
  void biasedAttention() {
    for (DataType type : COMPUTED) {
      for (DataType biases : List.of(type, F32)) {
        assertLikeCpu(
            (o, a) -> o.biasedAttention(a[0], a[1], a[2], a[3], 0.3),
            random(type, 7, 3, 16),
            random(type, 5, 3, 16),
            random(type, 5, 3, 16),
            random(biases, 3, 11));
      }
    }
  }

  @Test
  void gatherRows() {
    for (DataType type : COMPUTED) {
      NDArray table = random(type, 4, 3);
      float[] t = table.toFloatArray();
      float[] expected = {t[6], t[7], t[8], t[0], t[1], t[2], t[6], t[7], t[8]};
      NDManager narrow = scope.newSubManager();
      NDArray wide = scope.create(new long[] {2, 0, 2});
      NDArray rows = ops.gatherRows(table, wide);
      assertEquals(type, rows.getDataType());
      assertEquals(new Shape(3, 3), rows.getShape());
      assertArrayEquals(expected, rows.toFloatArray());
      NDArray owned = ops.gatherRows(table, narrow.create(new int[] {2, 0, 2}));
      assertSame(narrow, owned.getManager());
      assertArrayEquals(expected, owned.toFloatArray());
    }
  }

  @Test
  void convolutions() {
    for (DataType type : COMPUTED) {
      Supplier<NDArray> clip = () -> random(type, 5, 6, 7, 16);
      NDArray cubes = random(type, 9, 3, 3, 3, 16);
      NDArray bias = random(type, 9);
      NDArray residual = random(type, 3, 6, 7, 9);
      assertLikeCpu(
          (o, a) -> o.conv3d(a[0], null, a[1], a[2], a[3], 1, 1),
          clip.get(),
          cubes,
          bias,
          residual);
      NDArray earlier = random(type, 2, 6, 7, 16);
      assertLikeCpu(
          (o, a) -> o.conv3d(a[0], a[1], a[2], a[3], null, 1, 1), clip.get(), earlier, cubes, bias);
      assertLikeCpu((o, a) -> o.conv3d(a[0], null, a[1], null, null, 2, 0), clip.get(), cubes);
      NDArray squares = random(type, 9, 3, 3, 16);
      int[] padding = {0, 1, 1, 0};
      assertLikeCpu((o, a) -> o.conv2d(a[0], a[1], a[2], 2, padding), clip.get(), squares, bias);
      assertLikeCpu((o, a) -> o.conv2d(a[0], a[1], null, 1, padding), clip.get(), squares);
      assertLikeCpu(
          (o, a) -> o.upsampleConv2d(a[0], a[1], a[2], padding), clip.get(), squares, bias);
    }
  }

  @Test
  void convolutionsRefuseOtherPadding() {
    NDArray clip = random(F32, 1, 4, 4, 3);
    NDArray weight = random(F32, 2, 3, 3, 3);
    int[] padding = {1, 1};
    IllegalArgumentException e =
        assertFails(
            IllegalArgumentException.class, () -> ops.conv2d(clip, weight, null, 1, padding));
    assertEquals("conv2d with padding [1, 1]; expected {top, bottom, left, right}", e.getMessage());
    assertFails(
        IllegalArgumentException.class, () -> ops.upsampleConv2d(clip, weight, null, padding));
  }

  @Test
  void channelNorm() {
    for (DataType type : COMPUTED) {
      Supplier<NDArray> clip = () -> random(type, 2, 3, 5, 24);
      NDArray gamma = random(F32, 24);
      assertLikeCpu((o, a) -> o.channelNorm(a[0], a[1], false), clip.get(), gamma);
      assertLikeCpu((o, a) -> o.channelNorm(a[0], a[1], true), clip.get(), gamma);
    }
  }

  @Test
  void colorBytes() {
    for (DataType type : COMPUTED) {
      NDArray x = random(type, 2, 3, 5, 3);
      x.set(new NDIndex("1, 2, 0, 1"), Float.NaN);
      NDArray onCpu = cpu.manager().create(x.toFloatArray(), x.getShape());
      try (NDList expected = cpu.colorBytes(onCpu);
          NDList found = ops.colorBytes(x)) {
        assertEquals(x.getShape(), found.head().getShape());
        assertEquals(DataType.UINT8, found.head().getDataType());
        assertArrayEquals(expected.head().toByteArray(), found.head().toByteArray());
        assertArrayEquals(new int[] {0, 1}, found.get(1).toIntArray());
        assertArrayEquals(new int[] {0, 1}, expected.get(1).toIntArray());
        assertSame(scope, found.head().getManager());
        assertSame(scope, found.get(1).getManager());
      }
      onCpu.close();
    }
  }

  @Test
  void memoryIsTheArraysOwn() {
    NDArray x = random(F32, 3, 5);
    assertEquals(((CudaNDArray) x).memory(), ops.memory(x));
    assertEquals(60, ops.memory(x).byteSize());
  }

  @Test
  void uploadConverts() {
    float[] values = {1.5f, -2, 0.1f, 65504, 1e-8f, 3};
    Shape shape = new Shape(2, 3);
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment data = arena.allocateFrom(ValueLayout.JAVA_FLOAT, values);
      NDArray same = ops.upload(scope, data, F32, shape, F32);
      assertArrayEquals(values, same.toFloatArray());
      NDArray half = ops.upload(scope, data, F32, shape, DataType.FLOAT16);
      assertSame(scope, half.getManager());
      assertEquals(shape, half.getShape());
      NDArray brief = ops.upload(scope, data, F32, shape, DataType.BFLOAT16);
      for (int i = 0; i < values.length; i++) {
        assertEquals(Float.float16ToFloat(Float.floatToFloat16(values[i])), half.toFloatArray()[i]);
        assertEquals(
            FloatConversion.bfloat16ToFloat(FloatConversion.floatToBfloat16(values[i])),
            brief.toFloatArray()[i]);
      }
      MemorySegment stored = MemorySegment.ofArray(brief.toByteArray());
      NDArray wide = ops.upload(scope, stored, DataType.BFLOAT16, shape, F32);
      assertArrayEquals(brief.toFloatArray(), wide.toFloatArray());
      assertEquals(4, ops.manager().statistics().arrays());
    }
  }

  /** More than one piece, and not a multiple of it. */
  @Test
  void uploadConvertsInPieces() {
    int count = CudaTensorOps.UPLOAD_ELEMENTS + 5;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment data = arena.allocate(2L * count, 2);
      for (int i : new int[] {0, count - 6, count - 5, count - 1}) {
        data.setAtIndex(ValueLayout.JAVA_SHORT, i, FloatConversion.floatToBfloat16(i % 100 + 1));
      }
      NDArray x = ops.upload(scope, data, DataType.BFLOAT16, new Shape(count), F32);
      float[] values = x.toFloatArray();
      for (int i : new int[] {0, count - 6, count - 5, count - 1}) {
        assertEquals(i % 100 + 1, values[i]);
        values[i] = 0;
      }
      assertArrayEquals(new float[count], values);
    }
  }

  @Test
  void failuresFreeWhatTheyAllocated() {
    NDArray wide = random(F32, 1, 20_000); // more than the norms' kernels take
    NDArray weight = random(F32, 20_000);
    assertFails(KernelException.class, () -> ops.rmsNorm(wide, weight, 1e-6));
    assertFails(KernelException.class, () -> ops.layerNorm(wide, weight, weight, 1e-6));
    NDArray q = random(F32, 5, 2, 8);
    NDArray k = random(F32, 7, 3, 8);
    assertFails(IllegalArgumentException.class, () -> ops.attention(q, k, k));
    MemorySegment numbers = MemorySegment.ofArray(new byte[12]);
    assertFails(
        UnsupportedOperationException.class,
        () -> ops.upload(scope, numbers, DataType.INT32, new Shape(3), F32));
    assertFails(
        IllegalArgumentException.class,
        () -> ops.upload(scope, numbers, F32, new Shape(4), DataType.BFLOAT16));
  }

  /** An array that would not fit into the fake device. */
  @Test
  void outOfMemoryLeavesTheBackendUsable() {
    assumeTrue(kind == TestEngine.FAKE, "needs a small device");
    try (NDArray large = ops.manager().create(new Shape(1, 1 << 13, 1 << 13, 1));
        NDArray pixel = ops.manager().create(new Shape(1, 1, 1, 1))) {
      assertFails(
          CudaOutOfMemoryException.class, () -> ops.upsampleConv2d(large, pixel, null, new int[4]));
    }
    assertLikeCpu((o, a) -> o.silu(a[0]), random(F32, 3, 5));
  }

  @Test
  void argumentsThatDoNotFitAreRefused() {
    NDArray x = random(F32, 5, 6);
    NDArray weight = random(F32, 4, 6);
    NDArray half = random(DataType.FLOAT16, 4, 6);
    IllegalArgumentException e =
        assertFails(IllegalArgumentException.class, () -> ops.linear(x, half, null));
    assertEquals(
        "linear of (5, 6) float32, (4, 6) float16, null; expected x (…, in), weight (out, in) and"
            + " bias (out) of one type, or x of float32 and others of bfloat16",
        e.getMessage());
    NDArray bias = random(F32, 5);
    assertFails(IllegalArgumentException.class, () -> ops.linear(x, weight, bias));
    assertFails(IllegalArgumentException.class, () -> ops.rmsNorm(x, weight, 1e-6));
    assertFails(IllegalArgumentException.class, () -> ops.rmsNorm(x, null, 1e-6));
    NDArray row = random(F32, 6);
    NDArray briefRow = random(DataType.BFLOAT16, 6);
    assertFails(IllegalArgumentException.class, () -> ops.layerNorm(x, row, briefRow, 1e-6));
    assertFails(IllegalArgumentException.class, () -> ops.modulatedNorm(x, weight, row, 1e-6));
    assertFails(IllegalArgumentException.class, () -> ops.gatedResidual(x, weight, row));
    NDArray turned = random(F32, 5, 2, 6);
    NDArray table = random(F32, 5, 3);
    NDArray briefTable = random(DataType.BFLOAT16, 5, 3);
    assertFails(
        IllegalArgumentException.class, () -> ops.normRotary(x, row, 1e-6, table, briefTable));
    assertFails(
        IllegalArgumentException.class, () -> ops.normRotary(x, row, 1e-6, x, x)); // D would be 12
    assertFails(
        IllegalArgumentException.class, () -> ops.feedForward(x, weight, null, weight, null));
    assertFails(IllegalArgumentException.class, () -> ops.attention(turned, x, x));
    NDArray clip = random(F32, 2, 4, 4, 3);
    NDArray kernels = random(F32, 5, 3, 3, 3);
    NDArray wider = random(F32, 5, 3, 3, 4);
    NDArray longer = random(F32, 5, 3, 3, 3, 3);
    int[] none = new int[4];
    assertFails(IllegalArgumentException.class, () -> ops.conv2d(clip, wider, null, 1, none));
    assertFails(IllegalArgumentException.class, () -> ops.conv2d(clip, longer, null, 1, none));
    assertFails(IllegalArgumentException.class, () -> ops.conv2d(clip, kernels, row, 1, none));
    assertFails(
        IllegalArgumentException.class,
        () -> ops.conv3d(clip, null, longer, null, null, 1, 0)); // frames
    assertFails(
        IllegalArgumentException.class, () -> ops.conv3d(clip, wider, longer, null, null, 1, 0));
    assertFails(IllegalArgumentException.class, () -> ops.channelNorm(clip, row, true));
    NDArray whole = scope.zeros(new Shape(3), DataType.INT32);
    assertFails(IllegalArgumentException.class, () -> ops.silu(whole));
  }

  @Test
  void arraysOfOtherManagersAreRefused() {
    try (NDArray onCpu = cpu.manager().ones(new Shape(3));
        CudaNDManager other = ops.manager().getEngine().newBaseManager();
        NDArray elsewhere = other.ones(new Shape(3))) {
      assertFails(IllegalArgumentException.class, () -> ops.silu(onCpu));
      assertFails(IllegalArgumentException.class, () -> ops.memory(onCpu));
      IllegalArgumentException e =
          assertFails(IllegalArgumentException.class, () -> ops.silu(elsewhere));
      assertTrue(e.getMessage().startsWith("silu of an array of "), e.getMessage());
      MemorySegment data = MemorySegment.ofArray(new byte[12]);
      assertThrows(
          IllegalArgumentException.class,
          () -> ops.upload(cpu.manager(), data, F32, new Shape(3), F32));
    }
  }

  @Test
  void saysWhichHeadsAttentionTakes() {
    for (int channels : new int[] {16, 64, 80, 128}) {
      assertTrue(ops.unsupportedHeadDim(channels).isEmpty());
    }
    for (int channels : new int[] {24, 144, 256}) {
      assertEquals("multiples of 16 up to 128", ops.unsupportedHeadDim(channels).orElseThrow());
    }
  }
}
