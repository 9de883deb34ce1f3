package io.sparsevideo.video;

import io.sparsevideo.SparseVideoException;

/** A video file that cannot be written or read; the message says which, why, and what to do. */
public class VideoFileException extends SparseVideoException {
  private static final long serialVersionUID = 1L;

  public VideoFileException(String message) {
    super(message);
  }

  public VideoFileException(String message, Throwable cause) {
    super(message, cause);
  }
}
