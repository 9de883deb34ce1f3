package io.sparsevideo.cuda.blas;

/** cuBLASLt refused a call. */
public final class CublasException extends RuntimeException {

  private static final long serialVersionUID = 1;

  private final int status;

  CublasException(String call, int status, String name) {
    super("%s: %s (%d)".formatted(call, name, status));
    this.status = status;
  }

  /** The {@code cublasStatus_t}. */
  public int status() {
    return status;
  }
}
