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
  private final NDArray weight; // (C/2, C, 3, 3)
  private final NDArray bias; // (C/2)
  private final WanVaeCausalConv timeConv; // C to 2C, null where the frames stay

  WanVaeUpsample(Parameters parameters, TensorOps ops, int channels, boolean temporal) {
    this.ops = ops;
    weight = parameters.get("resample.1.weight", channels / 2, channels, 3, 3);
    bias = parameters.get("resample.1.bias", channels / 2);
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
    Shape in = x.getShape();
    try (NDArray pairs = timeConv.forward(x, cache); // (T, 2C, Y, X)
        NDArray frames = pairs.reshape(2 * in.get(0), in.get(1), in.get(2), in.get(3))) {
      return enlarge(frames);
    }
  }

  /** (T, C, Y, X) to (T, C/2, 2Y, 2X). */
  private NDArray enlarge(NDArray x) {
    try (NDArray large = ops.upsampleNearest(x)) {
      return ops.conv2d(large, weight, bias, 1, new int[] {1, 1, 1, 1});
    }
  }
}
