package io.sparsevideo.kernels;

import io.sparsevideo.kernels.ffi.svg_kernels_h;

/** What {@link SvgKernels#elementwise} does with every pair of elements. */
public enum Elementwise {
  /** x + y. */
  ADD(svg_kernels_h.SVG_ADD()),
  /** x − y. */
  SUBTRACT(svg_kernels_h.SVG_SUBTRACT()),
  /** x · y. */
  MULTIPLY(svg_kernels_h.SVG_MULTIPLY()),
  /** x / y. */
  DIVIDE(svg_kernels_h.SVG_DIVIDE()),
  /** The smaller of x and y; not a number where either is none. */
  MINIMUM(svg_kernels_h.SVG_MINIMUM()),
  /** The larger of x and y; not a number where either is none. */
  MAXIMUM(svg_kernels_h.SVG_MAXIMUM());

  private final int code;

  Elementwise(int code) {
    this.code = code;
  }

  /** The value of {@code svg_elementwise_op}. */
  int code() {
    return code;
  }
}
