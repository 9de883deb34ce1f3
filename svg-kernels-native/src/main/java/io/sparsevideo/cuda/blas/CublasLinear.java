package io.sparsevideo.cuda.blas;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.DeviceMemory;
import io.sparsevideo.cuda.blas.ffi.cublasLtMatmulHeuristicResult_t;
import io.sparsevideo.cuda.blas.ffi.cublasLt_h;
import io.sparsevideo.kernels.KernelType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/**
 * Linear layers on one stream: out = x Wᵀ + b, then GELU where asked for, in one kernel. Products
 * are summed in 32 bits and rounded once. What cuBLASLt proposes for a shape is asked once and
 * kept. Thread-safe.
 */
public final class CublasLinear implements AutoCloseable {

  /** Working memory, as NVIDIA recommends for Hopper. */
  private static final long WORKSPACE_BYTES = 32L << 20;

  /** The most that algorithms ask of the alignment of matrices, in bytes. */
  private static final int FULL_ALIGNMENT = 256;

  private final CublasBindings bindings;
  private final CudaStream stream;
  private final DeviceMemory workspace;
  private final Arena arena = Arena.ofAuto();
  private final MemorySegment one = arena.allocateFrom(JAVA_FLOAT, 1f);
  private final MemorySegment zero = arena.allocateFrom(JAVA_FLOAT, 0f);
  private final Map<Problem, Plan> plans = new HashMap<>();
  private final long handle;
  private boolean closed;

  private CublasLinear(CublasLt library, CudaStream stream) {
    bindings = library.bindings();
    this.stream = stream;
    workspace = stream.allocate(WORKSPACE_BYTES);
    try (CudaContext.Scope current = stream.context().enter()) {
      handle = bindings.create();
    } catch (RuntimeException | Error e) {
      workspace.close();
      throw e;
    }
  }

  /**
   * Linear layers on a stream, which must stay open longer.
   *
   * @throws CublasException when the library refuses the device
   */
  public static CublasLinear on(CublasLt library, CudaStream stream) {
    return new CublasLinear(library, stream);
  }

  /** What an algorithm is chosen for. */
  private record Problem(
      KernelType type,
      long rows,
      long inputs,
      long outputs,
      boolean bias,
      boolean gelu,
      int alignmentOfX,
      int alignmentOfWeight,
      int alignmentOfBias,
      int alignmentOfOut) {
    @Override
    public String toString() {
      return "rows %d, inputs %d, outputs %d, %s%s%s"
          .formatted(rows, inputs, outputs, type, bias ? ", bias" : "", gelu ? ", gelu" : "");
    }
  }

  /**
   * out = x Wᵀ + b, or its GELU in the tanh form. All memory is of the device, row-major and
   * contiguous, and holds at least what its shape says.
   *
   * @param x (rows, inputs)
   * @param weight (outputs, inputs)
   * @param bias (outputs); or null
   * @param out (rows, outputs), written
   * @param type of all four
   * @throws IllegalArgumentException when memory does not suffice for its shape, is on the Java
   *     heap, or is read-only but to be written
   * @throws CublasException when the library has no algorithm for the problem
   */
  public synchronized void linear(
      MemorySegment x,
      MemorySegment weight,
      MemorySegment bias,
      MemorySegment out,
      KernelType type,
      long rows,
      long inputs,
      long outputs,
      boolean gelu) {
    if (closed) {
      throw new IllegalStateException("the linear layers of " + stream + " are closed");
    }
    requireMatrix("x", x, type, rows, inputs);
    requireMatrix("weight", weight, type, outputs, inputs);
    requireMatrix("out", out, type, rows, outputs);
    if (out.isReadOnly()) {
      throw new IllegalArgumentException("out is written, but is read-only: " + out);
    }
    if (bias != null) {
      requireMatrix("bias", bias, type, 1, outputs);
    }
    Problem problem =
        new Problem(
            type,
            rows,
            inputs,
            outputs,
            bias != null,
            gelu,
            alignment(x),
            alignment(weight),
            bias == null ? FULL_ALIGNMENT : alignment(bias),
            alignment(out));
    try (CudaContext.Scope current = stream.context().enter()) {
      Plan plan = plans.get(problem);
      if (plan == null) {
        plan = new Plan(problem, bias);
        plans.put(problem, plan);
      }
      plan.run(problem, x, weight, bias, out);
    }
  }

  private static void requireMatrix(
      String name, MemorySegment memory, KernelType type, long rows, long columns) {
    if (rows < 1 || columns < 1) {
      throw new IllegalArgumentException(
          "%s is %d × %d; sizes must be at least 1".formatted(name, rows, columns));
    }
    if (!memory.isNative()) {
      throw new IllegalArgumentException(
          "%s must be device memory, is on the Java heap: %s".formatted(name, memory));
    }
    long bytes;
    try {
      bytes = Math.multiplyExact(Math.multiplyExact(rows, columns), (long) type.bytes());
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "%s of %d × %d %s is larger than any memory".formatted(name, rows, columns, type), e);
    }
    if (memory.byteSize() < bytes) {
      throw new IllegalArgumentException(
          "%s of %d × %d %s needs %d bytes, the memory has %d"
              .formatted(name, rows, columns, type, bytes, memory.byteSize()));
    }
  }

  /** The power of two, at most {@value #FULL_ALIGNMENT}, that an address is a multiple of. */
  private static int alignment(MemorySegment memory) {
    return (int) Long.lowestOneBit(memory.address() | FULL_ALIGNMENT);
  }

  /**
   * An algorithm, and the matrices as the library sees them. Its matrices are column-major, so that
   * each of ours is one transposed: outᵀ (outputs × rows) = W xᵀ, where W is read transposed.
   */
  private final class Plan implements AutoCloseable {
    private final MemorySegment result = cublasLtMatmulHeuristicResult_t.allocate(arena);
    private long descriptor;
    private long weightLayout;
    private long xLayout;
    private long outLayout;

    Plan(Problem p, MemorySegment bias) {
      try {
        int code = code(p.type());
        descriptor =
            bindings.createDescriptor(cublasLt_h.CUBLAS_COMPUTE_32F(), cublasLt_h.CUDA_R_32F());
        bindings.setDescriptor(
            descriptor, cublasLt_h.CUBLASLT_MATMUL_DESC_TRANSA(), cublasLt_h.CUBLAS_OP_T());
        bindings.setDescriptor(descriptor, cublasLt_h.CUBLASLT_MATMUL_DESC_EPILOGUE(), epilogue(p));
        setBias(bias);
        weightLayout = bindings.createLayout(code, p.inputs(), p.outputs(), p.inputs());
        xLayout = bindings.createLayout(code, p.inputs(), p.rows(), p.inputs());
        outLayout = bindings.createLayout(code, p.outputs(), p.rows(), p.outputs());
        choose(p);
      } catch (RuntimeException | Error e) {
        close();
        throw e;
      }
    }

    private void choose(Problem p) {
      long preference = bindings.createPreference();
      try {
        bindings.setPreference(
            preference, cublasLt_h.CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES(), WORKSPACE_BYTES);
        bindings.setPreference(
            preference,
            cublasLt_h.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES(),
            p.alignmentOfWeight());
        bindings.setPreference(
            preference, cublasLt_h.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES(), p.alignmentOfX());
        bindings.setPreference(
            preference,
            cublasLt_h.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES(),
            p.alignmentOfOut());
        bindings.setPreference(
            preference,
            cublasLt_h.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES(),
            p.alignmentOfOut());
        int status =
            bindings.heuristic(
                handle,
                descriptor,
                weightLayout,
                xLayout,
                outLayout,
                outLayout,
                preference,
                result);
        String call = "cublasLtMatmulAlgoGetHeuristic(" + p + ")";
        if (status == cublasLt_h.CUBLAS_STATUS_NOT_SUPPORTED()) {
          throw new CublasException(call, status, "no algorithm");
        }
        bindings.check(status, "%s", call);
      } finally {
        bindings.destroyPreference(preference);
      }
    }

    private void setBias(MemorySegment bias) {
      if (bias != null) {
        bindings.setDescriptor(
            descriptor, cublasLt_h.CUBLASLT_MATMUL_DESC_BIAS_POINTER(), bias.address());
      }
    }

    void run(
        Problem problem,
        MemorySegment x,
        MemorySegment weight,
        MemorySegment bias,
        MemorySegment out) {
      setBias(bias);
      int status =
          bindings.matmul(
              handle,
              descriptor,
              one,
              weight.address(),
              weightLayout,
              x.address(),
              xLayout,
              zero,
              out.address(),
              outLayout,
              cublasLtMatmulHeuristicResult_t.algo(result),
              workspace.address(),
              workspace.byteSize(),
              stream.address());
      bindings.check(status, "cublasLtMatmul(%s)", problem);
    }

    /** Destroys what was created. */
    @Override
    public void close() {
      if (outLayout != 0) {
        bindings.destroyLayout(outLayout);
      }
      if (xLayout != 0) {
        bindings.destroyLayout(xLayout);
      }
      if (weightLayout != 0) {
        bindings.destroyLayout(weightLayout);
      }
      if (descriptor != 0) {
        bindings.destroyDescriptor(descriptor);
      }
    }
  }

  private static int epilogue(Problem p) {
    if (p.gelu()) {
      return p.bias()
          ? cublasLt_h.CUBLASLT_EPILOGUE_GELU_BIAS()
          : cublasLt_h.CUBLASLT_EPILOGUE_GELU();
    }
    return p.bias() ? cublasLt_h.CUBLASLT_EPILOGUE_BIAS() : cublasLt_h.CUBLASLT_EPILOGUE_DEFAULT();
  }

  private static int code(KernelType type) {
    return switch (type) {
      case F32 -> cublasLt_h.CUDA_R_32F();
      case F16 -> cublasLt_h.CUDA_R_16F();
      case BF16 -> cublasLt_h.CUDA_R_16BF();
    };
  }

  /** Waits for the stream and gives back what the library holds. Closing twice does nothing. */
  @Override
  public synchronized void close() {
    if (closed) {
      return;
    }
    closed = true;
    try (workspace;
        CudaContext.Scope current = stream.context().enter()) {
      try {
        stream.synchronize();
        plans.values().forEach(Plan::close);
      } finally {
        bindings.destroy(handle);
      }
    }
  }
}
