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
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Linear layers against double precision: on fake libraries, and on the machine's where it has. */
@ParameterizedClass
@EnumSource(CublasLinearTest.Libraries.class)
class CublasLinearTest {

  enum Libraries {
    FAKE,
    NVIDIA
  }

  @Parameter Libraries libraries;

  private final Random random = new Random(3);
  private final Arena arena = Arena.ofConfined();
  private CudaContext context;
  private CudaStream stream;
  private CublasLinear linear;

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
    linear = CublasLinear.on(library, stream);
  }

  @AfterEach
  void close() throws Throwable {
    if (context != null) {
      linear.close();
      linear.close();
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
        linear.linear(
            onX.segment(),
            onWeight.segment(),
            withBias ? onBias.segment() : null,
            out.segment(),
            type,
            rows,
            inputs,
            outputs,
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
        MemorySegment matrix = memory.segment().asSlice(4 * shift);
        MemorySegment result = out.segment().asSlice(4 * shift);
        linear.linear(matrix, matrix, null, result, KernelType.F32, n, n, n, false);
        float[] actual = download(KernelType.F32, result, n * n);
        double expected = 0;
        for (int i = 0; i < n; i++) {
          expected += (double) values[shift + i] * values[shift + n + i];
        }
        assertEquals(expected, actual[1], 1e-5);
      }
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    try (DeviceMemory memory = stream.allocate(64)) {
      MemorySegment m = memory.segment();
      IllegalArgumentException e =
          assertThrows(
              IllegalArgumentException.class,
              () -> linear.linear(m, m, null, m, KernelType.F32, 2, 4, 5, false));
      assertEquals("weight of 5 × 4 F32 needs 80 bytes, the memory has 64", e.getMessage());
      assertThrows(
          IllegalArgumentException.class,
          () -> linear.linear(m, m, null, m, KernelType.F32, 0, 4, 4, false));
      if (libraries == Libraries.FAKE) { // which has no halves
        CublasException none =
            assertThrows(
                CublasException.class,
                () -> linear.linear(m, m, m, m, KernelType.F16, 2, 4, 4, true));
        assertTrue(
            none.getMessage()
                .startsWith(
                    "cublasLtMatmulAlgoGetHeuristic(rows 2, inputs 4, outputs 4, F16, bias, gelu)"),
            none.getMessage());
        assertTrue(none.getMessage().endsWith("no algorithm (15)"), none.getMessage());
        CublasException broken =
            assertThrows(
                CublasException.class,
                () -> linear.linear(m, m, null, m, KernelType.F32, 1, 1, 13, false));
        assertTrue(
            broken.getMessage().endsWith(": CUBLAS_STATUS_NOT_INITIALIZED (1)"),
            broken.getMessage());
      }
      linear.close();
      assertThrows(
          IllegalStateException.class,
          () -> linear.linear(m, m, null, m, KernelType.F32, 2, 2, 2, false));
    }
  }

  @Test
  void whatIsNoDeviceMemoryIsRefused() {
    MemorySegment heap = MemorySegment.ofArray(new byte[64]);
    try (DeviceMemory memory = stream.allocate(64)) {
      MemorySegment m = memory.segment();
      assertRefused("x must be device memory, is on the Java heap", heap, m, null, m, 4);
      assertRefused("weight must be device memory", m, heap, null, m, 4);
      assertRefused("bias must be device memory", m, m, heap, m, 4);
      assertRefused("out must be device memory", m, m, null, heap, 4);
      assertRefused("out is written, but is read-only", m, m, null, m.asReadOnly(), 4);
      long huge = 1L << 61;
      assertRefused("x of 4 × %d F32 is larger than any memory".formatted(huge), m, m, m, m, huge);
    }
  }

  private void assertRefused(
      String message,
      MemorySegment x,
      MemorySegment weight,
      MemorySegment bias,
      MemorySegment out,
      long inputs) {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> linear.linear(x, weight, bias, out, KernelType.F32, 4, inputs, 4, false));
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
