package io.sparsevideo.kernels;

import io.sparsevideo.kernels.ffi.svg_kernels_h;

/** Element type of the tensors that kernels read and write; arithmetic is at least 32-bit. */
public enum KernelType {
  /** IEEE 754 binary32. */
  F32(svg_kernels_h.SVG_F32(), 4),
  /** IEEE 754 binary16. */
  F16(svg_kernels_h.SVG_F16(), 2),
  /** The upper half of a binary32. */
  BF16(svg_kernels_h.SVG_BF16(), 2);

  private final int code;
  private final int bytes;

  KernelType(int code, int bytes) {
    this.code = code;
    this.bytes = bytes;
  }

  /** Bytes of one element. */
  public int bytes() {
    return bytes;
  }

  /** The value of {@code svg_dtype}. */
  int code() {
    return code;
  }
}
