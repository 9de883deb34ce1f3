package io.sparsevideo.models;

import ai.djl.ndarray.NDArray;

/**
 * Follows a model's forward pass: named intermediate tensors for comparisons, and a place to stop
 * between blocks.
 */
public interface ForwardListener {

  /** A listener that does nothing. */
  ForwardListener NONE = new ForwardListener() {};

  /**
   * Called before each block; an exception thrown here ends the pass and frees what it computed.
   */
  default void beforeBlock(int block) {}

  /**
   * An intermediate result, valid during the call only. Names follow the public traces:
   * "block0.attn1".
   */
  default void tensor(String name, NDArray value) {}
}
