package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import java.util.List;

/** A layer of the encoder or the decoder: a chunk of frames in, a chunk of frames out. */
interface WanVaeLayer {

  /**
   * Works on one chunk.
   *
   * @param x (T, Y, X, C); stays open
   * @param cache what earlier chunks of the same video left
   * @return a new tensor of the manager of x
   */
  NDArray forward(NDArray x, WanVaeCache cache);

  /** Runs layers one after the other; closes x and every tensor between two layers at once. */
  static NDArray through(List<? extends WanVaeLayer> layers, NDArray x, WanVaeCache cache) {
    NDArray h = x;
    for (WanVaeLayer layer : layers) {
      h = replace(h, layer.forward(h, cache));
    }
    return h;
  }

  /** Closes a tensor as soon as its successor exists: activations fill most of the memory. */
  static NDArray replace(NDArray used, NDArray next) {
    used.close();
    return next;
  }
}
