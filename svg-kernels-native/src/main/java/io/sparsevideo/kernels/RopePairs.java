package io.sparsevideo.kernels;

import io.sparsevideo.kernels.ffi.svg_kernels_h;

/** Which channels of a head a rotary position embedding turns together. */
public enum RopePairs {
  /** Channels 2i and 2i + 1 (Wan, HunyuanVideo). */
  INTERLEAVED(svg_kernels_h.SVG_ROPE_INTERLEAVED()),
  /** Channels i and i + D / 2 (Cosmos). */
  HALVES(svg_kernels_h.SVG_ROPE_HALVES());

  private final int code;

  RopePairs(int code) {
    this.code = code;
  }

  /** The value of {@code svg_rope_pairs}. */
  int code() {
    return code;
  }
}
