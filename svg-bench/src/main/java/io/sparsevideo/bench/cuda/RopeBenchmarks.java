package io.sparsevideo.bench.cuda;

import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.kernels.RopePairs;
import java.lang.foreign.MemorySegment;
import java.util.List;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/** Rotary embedding, alone and behind the norm of queries and keys. */
public final class RopeBenchmarks {
  private RopeBenchmarks() {}

  /** Queries and keys, a call each, as a model has them. */
  public static class Rope extends GpuBenchmark {
    @Param({
      "batch=1 heads=32 tokens=1024 dim=64 dtype=bf16",
      "batch=1 heads=32 tokens=4096 dim=64 dtype=bf16",
      "batch=1 heads=32 tokens=16384 dim=64 dtype=bf16",
      "batch=4 heads=32 tokens=1024 dim=64 dtype=bf16",
      "batch=4 heads=32 tokens=4096 dim=64 dtype=bf16",
      "batch=4 heads=32 tokens=16384 dim=64 dtype=bf16",
      "batch=1 heads=40 tokens=75600 dim=128 dtype=bf16"
    })
    public String sizes;

    private List<Heads> in;
    private List<Heads> out;
    private MemorySegment cos;
    private MemorySegment sin;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      int heads = shape.size("batch") * shape.size("heads");
      int tokens = shape.size("tokens");
      int dim = shape.size("dim");
      int pairs = 2 * sets(8.0 * heads * tokens * dim);
      in = normal(pairs, heads, tokens, dim);
      out = normal(pairs, heads, tokens, dim);
      cos = normalFloats(tokens * dim / 2);
      sin = normalFloats(tokens * dim / 2);
    }

    @Override
    void launch(int turn) {
      for (int i = 0; i < 2; i++) {
        int set = (2 * turn + i) % in.size();
        kernels()
            .rope(in.get(set), out.get(set), RopePairs.INTERLEAVED, shape.size("tokens"), cos, sin);
      }
    }

    @Override
    double bytes() {
      return 4.0 * in.getFirst().data().byteSize() + cos.byteSize() + sin.byteSize();
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void rope(DeviceTime time) {
      run(time, 20);
    }
  }

  /** From a projection's token-major rows to head-major queries. */
  public static class NormRope extends GpuBenchmark {
    @Param({
      "heads=40 tokens=75600 dim=128 dtype=bf16",
      "heads=40 tokens=75600 dim=128 permuted=true dtype=bf16",
      "heads=40 tokens=75600 dim=128 across_heads=true dtype=bf16",
      "heads=40 tokens=75600 dim=128 across_heads=true permuted=true dtype=bf16",
      "heads=128 tokens=16384 dim=64 dtype=bf16",
      "heads=3 tokens=1008 dim=64 dtype=bf16",
      "heads=3 tokens=1008 dim=64 permuted=true dtype=bf16"
    })
    public String sizes;

    private List<Heads> in;
    private List<Heads> out;
    private MemorySegment weight;
    private MemorySegment cos;
    private MemorySegment sin;
    private int permuted;
    private MemorySegment order;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      int heads = shape.size("heads");
      int tokens = shape.size("tokens");
      int dim = shape.size("dim");
      int sets = sets(4.0 * heads * tokens * dim);
      in =
          normal(sets, heads, tokens, dim).stream()
              .map(x -> Heads.tokenMajor(x.data(), x.type(), heads, tokens, dim))
              .toList();
      out = normal(sets, heads, tokens, dim);
      weight = normal(1, shape.flag("across_heads") ? heads : 1, dim).data();
      cos = normalFloats(tokens * dim / 2);
      sin = normalFloats(tokens * dim / 2);
      permuted = shape.flag("permuted") ? tokens : 0;
      order = shape.flag("permuted") ? permutations(heads, tokens) : null;
    }

    @Override
    void launch(int turn) {
      kernels()
          .normRope(
              in.get(turn % in.size()),
              out.get(turn % in.size()),
              shape.flag("across_heads"),
              weight,
              KernelType.BF16,
              1e-6f,
              RopePairs.INTERLEAVED,
              shape.size("tokens"),
              cos,
              sin,
              permuted,
              order);
    }

    @Override
    double bytes() {
      double indices = order == null ? 0 : order.byteSize();
      return 2.0 * in.getFirst().data().byteSize() + cos.byteSize() + sin.byteSize() + indices;
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void norm_rope(DeviceTime time) {
      run(time, 20);
    }
  }
}
