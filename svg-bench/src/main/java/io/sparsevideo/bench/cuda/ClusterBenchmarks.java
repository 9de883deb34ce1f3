package io.sparsevideo.bench.cuda;

import io.sparsevideo.kernels.Heads;
import java.lang.foreign.MemorySegment;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/** SVG2's clustering: k-means, the block map, the order of rows. */
public final class ClusterBenchmarks {
  private ClusterBenchmarks() {}

  /** Iterations from warm centroids, as every step but the first has them. */
  public static class KMeans extends GpuBenchmark {
    private static final int WARMING = 4;

    @Param({
      "heads=40 tokens=75600 dim=128 clusters=300 iterations=2 dtype=bf16",
      "heads=40 tokens=75600 dim=128 clusters=1000 iterations=2 dtype=bf16",
      "heads=24 tokens=118800 dim=128 clusters=400 iterations=2 dtype=bf16",
      "heads=24 tokens=118800 dim=128 clusters=1000 iterations=2 dtype=bf16",
      "heads=3 tokens=1008 dim=64 clusters=13 iterations=2 dtype=bf16"
    })
    public String sizes;

    private Heads x;
    private MemorySegment centroids;
    private MemorySegment labels;
    private MemorySegment counts;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      int heads = shape.size("heads");
      int tokens = shape.size("tokens");
      int clusters = shape.size("clusters");
      x = normal(heads, tokens, shape.size("dim"));
      centroids = allocate(4L * heads * clusters * shape.size("dim"));
      labels = allocate(4L * heads * tokens);
      counts = allocate(4L * heads * clusters);
      int[] rows = new int[heads * clusters];
      for (int i = 0; i < rows.length; i++) {
        rows[i] = (int) ((long) (i % clusters) * tokens / clusters);
      }
      cluster(WARMING, ints(rows));
    }

    @Override
    void launch(int turn) {
      cluster(shape.size("iterations"), null);
    }

    private void cluster(int iterations, MemorySegment firstRows) {
      kernels()
          .kmeans(
              x, shape.size("clusters"), iterations, 0, firstRows, centroids, labels, counts, null);
    }

    /** Of the assignment; the update only adds. */
    @Override
    double operations() {
      return 2.0
          * shape.size("iterations")
          * x.heads()
          * x.rows()
          * x.headDim()
          * shape.size("clusters");
    }

    @Benchmark
    @OperationsPerInvocation(4)
    public void kmeans(DeviceTime time) {
      run(time, 4);
    }
  }

  /** The choice of blocks by centroids' scores. */
  public static class BlockMap extends GpuBenchmark {
    @Param({
      "heads=40 query_clusters=300 key_clusters=1000 dim=128",
      "heads=24 query_clusters=400 key_clusters=1000 dim=128",
      "heads=3 query_clusters=8 key_clusters=16 dim=64"
    })
    public String sizes;

    private MemorySegment queries;
    private MemorySegment keys;
    private MemorySegment counts;
    private MemorySegment map;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      int heads = shape.size("heads");
      int dim = shape.size("dim");
      queries = normalFloats(heads * shape.size("query_clusters") * dim);
      keys = normalFloats(heads * shape.size("key_clusters") * dim);
      counts = ints(random.ints((long) heads * shape.size("key_clusters"), 1, 150).toArray());
      map = allocate((long) heads * shape.size("query_clusters") * shape.size("key_clusters"));
    }

    @Override
    void launch(int turn) {
      kernels()
          .blockMap(
              shape.size("heads"),
              shape.size("dim"),
              shape.size("query_clusters"),
              shape.size("key_clusters"),
              0,
              shape.size("key_clusters") / 10,
              0.9f,
              (float) (1 / Math.sqrt(shape.size("dim"))),
              queries,
              keys,
              counts,
              map);
    }

    /** Of the scores; what chooses by them only compares and adds. */
    @Override
    double operations() {
      return 2.0 * queries.byteSize() / 4 * shape.size("key_clusters");
    }

    @Benchmark
    @OperationsPerInvocation(10)
    public void block_map(DeviceTime time) {
      run(time, 10);
    }
  }

  /** The stable counting sort of labels. */
  public static class SortLabels extends GpuBenchmark {
    @Param({"heads=40 tokens=75600 clusters=1000", "heads=3 tokens=1008 clusters=13"})
    public String sizes;

    private MemorySegment labels;
    private MemorySegment order;
    private MemorySegment offsets;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      int heads = shape.size("heads");
      long count = (long) heads * shape.size("tokens");
      labels = ints(random.ints(count, 0, shape.size("clusters")).toArray());
      order = allocate(4 * count);
      offsets = allocate(4L * heads * (shape.size("clusters") + 1));
    }

    @Override
    void launch(int turn) {
      kernels()
          .sortLabels(
              shape.size("heads"),
              shape.size("tokens"),
              shape.size("clusters"),
              0,
              0,
              0,
              labels,
              order,
              offsets);
    }

    @Override
    double bytes() {
      return labels.byteSize() + order.byteSize() + offsets.byteSize();
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void sort_labels(DeviceTime time) {
      run(time, 20);
    }
  }
}
