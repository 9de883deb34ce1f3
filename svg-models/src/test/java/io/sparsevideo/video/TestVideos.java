package io.sparsevideo.video;

import io.sparsevideo.Video;
import java.util.ArrayList;
import java.util.List;

/** Videos for tests: a colour gradient with a moving blob, smooth enough for 4:2:0 to hold. */
final class TestVideos {
  private TestVideos() {}

  static Video moving(int width, int height, double fps, int frames) {
    List<byte[]> pictures = new ArrayList<>();
    for (int f = 0; f < frames; f++) {
      byte[] rgb = new byte[width * height * 3];
      double centreX = width * (0.25 + 0.5 * f / Math.max(1, frames - 1));
      double centreY = height * 0.5;
      double radius = Math.min(width, height) / 4.0;
      for (int y = 0, i = 0; y < height; y++) {
        for (int x = 0; x < width; x++) {
          double distance = Math.hypot(x - centreX, y - centreY) / radius;
          double inside = Math.exp(-distance * distance);
          rgb[i++] = channel(90 + slope(x), 190, inside);
          rgb[i++] = channel(70 + slope(y), 150, inside);
          rgb[i++] = channel(140 - slope(x), 110, inside);
        }
      }
      pictures.add(rgb);
    }
    return new Video(width, height, fps, pictures, null);
  }

  /** Rises and falls by one level a pixel, so that large frames are no flatter than small ones. */
  private static double slope(int place) {
    return Math.abs(place % 80 - 40);
  }

  private static byte channel(double outside, double blob, double inside) {
    return (byte) Math.round(outside + inside * (blob - outside));
  }
}
