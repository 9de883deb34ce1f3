package io.sparsevideo.attention;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.kernels.BandMask;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.VideoLayout;
import io.sparsevideo.tensor.HeadViews;
import io.sparsevideo.tensor.TensorOps;

/**
 * The stages of Sparse VideoGen on one backend: its masks, online profiling, and banded attention
 * with the layout transform of temporal heads.
 *
 * <p>Source: "Sparse VideoGen: Accelerating Video Diffusion Transformers with Spatial-Temporal
 * Sparsity", section 4, and the public system's masks.
 */
public final class Svg1Stages {
  private static final int BLOCK = 128;

  private final TensorOps ops;
  private final ModelFamily family;
  private final TokenLayout layout;
  private final VideoLayout video;

  public Svg1Stages(TensorOps ops, ModelFamily family, TokenLayout layout) {
    this.ops = ops;
    this.family = family;
    this.layout = layout;
    video = layout.toKernel();
  }

  /**
   * What profiling found.
   *
   * @param errors (2, H) FLOAT32: mean squared error of the sampled rows under the spatial and the
   *     temporal mask
   * @param temporal (H) INT32: 1 where the temporal error is smaller
   */
  public record Profile(NDArray errors, NDArray temporal) {}

  /**
   * The band whose area, with the text rows and columns, is the requested density of all pairs. Its
   * width solves 1 − (1 − width / S)² = density' and is rounded to whole blocks, up where a sink is
   * added and down beside text.
   */
  public BandMask mask(double density) {
    double s = layout.tokens();
    double bandDensity = (density * s * s - 2 * s * layout.contextTokens()) / (s * s);
    double width = s * (1 - Math.sqrt(1 - bandDensity));
    boolean sink = family.firstFrameSink();
    // Allowed are |q − k| ≤ w beside a sink and |q − k| < w beside text; w ≤ 0 is no band at all.
    int w = BLOCK * (int) (sink ? Math.ceil(width / BLOCK) : Math.floor(width / BLOCK));
    int halfWidth = w <= 0 ? -1 : sink ? w : w - 1;
    return new BandMask(layout.videoTokens(), layout.promptTokens(), sinkKeys(), halfWidth);
  }

  /**
   * Whether a profiling mask lets row q see key k; what {@link #profile} computes with, spelled out
   * for one pair.
   */
  public boolean profileAllows(boolean temporal, int q, int k) {
    int n = layout.videoTokens();
    if (q >= n || k >= n) {
      return true;
    }
    int i = temporal ? tokenMajor(q) : q;
    int j = temporal ? tokenMajor(k) : k;
    return j < sinkKeys() || Math.abs(i / BLOCK - j / BLOCK) < profileBlocks();
  }

  private int tokenMajor(int row) {
    return row % layout.tokensPerFrame() * layout.frames() + row / layout.tokensPerFrame();
  }

  private int sinkKeys() {
    return family.firstFrameSink() ? layout.tokensPerFrame() : 0;
  }

  private int profileBlocks() {
    return (int) Math.floor(family.profileFrames() * layout.tokensPerFrame() / BLOCK);
  }

  /**
   * Compares both masks with exact attention on sampled rows.
   *
   * @param q (S, H, D), as k and v
   * @param rows sampled rows, each in [0, S)
   * @param manager owner of the result
   */
  public Profile profile(NDArray q, NDArray k, NDArray v, int[] rows, NDManager manager) {
    long heads = q.getShape().get(1);
    NDArray errors = manager.create(new Shape(2, heads), DataType.FLOAT32);
    NDArray temporal = manager.create(new Shape(heads), DataType.INT32);
    try (NDArray sampled = manager.create(rows)) {
      ops.kernels()
          .profileHeads(
              HeadViews.of(ops, q),
              HeadViews.of(ops, k),
              HeadViews.of(ops, v),
              HeadViews.scale(q),
              video,
              sinkKeys(),
              profileBlocks(),
              rows.length,
              ops.memory(sampled),
              ops.memory(errors),
              ops.memory(temporal));
    }
    return new Profile(errors, temporal);
  }

  /**
   * Banded attention; temporal heads are reordered token-major before it and back after it.
   *
   * @param q (S, H, D), as k, v and out
   * @param temporal (H) INT32 flags
   */
  public void attend(
      NDArray q, NDArray k, NDArray v, NDArray out, NDArray temporal, BandMask mask) {
    try (NDManager scope = q.getManager().newSubManager()) {
      Heads queries = toTokenMajor(q, temporal, scope);
      Heads keys = toTokenMajor(k, temporal, scope);
      Heads values = toTokenMajor(v, temporal, scope);
      Heads banded = HeadViews.of(ops, scope.create(out.getShape(), out.getDataType()));
      ops.kernels().attentionBand(queries, keys, values, banded, HeadViews.scale(q), mask);
      ops.kernels().videoLayout(banded, HeadViews.of(ops, out), video, ops.memory(temporal), true);
    }
  }

  private Heads toTokenMajor(NDArray x, NDArray temporal, NDManager scope) {
    Heads moved = HeadViews.of(ops, scope.create(x.getShape(), x.getDataType()));
    ops.kernels().videoLayout(HeadViews.of(ops, x), moved, video, ops.memory(temporal), false);
    return moved;
  }
}
