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
  private final WanVaePointwise qkv; // C to 3C
  private final WanVaePointwise proj; // C to C

  WanVaeAttention(Parameters parameters, TensorOps ops, int channels) {
    this.ops = ops;
    this.channels = channels;
    norm = WanVaeNorm.ofImages(parameters.sub("norm"), channels);
    qkv = WanVaePointwise.ofImages(parameters.sub("to_qkv"), ops, channels, 3 * channels);
    proj = WanVaePointwise.ofImages(parameters.sub("proj"), ops, channels, channels);
  }

  @Override
  public NDArray forward(NDArray x, WanVaeCache cache) {
    NDList attended = new NDList();
    try (NDArray normed = ops.channelNorm(x, norm, false)) { // (T, Y, X, C)
      for (long t = 0; t < x.getShape().get(0); t++) {
        attended.add(attend(normed, t));
      }
    }
    try (attended;
        NDArray mixed = NDArrays.stack(attended)) { // (T, Y, X, C)
      return proj.forward(mixed, x);
    }
  }

  /** Frame t of the normed clip (T, Y, X, C), attended to, before the projection: (Y, X, C). */
  private NDArray attend(NDArray clip, long t) {
    try (NDManager scope = clip.getManager().newSubManager()) {
      NDArray frame = clip.get(t); // (Y, X, C)
      frame.attach(scope);
      NDArray rows = qkv.forward(frame.reshape(-1, channels)); // (S, 3C)
      NDArray mixed = ops.attention(part(rows, 0), part(rows, 1), part(rows, 2)); // (S, 1, C)
      NDArray result = mixed.reshape(frame.getShape());
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
}
