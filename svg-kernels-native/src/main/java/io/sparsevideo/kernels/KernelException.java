package io.sparsevideo.kernels;

import io.sparsevideo.kernels.ffi.svg_kernels_h;
import java.util.Arrays;

/** A kernel refused its arguments or failed; the message names the function and the values. */
public final class KernelException extends RuntimeException {

  /** Why a call failed, as {@code svg_status}. */
  public enum Status {
    /** A shape, stride, memory or option that the function refuses. */
    INVALID_ARGUMENT(svg_kernels_h.SVG_INVALID_ARGUMENT()),
    /** Valid, but this library or device has no implementation. */
    UNSUPPORTED(svg_kernels_h.SVG_UNSUPPORTED()),
    /** The library could not get its working memory. */
    OUT_OF_MEMORY(svg_kernels_h.SVG_OUT_OF_MEMORY()),
    /** The CUDA runtime reported an error. */
    DEVICE_ERROR(svg_kernels_h.SVG_DEVICE_ERROR()),
    /** A fault in the library itself. */
    INTERNAL_ERROR(svg_kernels_h.SVG_INTERNAL_ERROR());

    private final int code;

    Status(int code) {
      this.code = code;
    }

    static Status of(int code) {
      return Arrays.stream(values()).filter(s -> s.code == code).findFirst().orElse(INTERNAL_ERROR);
    }
  }

  private static final long serialVersionUID = 1;

  private final Status status;

  KernelException(Status status, String message) {
    super(message);
    this.status = status;
  }

  public Status status() {
    return status;
  }
}
