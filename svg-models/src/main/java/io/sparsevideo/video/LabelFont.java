package io.sparsevideo.video;

import java.awt.image.BufferedImage;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import javax.imageio.ImageIO;

/**
 * A bitmap font for ASCII, so that a label needs no fonts on the machine and is the same on each.
 * The glyphs are those of "misc-fixed" 8x13 from X.Org's font-misc-misc, which is in the public
 * domain.
 */
final class LabelFont {
  static final int GLYPH_WIDTH = 8;
  static final int GLYPH_HEIGHT = 13;

  private static final String SHEET = "label-font.png";
  private static final int SHEET_COLUMNS = 16;
  private static final char FIRST = ' ';
  private static final char LAST = '~';

  private final BufferedImage sheet;

  LabelFont() {
    try (InputStream in = LabelFont.class.getResourceAsStream(SHEET)) {
      sheet = ImageIO.read(in);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Whether the text, at one pixel a dot, covers this pixel; a character it lacks is a '?'. */
  boolean covers(String text, int x, int y) {
    int index = x / GLYPH_WIDTH;
    if (index >= text.length() || y >= GLYPH_HEIGHT) {
      return false;
    }
    char c = text.charAt(index);
    int glyph = (c < FIRST || c > LAST ? '?' : c) - FIRST;
    int sheetX = glyph % SHEET_COLUMNS * GLYPH_WIDTH + x % GLYPH_WIDTH;
    int sheetY = glyph / SHEET_COLUMNS * GLYPH_HEIGHT + y;
    return (sheet.getRGB(sheetX, sheetY) & 0xFF) != 0;
  }
}
