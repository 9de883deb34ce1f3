package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;

/**
 * Doubles height and width and halves the channels; where the config says so doubles the frames.
 */
final class WanVaeUpsample implements WanVaeLayer {
  private final TensorOps ops;
  private final NDArray weight; // (C/2, 3, 3, C)
  private final NDArray bias; // (C/2)
  private final WanVaeCausalConv timeConv; // C to 2C, null where the frames stay

  WanVaeUpsample(Parameters parameters, TensorOps ops, int channels, boolean temporal) {
    this.ops = ops;
    Parameters spatial = parameters.sub("resample.1");
    weight = WanVaeKernel.ofImages(spatial, channels / 2, channels, 3);
    bias = spatial.get("bias", channels / 2);
    timeConv =
        temporal
            ? WanVaeCausalConv.temporal(parameters.sub("time_conv"), ops, channels, 2 * channels, 1)
            : null;
  }

  @Override
  public NDArray forward(NDArray x, WanVaeCache cache) {
    // The video's first frame stays a frame of its own, and the convolution in time never sees it:
    // the frame after it has zeros for its past.
    if (timeConv == null || cache.isFirstChunk()) {
      return enlarge(x);
    }
    try (NDArray pairs = timeConv.forward(x, cache); // (T, Y, X, 2C)
        NDArray frames = apart(pairs)) {
      return enlarge(frames);
    }
  }

  /**
   * Makes two frames of each: (T, Y, X, 2C), the earlier one's channels first, to (2T, Y, X, C).
   */
  private static NDArray apart(NDArray pairs) {
    Shape in = pairs.getShape();
    long pixels = in.get(1) * in.get(2);
    long channels = in.get(3) / 2;
    try (NDArray halves = pairs.reshape(in.get(0), pixels, 2, channels);
        NDArray turned = halves.transpose(0, 2, 1, 3)) {
      return turned.reshape(2 * in.get(0), in.get(1), in.get(2), channels);
    }
  }

  /** (T, Y, X, C) to (T, 2Y, 2X, C/2). */
  private NDArray enlarge(NDArray x) {
    return ops.upsampleConv2d(x, weight, bias, new int[] {1, 1, 1, 1});
  }
}
