package io.sparsevideo.attention;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class AttentionSettingsTest {

  private static AttentionSettings wan(AttentionMode mode, int tokens) {
    return AttentionSettings.resolve(mode, ModelFamily.WAN, false, tokens);
  }

  @Test
  void tableSizesTakeTheTable() {
    AttentionSettings s = wan(AttentionMode.svg2(), 21 * 3600);
    assertEquals(300, s.queryClusters());
    assertEquals(1000, s.keyClusters());
    assertEquals(.9, s.topP());
    assertEquals(.2, s.firstTimes());
    assertFalse(s.clusterInDenseSteps());
    s = wan(AttentionMode.svg2(), 21 * 1560);
    assertEquals(200, s.queryClusters());
    assertTrue(s.clusterInDenseSteps());
    s = AttentionSettings.resolve(AttentionMode.svg1(), ModelFamily.HUNYUAN, false, 33 * 1350);
    assertEquals(.20, s.density());
    assertEquals(0, s.firstLayers());
  }

  @Test
  void otherSizesFollowTheRootOfTheTokenCount() {
    AttentionSettings s = wan(AttentionMode.svg2(), 1008);
    assertEquals(35, s.queryClusters());
    assertEquals(115, s.keyClusters());
    s = wan(AttentionMode.svg2(), 4 * 75_600);
    assertEquals(600, s.queryClusters());
    assertEquals(2000, s.keyClusters());
    s = wan(AttentionMode.svg2(), 20);
    assertEquals(8, s.queryClusters());
    assertEquals(16, s.keyClusters());
    s = wan(AttentionMode.svg2(), 5);
    assertEquals(5, s.queryClusters());
    assertEquals(5, s.keyClusters());
  }

  @Test
  void thePaperPresetChangesClustersAndDenseSteps() {
    AttentionSettings s = wan(AttentionMode.svg2().optPreset(AttentionPreset.PAPER), 21 * 3600);
    assertEquals(100, s.queryClusters());
    assertEquals(500, s.keyClusters());
    assertEquals(.3, s.firstTimes());
    assertEquals(.03, s.firstLayers());
  }

  @Test
  void whatTheModeSaysWins() {
    AttentionSettings s =
        wan(
            AttentionMode.svg2()
                .optTopP(.7)
                .optFirstLayers(.5)
                .optQueryClusters(2000)
                .optMinKeyRatio(0),
            1008);
    assertEquals(.7, s.topP());
    assertEquals(.5, s.firstLayers());
    assertEquals(1008, s.queryClusters());
    assertEquals(0, s.minKeyRatio());
  }

  @Test
  void earlyStepsAndLayersStayDense() {
    AttentionSettings s = wan(AttentionMode.svg1().optFirstTimes(.25).optFirstLayers(.34), 100);
    assertTrue(s.isDense(1, 10, 5, 6));
    assertFalse(s.isDense(2, 10, 5, 6)); // floor(2.5) = 2
    assertTrue(s.isDense(9, 10, 1, 6));
    assertFalse(s.isDense(9, 10, 2, 6)); // floor(2.04) = 2
    assertTrue(s.isDenseLayer(1, 6));
    assertTrue(wan(AttentionMode.dense(), 100).isDense(9, 10, 5, 6));
  }
}
