package io.sparsevideo.models.umt5;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import io.sparsevideo.checkpoint.EmbeddingTable;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;
import io.sparsevideo.tensor.TensorScope;
import java.util.ArrayList;
import java.util.List;

/**
 * The encoder of UMT5: pre-norm blocks of self-attention with a learned bias by relative position,
 * one table per layer, and a gated feed-forward. Weights carry the names of transformers' {@code
 * UMT5EncoderModel}.
 *
 * <p>Source: "UniMax: Fairer and More Effective Language Sampling for Large-Scale Multilingual
 * Pretraining"; transformers' modeling_umt5.py.
 */
public final class Umt5Encoder {
  private final TensorOps ops;
  private final Umt5Config config;
  private final EmbeddingTable embedding; // (vocabulary, C)
  private final List<Block> blocks = new ArrayList<>();
  private final NDArray finalNorm; // (C)

  /**
   * @param parameters the component's weights; a listing source makes an encoder that only lists
   *     them
   */
  public Umt5Encoder(Umt5Config config, Parameters parameters, TensorOps ops) {
    this.ops = ops;
    this.config = config;
    embedding = parameters.embedding("shared.weight", config.vocabulary(), config.dim());
    for (int i = 0; i < config.layers(); i++) {
      blocks.add(new Block(parameters.sub("encoder.block." + i)));
    }
    finalNorm = parameters.get("encoder.final_layer_norm.weight", config.dim());
  }

  public Umt5Config config() {
    return config;
  }

  /**
   * Encodes a prompt.
   *
   * @param manager owner of the result
   * @param ids L token ids, padding last
   * @param count how many of them are not padding, at least 1; padding is computed but seen by no
   *     token
   * @return (L, C)
   */
  public NDArray encode(NDManager manager, int[] ids, int count) {
    if (count < 1 || count > ids.length) {
      throw new IllegalArgumentException(
          "count is %d, expected 1 to the %d ids".formatted(count, ids.length));
    }
    try (NDManager scope = manager.newSubManager()) {
      NDArray buckets = scope.create(buckets(ids.length, count));
      NDArray x = embedding.rows(ops, scope, ids).toType(DataType.FLOAT32, false); // (L, C)
      for (Block block : blocks) {
        try (NDArray in = x) {
          x = block.forward(in, buckets, count);
        }
      }
      NDArray result = ops.rmsNorm(x, finalNorm, config.eps()).toType(ops.computeType(), false);
      result.attach(manager);
      return result;
    }
  }

  /**
   * Bucket of every relative position, key − query, from 1 − length to count − 1: half the buckets
   * for each direction, exact up close, logarithmic farther away.
   */
  private long[] buckets(int length, int count) {
    int half = config.buckets() / 2;
    int exact = half / 2;
    long[] result = new long[length + count - 1];
    for (int i = 0; i < result.length; i++) {
      int position = i - (length - 1);
      int distance = Math.abs(position);
      int bucket = distance;
      if (distance >= exact) {
        // In float, as the public implementation: the logarithm decides between neighbouring
        // buckets.
        float scaled =
            (float) Math.log((float) distance / exact)
                / (float) Math.log((double) config.maxDistance() / exact);
        bucket = Math.min(half - 1, exact + (int) (scaled * (half - exact)));
      }
      result[i] = position > 0 ? half + bucket : bucket;
    }
    return result;
  }

  /**
   * A linear layer in float. A prompt is short, and 16 bits would cost a percent or three: scores
   * are unscaled, and what rounds them grows with them. The weight is widened for the call.
   */
  private NDArray linear(NDArray x, NDArray weight) {
    NDArray wide = weight.toType(DataType.FLOAT32, false);
    try {
      return ops.linear(x, wide, null);
    } finally {
      if (wide != weight) {
        wide.close();
      }
    }
  }

  private final class Block {
    private final NDArray attentionNorm; // (C)
    private final NDArray query; // (H · D, C)
    private final NDArray key; // (H · D, C)
    private final NDArray value; // (H · D, C)
    private final NDArray out; // (C, H · D)
    private final NDArray positions; // (buckets, H)
    private final NDArray ffnNorm; // (C)
    private final NDArray gate; // (ffn, C)
    private final NDArray up; // (ffn, C)
    private final NDArray down; // (C, ffn)

    Block(Parameters parameters) {
      int inner = config.heads() * config.headDim();
      Parameters p = parameters.sub("layer.0");
      query = p.get("SelfAttention.q.weight", inner, config.dim());
      key = p.get("SelfAttention.k.weight", inner, config.dim());
      value = p.get("SelfAttention.v.weight", inner, config.dim());
      out = p.get("SelfAttention.o.weight", config.dim(), inner);
      positions =
          p.get("SelfAttention.relative_attention_bias.weight", config.buckets(), config.heads());
      attentionNorm = p.get("layer_norm.weight", config.dim());
      p = parameters.sub("layer.1");
      gate = p.get("DenseReluDense.wi_0.weight", config.ffnDim(), config.dim());
      up = p.get("DenseReluDense.wi_1.weight", config.ffnDim(), config.dim());
      down = p.get("DenseReluDense.wo.weight", config.dim(), config.ffnDim());
      ffnNorm = p.get("layer_norm.weight", config.dim());
    }

    /**
     * @param x (L, C)
     * @param buckets (L + count − 1) of relative positions
     * @param count rows that others see
     * @return (L, C)
     */
    NDArray forward(NDArray x, NDArray buckets, int count) {
      try (TensorScope scope = TensorScope.over(x, buckets)) {
        // 1. Self-attention, unscaled, biased by relative position
        NDArray h = ops.rmsNorm(x, attentionNorm, config.eps());
        NDArray seen = h.get(new NDIndex().addSliceDim(0, count)); // (count, C)
        NDArray bias = ops.gatherRows(positions, buckets).transpose(1, 0); // (H, L + count − 1)
        h = ops.biasedAttention(heads(h, query), heads(seen, key), heads(seen, value), bias, 1);
        NDArray y = x.add(linear(h.reshape(x.getShape().get(0), -1), out));

        // 2. Gated feed-forward
        h = ops.rmsNorm(y, ffnNorm, config.eps());
        h = ops.geluTanh(linear(h, gate)).mul(linear(h, up)); // (L, ffn)
        return scope.keep(y.add(linear(h, down)));
      }
    }

    private NDArray heads(NDArray x, NDArray weight) {
      return linear(x, weight).reshape(-1, config.heads(), config.headDim());
    }
  }
}
