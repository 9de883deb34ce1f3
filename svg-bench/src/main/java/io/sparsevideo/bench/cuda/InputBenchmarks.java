package io.sparsevideo.bench.cuda;

import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.PatchGrid;
import io.sparsevideo.kernels.PatchOrder;
import java.lang.foreign.MemorySegment;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/** What stands at both ends of a transformer: patches and the embedding of timesteps. */
public final class InputBenchmarks {
  private InputBenchmarks() {}

  /** Latents of a Wan video to tokens, or back. */
  public abstract static class Patches extends GpuBenchmark {
    @Param({
      "channels=16 frames=21 height=90 width=160 dtype=bf16",
      "channels=16 frames=7 height=24 width=24 dtype=bf16"
    })
    public String sizes;

    PatchGrid grid;
    MemorySegment video;
    Heads tokens;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      grid =
          new PatchGrid(
              shape.size("channels"),
              shape.size("frames"),
              shape.size("height"),
              shape.size("width"),
              1,
              2,
              2,
              PatchOrder.CHANNEL_FRAME_ROW_COLUMN);
      tokens = normal(1, grid.tokens(), grid.elements());
      video = normal(1, grid.tokens(), grid.elements()).data();
    }

    @Override
    double bytes() {
      return 2.0 * video.byteSize();
    }
  }

  /** A video into patches. */
  public static class Patchify extends Patches {
    @Override
    void launch(int turn) {
      kernels().patchify(video, tokens, grid);
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void patchify(DeviceTime time) {
      run(time, 20);
    }
  }

  /** Patches into a video. */
  public static class Unpatchify extends Patches {
    @Override
    void launch(int turn) {
      kernels().unpatchify(tokens, video, grid);
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void unpatchify(DeviceTime time) {
      run(time, 20);
    }
  }

  /** Sines and cosines of a timestep, or of one for every token. */
  public static class TimestepEmbedding extends GpuBenchmark {
    @Param({"tokens=75600 width=256 dtype=bf16", "tokens=1 width=256 dtype=bf16"})
    public String sizes;

    private MemorySegment timesteps;
    private Heads out;

    @Override
    String shape() {
      return sizes;
    }

    @Override
    void prepare() {
      timesteps = normalFloats(shape.size("tokens"));
      out = normal(1, shape.size("tokens"), shape.size("width"));
    }

    @Override
    void launch(int turn) {
      kernels().timestepEmbedding(timesteps, out, true, 0, 1, 10_000);
    }

    @Override
    double bytes() {
      return timesteps.byteSize() + (double) out.data().byteSize();
    }

    @Benchmark
    @OperationsPerInvocation(20)
    public void timestep_embedding(DeviceTime time) {
      run(time, 20);
    }
  }
}
