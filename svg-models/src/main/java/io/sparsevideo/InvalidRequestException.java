package io.sparsevideo;

/**
 * A request that cannot be met: a size, a count or an option. Nothing was computed; the pipeline
 * stays usable.
 */
public class InvalidRequestException extends SparseVideoException {
  private static final long serialVersionUID = 1L;

  public InvalidRequestException(String message) {
    super(message);
  }
}
