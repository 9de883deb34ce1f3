package io.sparsevideo.video;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.Video;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntBinaryOperator;
import org.junit.jupiter.api.Test;

class VideoMetricsTest {
  private static final int WIDTH = 17;
  private static final int HEIGHT = 33;

  /** Two frames whose bytes are {@code change.applyAsInt(byte, x·y + c + f)} of a fixed pattern. */
  private static Video pattern(IntBinaryOperator change) {
    List<byte[]> frames = new ArrayList<>();
    for (int f = 0; f < 2; f++) {
      byte[] rgb = new byte[WIDTH * HEIGHT * 3];
      for (int y = 0, i = 0; y < HEIGHT; y++) {
        for (int x = 0; x < WIDTH; x++) {
          for (int c = 0; c < 3; c++, i++) {
            int value = (x * x + 3 * y + x * y / 4 + 40 * c + 9 * f) % 256;
            rgb[i] = (byte) change.applyAsInt(value, x * y + c + f);
          }
        }
      }
      frames.add(rgb);
    }
    return new Video(WIDTH, HEIGHT, 24, frames, null);
  }

  private final Video original = pattern((value, place) -> value);
  private final Video changed = pattern((value, place) -> value ^ place % 64);

  /**
   * The expected numbers are numpy's, with scipy.signal.convolve2d(mode="valid") for the window.
   */
  @Test
  void agreesWithNumpy() {
    assertEquals(20.500505217867726, VideoMetrics.psnr(original, changed), 1e-10);
    assertEquals(0.9177985272099641, VideoMetrics.ssim(original, changed), 1e-10);
    assertEquals(VideoMetrics.psnr(original, changed), VideoMetrics.psnr(changed, original));
  }

  @Test
  void psnrOfOneStepEverywhereIs48Decibels() {
    Video brighter = pattern((value, place) -> value < 255 ? value + 1 : value - 1);
    assertEquals(20 * Math.log10(255), VideoMetrics.psnr(original, brighter), 1e-12);
  }

  @Test
  void equalVideos() {
    assertEquals(Double.POSITIVE_INFINITY, VideoMetrics.psnr(original, original));
    assertEquals(1, VideoMetrics.ssim(original, original), 1e-12);
  }

  @Test
  void unlikeVideosAreRefusedWithBothSizes() {
    Video longer = TestVideos.moving(WIDTH, HEIGHT, 24, 3);
    Video wider = TestVideos.moving(WIDTH + 1, HEIGHT, 24, 2);
    for (Video other : List.of(longer, wider)) {
      for (Runnable call :
          List.<Runnable>of(
              () -> VideoMetrics.psnr(original, other), () -> VideoMetrics.ssim(original, other))) {
        String message = assertThrows(IllegalArgumentException.class, call::run).getMessage();
        assertTrue(message.contains("2 frames of 17x33"), message);
        assertTrue(
            message.contains(other.frames().size() + " of " + other.width() + "x33"), message);
      }
    }
  }

  @Test
  void ssimNeedsRoomForItsWindow() {
    Video small = TestVideos.moving(10, 30, 24, 1);
    String message =
        assertThrows(IllegalArgumentException.class, () -> VideoMetrics.ssim(small, small))
            .getMessage();
    assertTrue(message.contains("11") && message.contains("10x30"), message);
    Video smallest = TestVideos.moving(11, 11, 24, 1);
    assertEquals(1, VideoMetrics.ssim(smallest, smallest), 1e-12);
  }
}
