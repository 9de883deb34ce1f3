package io.sparsevideo.models.wan;

import static io.sparsevideo.models.wan.WanVaeLayer.replace;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;

/** Twice norm, SiLU and causal convolution, beside a shortcut. */
final class WanVaeResidualBlock implements WanVaeLayer {
  private final TensorOps ops;
  private final NDArray norm1; // (C)
  private final WanVaeCausalConv conv1; // C to O
  private final NDArray norm2; // (O)
  private final WanVaeCausalConv conv2; // O to O
  private final WanVaePointwise shortcut; // C to O, null where C = O

  WanVaeResidualBlock(Parameters parameters, TensorOps ops, int in, int out) {
    this.ops = ops;
    norm1 = WanVaeNorm.ofFrames(parameters.sub("norm1"), in);
    conv1 = WanVaeCausalConv.cube(parameters.sub("conv1"), ops, in, out);
    norm2 = WanVaeNorm.ofFrames(parameters.sub("norm2"), out);
    conv2 = WanVaeCausalConv.cube(parameters.sub("conv2"), ops, out, out);
    shortcut =
        in == out ? null : WanVaePointwise.ofClips(parameters.sub("conv_shortcut"), ops, in, out);
  }

  @Override
  public NDArray forward(NDArray x, WanVaeCache cache) {
    NDArray h = ops.channelNorm(x, norm1, true); // (T, Y, X, C)
    h = replace(h, conv1.forward(h, cache)); // (T, Y, X, O)
    h = replace(h, ops.channelNorm(h, norm2, true));
    if (shortcut == null) {
      return replace(h, conv2.forward(h, x, cache));
    }
    try (NDArray straight = shortcut.forward(x)) { // (T, Y, X, O)
      return replace(h, conv2.forward(h, straight, cache));
    }
  }
}
