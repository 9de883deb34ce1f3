package io.sparsevideo.video;

import java.util.OptionalInt;

/**
 * How a video is written. Immutable: every {@code opt…} call returns new options.
 *
 * @param quality 0 (smallest file) to 100 (best picture), for the formats that lose detail: MP4 and
 *     WebP; without it they use {@link #DEFAULT_QUALITY}. GIF and PNG have no such choice and
 *     refuse it.
 */
public record VideoFileOptions(OptionalInt quality) {
  /** Looks like the source: about 45 dB on a smooth picture in H.264. */
  public static final int DEFAULT_QUALITY = 85;

  public static final VideoFileOptions DEFAULT = new VideoFileOptions(OptionalInt.empty());

  public VideoFileOptions {
    if (quality.isPresent() && (quality.getAsInt() < 0 || quality.getAsInt() > 100)) {
      throw new IllegalArgumentException("quality must be from 0 to 100, is " + quality.getAsInt());
    }
  }

  /**
   * @throws IllegalArgumentException when it is not from 0 to 100
   */
  public VideoFileOptions optQuality(int value) {
    return new VideoFileOptions(OptionalInt.of(value));
  }
}
