package io.sparsevideo.video;

/** A call into ffmpeg failed; {@link VideoFiles} adds which file it was for. */
final class FfmpegException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  FfmpegException(String message) {
    super(message);
  }
}
