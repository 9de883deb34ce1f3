package io.sparsevideo.models.wan;

import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;
import java.util.List;

/** The layers at the coarsest resolution, the same in the encoder and the decoder. */
final class WanVaeMiddle {
  private WanVaeMiddle() {}

  static List<WanVaeLayer> layers(Parameters parameters, TensorOps ops, int channels) {
    return List.of(
        new WanVaeResidualBlock(parameters.sub("resnets.0"), ops, channels, channels),
        new WanVaeAttention(parameters.sub("attentions.0"), ops, channels),
        new WanVaeResidualBlock(parameters.sub("resnets.1"), ops, channels, channels));
  }
}
