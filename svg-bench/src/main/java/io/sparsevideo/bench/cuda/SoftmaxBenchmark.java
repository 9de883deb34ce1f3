package io.sparsevideo.bench.cuda;

import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.kernels.ScoreBias;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/**
 * Scores of 32 bits to weights of bf16: those of UMT5-XXL's encoder, with its bias by relative
 * position, and one step of the Wan VAE's attention at 720p.
 */
public class SoftmaxBenchmark extends GpuBenchmark {
  @Param({
    "heads=64 rows=512 columns=512 bias=true dtype=bf16",
    "heads=1 rows=1152 columns=14400 dtype=bf16",
    "heads=1 rows=1024 columns=65536 dtype=bf16"
  })
  public String sizes;

  private final List<Heads> scores = new ArrayList<>();
  private Heads weights;
  private ScoreBias bias;

  @Override
  String shape() {
    return sizes;
  }

  @Override
  void prepare() {
    int heads = shape.size("heads");
    int rows = shape.size("rows");
    int columns = shape.size("columns");
    weights = normal(heads, rows, columns);
    scores.clear();
    // Two bf16 values make a 32-bit one that is nearly the second.
    for (Heads pairs : normal(sets(bytes()), heads, rows, 2 * columns)) {
      scores.add(Heads.headMajor(pairs.data(), KernelType.F32, heads, rows, columns));
    }
    if (shape.flag("bias")) {
      MemorySegment table = normal(1, heads, rows + columns - 1).data();
      bias = ScoreBias.relative(table, KernelType.BF16, rows, columns);
    }
  }

  @Override
  void launch(int turn) {
    kernels().softmax(scores.get(turn % scores.size()), 1, bias, weights);
  }

  @Override
  double bytes() {
    return 6.0 * weights.heads() * weights.rows() * weights.headDim();
  }

  @Benchmark
  @OperationsPerInvocation(20)
  public void softmax(DeviceTime time) {
    run(time, 20);
  }
}
