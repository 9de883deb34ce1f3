package io.sparsevideo.models.umt5;

import io.sparsevideo.checkpoint.ConfigReader;

/**
 * The dimensions of a UMT5 encoder, from {@code text_encoder/config.json}.
 *
 * @param vocabulary rows of the embedding
 * @param dim width of the token stream
 * @param heads attention heads H
 * @param headDim channels of a head D
 * @param ffnDim hidden width of the gated feed-forward
 * @param layers encoder blocks
 * @param buckets buckets of relative positions, at least 4
 * @param maxDistance distance from which all positions share the last bucket, more than buckets / 4
 * @param eps of the norms
 * @param padId the padding token
 */
public record Umt5Config(
    int vocabulary,
    int dim,
    int heads,
    int headDim,
    int ffnDim,
    int layers,
    int buckets,
    int maxDistance,
    double eps,
    int padId) {

  /**
   * @throws io.sparsevideo.checkpoint.CheckpointException when a value is missing, out of range or
   *     of another architecture
   */
  public static Umt5Config from(ConfigReader config) {
    config.oneOf("model_type", "umt5");
    config.oneOf("feed_forward_proj", "gated-gelu");
    int buckets = config.positiveInt("relative_attention_num_buckets", 32);
    int maxDistance = config.positiveInt("relative_attention_max_distance", 128);
    int exact = buckets / 4; // near positions of each direction; the logarithm starts from these
    if (exact == 0) {
      throw config.invalid("relative_attention_num_buckets", "at least 4");
    }
    if (maxDistance <= exact) {
      throw config.invalid(
          "relative_attention_max_distance",
          "more than %d, a quarter of relative_attention_num_buckets".formatted(exact));
    }
    return new Umt5Config(
        config.positiveInt("vocab_size"),
        config.positiveInt("d_model"),
        config.positiveInt("num_heads"),
        config.positiveInt("d_kv"),
        config.positiveInt("d_ff"),
        config.positiveInt("num_layers"),
        buckets,
        maxDistance,
        config.positiveDouble("layer_norm_epsilon", 1e-6),
        config.intValue("pad_token_id", 0));
  }
}
