package io.sparsevideo.video;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.Video;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class SideBySideTest {
  private final Video left = TestVideos.moving(17, 33, 23.976, 3);
  private final Video right = TestVideos.moving(17, 33, 23.976, 3);

  private static byte[] cut(Video video, int frame, int fromX, int fromY, int width, int height) {
    byte[] part = new byte[width * height * 3];
    for (int y = 0; y < height; y++) {
      System.arraycopy(
          video.frames().get(frame),
          ((fromY + y) * video.width() + fromX) * 3,
          part,
          y * width * 3,
          width * 3);
    }
    return part;
  }

  @Test
  void keepsEveryPixelOfEveryVideo() {
    Video other = TestVideos.moving(17, 33, 23.976, 3);
    Arrays.fill(other.frames().get(1), (byte) 7);
    Video joined = SideBySide.join(List.of(left, other, right), List.of("one", "two", "three"));
    int top = joined.height() - 33;
    int gap = (joined.width() - 3 * 17) / 2;
    assertTrue(gap >= 1 && top >= LabelFont.GLYPH_HEIGHT, joined.width() + "x" + joined.height());
    assertEquals(23.976, joined.fps());
    assertEquals(3, joined.frames().size());
    for (int f = 0; f < 3; f++) {
      assertArrayEquals(left.frames().get(f), cut(joined, f, 0, top, 17, 33));
      assertArrayEquals(other.frames().get(f), cut(joined, f, 17 + gap, top, 17, 33));
      assertArrayEquals(right.frames().get(f), cut(joined, f, 2 * (17 + gap), top, 17, 33));
    }
  }

  @Test
  void withoutLabelsThereIsNoBand() {
    Video joined = SideBySide.join(List.of(left, right), List.of());
    assertEquals(33, joined.height());
    Video single = SideBySide.join(List.of(left), List.of());
    assertArrayEquals(left.frames().get(2), single.frames().get(2));
  }

  @Test
  void labelsDifferAndStayAboveTheirVideo() {
    Video wide = TestVideos.moving(64, 32, 24, 1);
    Video a = SideBySide.join(List.of(wide, wide), List.of("svg1", "dense"));
    Video b = SideBySide.join(List.of(wide, wide), List.of("svg2", "dense"));
    int band = a.height() - 32;
    assertFalse(Arrays.equals(cut(a, 0, 0, 0, 64, band), cut(b, 0, 0, 0, 64, band)));
    int second = a.width() - 64;
    assertArrayEquals(cut(a, 0, second, 0, 64, band), cut(b, 0, second, 0, 64, band));
    Video tooLong = SideBySide.join(List.of(wide, wide), List.of("x".repeat(99), "dense"));
    assertArrayEquals(
        cut(a, 0, 64, 0, a.width() - 64, band), cut(tooLong, 0, 64, 0, a.width() - 64, band));
  }

  @Test
  void labelsGrowWithTheVideo() {
    Video large = TestVideos.moving(80, 720, 24, 1);
    int band = SideBySide.join(List.of(large), List.of("a")).height() - 720;
    int smallBand = SideBySide.join(List.of(left), List.of("a")).height() - 33;
    assertEquals(3 * smallBand, band);
  }

  @Test
  void theFontDrawsAnL() {
    LabelFont font = new LabelFont();
    StringBuilder drawn = new StringBuilder();
    for (int y = 0; y < LabelFont.GLYPH_HEIGHT; y++) {
      for (int x = 0; x < LabelFont.GLYPH_WIDTH; x++) {
        drawn.append(font.covers("L", x, y) ? '#' : '.');
      }
      drawn.append('\n');
    }
    assertEquals(
        "........\n........\n" + ".#......\n".repeat(8) + ".######.\n" + "........\n........\n",
        drawn.toString());
    assertTrue(font.covers("L\u00e9", 8 + 2, 2), "a character it lacks is a question mark");
  }

  @Test
  void unlikeVideosAndLabelsAreRefused() {
    Video longer = TestVideos.moving(17, 33, 23.976, 4);
    Video slower = TestVideos.moving(17, 33, 12, 3);
    for (Video other : List.of(longer, slower)) {
      String message =
          assertThrows(
                  IllegalArgumentException.class,
                  () -> SideBySide.join(List.of(left, other), List.of()))
              .getMessage();
      assertTrue(message.contains("3 frames of 17x33 at 23.976 fps"), message);
    }
    assertThrows(IllegalArgumentException.class, () -> SideBySide.join(List.of(), List.of()));
    String message =
        assertThrows(
                IllegalArgumentException.class,
                () -> SideBySide.join(List.of(left, right), List.of("one")))
            .getMessage();
    assertTrue(message.contains("1 labels for 2 videos"), message);
  }
}
