package io.sparsevideo.attention;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.BandMask;
import org.junit.jupiter.api.Test;

class Svg1StagesTest {

  private static BandMask mask(ModelFamily family, TokenLayout layout, double density) {
    return new Svg1Stages(null, family, layout).mask(density);
  }

  /** What the public scripts' requests come to. */
  @Test
  void achievedDensities() {
    assertEquals(.340, mask(ModelFamily.WAN, TokenLayout.video(21, 3600), .30).density(), 1e-3);
    assertEquals(.540, mask(ModelFamily.WAN, TokenLayout.video(7, 144), .30).density(), 1e-3);
    assertEquals(.302, mask(ModelFamily.COSMOS, TokenLayout.video(16, 3520), .25).density(), 1e-3);
    assertEquals(
        .247, mask(ModelFamily.HUNYUAN, new TokenLayout(33, 3600, 40, 216), .25).density(), 2e-3);
  }

  @Test
  void densityCountsWhatTheMaskAllows() {
    for (TokenLayout layout :
        new TokenLayout[] {
          new TokenLayout(3, 96, 19, 13), new TokenLayout(5, 77, 0, 0), new TokenLayout(1, 1, 1, 0)
        }) {
      for (ModelFamily family : ModelFamily.values()) {
        for (double density : new double[] {.05, .3, .6, 1}) {
          BandMask mask = mask(family, layout, density);
          long pairs = 0;
          for (int q = 0; q < layout.realTokens(); q++) {
            for (int k = 0; k < layout.realTokens(); k++) {
              pairs += mask.allows(layout.tokens(), q, k) ? 1 : 0;
            }
          }
          double n = layout.realTokens();
          assertEquals(
              pairs / (n * n), mask.density(), 1e-12, family + " " + layout + " " + density);
        }
      }
    }
  }

  @Test
  void aDensityThatTextUsesUpLeavesNoBand() {
    BandMask mask = mask(ModelFamily.HUNYUAN, new TokenLayout(3, 96, 19, 13), .1);
    assertEquals(-1, mask.halfWidth());
    assertFalse(mask.allows(320, 5, 5));
    assertTrue(mask.allows(320, 5, 288));
    assertFalse(mask.allows(320, 5, 310)); // padding
    assertTrue(mask.allows(320, 310, 311));
  }

  @Test
  void theTemporalProfileIsTheBandInTokenMajorOrder() {
    TokenLayout layout = TokenLayout.video(16, 64);
    Svg1Stages stages = new Svg1Stages(null, ModelFamily.HUNYUAN, layout);
    // T = 96 tokens: fewer than a block, so nothing but text would remain.
    assertFalse(stages.profileAllows(false, 0, 0));
    layout = TokenLayout.video(8, 128);
    stages = new Svg1Stages(null, ModelFamily.HUNYUAN, layout); // one block: |b(q) − b(k)| < 1
    assertTrue(stages.profileAllows(false, 0, 127));
    assertFalse(stages.profileAllows(false, 0, 128));
    assertTrue(stages.profileAllows(true, 0, 128 * 7)); // the same place in the last frame
    assertFalse(stages.profileAllows(true, 0, 127));
  }
}
