package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class WanVaeConfigTest {
  /** What the published Wan 2.1 folders hold; they lack the keys that came later. */
  private static final String PUBLISHED =
      """
      {
        "_class_name": "AutoencoderKLWan",
        "attn_scales": [],
        "base_dim": 96,
        "dim_mult": [1, 2, 4, 4],
        "dropout": 0.0,
        "latents_mean": [-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
                         0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921],
        "latents_std": [2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
                        3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.916],
        "num_res_blocks": 2,
        "temperal_downsample": [false, true, true],
        "z_dim": 16
      }
      """;

  private static final ObjectMapper JSON = new ObjectMapper();

  @TempDir private Path folder;

  /** The sizes of the published model. */
  static WanVaeConfig published() {
    List<Double> ones = Collections.nCopies(16, 1.0);
    return new WanVaeConfig(
        96, 96, 16, List.of(1, 2, 4, 4), 2, List.of(false, true, true), ones, ones, 3, 3);
  }

  @Test
  void readsThePublishedConfig() throws IOException {
    WanVaeConfig config = read(JSON.readTree(PUBLISHED));
    assertEquals(96, config.baseChannels());
    assertEquals(96, config.decoderBaseChannels());
    assertEquals(16, config.latentChannels());
    assertEquals(List.of(1, 2, 4, 4), config.channelMultipliers());
    assertEquals(2, config.residualBlocks());
    assertEquals(List.of(false, true, true), config.temporalDownsample());
    assertEquals(-0.7571, config.latentsMean().getFirst());
    assertEquals(1.916, config.latentsStd().getLast());
    assertEquals(3, config.inChannels());
    assertEquals(3, config.outChannels());
    assertEquals(8, config.spatialFactor());
    assertEquals(4, config.temporalFactor());
  }

  @Test
  void readsTheKeysThatCameLater() throws IOException {
    WanVaeConfig config =
        read(
            changed(
                """
                {"decoder_base_dim": 32, "in_channels": 1, "out_channels": 4, "is_residual": false,
                 "patch_size": null, "scale_factor_spatial": 8, "scale_factor_temporal": 4,
                 "a_key_of_tomorrow": {}}
                """));
    assertEquals(32, config.decoderBaseChannels());
    assertEquals(1, config.inChannels());
    assertEquals(4, config.outChannels());
  }

  @Test
  void factorsFollowTheLevels() throws IOException {
    WanVaeConfig config = read(changed("{\"dim_mult\": [1, 2], \"temperal_downsample\": [true]}"));
    assertEquals(2, config.spatialFactor());
    assertEquals(2, config.temporalFactor());
  }

  @ParameterizedTest(name = "{0} = {1}")
  @CsvSource(
      delimiter = '|',
      value = {
        "base_dim | 0 | integer of at least 1, found 0",
        "decoder_base_dim | -1 | integer of at least 1, found -1",
        "z_dim | 0 | integer of at least 1, found 0",
        "dim_mult | [] | one or more integers, found []",
        "dim_mult | [1, 0, 1, 1] | one or more positive integers; found [1, 0, 1, 1]",
        "dim_mult | [1, true] | array of integers",
        "num_res_blocks | null | integer of at least 1, found null",
        "temperal_downsample | [true] | array of 3 booleans, found [true]",
        "latents_mean | [1, 2] | array of 16 numbers, found [1,2]",
        "attn_scales | [0.5] | middle block",
        "is_residual | true | Wan 2.2",
        "patch_size | 2 | null",
        "scale_factor_spatial | 16 | 8, which dim_mult makes it, found 16",
        "scale_factor_temporal | 8 | 4, which temperal_downsample makes it, found 8",
        "in_channels | 0 | integer of at least 1",
        "out_channels | 3.5 | integer of at least 1, found 3.5",
      })
  void refuses(String key, String value, String because) throws IOException {
    refused(changed("{\"%s\": %s}".formatted(key, value)), key, because);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "base_dim",
        "z_dim",
        "dim_mult",
        "num_res_blocks",
        "temperal_downsample",
        "latents_mean",
        "latents_std"
      })
  void namesAMissingKey(String key) throws IOException {
    ObjectNode json = changed("{}");
    json.remove(key);
    refused(json, key, "no such key");
  }

  @Test
  void refusesDecoderChannelsThatCannotBeHalved() throws IOException {
    ObjectNode json = changed("{\"decoder_base_dim\": 5, \"dim_mult\": [1, 2, 3, 4]}");
    refused(json, "dim_mult", "even number of decoder channels");
  }

  @Test
  void refusesAStandardDeviationOfZero() throws IOException {
    ObjectNode json = changed("{}");
    json.withArray("latents_std").set(3, 0.0);
    refused(json, "latents_std", "16 positive numbers");
  }

  private void refused(ObjectNode json, String key, String because) {
    String message = assertThrows(CheckpointException.class, () -> read(json)).getMessage();
    assertTrue(message.contains(key), message);
    assertTrue(message.contains(because), message);
  }

  private WanVaeConfig read(JsonNode json) throws IOException {
    Path file = folder.resolve("config.json");
    JSON.writeValue(file.toFile(), json);
    return WanVaeConfig.from(ConfigReader.read(file));
  }

  /** The published config with other values for some keys. */
  private static ObjectNode changed(String values) throws IOException {
    ObjectNode json = (ObjectNode) JSON.readTree(PUBLISHED);
    return json.setAll((ObjectNode) JSON.readTree(values));
  }
}
