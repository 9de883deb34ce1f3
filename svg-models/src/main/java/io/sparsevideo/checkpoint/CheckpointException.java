package io.sparsevideo.checkpoint;

import io.sparsevideo.SparseVideoException;

/**
 * A checkpoint that cannot be used; the message says which file or weight, what was expected and
 * what was found.
 */
public class CheckpointException extends SparseVideoException {
  private static final long serialVersionUID = 1L;

  public CheckpointException(String message) {
    super(message);
  }

  public CheckpointException(String message, Throwable cause) {
    super(message, cause);
  }
}
