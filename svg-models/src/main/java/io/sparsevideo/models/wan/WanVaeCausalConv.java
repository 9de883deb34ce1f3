package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;

/**
 * A 3-D convolution that sees no later frame: in time its kernel ends at the current frame, and the
 * frames before a chunk come from the cache.
 */
final class WanVaeCausalConv implements WanVaeLayer {
  private final TensorOps ops;
  private final NDArray weight; // (O, kt, k, k, C)
  private final NDArray bias; // (O)
  private final int timeStride;
  private final int spatialPadding;

  /** Frames before the chunk that the first output frame depends on. */
  private final int context;

  /**
   * @param timeTaps kernel size in time
   * @param spatialTaps kernel size in height and width, odd; the size of the image is kept
   */
  WanVaeCausalConv(
      Parameters parameters,
      TensorOps ops,
      int inChannels,
      int outChannels,
      int timeTaps,
      int spatialTaps,
      int timeStride) {
    this.ops = ops;
    this.timeStride = timeStride;
    weight = WanVaeKernel.ofClips(parameters, outChannels, inChannels, timeTaps, spatialTaps);
    bias = parameters.get("bias", outChannels);
    spatialPadding = spatialTaps / 2;
    context = timeTaps - timeStride;
  }

  /** The usual 3 × 3 × 3 kernel. */
  static WanVaeCausalConv cube(Parameters parameters, TensorOps ops, int in, int out) {
    return new WanVaeCausalConv(parameters, ops, in, out, 3, 3, 1);
  }

  /** A kernel of three taps in time alone. */
  static WanVaeCausalConv temporal(
      Parameters parameters, TensorOps ops, int in, int out, int timeStride) {
    return new WanVaeCausalConv(parameters, ops, in, out, 3, 1, timeStride);
  }

  /** (T, Y, X, C) to (T / timeStride, Y, X, O). */
  @Override
  public NDArray forward(NDArray x, WanVaeCache cache) {
    return forward(x, null, cache);
  }

  /** As {@link #forward(NDArray, WanVaeCache)}, plus a residual of the result's shape, or null. */
  NDArray forward(NDArray x, NDArray residual, WanVaeCache cache) {
    try (NDArray earlier = cache.take(this, x, context)) {
      NDArray result = ops.conv3d(x, earlier, weight, bias, residual, timeStride, spatialPadding);
      cache.remember(this, earlier, x);
      return result;
    }
  }

  /** Lets a chunk pass: the next one sees its last frames, but it is not convolved itself. */
  void skip(NDArray x, WanVaeCache cache) {
    try (NDArray earlier = cache.take(this, x, context)) {
      cache.remember(this, earlier, x);
    }
  }
}
