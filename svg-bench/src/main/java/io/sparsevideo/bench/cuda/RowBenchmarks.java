package io.sparsevideo.bench.cuda;

import io.sparsevideo.kernels.Activation;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.kernels.SvgKernels;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/** Norms, the gated residual and activations on (tokens, width) rows. */
public final class RowBenchmarks {
  private static final float EPSILON = 1e-6f;

  private RowBenchmarks() {}

  /** What the kernels on rows share: one input, one output, and weights of the width. */
  public abstract static class OnRows extends GpuBenchmark {
    List<Heads> in;
    List<Heads> out;
    int width;

    @Override
    void prepare() {
      int tokens = shape.size("tokens");
      width = shape.size("width");
      int sets = sets(4.0 * tokens * width);
      in = normal(sets, 1, tokens, width);
      out = normal(sets, 1, tokens, width);
    }

    @Override
    void launch(int turn) {
      int set = turn % in.size();
      launch(kernels(), in.get(set), out.get(set));
    }

    abstract void launch(SvgKernels kernels, Heads x, Heads y);

    /** A row of 32-bit values that serves all tokens. */
    Heads perChannel() {
      return Heads.oneRow(normalFloats(width), KernelType.F32, 1, shape.size("tokens"), width);
    }

    MemorySegment weight() {
      return normal(1, 1, width).data();
    }

    @Override
    double bytes() {
      return 2.0 * in.getFirst().data().byteSize();
    }
  }

  /** RMSNorm with a weight. */
  public static class RmsNorm extends OnRows {
    @Param({
      "tokens=2097152 width=32 dtype=bf16",
      "tokens=1048576 width=64 dtype=bf16",
      "tokens=524288 width=128 dtype=bf16",
      "tokens=262144 width=256 dtype=bf16",
      "tokens=75600 width=5120 dtype=bf16",
      "tokens=1008 width=192 dtype=bf16"
    })
    public String sizes;

    private MemorySegment weight;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      super.prepare();
      weight = weight();
    }

    @Override
    void launch(SvgKernels kernels, Heads x, Heads y) {
      kernels.rmsNorm(x, y, weight, KernelType.BF16, EPSILON);
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void rmsnorm(DeviceTime time) {
      run(time, 20);
    }
  }

  /** The Wan VAE's norm over channels, with SiLU. */
  public static class ChannelNorm extends OnRows {
    @Param({
      "tokens=3686400 width=96 dtype=bf16",
      "tokens=921600 width=192 dtype=bf16",
      "tokens=115200 width=384 dtype=bf16",
      "tokens=9216 width=96 dtype=bf16"
    })
    public String sizes;

    private MemorySegment weight;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      super.prepare();
      weight = weight();
    }

    @Override
    void launch(SvgKernels kernels, Heads x, Heads y) {
      kernels.channelNorm(x, y, weight, KernelType.BF16, true);
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void channel_norm(DeviceTime time) {
      run(time, 20);
    }
  }

  /** LayerNorm alone, with weight and bias, and with a model's modulation. */
  public static class LayerNorm extends OnRows {
    @Param({
      "tokens=2097152 width=32 dtype=bf16",
      "tokens=1048576 width=64 dtype=bf16",
      "tokens=524288 width=128 dtype=bf16",
      "tokens=262144 width=256 dtype=bf16",
      "tokens=75600 width=5120 dtype=bf16",
      "tokens=2097152 width=32 affine=true dtype=bf16",
      "tokens=1048576 width=64 affine=true dtype=bf16",
      "tokens=524288 width=128 affine=true dtype=bf16",
      "tokens=262144 width=256 affine=true dtype=bf16",
      "tokens=75600 width=5120 affine=true dtype=bf16",
      "tokens=2097152 width=32 modulated=true dtype=bf16",
      "tokens=1048576 width=64 modulated=true dtype=bf16",
      "tokens=524288 width=128 modulated=true dtype=bf16",
      "tokens=262144 width=256 modulated=true dtype=bf16",
      "tokens=75600 width=5120 modulated=true dtype=bf16",
      "tokens=1008 width=192 modulated=true dtype=bf16"
    })
    public String sizes;

    private MemorySegment weight;
    private MemorySegment bias;
    private Heads scale;
    private Heads shift;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      super.prepare();
      if (shape.flag("affine")) {
        weight = weight();
        bias = weight();
      }
      if (shape.flag("modulated")) {
        scale = perChannel();
        shift = perChannel();
      }
    }

    @Override
    void launch(SvgKernels kernels, Heads x, Heads y) {
      kernels.layerNorm(x, y, weight, bias, KernelType.BF16, scale, shift, EPSILON);
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void layernorm(DeviceTime time) {
      run(time, 20);
    }
  }

  /** x + gate · y. */
  public static class GatedResidual extends OnRows {
    @Param({"tokens=75600 width=5120 dtype=bf16", "tokens=1008 width=192 dtype=bf16"})
    public String sizes;

    private Heads gate;
    private Heads added;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      super.prepare();
      gate = perChannel();
      added = normal(1, shape.size("tokens"), width);
    }

    @Override
    void launch(SvgKernels kernels, Heads x, Heads y) {
      kernels.gatedResidual(x, added, gate, y);
    }

    @Override
    double bytes() {
      return 3.0 * added.data().byteSize();
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void gated_residual(DeviceTime time) {
      run(time, 20);
    }
  }

  /** A bias and an activation. */
  public abstract static class Biased extends OnRows {
    @Param({
      "tokens=75600 width=5120 bias=true dtype=bf16",
      "tokens=1008 width=192 bias=true dtype=bf16"
    })
    public String sizes;

    private final Activation kind;
    private MemorySegment bias;

    Biased(Activation kind) {
      this.kind = kind;
    }

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      super.prepare();
      bias = weight();
    }

    @Override
    void launch(SvgKernels kernels, Heads x, Heads y) {
      kernels.activation(x, y, kind, bias, KernelType.BF16);
    }
  }

  /** GELU by tanh. */
  public static class Gelu extends Biased {
    public Gelu() {
      super(Activation.GELU_TANH);
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void gelu(DeviceTime time) {
      run(time, 20);
    }
  }

  /** SiLU. */
  public static class Silu extends Biased {
    public Silu() {
      super(Activation.SILU);
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void silu(DeviceTime time) {
      run(time, 20);
    }
  }
}
