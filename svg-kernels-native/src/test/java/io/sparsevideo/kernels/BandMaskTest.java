package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BandMaskTest {

  @ParameterizedTest
  @CsvSource({
    "1, 0, 0, 0",
    "1, 0, 0, -1",
    "50, 0, 7, 5",
    "50, 9, 0, 5",
    "50, 9, 55, 5",
    "50, 9, 100, -1",
    "50, 9, 10, 2147483647",
    "129, 20, 30, 0",
  })
  void countsWhatItAllows(int video, int prompt, int sink, int width) {
    BandMask mask = new BandMask(video, prompt, sink, width);
    int rows = mask.realRows() + 3;
    long pairs = 0;
    for (int q = 0; q < mask.realRows(); q++) {
      for (int k = 0; k < mask.realRows(); k++) {
        pairs += mask.allows(rows, q, k) ? 1 : 0;
      }
    }
    assertEquals(pairs, mask.allowedPairs());
    assertEquals(pairs / Math.pow(mask.realRows(), 2), mask.density(), 1e-12);
  }

  @Test
  void densityOfWanAt720pIsTheKnownOne() {
    // Requested .30, which gives .340 with one frame of sink keys.
    int rows = 21 * 3600;
    int width = 128 * (int) Math.ceil(rows * (1 - Math.sqrt(1 - 0.30)) / 128);
    assertEquals(0.340, new BandMask(rows, 0, 3600, width).density(), 5e-4);
  }

  @Test
  void paddingSeesOnlyItself() {
    BandMask mask = new BandMask(10, 2, 5, 100);
    assertTrue(mask.allows(15, 12, 14));
    assertFalse(mask.allows(15, 12, 0));
    assertFalse(mask.allows(15, 0, 12));
    assertFalse(mask.allows(15, 11, 12));
  }

  @Test
  void refusesBadSizesAndIndices() {
    assertThrows(IllegalArgumentException.class, () -> new BandMask(0, 0, 0, 0));
    assertThrows(IllegalArgumentException.class, () -> new BandMask(1, -1, 0, 0));
    assertThrows(IllegalArgumentException.class, () -> new BandMask(1, 0, -1, 0));
    assertThrows(IllegalArgumentException.class, () -> new BandMask(Integer.MAX_VALUE, 1, 0, 0));
    BandMask mask = new BandMask(5, 0, 0, 1);
    assertThrows(IndexOutOfBoundsException.class, () -> mask.allows(5, 5, 0));
    assertThrows(IndexOutOfBoundsException.class, () -> mask.allows(5, 0, -1));
  }
}
