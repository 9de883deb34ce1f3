package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;

/** Self-attention with one head among the S = Y·X pixels of each frame. */
final class WanVaeAttention implements WanVaeLayer {
  private final TensorOps ops;
  private final int channels;
  private final NDArray norm; // (C)
  private final NDArray qkvWeight; // (3C, C)
  private final NDArray qkvBias; // (3C)
  private final NDArray projWeight; // (C, C)
  private final NDArray projBias; // (C)

  WanVaeAttention(Parameters parameters, TensorOps ops, int channels) {
    this.ops = ops;
    this.channels = channels;
    norm = WanVaeNorm.ofImages(parameters.sub("norm"), channels);
    qkvWeight = pointwise(parameters, "to_qkv.weight", 3 * channels, channels);
    qkvBias = parameters.get("to_qkv.bias", 3 * channels);
    projWeight = pointwise(parameters, "proj.weight", channels, channels);
    projBias = parameters.get("proj.bias", channels);
  }

  @Override
  public NDArray forward(NDArray x, WanVaeCache cache) {
    NDList attended = new NDList();
    try (NDArray normed = ops.channelNorm(x, norm, false)) { // (T, C, Y, X)
      for (long t = 0; t < x.getShape().get(0); t++) {
        attended.add(attend(normed, t));
      }
    }
    try (attended) {
      return NDArrays.stack(attended).addi(x);
    }
  }

  /** Frame t of the normed clip (T, C, Y, X), attended to: (C, Y, X). */
  private NDArray attend(NDArray clip, long t) {
    try (NDManager scope = clip.getManager().newSubManager()) {
      NDArray frame = clip.get(t); // (C, Y, X)
      frame.attach(scope);
      NDArray rows = frame.reshape(channels, -1).transpose(); // (S, C)
      NDArray qkv = ops.linear(rows, qkvWeight, qkvBias); // (S, 3C)
      NDArray mixed = ops.attention(part(qkv, 0), part(qkv, 1), part(qkv, 2)); // (S, 1, C)
      NDArray out = ops.linear(mixed.reshape(-1, channels), projWeight, projBias); // (S, C)
      NDArray result = out.transpose().reshape(frame.getShape());
      result.attach(clip.getManager());
      return result;
    }
  }

  /** Query (0), key (1) or value (2) of every pixel as the one head: (S, 1, C). */
  private NDArray part(NDArray qkv, int index) {
    NDIndex columns =
        new NDIndex().addAllDim().addSliceDim(index * channels, (index + 1) * channels);
    return qkv.get(columns).duplicate().expandDims(1); // attention wants contiguous rows
  }

  /** The weight of a 1 × 1 convolution as that of a linear map. */
  private static NDArray pointwise(Parameters parameters, String name, int out, int in) {
    NDArray weight = parameters.get(name, out, in, 1, 1);
    return weight == null ? null : weight.reshape(out, in);
  }
}
