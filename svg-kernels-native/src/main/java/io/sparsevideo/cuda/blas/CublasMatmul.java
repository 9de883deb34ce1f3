package io.sparsevideo.cuda.blas;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.DeviceMemory;
import io.sparsevideo.cuda.blas.ffi.cublasLtMatmulHeuristicResult_t;
import io.sparsevideo.cuda.blas.ffi.cublasLt_h;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/**
 * Matrix products on one stream: linear layers, with bias and GELU in the same kernel, and one
 * product for each head. Products are summed in 32 bits and rounded once. What cuBLASLt proposes
 * for a problem is asked once and kept. Thread-safe.
 *
 * <p>Operands are tensors in device memory that are read in place: heads and rows may be strided,
 * so that (S, H, D) and (H, S, D) buffers both serve. A head stride of 0 reads one matrix for all
 * heads. Results must not overlap operands.
 */
public final class CublasMatmul implements AutoCloseable {

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

  private CublasMatmul(CublasLt library, CudaStream stream) {
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
   * Products on a stream, which must stay open longer.
   *
   * @throws CublasException when the library refuses the device
   */
  public static CublasMatmul on(CublasLt library, CudaStream stream) {
    return new CublasMatmul(library, stream);
  }

  /**
   * A linear layer: out = x Wᵀ + b, or its GELU in the tanh form. All have one type.
   *
   * @param x (1, rows, inputs)
   * @param weight (1, outputs, inputs)
   * @param bias (outputs), contiguous; or null
   * @param out (1, rows, outputs), written
   * @throws IllegalArgumentException when shapes or types disagree, the bias is too small or on the
   *     Java heap, or {@code out} is read-only
   * @throws CublasException when the library has no algorithm for the problem
   */
  public void linear(Heads x, Heads weight, MemorySegment bias, Heads out, boolean gelu) {
    if (out.type() != x.type()) {
      throw new IllegalArgumentException("out is %s, x is %s".formatted(out, x));
    }
    if (bias != null) {
      requireBias(bias, out);
    }
    run(x, weight, true, bias, gelu, out);
  }

  /**
   * out[h] = a[h] b[h]ᵀ.
   *
   * @param a (H, M, K)
   * @param b (H, N, K) of the same type
   * @param out (H, M, N) of the same type or of {@link KernelType#F32}, written
   * @throws IllegalArgumentException when shapes or types disagree, or {@code out} is read-only
   * @throws CublasException when the library has no algorithm for the problem
   */
  public void multiplyTransposed(Heads a, Heads b, Heads out) {
    run(a, b, true, null, false, out);
  }

  /**
   * out[h] = a[h] b[h].
   *
   * @param a (H, M, K)
   * @param b (H, K, N) of the same type
   * @param out (H, M, N) of the same type or of {@link KernelType#F32}, written
   * @throws IllegalArgumentException when shapes or types disagree, or {@code out} is read-only
   * @throws CublasException when the library has no algorithm for the problem
   */
  public void multiply(Heads a, Heads b, Heads out) {
    run(a, b, false, null, false, out);
  }

  private synchronized void run(
      Heads a, Heads b, boolean transposed, MemorySegment bias, boolean gelu, Heads out) {
    if (closed) {
      throw new IllegalStateException("the products on " + stream + " are closed");
    }
    requireFit(a, b, transposed, out);
    Problem problem =
        new Problem(
            out.heads(),
            Matrices.of(a),
            Matrices.of(b),
            Matrices.of(out),
            transposed,
            bias == null ? 0 : alignment(bias.address()),
            gelu);
    try (CudaContext.Scope current = stream.context().enter()) {
      Plan plan = plans.get(problem);
      if (plan == null) {
        plan = new Plan(problem, bias);
        plans.put(problem, plan);
      }
      plan.run(problem, a.data(), b.data(), bias, out.data());
    }
  }

  private static void requireFit(Heads a, Heads b, boolean transposed, Heads out) {
    int inner = transposed ? b.headDim() : b.rows();
    int columns = transposed ? b.rows() : b.headDim();
    if (b.heads() != a.heads() || inner != a.headDim() || b.type() != a.type()) {
      throw new IllegalArgumentException(
          "a product of %s and%s %s".formatted(a, transposed ? " transposed" : "", b));
    }
    if (out.heads() != a.heads() || out.rows() != a.rows() || out.headDim() != columns) {
      throw new IllegalArgumentException(
          "out is %s, expected %d heads × %d rows × %d"
              .formatted(out, a.heads(), a.rows(), columns));
    }
    if (out.type() != a.type() && out.type() != KernelType.F32) {
      throw new IllegalArgumentException("out is %s, expected %s or F32".formatted(out, a.type()));
    }
    if (out.data().isReadOnly()) {
      throw new IllegalArgumentException("out is written, but is read-only: " + out.data());
    }
    for (Heads operand : new Heads[] {a, b, out}) {
      boolean isWritten = operand == out;
      if (operand.rows() > 1 && operand.rowStride() == 0
          || isWritten && out.heads() > 1 && out.headStride() == 0) {
        throw new IllegalArgumentException("a product has rows that lie apart, not " + operand);
      }
    }
  }

  private static void requireBias(MemorySegment bias, Heads out) {
    if (!bias.isNative()) {
      throw new IllegalArgumentException(
          "bias must be device memory, is on the Java heap: " + bias);
    }
    long bytes = (long) out.headDim() * out.type().bytes();
    if (bias.byteSize() < bytes) {
      throw new IllegalArgumentException(
          "bias of %d %s needs %d bytes, the memory has %d"
              .formatted(out.headDim(), out.type(), bytes, bias.byteSize()));
    }
  }

  /** The power of two, at most {@value #FULL_ALIGNMENT}, that an address is a multiple of. */
  private static int alignment(long address) {
    return (int) Long.lowestOneBit(address | FULL_ALIGNMENT);
  }

  /** One matrix for each head; alignment is that of all of them. */
  private record Matrices(
      KernelType type, int rows, int columns, long rowStride, long headStride, int alignment) {

    static Matrices of(Heads t) {
      long headStride = t.heads() == 1 ? 0 : t.headStride();
      return new Matrices(
          t.type(),
          t.rows(),
          t.headDim(),
          Math.max(t.rowStride(), t.headDim()),
          headStride,
          CublasMatmul.alignment(t.data().address() | headStride * t.type().bytes()));
    }

    @Override
    public String toString() {
      return "%d × %d %s".formatted(rows, columns, type);
    }
  }

  /**
   * What an algorithm is chosen for.
   *
   * @param transposed whether it is b's rows that a's are multiplied with
   * @param biasAlignment 0 without bias
   */
  private record Problem(
      int heads,
      Matrices a,
      Matrices b,
      Matrices out,
      boolean transposed,
      int biasAlignment,
      boolean gelu) {

    boolean bias() {
      return biasAlignment > 0;
    }

    int epilogue() {
      if (gelu) {
        return bias()
            ? cublasLt_h.CUBLASLT_EPILOGUE_GELU_BIAS()
            : cublasLt_h.CUBLASLT_EPILOGUE_GELU();
      }
      return bias() ? cublasLt_h.CUBLASLT_EPILOGUE_BIAS() : cublasLt_h.CUBLASLT_EPILOGUE_DEFAULT();
    }

    @Override
    public String toString() {
      return "%d of %s by %s%s to %s%s%s"
          .formatted(
              heads,
              a,
              transposed ? "transposed " : "",
              b,
              out.type(),
              bias() ? ", bias" : "",
              gelu ? ", gelu" : "");
    }
  }

  /**
   * An algorithm, and the matrices as the library sees them. Its matrices are column-major, so that
   * each of ours is one transposed: outᵀ = bᵀ aᵀ, or b aᵀ, where b is read transposed.
   */
  private final class Plan implements AutoCloseable {
    private final MemorySegment result = cublasLtMatmulHeuristicResult_t.allocate(arena);
    private long descriptor;
    private long bLayout;
    private long aLayout;
    private long outLayout;

    Plan(Problem p, MemorySegment bias) {
      try {
        descriptor =
            bindings.createDescriptor(cublasLt_h.CUBLAS_COMPUTE_32F(), cublasLt_h.CUDA_R_32F());
        bindings.setDescriptor(
            descriptor,
            cublasLt_h.CUBLASLT_MATMUL_DESC_TRANSA(),
            p.transposed() ? cublasLt_h.CUBLAS_OP_T() : cublasLt_h.CUBLAS_OP_N());
        bindings.setDescriptor(
            descriptor, cublasLt_h.CUBLASLT_MATMUL_DESC_EPILOGUE(), p.epilogue());
        setBias(bias);
        bLayout = layout(p.heads(), p.b());
        aLayout = layout(p.heads(), p.a());
        outLayout = layout(p.heads(), p.out());
        choose(p);
      } catch (RuntimeException | Error e) {
        close();
        throw e;
      }
    }

    private long layout(int heads, Matrices m) {
      long layout = bindings.createLayout(code(m.type()), m.columns(), m.rows(), m.rowStride());
      try {
        if (heads > 1) {
          bindings.setLayout(layout, cublasLt_h.CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT(), heads);
          bindings.setLayout(
              layout, cublasLt_h.CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET(), m.headStride());
        }
        return layout;
      } catch (RuntimeException | Error e) {
        bindings.destroyLayout(layout);
        throw e;
      }
    }

    private void choose(Problem p) {
      long preference = bindings.createPreference();
      try {
        bindings.setPreference(
            preference, cublasLt_h.CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES(), WORKSPACE_BYTES);
        bindings.setPreference(
            preference, cublasLt_h.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES(), p.b().alignment());
        bindings.setPreference(
            preference, cublasLt_h.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES(), p.a().alignment());
        bindings.setPreference(
            preference,
            cublasLt_h.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES(),
            p.out().alignment());
        bindings.setPreference(
            preference,
            cublasLt_h.CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES(),
            p.out().alignment());
        int status =
            bindings.heuristic(
                handle, descriptor, bLayout, aLayout, outLayout, outLayout, preference, result);
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
        Problem problem, MemorySegment a, MemorySegment b, MemorySegment bias, MemorySegment out) {
      setBias(bias);
      int status =
          bindings.matmul(
              handle,
              descriptor,
              one,
              b.address(),
              bLayout,
              a.address(),
              aLayout,
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
      for (long layout : new long[] {outLayout, aLayout, bLayout}) {
        if (layout != 0) {
          bindings.destroyLayout(layout);
        }
      }
      if (descriptor != 0) {
        bindings.destroyDescriptor(descriptor);
      }
    }
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
