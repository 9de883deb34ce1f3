package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;

/** A linear map of every pixel's channels, which checkpoints store as a convolution of one tap. */
final class WanVaePointwise implements WanVaeLayer {
  private final TensorOps ops;
  private final NDArray weight; // (O, C)
  private final NDArray bias; // (O)

  private WanVaePointwise(TensorOps ops, NDArray weight, NDArray bias, int in, int out) {
    this.ops = ops;
    this.weight = weight == null ? null : weight.reshape(out, in);
    this.bias = bias;
  }

  /** Of clips: the weight is stored as (O, C, 1, 1, 1). */
  static WanVaePointwise ofClips(Parameters parameters, TensorOps ops, int in, int out) {
    NDArray weight = parameters.get("weight", out, in, 1, 1, 1);
    return new WanVaePointwise(ops, weight, parameters.get("bias", out), in, out);
  }

  /** Of images: the weight is stored as (O, C, 1, 1). */
  static WanVaePointwise ofImages(Parameters parameters, TensorOps ops, int in, int out) {
    NDArray weight = parameters.get("weight", out, in, 1, 1);
    return new WanVaePointwise(ops, weight, parameters.get("bias", out), in, out);
  }

  /** (…, C) to (…, O). */
  NDArray forward(NDArray x) {
    return ops.linear(x, weight, bias);
  }

  /**
   * (T, Y, X, C) to (T, Y, X, O), plus a residual of the result's shape. As a convolution, because
   * that adds before it rounds, and of 16 bits takes the largest number for a sum beyond it.
   */
  NDArray forward(NDArray x, NDArray residual) {
    Shape shape = weight.getShape();
    try (NDArray kernel = weight.reshape(shape.get(0), 1, 1, 1, shape.get(1))) {
      return ops.conv3d(x, null, kernel, bias, residual, 1, 0);
    }
  }

  @Override
  public NDArray forward(NDArray x, WanVaeCache cache) {
    return forward(x);
  }
}
