package io.sparsevideo.cuda.blas;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.cuda.DeviceMemory;
import io.sparsevideo.cuda.FakeCuda;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Products against double precision: on fake libraries, and on the machine's where it has. */
@ParameterizedClass
@EnumSource(CublasMatmulTest.Libraries.class)
class CublasMatmulTest {

  enum Libraries {
    FAKE,
    NVIDIA
  }

  @Parameter Libraries libraries;

  private final Random random = new Random(3);
  private final Arena arena = Arena.ofConfined();
  private CudaContext context;
  private CudaStream stream;
  private CublasMatmul products;

  @BeforeEach
  void open() {
    CublasLt library;
    if (libraries == Libraries.FAKE) {
      context = FakeCuda.driver().device(0).retainContext();
      library = CublasLt.load(FakeCuda.library("fake_cublaslt"));
    } else {
      try {
        library = CublasLt.load();
        context = CudaDriver.load().device(0).retainContext();
      } catch (CudaUnavailableException | CublasUnavailableException e) {
        assumeTrue(false, "no CUDA here: " + e.getMessage());
        throw e;
      }
    }
    stream = context.newStream();
    products = CublasMatmul.on(library, stream);
  }

  @AfterEach
  void close() throws Throwable {
    if (context != null) {
      products.close();
      products.close();
      stream.close();
      assertEquals(List.of(), context.openResources());
      context.close();
      if (libraries == Libraries.FAKE) {
        assertEquals(0, liveObjects());
      }
    }
    arena.close();
  }

  private static int liveObjects() throws Throwable {
    MemorySegment function =
        SymbolLookup.libraryLookup(FakeCuda.library("fake_cublaslt"), Arena.global())
            .findOrThrow("fake_cublaslt_live");
    return (int)
        Linker.nativeLinker()
            .downcallHandle(function, FunctionDescriptor.of(ValueLayout.JAVA_INT))
            .invokeExact();
  }

  /** Rows and sizes of 8 and of 1: whole vectors and lone elements; the plan is used twice. */
  @ParameterizedTest
  @CsvSource({
    "F32, 1, 1, 1, false, false",
    "F32, 5, 48, 24, true, false",
    "BF16, 77, 64, 40, true, true",
    "BF16, 3, 128, 16, false, true",
    "BF16, 1, 256, 8, true, false",
    "F32, 7, 33, 9, true, true",
  })
  void linearLayers(
      KernelType type, int rows, int inputs, int outputs, boolean withBias, boolean gelu) {
    for (int i = 0; i < 2; i++) {
      float[] x = values(type, rows * inputs);
      float[] weight = values(type, outputs * inputs);
      float[] bias = values(type, outputs);
      try (DeviceMemory onX = upload(type, x);
          DeviceMemory onWeight = upload(type, weight);
          DeviceMemory onBias = upload(type, bias);
          DeviceMemory out = stream.allocate((long) rows * outputs * type.bytes())) {
        products.linear(
            matrix(onX.segment(), type, rows, inputs),
            matrix(onWeight.segment(), type, outputs, inputs),
            withBias ? onBias.segment() : null,
            matrix(out.segment(), type, rows, outputs),
            gelu);
        float[] actual = download(type, out.segment(), rows * outputs);
        for (int r = 0; r < rows; r++) {
          for (int o = 0; o < outputs; o++) {
            double sum = withBias ? bias[o] : 0;
            double size = Math.abs(sum);
            for (int c = 0; c < inputs; c++) {
              sum += (double) x[r * inputs + c] * weight[o * inputs + c];
              size += Math.abs(x[r * inputs + c] * weight[o * inputs + c]);
            }
            double expected = gelu ? gelu(sum) : sum;
            double rounding = type == KernelType.F32 ? 1e-6 : 4e-3;
            assertEquals(
                expected,
                actual[r * outputs + o],
                rounding * Math.abs(expected) + 1e-6 * size + (gelu ? 1e-3 : 1e-6));
          }
        }
      }
    }
  }

  private static double gelu(double x) {
    return x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
  }

  /** The second product's matrices start where no vector may. */
  @Test
  void alignmentIsPartOfTheChoice() {
    int n = 8;
    float[] values = values(KernelType.F32, n * n + 1);
    try (DeviceMemory memory = upload(KernelType.F32, values);
        DeviceMemory out = stream.allocate(4L * (n * n + 1))) {
      for (int shift : new int[] {0, 1}) {
        Heads matrix = matrix(memory.segment().asSlice(4 * shift), KernelType.F32, n, n);
        MemorySegment result = out.segment().asSlice(4 * shift);
        products.linear(matrix, matrix, null, matrix(result, KernelType.F32, n, n), false);
        float[] actual = download(KernelType.F32, result, n * n);
        double expected = 0;
        for (int i = 0; i < n; i++) {
          expected += (double) values[shift + i] * values[shift + n + i];
        }
        assertEquals(expected, actual[1], 1e-5);
      }
    }
  }

  /**
   * Heads that are read and written in place, token-major and with gaps; one matrix for all heads;
   * results of either type.
   */
  @ParameterizedTest
  @CsvSource({
    "F32, F32, 1, 1, 1, 1",
    "F32, F32, 3, 5, 7, 9",
    "BF16, BF16, 2, 16, 24, 32",
    "BF16, F32, 4, 33, 64, 40",
  })
  void headsInBatches(
      KernelType type, KernelType outType, int heads, int rows, int inner, int columns) {
    float[] a = values(type, heads * rows * inner);
    float[] b = values(type, heads * inner * columns);
    int gap = 8;
    try (DeviceMemory onA = upload(type, a);
        DeviceMemory onB = upload(type, b);
        DeviceMemory memory =
            stream.allocate((long) rows * heads * (columns + gap) * outType.bytes())) {
      Heads left = Heads.tokenMajor(onA.segment(), type, heads, rows, inner);
      MemorySegment m = memory.segment();
      long width = columns + gap;
      Heads out = new Heads(m, outType, heads, rows, columns, width, heads * width);

      products.multiplyTransposed(
          left, Heads.headMajor(onB.segment(), type, heads, columns, inner), out);
      assertProducts(
          heads,
          rows,
          inner,
          columns,
          out,
          (h, r, k) -> a[(r * heads + h) * inner + k],
          (h, k, c) -> b[(h * columns + c) * inner + k]);
      products.multiply(left, Heads.tokenMajor(onB.segment(), type, heads, inner, columns), out);
      assertProducts(
          heads,
          rows,
          inner,
          columns,
          out,
          (h, r, k) -> a[(r * heads + h) * inner + k],
          (h, k, c) -> b[(k * heads + h) * columns + c]);
      products.multiply(
          left, new Heads(onB.segment(), type, heads, inner, columns, 0, columns), out);
      assertProducts(
          heads,
          rows,
          inner,
          columns,
          out,
          (h, r, k) -> a[(r * heads + h) * inner + k],
          (h, k, c) -> b[k * columns + c]);
    }
  }

  private interface Element {
    float at(int head, int row, int column);
  }

  private void assertProducts(
      int heads, int rows, int inner, int columns, Heads out, Element a, Element b) {
    float[] actual =
        download(out.type(), out.data(), (int) (out.data().byteSize() / out.type().bytes()));
    double rounding = out.type() == KernelType.F32 ? 1e-6 : 4e-3;
    for (int h = 0; h < heads; h++) {
      for (int r = 0; r < rows; r++) {
        for (int c = 0; c < columns; c++) {
          double sum = 0;
          double size = 0;
          for (int k = 0; k < inner; k++) {
            sum += (double) a.at(h, r, k) * b.at(h, k, c);
            size += Math.abs(a.at(h, r, k) * b.at(h, k, c));
          }
          long place = h * out.headStride() + r * out.rowStride() + c;
          assertEquals(sum, actual[(int) place], rounding * Math.abs(sum) + 1e-6 * size);
        }
      }
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    try (DeviceMemory memory = stream.allocate(4096)) {
      MemorySegment m = memory.segment();
      Heads x = matrix(m, KernelType.F32, 2, 4);
      Heads weight = matrix(m, KernelType.F32, 5, 4);
      Heads out = matrix(m, KernelType.F32, 2, 5);
      assertRefused(
          "a product of " + x + " and transposed " + out, () -> linear(x, out, null, out));
      assertRefused("out is " + weight + ", expected", () -> linear(x, weight, null, weight));
      Heads brief = matrix(m, KernelType.BF16, 5, 4);
      assertRefused("a product of ", () -> linear(x, brief, null, out));
      Heads halfOut = matrix(m, KernelType.F16, 2, 5);
      assertRefused("out is " + halfOut, () -> products.multiplyTransposed(x, weight, halfOut));
      Heads briefX = matrix(m, KernelType.BF16, 2, 4);
      assertRefused("out is " + out + ", x is", () -> linear(briefX, brief, null, out));
      Heads two = Heads.headMajor(m, KernelType.F32, 2, 2, 4);
      assertRefused("a product of " + two, () -> products.multiply(two, x, out));
      Heads one = Heads.oneRow(m, KernelType.F32, 1, 2, 4);
      assertRefused("a product has rows that lie apart", () -> linear(one, weight, null, out));
      Heads same = new Heads(m, KernelType.F32, 2, 2, 2, 0, 2);
      assertRefused("a product has rows", () -> products.multiplyTransposed(two, two, same));
      assertRefused(
          "out is written, but is read-only",
          () -> linear(x, weight, null, matrix(m.asReadOnly(), KernelType.F32, 2, 5)));
      assertRefused(
          "bias of 5 F32 needs 20 bytes, the memory has 16",
          () -> linear(x, weight, m.asSlice(0, 16), out));
      assertRefused(
          "bias must be device memory, is on the Java heap",
          () -> linear(x, weight, MemorySegment.ofArray(new byte[64]), out));
      products.close();
      assertThrows(IllegalStateException.class, () -> linear(x, weight, null, out));
    }
  }

  @Test
  void whatTheLibraryRefusesIsNamed() {
    assumeTrue(libraries == Libraries.FAKE, "NVIDIA's library has them"); // halves, and 13 rows
    try (DeviceMemory memory = stream.allocate(4096)) {
      MemorySegment m = memory.segment();
      Heads halves = matrix(m, KernelType.F16, 4, 4);
      CublasException none =
          assertThrows(
              CublasException.class, () -> products.linear(halves, halves, m, halves, true));
      assertEquals(
          "cublasLtMatmulAlgoGetHeuristic(1 of 4 × 4 F16 by transposed 4 × 4 F16 to F16, bias,"
              + " gelu): no algorithm (15)",
          none.getMessage());
      Heads weight = matrix(m, KernelType.F32, 13, 1);
      CublasException broken =
          assertThrows(
              CublasException.class,
              () ->
                  linear(
                      matrix(m, KernelType.F32, 1, 1),
                      weight,
                      null,
                      matrix(m, KernelType.F32, 1, 13)));
      assertTrue(
          broken.getMessage().endsWith(": CUBLAS_STATUS_NOT_INITIALIZED (1)"), broken.getMessage());
    }
  }

  private void linear(Heads x, Heads weight, MemorySegment bias, Heads out) {
    products.linear(x, weight, bias, out, false);
  }

  private static Heads matrix(MemorySegment memory, KernelType type, int rows, int columns) {
    return Heads.headMajor(memory, type, 1, rows, columns);
  }

  private static void assertRefused(String message, Executable call) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call);
    assertTrue(e.getMessage().startsWith(message), e.getMessage());
  }

  /** Numbers that the type holds exactly. */
  private float[] values(KernelType type, int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      float value = (float) random.nextGaussian();
      values[i] = type == KernelType.F32 ? value : upperHalf(value);
    }
    return values;
  }

  private static float upperHalf(float value) {
    return Float.intBitsToFloat(Float.floatToRawIntBits(value) & 0xffff0000);
  }

  private DeviceMemory upload(KernelType type, float[] values) {
    MemorySegment host = arena.allocate((long) values.length * type.bytes(), 4);
    for (int i = 0; i < values.length; i++) {
      if (type == KernelType.F32) {
        host.setAtIndex(ValueLayout.JAVA_FLOAT, i, values[i]);
      } else {
        short upper = (short) (Float.floatToRawIntBits(values[i]) >>> 16);
        host.setAtIndex(ValueLayout.JAVA_SHORT, i, upper);
      }
    }
    DeviceMemory memory = stream.allocate(host.byteSize());
    stream.copyToDevice(memory.segment(), host);
    return memory;
  }

  private float[] download(KernelType type, MemorySegment memory, int count) {
    MemorySegment host = arena.allocate((long) count * type.bytes(), 4);
    stream.copyToHost(host, memory.asSlice(0, host.byteSize()));
    stream.synchronize();
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] =
          type == KernelType.F32
              ? host.getAtIndex(ValueLayout.JAVA_FLOAT, i)
              : Float.intBitsToFloat(host.getAtIndex(ValueLayout.JAVA_SHORT, i) << 16);
    }
    return values;
  }
}
