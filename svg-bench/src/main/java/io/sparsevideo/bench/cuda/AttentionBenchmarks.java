package io.sparsevideo.bench.cuda;

import io.sparsevideo.kernels.BandMask;
import io.sparsevideo.kernels.Heads;
import java.lang.foreign.MemorySegment;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/** Dense, SVG1's band and SVG2's block attention; rates count 4·D for every allowed pair. */
public final class AttentionBenchmarks {
  private AttentionBenchmarks() {}

  /** Queries, keys, values and output. */
  public abstract static class Attention extends GpuBenchmark {
    Heads q;
    Heads k;
    Heads v;
    Heads out;

    void allocate(int queries, int keys) {
      int heads = shape.size("heads");
      int dim = shape.size("dim");
      q = normal(heads, queries, dim);
      k = normal(heads, keys, dim);
      v = normal(heads, keys, dim);
      out = normal(heads, queries, dim);
    }

    float scale() {
      return (float) (1 / Math.sqrt(q.headDim()));
    }

    /** Allowed (query, key) pairs of all heads. */
    abstract double pairs();

    @Override
    double operations() {
      return 4 * q.headDim() * pairs();
    }
  }

  /** Every pair; the self-attention of Wan, Hunyuan and Cosmos, and a cross-attention. */
  public static class Dense extends Attention {
    @Param({
      "heads=40 queries=75600 keys=75600 dim=128 dtype=bf16",
      "heads=24 queries=119056 keys=119056 dim=128 dtype=bf16",
      "heads=32 queries=56320 keys=56320 dim=128 dtype=bf16",
      "heads=12 queries=32760 keys=32760 dim=128 dtype=bf16",
      "heads=40 queries=75600 keys=512 dim=128 dtype=bf16",
      "heads=3 queries=1008 keys=1008 dim=64 dtype=bf16"
    })
    public String sizes;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      allocate(shape.size("queries"), shape.size("keys"));
    }

    @Override
    void launch(int turn) {
      kernels().attentionDense(q, k, v, out, scale(), 0, null);
    }

    @Override
    double pairs() {
      return (double) q.heads() * q.rows() * k.rows();
    }

    @Benchmark
    @OperationsPerInvocation(1)
    public void dense(DeviceTime time) {
      run(time, 1);
    }
  }

  /** Wan's band at 720p: density .30 asked for, .34 achieved. */
  public static class Band extends Attention {
    @Param({
      "heads=40 tokens=75600 dim=128 half_width=12416 sink_keys=3600 density=0.34 dtype=bf16",
      "heads=3 tokens=1008 dim=64 half_width=256 sink_keys=48 density=0.48 dtype=bf16"
    })
    public String sizes;

    private BandMask mask;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      int tokens = shape.size("tokens");
      allocate(tokens, tokens);
      mask = new BandMask(tokens, 0, shape.size("sink_keys"), shape.size("half_width"));
      if (Math.abs(mask.density() - shape.number("density")) > 0.005) {
        throw new IllegalArgumentException(
            "the density of %s is %.3f".formatted(sizes, mask.density()));
      }
    }

    @Override
    void launch(int turn) {
      kernels().attentionBand(q, k, v, out, scale(), mask);
    }

    @Override
    double pairs() {
      return mask.density() * q.heads() * q.rows() * q.rows();
    }

    @Benchmark
    @OperationsPerInvocation(1)
    public void svg1(DeviceTime time) {
      run(time, 1);
    }
  }

  /** Clusters of uneven sizes, of whose blocks a random part is kept; planning included. */
  public static class Blocks extends Attention {
    @Param({
      "heads=40 tokens=75600 dim=128 query_clusters=300 key_clusters=1000 density=0.15 dtype=bf16",
      "heads=40 tokens=75600 dim=128 query_clusters=300 key_clusters=1000 density=0.25 dtype=bf16",
      "heads=40 tokens=75600 dim=128 query_clusters=300 key_clusters=1000 density=0.3 dtype=bf16",
      "heads=40 tokens=75600 dim=128 query_clusters=300 key_clusters=1000 density=0.5 dtype=bf16",
      "heads=24 tokens=118800 dim=128 query_clusters=400 key_clusters=1000 density=0.25 dtype=bf16",
      "heads=3 tokens=1008 dim=64 query_clusters=8 key_clusters=16 density=0.25 dtype=bf16"
    })
    public String sizes;

    private MemorySegment queryOffsets;
    private MemorySegment keyOffsets;
    private MemorySegment map;
    private double pairs;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      int heads = shape.size("heads");
      int tokens = shape.size("tokens");
      int queries = shape.size("query_clusters");
      int keys = shape.size("key_clusters");
      allocate(tokens, tokens);
      int[] ofQueries = offsets(heads, tokens, queries);
      int[] ofKeys = offsets(heads, tokens, keys);
      byte[] kept = new byte[heads * queries * keys];
      pairs = 0;
      for (int h = 0; h < heads; h++) {
        for (int i = 0; i < queries; i++) {
          int rows = size(ofQueries, h, queries, i);
          int always = random.nextInt(keys);
          for (int j = 0; j < keys; j++) {
            if (j == always || random.nextDouble() < shape.number("density")) {
              kept[(h * queries + i) * keys + j] = 1;
              pairs += (double) rows * size(ofKeys, h, keys, j);
            }
          }
        }
      }
      queryOffsets = ints(ofQueries);
      keyOffsets = ints(ofKeys);
      map = upload(MemorySegment.ofArray(kept));
    }

    /** Clusters' shares drawn from Dirichlet(2), as uneven as those of k-means; none is empty. */
    private int[] offsets(int heads, int tokens, int clusters) {
      int[] offsets = new int[heads * (clusters + 1)];
      for (int h = 0; h < heads; h++) {
        double[] ends = new double[clusters];
        double end = 0;
        for (int i = 0; i < clusters; i++) {
          end -= Math.log((1 - random.nextDouble()) * (1 - random.nextDouble()));
          ends[i] = end;
        }
        for (int i = 0; i < clusters; i++) {
          offsets[h * (clusters + 1) + i + 1] =
              i + 1 + (int) Math.round(ends[i] / end * (tokens - clusters));
        }
      }
      return offsets;
    }

    private static int size(int[] offsets, int head, int clusters, int cluster) {
      int at = head * (clusters + 1) + cluster;
      return offsets[at + 1] - offsets[at];
    }

    @Override
    void launch(int turn) {
      kernels()
          .attentionBlocks(
              q,
              k,
              v,
              out,
              scale(),
              shape.size("query_clusters"),
              shape.size("key_clusters"),
              queryOffsets,
              keyOffsets,
              map);
    }

    @Override
    double pairs() {
      return pairs;
    }

    @Benchmark
    @OperationsPerInvocation(1)
    public void svg2(DeviceTime time) {
      run(time, 1);
    }
  }
}
