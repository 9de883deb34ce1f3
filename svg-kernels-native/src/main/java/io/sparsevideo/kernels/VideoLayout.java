package io.sparsevideo.kernels;

/**
 * How a sequence's rows divide: video tokens frame by frame (token p of frame f is row f · P + p),
 * then the context, which is prompt and padding.
 *
 * @param frames F, latent frames
 * @param tokensPerFrame P
 * @param contextRows prompt and padding rows
 */
public record VideoLayout(int frames, int tokensPerFrame, int contextRows) {

  /**
   * @throws IllegalArgumentException when a value is negative, there is no video, or the rows do
   *     not fit an int
   */
  public VideoLayout {
    if (frames < 1 || tokensPerFrame < 1 || contextRows < 0) {
      throw new IllegalArgumentException(
          "frames and tokensPerFrame must be at least 1 and contextRows at least 0, they are "
              + "%d, %d and %d".formatted(frames, tokensPerFrame, contextRows));
    }
    if ((long) frames * tokensPerFrame + contextRows > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "%d frames × %d tokens + %d context rows do not fit an int"
              .formatted(frames, tokensPerFrame, contextRows));
    }
  }

  /** All rows: F · P + context. */
  public int rows() {
    return videoRows() + contextRows;
  }

  /** F · P. */
  public int videoRows() {
    return frames * tokensPerFrame;
  }
}
