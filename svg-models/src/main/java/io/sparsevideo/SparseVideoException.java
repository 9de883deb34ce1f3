package io.sparsevideo;

/**
 * Base of the exceptions that say why a checkpoint, a request or an output was refused or failed.
 */
public class SparseVideoException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public SparseVideoException(String message) {
    super(message);
  }

  public SparseVideoException(String message, Throwable cause) {
    super(message, cause);
  }
}
