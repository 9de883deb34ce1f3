package io.sparsevideo.video;

import io.sparsevideo.Video;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Joins videos of one size into one that shows them next to each other, for comparing them. */
public final class SideBySide {
  /** A label's dots grow by one pixel with every so many rows of the video. */
  private static final int ROWS_PER_LABEL_PIXEL = 360;

  private static final int MARGIN = 3;
  private static final int SEPARATOR = 2;
  private static final byte INK = (byte) 235;
  private static final byte PAPER = (byte) 32;

  private SideBySide() {}

  /**
   * Left to right in the order of the list, with a thin line between two videos.
   *
   * @param videos at least one; all of the same size, rate and number of frames
   * @param labels a short ASCII text for each video, shown above it and cut where it would be
   *     wider; or an empty list for no labels
   * @throws IllegalArgumentException when the videos differ or there is not a label for each
   */
  public static Video join(List<Video> videos, List<String> labels) {
    if (videos.isEmpty()) {
      throw new IllegalArgumentException("no videos to join");
    }
    Video first = videos.getFirst();
    for (Video video : videos) {
      if (video.width() != first.width()
          || video.height() != first.height()
          || video.fps() != first.fps()
          || video.frames().size() != first.frames().size()) {
        throw new IllegalArgumentException(
            "videos to join must be alike: " + describe(first) + " and " + describe(video));
      }
    }
    if (!labels.isEmpty() && labels.size() != videos.size()) {
      throw new IllegalArgumentException(
          labels.size() + " labels for " + videos.size() + " videos; give one each, or none");
    }
    int scale = 1 + first.height() / ROWS_PER_LABEL_PIXEL;
    int separator = SEPARATOR * scale;
    int band = labels.isEmpty() ? 0 : (LabelFont.GLYPH_HEIGHT + 2 * MARGIN) * scale;
    int width = videos.size() * (first.width() + separator) - separator;
    int height = band + first.height();

    byte[] background = new byte[width * height * 3];
    Arrays.fill(background, PAPER);
    LabelFont font = new LabelFont();
    for (int i = 0; i < labels.size(); i++) {
      int left = i * (first.width() + separator);
      drawLabel(background, width, left, first.width(), labels.get(i), font, scale);
    }

    List<byte[]> frames = new ArrayList<>();
    for (int f = 0; f < first.frames().size(); f++) {
      byte[] frame = background.clone();
      for (int i = 0; i < videos.size(); i++) {
        byte[] source = videos.get(i).frames().get(f);
        int left = i * (first.width() + separator);
        int row = first.width() * 3;
        for (int y = 0; y < first.height(); y++) {
          System.arraycopy(source, y * row, frame, ((band + y) * width + left) * 3, row);
        }
      }
      frames.add(frame);
    }
    return new Video(width, height, first.fps(), frames, null);
  }

  private static void drawLabel(
      byte[] frame, int width, int left, int room, String text, LabelFont font, int scale) {
    int right = Math.min(room, (MARGIN + text.length() * LabelFont.GLYPH_WIDTH) * scale);
    for (int y = 0; y < LabelFont.GLYPH_HEIGHT * scale; y++) {
      for (int x = MARGIN * scale; x < right; x++) {
        if (font.covers(text, x / scale - MARGIN, y / scale)) {
          int at = ((MARGIN * scale + y) * width + left + x) * 3;
          Arrays.fill(frame, at, at + 3, INK);
        }
      }
    }
  }

  private static String describe(Video video) {
    return video.frames().size()
        + " frames of "
        + video.width()
        + "x"
        + video.height()
        + " at "
        + video.fps()
        + " fps";
  }
}
