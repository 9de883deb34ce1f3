package io.sparsevideo.text;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class Windows1252Test {

  @Test
  void decodesEveryByteAndBack() {
    for (int value = 0; value <= 0xff; value++) {
      assertEquals(value, Windows1252.encode(Windows1252.decode(value)));
    }
    assertEquals('€', Windows1252.decode(0x80));
    assertEquals('\u0081', Windows1252.decode(0x81));
    assertEquals('Ÿ', Windows1252.decode(0x9f));
    assertEquals('é', Windows1252.decode(0xe9));
  }

  @Test
  void encodesLatin1Too() {
    assertEquals(0x80, Windows1252.encode('\u0080'));
    assertEquals(-1, Windows1252.encode('ł'));
    assertEquals(-1, Windows1252.encode('\ufffd'));
  }
}
