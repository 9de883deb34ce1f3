package io.sparsevideo.tensor;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.Shape;

/**
 * The convolutions and image operations of {@link TensorOps} on DJL's PyTorch engine.
 *
 * <p>PyTorch's shapes are channels-first, but a transposed view of a channels-last tensor is what
 * it calls the memory format "channels last": it is convolved as it lies, and the result lies so
 * too.
 *
 * <p>For one clip of few channels PyTorch's 3-D convolution leaves its fast library aside and takes
 * up to ten times as long as its 2-D one. A clip is therefore convolved as images, in which the
 * channels of all frames that a kernel covers lie side by side.
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
      NDArray x,
      NDArray earlier,
      NDArray weight,
      NDArray bias,
      NDArray residual,
      int timeStride,
      int spatialPadding) {
    if (earlier != null) {
      try (TensorScope scope = TensorScope.over(x, earlier, weight)) {
        NDArray clip = earlier.concat(x);
        return scope.keep(conv3d(clip, null, weight, bias, residual, timeStride, spatialPadding));
      }
    }
    Shape clip = x.getShape(); // (T, Y, X, C)
    Shape kernel = weight.getShape(); // (O, kt, ky, kx, C)
    requireKernel(clip, kernel, 5);
    long taps = kernel.get(1);
    long last = clip.get(0) - taps; // where the kernel starts at the latest
    if (last < 0) {
      throw new IllegalArgumentException(
          "conv3d: the clip has %d frames, the kernel needs %d".formatted(clip.get(0), taps));
    }
    Shape padding = new Shape(spatialPadding, spatialPadding);
    try (TensorScope scope = TensorScope.over(x, weight)) {
      NDList taken = new NDList(); // by each frame of the kernel: (T', Y, X, C)
      for (long tap = 0; tap < taps; tap++) {
        taken.add(x.get(new NDIndex().addSliceDim(tap, tap + last + 1, timeStride)));
      }
      NDArray images = taps == 1 ? taken.head() : NDArrays.concat(taken, 3); // (T', Y, X, kt·C)
      NDArray stacked =
          weight
              .transpose(0, 2, 3, 1, 4)
              .reshape(kernel.get(0), kernel.get(2), kernel.get(3), taps * kernel.get(4));
      NDArray result = convolve(images, stacked, bias, UNIT, padding); // (T', Y', X', O)
      return scope.keep(residual == null ? result : result.addi(residual));
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
    try (TensorScope scope = TensorScope.over(x)) {
      NDArray padded = x.pad(new Shape(0, 0, left, right, top, bottom), 0);
      return scope.keep(convolve(padded, weight, bias, strides, new Shape(0, 0)));
    }
  }

  /** See {@link TensorOps#channelNorm}. */
  static NDArray channelNorm(NDArray x, NDArray gamma, boolean thenSilu) {
    long channels = gamma.size();
    try (TensorScope scope = TensorScope.over(x, gamma)) {
      // A sum of squares: the vector norm of PyTorch takes several times as long.
      NDArray squares = x.square();
      NDArray norm = squares.sum(new int[] {-1}, true).sqrt().maximum(LEAST_NORM); // (…, 1)
      squares.close();
      NDArray result = x.div(norm).muli(gamma.mul(Math.sqrt(channels)));
      if (thenSilu) {
        result.muli(result.getNDArrayInternal().sigmoid());
      }
      return scope.keep(result);
    }
  }

  /** Doubles both spatial sizes by repeating pixels: (T, Y, X, C) to (T, 2Y, 2X, C). */
  static NDArray upsampleNearest(NDArray x) {
    long[] doubled = {2 * x.getShape().get(1), 2 * x.getShape().get(2)};
    try (NDArray images = channelsFirst(x);
        NDArray large = images.getNDArrayInternal().interpolation(doubled, NEAREST, false)) {
      return channelsLast(large);
    }
  }

  /** x (T, Y, X, C), weight (O, ky, kx, C); result (T, Y', X', O). */
  private static NDArray convolve(
      NDArray x, NDArray weight, NDArray bias, Shape stride, Shape padding) {
    try (NDArray images = channelsFirst(x);
        NDArray kernel = channelsFirst(weight);
        NDArray result =
            images
                .getNDArrayInternal()
                .convolution(images, kernel, bias, stride, padding, UNIT, 1)
                .singletonOrThrow()) {
      return channelsLast(result);
    }
  }

  private static NDArray channelsFirst(NDArray x) {
    return x.transpose(0, 3, 1, 2);
  }

  private static NDArray channelsLast(NDArray x) {
    return x.transpose(0, 2, 3, 1);
  }

  private static void requireKernel(Shape x, Shape weight, int dimensions) {
    if (x.dimension() != 4
        || weight.dimension() != dimensions
        || x.get(3) != weight.get(dimensions - 1)) {
      throw new IllegalArgumentException(
          "convolution: a weight of shape %s does not fit a clip of shape %s (frames, height, width, channels)"
              .formatted(weight, x));
    }
  }
}
