package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;

/** Halves height and width, and where the config says so the frames. */
final class WanVaeDownsample implements WanVaeLayer {
  private final TensorOps ops;
  private final NDArray weight; // (C, 3, 3, C)
  private final NDArray bias; // (C)
  private final WanVaeCausalConv timeConv; // C to C, null where the frames stay

  WanVaeDownsample(Parameters parameters, TensorOps ops, int channels, boolean temporal) {
    this.ops = ops;
    Parameters spatial = parameters.sub("resample.1");
    weight = WanVaeKernel.ofImages(spatial, channels, channels, 3);
    bias = spatial.get("bias", channels);
    timeConv =
        temporal
            ? WanVaeCausalConv.temporal(parameters.sub("time_conv"), ops, channels, channels, 2)
            : null;
  }

  @Override
  public NDArray forward(NDArray x, WanVaeCache cache) {
    NDArray h = ops.conv2d(x, weight, bias, 2, new int[] {0, 1, 0, 1}); // (T, Y/2, X/2, C)
    if (timeConv == null) {
      return h;
    }
    if (cache.isFirstChunk()) { // the video's first frame stays a frame of its own
      timeConv.skip(h, cache);
      return h;
    }
    try (h) {
      return timeConv.forward(h, cache); // (T/2, Y/2, X/2, C)
    }
  }
}
