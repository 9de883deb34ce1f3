package io.sparsevideo.attention;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.attention.AttentionMode.Option;
import org.junit.jupiter.api.Test;

class AttentionModeTest {

  @Test
  void optionsGiveNewModes() {
    AttentionMode mode = AttentionMode.svg2();
    AttentionMode changed = mode.optTopP(.5).optKeyClusters(7);
    assertNotSame(mode, changed);
    assertNotEquals(mode, changed);
    assertEquals(AttentionMode.svg2().optKeyClusters(7).optTopP(.5), changed);
    assertEquals("svg2 (reference, topP 0.5, keyClusters 7)", changed.toString());
    assertEquals(.9, mode.get(Option.TOP_P, .9));
    assertEquals(.5, changed.get(Option.TOP_P, .9));
    assertEquals(7, changed.get(Option.KEY_CLUSTERS, 100));
  }

  @Test
  void optionsOfAnotherModeAreRefused() {
    String message =
        assertThrows(IllegalArgumentException.class, () -> AttentionMode.dense().optTopP(.5))
            .getMessage();
    assertTrue(
        message.contains("topP") && message.contains("svg2") && message.contains("dense"), message);
    assertThrows(IllegalArgumentException.class, () -> AttentionMode.svg2().optDensity(.3));
    assertThrows(IllegalArgumentException.class, () -> AttentionMode.svg1().optKeyClusters(3));
  }

  @Test
  void valuesOutOfRangeAreRefused() {
    for (double bad : new double[] {-.1, 1.1, Double.NaN}) {
      String message =
          assertThrows(
                  IllegalArgumentException.class, () -> AttentionMode.svg2().optFirstTimes(bad))
              .getMessage();
      assertTrue(message.contains("[0, 1]") && message.contains("" + bad), message);
    }
    assertThrows(IllegalArgumentException.class, () -> AttentionMode.svg2().optQueryClusters(0));
    assertThrows(IllegalArgumentException.class, () -> AttentionMode.svg1().optSampledRows(-3));
  }

  @Test
  void presetsAreFoundByName() {
    assertEquals(AttentionPreset.PAPER, AttentionPreset.of("paper"));
    assertFalse(AttentionMode.svg1().presetNamed());
    assertTrue(AttentionMode.svg1().optPreset(AttentionPreset.REFERENCE).presetNamed());
    String message =
        assertThrows(IllegalArgumentException.class, () -> AttentionPreset.of("fast")).getMessage();
    assertTrue(message.contains("fast") && message.contains("reference, paper"), message);
  }
}
