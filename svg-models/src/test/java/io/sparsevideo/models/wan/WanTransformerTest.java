package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.sparsevideo.checkpoint.ParameterList;
import org.junit.jupiter.api.Test;

class WanTransformerTest {

  private static ParameterList list(int heads, int layers, int ffn) {
    ParameterList list = new ParameterList();
    WanTransformerConfig config =
        new WanTransformerConfig(
            heads, 128, layers, ffn, 16, 16, 4096, 256, 1, 2, 2, true, 1e-6, 1024);
    new WanTransformer(config, list, null);
    return list;
  }

  /** What the published folders hold. */
  @Test
  void publishedSizes() {
    ParameterList small = list(12, 30, 8960);
    assertEquals(825, small.tensorCount());
    assertEquals(1_418_996_800L, small.parameterCount());
    ParameterList large = list(40, 40, 13824);
    assertEquals(1_095, large.tensorCount());
    assertEquals(14_288_491_584L, large.parameterCount());
  }
}
