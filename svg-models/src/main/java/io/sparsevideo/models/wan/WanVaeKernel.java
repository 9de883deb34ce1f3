package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.checkpoint.Parameters;
import java.util.stream.IntStream;

/**
 * Reads the weights of convolutions, which checkpoints store with the input's channels before the
 * taps, and lays them out as convolutions take them.
 */
final class WanVaeKernel {
  private WanVaeKernel() {}

  /** The weight of a convolution of clips, stored as (O, C, kt, k, k): (O, kt, k, k, C). */
  static NDArray ofClips(Parameters parameters, int out, int in, int timeTaps, int taps) {
    return channelsLast(parameters.get("weight", out, in, timeTaps, taps, taps));
  }

  /** The weight of a convolution of images, stored as (O, C, k, k): (O, k, k, C). */
  static NDArray ofImages(Parameters parameters, int out, int in, int taps) {
    return channelsLast(parameters.get("weight", out, in, taps, taps));
  }

  private static NDArray channelsLast(NDArray weight) {
    if (weight == null) {
      return null;
    }
    int dimensions = weight.getShape().dimension();
    int[] order =
        IntStream.range(0, dimensions)
            .map(d -> d == 0 ? 0 : d == dimensions - 1 ? 1 : d + 1)
            .toArray();
    try (weight;
        NDArray view = weight.transpose(order);
        NDArray values = view.flatten()) { // in the view's order, so contiguous
      return values.reshape(view.getShape());
    }
  }
}
