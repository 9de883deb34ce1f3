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
   * @param time (6, C), FLOAT32: shift, scale and gate of self-attention, then of the feed-forward
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
      NDArray m = time.reshape(1, 6, config.dim()).add(modulation).squeeze(0); // (6, C)
      try (NDArray attended = selfAttention(x, m, rotary, attention, listener);
          NDArray told = crossAttention(attended, text, listener)) {
        return scope.keep(feedForward(told, m, listener));
      }
    }
  }

  private NDArray selfAttention(
      NDArray x,
      NDArray m,
      WanRotary rotary,
      AttentionSession attention,
      ForwardListener listener) {
    try (TensorScope scope = TensorScope.over(x, m)) {
      NDArray h = ops.modulatedNorm(x, m.get("1"), m.get("0"), config.eps());
      NDArray q = rotated(self.queries(h), self.queryNorm, rotary); // (S, H, D)
      NDArray k = rotated(self.keys(h), self.keyNorm, rotary);
      NDArray v = heads(self.values(h));
      h.close();
      NDArray out = self.out(attention.attend(q, k, v, index));
      listener.tensor("block" + index + ".attn1", out);
      return scope.keep(ops.gatedResidual(x, out, m.get("2")));
    }
  }

  private NDArray crossAttention(NDArray x, NDArray text, ForwardListener listener) {
    try (TensorScope scope = TensorScope.over(x, text)) {
      NDArray h =
          config.crossAttentionNorm()
              ? ops.layerNorm(x, crossNormWeight, crossNormBias, config.eps())
              : x;
      NDArray q = heads(normed(cross.queries(h), cross.queryNorm)); // (S, H, D)
      NDArray k = heads(normed(cross.keys(text), cross.keyNorm)); // (L, H, D)
      NDArray v = heads(cross.values(text));
      NDArray out = cross.out(ops.attention(q, k, v));
      listener.tensor("block" + index + ".attn2", out);
      return scope.keep(ops.gatedResidual(x, out, null));
    }
  }

  private NDArray feedForward(NDArray x, NDArray m, ForwardListener listener) {
    try (TensorScope scope = TensorScope.over(x, m)) {
      NDArray h = ops.modulatedNorm(x, m.get("4"), m.get("3"), config.eps());
      NDArray out = ops.feedForward(h, upWeight, upBias, downWeight, downBias);
      listener.tensor("block" + index + ".ffn", out);
      return scope.keep(ops.gatedResidual(x, out, m.get("5")));
    }
  }

  /** Queries and keys are normed over all heads together. The projection is freed. */
  private NDArray normed(NDArray projection, NDArray weight) {
    try (projection) {
      return ops.rmsNorm(projection, weight, config.eps());
    }
  }

  private NDArray rotated(NDArray projection, NDArray weight, WanRotary rotary) {
    try (projection) {
      return ops.normRotary(projection, weight, config.eps(), rotary.cos(), rotary.sin());
    }
  }

  /** (S, C) to (S, H, D). */
  private NDArray heads(NDArray x) {
    return x.reshape(-1, config.heads(), config.headDim());
  }

  /** The four projections of an attention layer. */
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
      return ops.linear(x, queryWeight, queryBias);
    }

    NDArray keys(NDArray x) {
      return ops.linear(x, keyWeight, keyBias);
    }

    NDArray values(NDArray x) {
      return ops.linear(x, valueWeight, valueBias);
    }

    /** (S, H, D) to (S, C). */
    NDArray out(NDArray attended) {
      return ops.linear(attended.reshape(-1, config.dim()), outWeight, outBias);
    }
  }
}
