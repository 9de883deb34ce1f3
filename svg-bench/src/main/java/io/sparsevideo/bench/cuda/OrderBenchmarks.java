package io.sparsevideo.bench.cuda;

import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.VideoLayout;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/** The order of rows, by clusters and by frames, and the profiling that chooses SVG1's masks. */
public final class OrderBenchmarks {
  private OrderBenchmarks() {}

  /** Rows by the labels of their clusters, and back. */
  public static class PermuteRows extends GpuBenchmark {
    @Param({
      "heads=40 tokens=75600 dim=128 dtype=bf16",
      "heads=40 tokens=75600 dim=128 inverse=true dtype=bf16",
      "heads=3 tokens=1008 dim=64 dtype=bf16"
    })
    public String sizes;

    private Heads src;
    private Heads dst;
    private MemorySegment order;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      src = normal(shape.size("heads"), shape.size("tokens"), shape.size("dim"));
      dst = normal(shape.size("heads"), shape.size("tokens"), shape.size("dim"));
      order = permutations(src.heads(), src.rows());
    }

    @Override
    void launch(int turn) {
      kernels().permuteRows(src, dst, src.rows(), order, shape.flag("inverse"));
    }

    @Override
    double bytes() {
      return src.data().byteSize() + dst.data().byteSize() + order.byteSize();
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void permute_rows(DeviceTime time) {
      run(time, 20);
    }
  }

  /** Frame-major to token-major and back. */
  public static class Layout extends GpuBenchmark {
    @Param({
      "heads=40 tokens=75600 dim=128 dtype=bf16",
      "heads=40 tokens=75600 dim=128 inverse=true dtype=bf16",
      "heads=3 tokens=1008 dim=64 dtype=bf16"
    })
    public String sizes;

    private Heads src;
    private Heads dst;
    private VideoLayout layout;
    private MemorySegment transform;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      src = normal(shape.size("heads"), shape.size("tokens"), shape.size("dim"));
      dst = normal(shape.size("heads"), shape.size("tokens"), shape.size("dim"));
      layout = new VideoLayout(21, src.rows() / 21, 0);
      int[] all = new int[src.heads()];
      Arrays.fill(all, 1);
      transform = ints(all);
    }

    @Override
    void launch(int turn) {
      kernels().videoLayout(src, dst, layout, transform, shape.flag("inverse"));
    }

    @Override
    double bytes() {
      return src.data().byteSize() + dst.data().byteSize();
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void video_layout(DeviceTime time) {
      run(time, 20);
    }
  }

  /** SVG1's choice between the spatial and the temporal mask for every head. */
  public static class ProfileHeads extends GpuBenchmark {
    private static final int FRAMES = 21;

    @Param({
      "heads=40 tokens=75600 dim=128 samples=64 dtype=bf16",
      "heads=3 tokens=1008 dim=64 samples=64 dtype=bf16"
    })
    public String sizes;

    private List<Heads> qkv;
    private MemorySegment rows;
    private MemorySegment errors;
    private MemorySegment best;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      qkv = normal(3, shape.size("heads"), shape.size("tokens"), shape.size("dim"));
      int limit = Math.min(shape.size("tokens"), 10_000);
      rows = ints(random.ints(shape.size("samples"), 0, limit).toArray());
      errors = allocate(8L * shape.size("heads"));
      best = allocate(4L * shape.size("heads"));
    }

    @Override
    void launch(int turn) {
      int frame = shape.size("tokens") / FRAMES;
      kernels()
          .profileHeads(
              qkv.get(0),
              qkv.get(1),
              qkv.get(2),
              (float) (1 / Math.sqrt(shape.size("dim"))),
              new VideoLayout(FRAMES, frame, 0),
              frame,
              2 * frame / 128,
              shape.size("samples"),
              rows,
              errors,
              best);
    }

    /** Keys and values; of the queries only a few rows. */
    @Override
    double bytes() {
      return 2.0 * qkv.getFirst().data().byteSize();
    }

    @Benchmark
    @OperationsPerInvocation(4)
    public void profile_heads(DeviceTime time) {
      run(time, 4);
    }
  }
}
