package io.sparsevideo.bench.cuda;

import io.sparsevideo.cuda.blas.CublasMatmul;
import io.sparsevideo.kernels.Heads;
import java.lang.foreign.MemorySegment;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/** Linear layers through cuBLASLt: those of a Wan 2.1 14B layer at 720p, and of the demo model. */
public class LinearBenchmark extends GpuBenchmark {
  @Param({
    "tokens=75600 inputs=5120 outputs=5120 dtype=bf16",
    "tokens=75600 inputs=5120 outputs=13824 gelu=true dtype=bf16",
    "tokens=75600 inputs=13824 outputs=5120 dtype=bf16",
    "tokens=1008 inputs=192 outputs=192 dtype=bf16"
  })
  public String sizes;

  private CublasMatmul products;
  private int tokens;
  private int inputs;
  private int outputs;
  private boolean gelu;
  private Heads x;
  private Heads weight;
  private MemorySegment bias;
  private Heads out;

  @Override
  String shape() {
    return sizes;
  }

  @Override
  void prepare() {
    tokens = shape.size("tokens");
    inputs = shape.size("inputs");
    outputs = shape.size("outputs");
    gelu = shape.flag("gelu");
    products = products();
    x = normal(1, tokens, inputs);
    weight = normal(1, outputs, inputs);
    bias = normal(1, 1, outputs).data();
    out = normal(1, tokens, outputs);
  }

  @Override
  void launch(int turn) {
    products.linear(x, weight, bias, out, gelu);
  }

  @Override
  double operations() {
    return 2.0 * tokens * inputs * outputs;
  }

  @Benchmark
  @OperationsPerInvocation(5)
  public void linear(DeviceTime time) {
    run(time, 5);
  }
}
