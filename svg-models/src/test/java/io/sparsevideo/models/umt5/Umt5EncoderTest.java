package io.sparsevideo.models.umt5;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.ParameterList;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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

  /** Buckets that the public implementation, too, has no positions for. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "3 | 128 | relative_attention_num_buckets' should be at least 4, found 3",
        "32 | 8 | relative_attention_max_distance' should be more than 8, a quarter of"
            + " relative_attention_num_buckets, found 8",
      })
  void bucketsWithoutPositionsAreRefused(
      int buckets, int maxDistance, String expected, @TempDir Path folder) throws IOException {
    String json =
        """
        {"model_type": "umt5", "feed_forward_proj": "gated-gelu", "vocab_size": 9, "d_model": 8,
         "num_heads": 1, "d_kv": 8, "d_ff": 8, "num_layers": 1,
         "relative_attention_num_buckets": %d, "relative_attention_max_distance": %d}
        """
            .formatted(buckets, maxDistance);
    ConfigReader config = ConfigReader.read(Files.writeString(folder.resolve("config.json"), json));
    String message =
        assertThrows(CheckpointException.class, () -> Umt5Config.from(config)).getMessage();
    assertTrue(message.contains(expected), message);
  }
}
