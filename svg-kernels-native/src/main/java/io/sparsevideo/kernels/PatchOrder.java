package io.sparsevideo.kernels;

import io.sparsevideo.kernels.ffi.svg_kernels_h;

/** The order of a patch's elements within its token; the last one named is contiguous. */
public enum PatchOrder {
  /**
   * Channel, frame, row, column, as in a convolution's weight: what Wan, HunyuanVideo and Cosmos
   * read, and what HunyuanVideo writes.
   */
  CHANNEL_FRAME_ROW_COLUMN(svg_kernels_h.SVG_PATCH_CTHW()),
  /** Frame, row, column, channel: what Wan writes. */
  FRAME_ROW_COLUMN_CHANNEL(svg_kernels_h.SVG_PATCH_THWC()),
  /** Row, column, frame, channel: what Cosmos writes. */
  ROW_COLUMN_FRAME_CHANNEL(svg_kernels_h.SVG_PATCH_HWTC());

  private final int code;

  PatchOrder(int code) {
    this.code = code;
  }

  /** The value of {@code svg_patch_order}. */
  int code() {
    return code;
  }
}
