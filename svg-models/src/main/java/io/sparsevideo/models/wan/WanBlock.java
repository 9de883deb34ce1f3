package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.attention.AttentionSession;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.models.ForwardListener;
import io.sparsevideo.tensor.TensorOps;
import io.sparsevideo.tensor.TensorScope;

/**
 * One transformer block: self-attention, cross-attention to the text, feed-forward; time modulates
 * the first and last.
 */
final class WanBlock {
  private final TensorOps ops;
  private final WanTransformerConfig config;
  private final int index;

  private final NDArray modulation; // (1, 6, C)
  private final Projections self;
  private final Projections cross;
  private final NDArray crossNormWeight; // (C), or null
  private final NDArray crossNormBias; // (C), or null
  private final NDArray upWeight; // (ffn, C)
  private final NDArray upBias; // (ffn)
  private final NDArray downWeight; // (C, ffn)
  private final NDArray downBias; // (C)

  WanBlock(WanTransformerConfig config, Parameters p, TensorOps ops, int index) {
    this.ops = ops;
    this.config = config;
    this.index = index;
    int dim = config.dim();
    int ffn = config.ffnDim();
    modulation = p.getFloat32("scale_shift_table", 1, 6, dim);
    self = new Projections(p.sub("attn1"));
    cross = new Projections(p.sub("attn2"));
    boolean norm = config.crossAttentionNorm();
    crossNormWeight = norm ? p.getFloat32("norm2.weight", dim) : null;
    crossNormBias = norm ? p.getFloat32("norm2.bias", dim) : null;
    upWeight = p.get("ffn.net.0.proj.weight", ffn, dim);
    upBias = p.get("ffn.net.0.proj.bias", ffn);
    downWeight = p.get("ffn.net.2.weight", dim, ffn);
    downBias = p.get("ffn.net.2.bias", dim);
  }

  /**
   * @param x (S, C) tokens
   * @param text (L, C) embedded prompt
   * @param time (6, C) shift, scale and gate of self-attention, then of the feed-forward
   * @return (S, C)
   */
  NDArray forward(
      NDArray x,
      NDArray text,
      NDArray time,
      WanRotary rotary,
      AttentionSession attention,
      ForwardListener listener) {
    try (TensorScope scope = TensorScope.over(x, text, time)) {
      NDArray m = time.reshape(1, 6, config.dim()).add(modulation).squeeze(0);

      // 1. Self-attention
      NDArray h = ops.modulate(norm(x), m.get("1"), m.get("0"));
      h = selfAttention(h, rotary, attention);
      listener.tensor("block" + index + ".attn1", h);
      NDArray y = ops.gatedResidual(x, h, m.get("2"));

      // 2. Cross-attention
      h =
          config.crossAttentionNorm()
              ? ops.layerNorm(y, crossNormWeight, crossNormBias, config.eps())
              : y;
      h = crossAttention(h, text);
      listener.tensor("block" + index + ".attn2", h);
      y = y.add(h);

      // 3. Feed-forward
      h = ops.modulate(norm(y), m.get("4"), m.get("3"));
      h = ops.geluTanh(ops.linear(h, upWeight, upBias)); // (S, ffn)
      h = ops.linear(h, downWeight, downBias);
      listener.tensor("block" + index + ".ffn", h);
      return scope.keep(ops.gatedResidual(y, h, m.get("5")));
    }
  }

  private NDArray norm(NDArray x) {
    return ops.layerNorm(x, null, null, config.eps());
  }

  private NDArray selfAttention(NDArray x, WanRotary rotary, AttentionSession attention) {
    try (TensorScope scope = TensorScope.over(x)) {
      NDArray q = ops.rotaryInterleaved(self.queries(x), rotary.cos(), rotary.sin());
      NDArray k = ops.rotaryInterleaved(self.keys(x), rotary.cos(), rotary.sin());
      NDArray out = attention.attend(q, k, self.values(x), index);
      return scope.keep(self.out(out));
    }
  }

  private NDArray crossAttention(NDArray x, NDArray text) {
    try (TensorScope scope = TensorScope.over(x, text)) {
      return scope.keep(
          cross.out(ops.attention(cross.queries(x), cross.keys(text), cross.values(text))));
    }
  }

  /**
   * The four projections of an attention layer; queries and keys are normed over all heads
   * together.
   */
  private final class Projections {
    private final NDArray queryWeight; // (C, C), as all of them
    private final NDArray queryBias; // (C), as all of them
    private final NDArray queryNorm; // (C)
    private final NDArray keyWeight;
    private final NDArray keyBias;
    private final NDArray keyNorm; // (C)
    private final NDArray valueWeight;
    private final NDArray valueBias;
    private final NDArray outWeight;
    private final NDArray outBias;

    Projections(Parameters p) {
      int dim = config.dim();
      queryWeight = p.get("to_q.weight", dim, dim);
      queryBias = p.get("to_q.bias", dim);
      queryNorm = p.get("norm_q.weight", dim);
      keyWeight = p.get("to_k.weight", dim, dim);
      keyBias = p.get("to_k.bias", dim);
      keyNorm = p.get("norm_k.weight", dim);
      valueWeight = p.get("to_v.weight", dim, dim);
      valueBias = p.get("to_v.bias", dim);
      outWeight = p.get("to_out.0.weight", dim, dim);
      outBias = p.get("to_out.0.bias", dim);
    }

    NDArray queries(NDArray x) {
      return heads(ops.rmsNorm(ops.linear(x, queryWeight, queryBias), queryNorm, config.eps()));
    }

    NDArray keys(NDArray x) {
      return heads(ops.rmsNorm(ops.linear(x, keyWeight, keyBias), keyNorm, config.eps()));
    }

    NDArray values(NDArray x) {
      return heads(ops.linear(x, valueWeight, valueBias));
    }

    NDArray out(NDArray attended) {
      return ops.linear(attended.reshape(-1, config.dim()), outWeight, outBias);
    }

    /** (S, C) to (S, H, D). */
    private NDArray heads(NDArray x) {
      return x.reshape(-1, config.heads(), config.headDim());
    }
  }
}
