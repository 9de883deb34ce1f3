package io.sparsevideo.tensor;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;

/**
 * The convolutions and image operations of {@link TensorOps} on DJL's PyTorch engine.
 *
 * <p>For one clip of few channels PyTorch's 3-D convolution leaves its fast library aside and takes
 * up to ten times as long as its 2-D one. A clip is therefore convolved frame by frame: the kt
 * frames below the kernel lie behind each other in memory, (kt, C, Y, X), and read as one image of
 * kt·C channels they are an ordinary 2-D convolution, without a copy of the input.
 */
final class DjlConvolutions {
  private static final Shape UNIT = new Shape(1, 1);

  /** PyTorch's floor for the norm of a vector that {@code normalize} divides by. */
  private static final float LEAST_NORM = 1e-12f;

  /** The index of "nearest" among the interpolation modes that DJL numbers. */
  private static final int NEAREST = 0;

  private DjlConvolutions() {}

  /** See {@link TensorOps#conv3d}. */
  static NDArray conv3d(
      NDArray x, NDArray weight, NDArray bias, int timeStride, int spatialPadding) {
    Shape clip = x.getShape(); // (T, C, Y, X)
    Shape kernel = weight.getShape(); // (O, C, kt, ky, kx)
    requireKernel(clip, kernel, 5);
    long frames = clip.get(0);
    long channels = clip.get(1);
    long taps = kernel.get(2);
    if (frames < taps) {
      throw new IllegalArgumentException(
          "conv3d: the clip has %d frames, the kernel needs %d".formatted(frames, taps));
    }
    Shape padding = new Shape(spatialPadding, spatialPadding);
    try (TensorScope scope = TensorScope.over(x, weight)) {
      NDArray stacked = // (O, kt·C, ky, kx), the frames of the kernel one after the other
          weight
              .transpose(0, 2, 1, 3, 4)
              .reshape(kernel.get(0), taps * channels, kernel.get(3), kernel.get(4));
      if (taps == 1 && timeStride == 1) {
        return scope.keep(convolve(x, stacked, bias, UNIT, padding));
      }
      NDList images = new NDList();
      for (long t = 0; t + taps <= frames; t += timeStride) {
        NDArray window = x.get(new NDIndex().addSliceDim(t, t + taps)); // (kt, C, Y, X)
        NDArray image = window.reshape(1, taps * channels, clip.get(2), clip.get(3));
        images.add(convolve(image, stacked, bias, UNIT, padding)); // (1, O, Y', X')
      }
      return scope.keep(images.size() == 1 ? images.head() : NDArrays.concat(images));
    }
  }

  /** See {@link TensorOps#conv2d}. */
  static NDArray conv2d(NDArray x, NDArray weight, NDArray bias, int stride, int[] padding) {
    requireKernel(x.getShape(), weight.getShape(), 4);
    Shape strides = new Shape(stride, stride);
    int top = padding[0];
    int bottom = padding[1];
    int left = padding[2];
    int right = padding[3];
    if (top == bottom && left == right) {
      return convolve(x, weight, bias, strides, new Shape(top, left));
    }
    // DJL counts padding from the last dimension backwards
    try (NDArray padded = x.pad(new Shape(left, right, top, bottom), 0)) {
      return convolve(padded, weight, bias, strides, new Shape(0, 0));
    }
  }

  /** See {@link TensorOps#channelNorm}. */
  static NDArray channelNorm(NDArray x, NDArray gamma, boolean thenSilu) {
    long channels = x.getShape().get(1);
    try (TensorScope scope = TensorScope.over(x, gamma)) {
      // A sum of squares: the vector norm of PyTorch takes ten times as long over this axis.
      NDArray squares = x.square();
      NDArray norm = squares.sum(new int[] {1}, true).sqrt().maximum(LEAST_NORM); // (T, 1, Y, X)
      squares.close();
      NDArray scale = gamma.mul(Math.sqrt(channels)).reshape(1, channels, 1, 1);
      NDArray result = x.div(norm).muli(scale);
      if (thenSilu) {
        result.muli(result.getNDArrayInternal().sigmoid());
      }
      return scope.keep(result);
    }
  }

  /** See {@link TensorOps#upsampleNearest}. */
  static NDArray upsampleNearest(NDArray x) {
    long[] doubled = {2 * x.getShape().get(2), 2 * x.getShape().get(3)};
    return x.getNDArrayInternal().interpolation(doubled, NEAREST, false);
  }

  private static NDArray convolve(
      NDArray x, NDArray weight, NDArray bias, Shape stride, Shape padding) {
    return x.getNDArrayInternal()
        .convolution(x, weight, bias, stride, padding, UNIT, 1)
        .singletonOrThrow();
  }

  private static void requireKernel(Shape x, Shape weight, int weightDimensions) {
    if (x.dimension() != 4 || weight.dimension() != weightDimensions || x.get(1) != weight.get(1)) {
      throw new IllegalArgumentException(
          "convolution: a weight of shape %s does not fit a clip of shape %s (frames, channels, height, width)"
              .formatted(weight, x));
    }
  }
}
