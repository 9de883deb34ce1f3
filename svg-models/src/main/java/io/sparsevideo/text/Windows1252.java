package io.sparsevideo.text;

import java.nio.charset.Charset;

/**
 * Windows-1252 as decoders in the wild apply it: the five bytes without a character become the
 * control characters of the same number, so that every byte has a character.
 */
final class Windows1252 {
  /** The characters of the bytes 0x80 to 0x9f; all others are those of Latin-1. */
  private static final String C1 = c1();

  private Windows1252() {}

  /** The character of a byte from 0 to 255. */
  static char decode(int value) {
    return value >= 0x80 && value <= 0x9f ? C1.charAt(value - 0x80) : (char) value;
  }

  /** The byte, from 0 to 255, that was read as this character by Windows-1252 or Latin-1, or -1. */
  static int encode(char character) {
    if (character <= 0xff) {
      return character;
    }
    int index = C1.indexOf(character);
    return index < 0 ? -1 : 0x80 + index;
  }

  private static String c1() {
    byte[] bytes = new byte[0x20];
    for (int i = 0; i < bytes.length; i++) {
      bytes[i] = (byte) (0x80 + i);
    }
    StringBuilder characters =
        new StringBuilder(new String(bytes, Charset.forName("windows-1252")));
    for (int i = 0; i < bytes.length; i++) {
      if (characters.charAt(i) == '\ufffd') {
        characters.setCharAt(i, (char) (0x80 + i));
      }
    }
    return characters.toString();
  }
}
