package io.sparsevideo.models.wan;

import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The sizes of a Wan 2.1 VAE, as {@code vae/config.json} of a published folder holds them
 * (diffusers class AutoencoderKLWan).
 *
 * @param baseChannels channels of the encoder at full resolution ({@code base_dim})
 * @param decoderBaseChannels the same of the decoder ({@code decoder_base_dim}, when absent or null
 *     that of the encoder)
 * @param latentChannels channels of a latent frame ({@code z_dim})
 * @param channelMultipliers channels of each resolution in units of the base, finest first ({@code
 *     dim_mult}); each step between two of them halves height and width
 * @param residualBlocks residual blocks of the encoder at each resolution; the decoder has one more
 *     ({@code num_res_blocks})
 * @param temporalDownsample whether the step from each resolution to the next also halves the
 *     frames ({@code temperal_downsample}, so spelt)
 * @param latentsMean mean of each latent channel over the training data
 * @param latentsStd standard deviation of each latent channel over the training data
 * @param inChannels colours of the encoder's input
 * @param outChannels colours of the decoder's output
 */
public record WanVaeConfig(
    int baseChannels,
    int decoderBaseChannels,
    int latentChannels,
    List<Integer> channelMultipliers,
    int residualBlocks,
    List<Boolean> temporalDownsample,
    List<Double> latentsMean,
    List<Double> latentsStd,
    int inChannels,
    int outChannels) {

  /**
   * Checks that the values fit each other.
   *
   * @throws CheckpointException naming the value, what was expected and what was found
   */
  public WanVaeConfig {
    channelMultipliers = List.copyOf(channelMultipliers);
    temporalDownsample = List.copyOf(temporalDownsample);
    latentsMean = List.copyOf(latentsMean);
    latentsStd = List.copyOf(latentsStd);
    require(baseChannels > 0, "base_dim", "a positive integer", baseChannels);
    require(decoderBaseChannels > 0, "decoder_base_dim", "a positive integer", decoderBaseChannels);
    require(latentChannels > 0, "z_dim", "a positive integer", latentChannels);
    require(
        !channelMultipliers.isEmpty() && channelMultipliers.stream().allMatch(m -> m > 0),
        "dim_mult",
        "one or more positive integers",
        channelMultipliers);
    require(residualBlocks > 0, "num_res_blocks", "a positive integer", residualBlocks);
    require(
        temporalDownsample.size() == channelMultipliers.size() - 1,
        "temperal_downsample",
        "one value less than dim_mult has, which is " + (channelMultipliers.size() - 1),
        temporalDownsample);
    for (int i = 1; i < channelMultipliers.size(); i++) {
      int channels = decoderBaseChannels * channelMultipliers.get(i);
      require(
          channels % 2 == 0,
          "dim_mult",
          "an even number of decoder channels at every resolution but the finest",
          channels);
    }
    require(
        latentsMean.size() == latentChannels && latentsMean.stream().allMatch(Double::isFinite),
        "latents_mean",
        latentChannels + " numbers (z_dim)",
        latentsMean);
    require(
        latentsStd.size() == latentChannels
            && latentsStd.stream().allMatch(std -> Double.isFinite(std) && std > 0),
        "latents_std",
        latentChannels + " positive numbers (z_dim)",
        latentsStd);
    require(inChannels > 0, "in_channels", "a positive integer", inChannels);
    require(outChannels > 0, "out_channels", "a positive integer", outChannels);
  }

  /**
   * Reads {@code vae/config.json}. Keys that say nothing about the architecture are ignored.
   *
   * @throws CheckpointException when a key is missing, has the wrong type, or asks for an
   *     architecture other than Wan 2.1's
   */
  public static WanVaeConfig from(ConfigReader json) {
    if (json.bool("is_residual", false)) {
      throw json.invalid(
          "is_residual",
          "false: the VAE of Wan 2.2 TI2V-5B is another architecture, not supported");
    }
    if (!json.isNull("patch_size")) {
      throw json.invalid("patch_size", "null: the Wan 2.1 VAE works on pixels, not on patches");
    }
    if (!json.isNull("attn_scales") && !json.json().get("attn_scales").isEmpty()) {
      throw json.invalid(
          "attn_scales", "empty: attention outside of the middle block is not supported");
    }
    int baseChannels = json.positiveInt("base_dim");
    int latentChannels = json.positiveInt("z_dim");
    int[] multipliers = json.ints("dim_mult");
    if (multipliers.length == 0) {
      throw json.invalid("dim_mult", "an array of one or more integers");
    }
    WanVaeConfig config =
        new WanVaeConfig(
            baseChannels,
            json.positiveInt("decoder_base_dim", baseChannels),
            latentChannels,
            Arrays.stream(multipliers).boxed().toList(),
            json.positiveInt("num_res_blocks"),
            booleans(json.bools("temperal_downsample", multipliers.length - 1)),
            Arrays.stream(json.doubles("latents_mean", latentChannels)).boxed().toList(),
            Arrays.stream(json.doubles("latents_std", latentChannels)).boxed().toList(),
            json.positiveInt("in_channels", 3),
            json.positiveInt("out_channels", 3));
    requireFactor(json, "scale_factor_spatial", config.spatialFactor(), "dim_mult");
    requireFactor(json, "scale_factor_temporal", config.temporalFactor(), "temperal_downsample");
    return config;
  }

  /** Pixels per latent in height and in width; 8 as published. */
  public int spatialFactor() {
    return 1 << (channelMultipliers.size() - 1);
  }

  /** Frames per latent frame after the first, which stands for one frame alone; 4 as published. */
  public int temporalFactor() {
    return 1 << temporalDownsample.stream().filter(halved -> halved).count();
  }

  private static void requireFactor(ConfigReader json, String key, int implied, String implying) {
    if (json.intValue(key, implied) != implied) {
      throw json.invalid(key, "%d, which %s makes it".formatted(implied, implying));
    }
  }

  private static List<Boolean> booleans(boolean[] values) {
    return IntStream.range(0, values.length).mapToObj(i -> values[i]).toList();
  }

  private static void require(boolean met, String key, String expected, Object found) {
    if (!met) {
      throw new CheckpointException(
          "Wan VAE config: %s must be %s; found %s".formatted(key, expected, found));
    }
  }
}
