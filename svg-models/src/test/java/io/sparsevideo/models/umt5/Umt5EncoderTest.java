package io.sparsevideo.models.umt5;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.sparsevideo.checkpoint.ParameterList;
import org.junit.jupiter.api.Test;

class Umt5EncoderTest {

  /** What the published folders hold. */
  @Test
  void publishedSize() {
    ParameterList list = new ParameterList();
    new Umt5Encoder(
        new Umt5Config(256_384, 4096, 64, 64, 10_240, 24, 32, 128, 1e-6, 0), list, null);
    assertEquals(242, list.tensorCount());
    assertEquals(5_680_910_336L, list.parameterCount());
  }
}
