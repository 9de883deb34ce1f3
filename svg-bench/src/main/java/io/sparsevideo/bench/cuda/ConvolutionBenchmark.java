package io.sparsevideo.bench.cuda;

import io.sparsevideo.kernels.Convolution;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/** A convolution of a clip that keeps the size of its frames, or doubles them first. */
public class ConvolutionBenchmark extends GpuBenchmark {
  @Param({
    "frames=4 earlier=2 height=720 width=1280 channels=96 outputs=96 kernel=3x3x3 dtype=bf16",
    "frames=4 earlier=2 height=360 width=640 channels=192 outputs=192 kernel=3x3x3 dtype=bf16",
    "frames=2 earlier=2 height=180 width=320 channels=384 outputs=384 kernel=3x3x3 dtype=bf16",
    "frames=1 earlier=2 height=90 width=160 channels=384 outputs=384 kernel=3x3x3 dtype=bf16",
    "frames=4 earlier=2 height=720 width=1280 channels=96 outputs=3 kernel=3x3x3 dtype=bf16",
    "frames=2 earlier=2 height=180 width=320 channels=384 outputs=768 kernel=3x1x1 dtype=bf16",
    "frames=4 earlier=0 height=360 width=640 channels=192 outputs=96 kernel=1x3x3 repeat=2"
        + " dtype=bf16",
    "frames=4 earlier=2 height=48 width=48 channels=96 outputs=96 kernel=3x3x3 dtype=bf16"
  })
  public String sizes;

  private Convolution convolution;
  private MemorySegment earlier;
  private List<Heads> x;
  private MemorySegment weight;
  private MemorySegment bias;
  private MemorySegment out;

  @Override
  String shape() {
    return sizes;
  }

  @Override
  void prepare() {
    int pixels = shape.size("height") * shape.size("width");
    int frames = shape.size("frames");
    int channels = shape.size("channels");
    int outputs = shape.size("outputs");
    int repeat = shape.values().containsKey("repeat") ? shape.size("repeat") : 1;
    int[] kernel =
        Arrays.stream(shape.text("kernel").split("x")).mapToInt(Integer::parseInt).toArray();
    convolution =
        new Convolution(
            frames,
            shape.size("earlier"),
            shape.size("height"),
            shape.size("width"),
            channels,
            outputs,
            kernel[0],
            kernel[1],
            kernel[2],
            1,
            1,
            repeat,
            kernel[1] / 2,
            kernel[1] / 2,
            kernel[2] / 2,
            kernel[2] / 2);
    x = normal(sets(2.0 * frames * pixels * channels), frames, pixels, channels);
    earlier = normal(Math.max(shape.size("earlier"), 1), pixels, channels).data();
    weight = normal(outputs, kernel[0] * kernel[1] * kernel[2], channels).data();
    bias = normal(1, 1, outputs).data();
    out = allocate(2L * outPixels() * outputs);
  }

  private long outPixels() {
    return (long) convolution.outFrames() * convolution.outHeight() * convolution.outWidth();
  }

  @Override
  void launch(int turn) {
    MemorySegment clip = x.get(turn % x.size()).data();
    kernels().convolution(convolution, KernelType.BF16, earlier, clip, weight, bias, null, out);
  }

  @Override
  double operations() {
    return (double) outPixels() * weight.byteSize(); // two for each weight of two bytes
  }

  @Benchmark
  @OperationsPerInvocation(5)
  public void convolution(DeviceTime time) {
    run(time, 5);
  }
}
