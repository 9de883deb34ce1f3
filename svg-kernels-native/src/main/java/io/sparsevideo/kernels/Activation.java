package io.sparsevideo.kernels;

import io.sparsevideo.kernels.ffi.svg_kernels_h;

/** What {@link SvgKernels#activation} does to every element, after the bias. */
public enum Activation {
  /** x. */
  IDENTITY(svg_kernels_h.SVG_IDENTITY()),
  /** x / 2 · (1 + tanh(√(2 / π) · (x + 0.044715 x³))). */
  GELU_TANH(svg_kernels_h.SVG_GELU_TANH()),
  /** x / (1 + exp(−x)). */
  SILU(svg_kernels_h.SVG_SILU());

  private final int code;

  Activation(int code) {
    this.code = code;
  }

  /** The value of {@code svg_activation_kind}. */
  int code() {
    return code;
  }
}
