package io.sparsevideo.models.wan;

import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;

/**
 * The dimensions of a Wan 2.1 transformer, from {@code transformer/config.json}.
 *
 * @param heads attention heads H
 * @param headDim channels of a head D; the model's width is H · D
 * @param layers transformer blocks
 * @param ffnDim hidden width of the feed-forward layers
 * @param inChannels latent channels in
 * @param outChannels latent channels out
 * @param textDim width of the text encoder's output
 * @param freqDim width of the sinusoidal time embedding, even
 * @param patchFrames latent frames of a patch
 * @param patchHeight latent rows of a patch
 * @param patchWidth latent columns of a patch
 * @param crossAttentionNorm whether a layer norm precedes cross-attention
 * @param eps of all norms
 * @param maxPositions longest axis, in patches, that rotary positions are defined for
 */
public record WanTransformerConfig(
    int heads,
    int headDim,
    int layers,
    int ffnDim,
    int inChannels,
    int outChannels,
    int textDim,
    int freqDim,
    int patchFrames,
    int patchHeight,
    int patchWidth,
    boolean crossAttentionNorm,
    double eps,
    int maxPositions) {

  public WanTransformerConfig {
    require(
        headDim % 2 == 0 && headDim >= 6,
        "attention_head_dim must be even and at least 6",
        headDim);
    require(freqDim % 2 == 0, "freq_dim must be even", freqDim);
  }

  private static void require(boolean condition, String what, int found) {
    if (!condition) {
      throw new CheckpointException("transformer/config.json: " + what + ", is " + found);
    }
  }

  /**
   * @throws CheckpointException when a value is missing, out of range, or belongs to a variant
   *     other than text-to-video
   */
  public static WanTransformerConfig from(ConfigReader config) {
    config.oneOf("qk_norm", "rms_norm_across_heads");
    for (String imageOnly : new String[] {"image_dim", "added_kv_proj_dim"}) {
      if (!config.isNull(imageOnly)) {
        throw new CheckpointException(
            config.file()
                + ": "
                + imageOnly
                + " is set, so this is an image-to-video transformer; text-to-video has null");
      }
    }
    int[] patch = config.positiveInts("patch_size", 3);
    int inChannels = config.positiveInt("in_channels");
    return new WanTransformerConfig(
        config.positiveInt("num_attention_heads"),
        config.positiveInt("attention_head_dim"),
        config.positiveInt("num_layers"),
        config.positiveInt("ffn_dim"),
        inChannels,
        config.positiveInt("out_channels", inChannels),
        config.positiveInt("text_dim"),
        config.positiveInt("freq_dim"),
        patch[0],
        patch[1],
        patch[2],
        config.bool("cross_attn_norm", true),
        config.positiveDouble("eps", 1e-6),
        config.positiveInt("rope_max_seq_len", 1024));
  }

  /** Width of the token stream, H · D. */
  public int dim() {
    return heads * headDim;
  }

  /** Values of a patch in a latent of {@code channels} channels. */
  int patchSize(int channels) {
    return channels * patchFrames * patchHeight * patchWidth;
  }
}
