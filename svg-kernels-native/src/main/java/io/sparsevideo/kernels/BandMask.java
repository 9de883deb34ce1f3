package io.sparsevideo.kernels;

/**
 * The mask of SVG1's sparse call (Sparse VideoGen, "spatial and temporal heads"), one for all
 * heads. With real = video + prompt rows, row q sees key k
 *
 * <ul>
 *   <li>when both are real: if k &lt; {@code sinkKeys}, or |q − k| ≤ {@code halfWidth}, or k or q
 *       is a prompt token;
 *   <li>when both are padding: always;
 *   <li>otherwise never.
 * </ul>
 *
 * @param videoRows video tokens, at least 1
 * @param promptRows prompt tokens
 * @param sinkKeys first keys that every real row sees
 * @param halfWidth band's reach to each side; negative means no band
 */
public record BandMask(int videoRows, int promptRows, int sinkKeys, int halfWidth) {

  /**
   * @throws IllegalArgumentException when a count is negative or the rows do not fit an int
   */
  public BandMask {
    if (videoRows < 1 || promptRows < 0 || sinkKeys < 0) {
      throw new IllegalArgumentException(
          "videoRows must be at least 1, promptRows and sinkKeys at least 0, they are "
              + "%d, %d and %d".formatted(videoRows, promptRows, sinkKeys));
    }
    if ((long) videoRows + promptRows > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(
          "%d video and %d prompt rows do not fit an int".formatted(videoRows, promptRows));
    }
  }

  /** Video and prompt rows; padding comes after them. */
  public int realRows() {
    return videoRows + promptRows;
  }

  /**
   * Whether row {@code q} sees key {@code k} in a sequence of {@code rows} tokens.
   *
   * @throws IndexOutOfBoundsException when q or k is not in [0, rows)
   */
  public boolean allows(int rows, int q, int k) {
    if (q < 0 || q >= rows || k < 0 || k >= rows) {
      throw new IndexOutOfBoundsException(
          "query %d and key %d must be in [0, %d)".formatted(q, k, rows));
    }
    boolean realQuery = q < realRows();
    boolean realKey = k < realRows();
    if (!realQuery || !realKey) {
      return realQuery == realKey;
    }
    return k < sinkKeys || Math.abs(q - k) <= halfWidth || k >= videoRows || q >= videoRows;
  }

  /** Allowed (query, key) pairs over real tokens, exactly; takes O(video rows). */
  public long allowedPairs() {
    long sink = Math.min(sinkKeys, videoRows);
    long pairs = (long) promptRows * realRows() + (long) videoRows * (promptRows + sink);
    if (halfWidth >= 0) {
      for (long q = 0; q < videoRows; q++) {
        long first = Math.max(sink, q - halfWidth);
        long last = Math.min(videoRows - 1L, q + halfWidth);
        pairs += Math.max(0, last - first + 1);
      }
    }
    return pairs;
  }

  /** {@link #allowedPairs()} over all pairs of real tokens. */
  public double density() {
    return allowedPairs() / ((double) realRows() * realRows());
  }
}
