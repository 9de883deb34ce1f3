package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;

/** Norm, SiLU and the convolution to the output's channels. */
final class WanVaeHead implements WanVaeLayer {
  private final TensorOps ops;
  private final NDArray norm; // (C)
  private final WanVaeCausalConv conv; // C to O

  WanVaeHead(Parameters parameters, TensorOps ops, int in, int out) {
    this.ops = ops;
    norm = WanVaeNorm.ofFrames(parameters.sub("norm_out"), in);
    conv = WanVaeCausalConv.cube(parameters.sub("conv_out"), ops, in, out);
  }

  @Override
  public NDArray forward(NDArray x, WanVaeCache cache) {
    try (NDArray h = ops.channelNorm(x, norm, true)) { // (T, Y, X, C)
      return conv.forward(h, cache); // (T, Y, X, O)
    }
  }
}
