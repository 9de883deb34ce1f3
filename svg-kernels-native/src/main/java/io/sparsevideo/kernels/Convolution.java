package io.sparsevideo.kernels;

/**
 * The sizes of a convolution of a clip (T, Y, X, C) by kernels (O, kernelFrames, kernelHeight,
 * kernelWidth, C). The clip is {@code earlierFrames} frames, then {@code frames} more, which may
 * lie in two places; zeros surround each frame, and nothing is added in time.
 *
 * @param frames of the clip's second part, at least 1
 * @param earlierFrames of its first part, at least 0
 * @param height Y
 * @param width X
 * @param channels C
 * @param outChannels O
 * @param kernelFrames taps in time; 1 for a convolution of every frame by itself
 * @param frameStride stride in time
 * @param stride stride in height and in width
 * @param repeat how often every pixel comes in height and in width, before anything else (nearest
 *     upsampling); 1 for a clip as it is
 * @param padTop lines of zeros above a frame; the other sides likewise
 */
public record Convolution(
    int frames,
    int earlierFrames,
    int height,
    int width,
    int channels,
    int outChannels,
    int kernelFrames,
    int kernelHeight,
    int kernelWidth,
    int frameStride,
    int stride,
    int repeat,
    int padTop,
    int padBottom,
    int padLeft,
    int padRight) {

  /**
   * @throws IllegalArgumentException when a size is too small, the padded clip is smaller than the
   *     kernel, or the result has 2³¹ or more frames, lines or columns
   */
  public Convolution {
    atLeast("frames", frames, 1);
    atLeast("earlierFrames", earlierFrames, 0);
    atLeast("height", height, 1);
    atLeast("width", width, 1);
    atLeast("channels", channels, 1);
    atLeast("outChannels", outChannels, 1);
    atLeast("kernelFrames", kernelFrames, 1);
    atLeast("kernelHeight", kernelHeight, 1);
    atLeast("kernelWidth", kernelWidth, 1);
    atLeast("frameStride", frameStride, 1);
    atLeast("stride", stride, 1);
    atLeast("repeat", repeat, 1);
    atLeast("padTop", padTop, 0);
    atLeast("padBottom", padBottom, 0);
    atLeast("padLeft", padLeft, 0);
    atLeast("padRight", padRight, 0);
    fits("frames", (long) earlierFrames + frames, kernelFrames, frameStride);
    fits("height", (long) height * repeat + padTop + padBottom, kernelHeight, stride);
    fits("width", (long) width * repeat + padLeft + padRight, kernelWidth, stride);
  }

  /** The number of frames of the result. */
  public int outFrames() {
    return (int) steps((long) earlierFrames + frames, kernelFrames, frameStride);
  }

  public int outHeight() {
    return (int) steps((long) height * repeat + padTop + padBottom, kernelHeight, stride);
  }

  public int outWidth() {
    return (int) steps((long) width * repeat + padLeft + padRight, kernelWidth, stride);
  }

  private static long steps(long size, int kernel, int stride) {
    return (size - kernel) / stride + 1;
  }

  private static void atLeast(String name, int value, int least) {
    if (value < least) {
      throw new IllegalArgumentException(name + " must be at least " + least + ", is " + value);
    }
  }

  private static void fits(String name, long padded, int kernel, int stride) {
    if (padded < kernel) {
      throw new IllegalArgumentException(
          "the kernel spans %d in %s, the clip with its padding has %d"
              .formatted(kernel, name, padded));
    }
    if (steps(padded, kernel, stride) > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "the result's %s must be at most %d, is %d"
              .formatted(name, Integer.MAX_VALUE, steps(padded, kernel, stride)));
    }
  }
}
