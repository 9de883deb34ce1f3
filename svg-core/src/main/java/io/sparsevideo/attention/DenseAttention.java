package io.sparsevideo.attention;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.tensor.HeadViews;
import io.sparsevideo.tensor.TensorOps;
import java.util.function.DoubleSupplier;

/** Every real token sees every real token; padding sees padding only. */
final class DenseAttention implements Attention {
  private final TensorOps ops;
  private final TokenLayout layout;

  DenseAttention(TensorOps ops, TokenLayout layout) {
    this.ops = ops;
    this.layout = layout;
  }

  @Override
  public AttentionMode.Kind kind() {
    return AttentionMode.Kind.DENSE;
  }

  @Override
  public DoubleSupplier attend(NDArray q, NDArray k, NDArray v, NDArray out, CallSite site) {
    int split = layout.paddingTokens() == 0 ? 0 : layout.realTokens();
    ops.kernels()
        .attentionDense(
            HeadViews.of(ops, q),
            HeadViews.of(ops, k),
            HeadViews.of(ops, v),
            HeadViews.of(ops, out),
            HeadViews.scale(q),
            split,
            null);
    return () -> 1;
  }
}
