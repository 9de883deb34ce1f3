package io.sparsevideo.attention;

import ai.djl.ndarray.NDArray;
import java.util.function.DoubleSupplier;

/**
 * One way to compute self-attention. {@link DenseAttention} is the reference; the sparse ones are
 * siblings that may keep state between the calls of one generation.
 */
interface Attention extends AutoCloseable {

  /**
   * Where in a generation a call happens; keys every random draw, so that a request repeats
   * exactly.
   */
  record CallSite(long seed, int step, int pass, int layer) {

    /** A seed of its own for each site. */
    long drawSeed() {
      long hash = seed;
      for (int part : new int[] {step, pass, layer}) {
        hash = (hash ^ part) * 0x9E3779B97F4A7C15L;
        hash ^= hash >>> 32;
      }
      return hash;
    }
  }

  AttentionMode.Kind kind();

  /**
   * @param q (S, H, D), as k and v
   * @param out (S, H, D), written whole
   * @return density: allowed pairs / all pairs over real tokens, mean over heads. It may be known
   *     on the device only; asking waits for that, and works until the attention is closed
   */
  DoubleSupplier attend(NDArray q, NDArray k, NDArray v, NDArray out, CallSite site);

  /** Told of a dense call in a layer that goes sparse later. */
  default void observe(NDArray q, NDArray k, CallSite site) {}

  @Override
  default void close() {}
}
