package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.checkpoint.Parameters;

/** Reads the scales of channel norms, which checkpoints store with trailing ones. */
final class WanVaeNorm {
  private WanVaeNorm() {}

  /** The scale (C) of a norm over clips, stored as (C, 1, 1, 1). */
  static NDArray ofFrames(Parameters parameters, int channels) {
    return flat(parameters.get("gamma", channels, 1, 1, 1), channels);
  }

  /** The scale (C) of a norm over images, stored as (C, 1, 1). */
  static NDArray ofImages(Parameters parameters, int channels) {
    return flat(parameters.get("gamma", channels, 1, 1), channels);
  }

  private static NDArray flat(NDArray gamma, int channels) {
    return gamma == null ? null : gamma.reshape(channels);
  }
}
