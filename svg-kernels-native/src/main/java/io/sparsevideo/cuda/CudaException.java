package io.sparsevideo.cuda;

import io.sparsevideo.cuda.ffi.cuda_h;

/** The CUDA driver refused a call, or reports that earlier work on the device failed. */
public final class CudaException extends RuntimeException {

  private static final long serialVersionUID = 1;

  private final int error;
  private final String errorName;

  CudaException(String call, int error, String errorName, String description) {
    super("%s: %s (%d): %s".formatted(call, errorName, error, description));
    this.error = error;
    this.errorName = errorName;
  }

  /** The {@code CUresult}. */
  public int error() {
    return error;
  }

  /** The name of the {@code CUresult}, for example CUDA_ERROR_ILLEGAL_ADDRESS. */
  public String errorName() {
    return errorName;
  }

  /** Whether memory, of the device or pinned memory of the host, did not suffice. */
  public boolean isOutOfMemory() {
    return error == cuda_h.CUDA_ERROR_OUT_OF_MEMORY();
  }
}
