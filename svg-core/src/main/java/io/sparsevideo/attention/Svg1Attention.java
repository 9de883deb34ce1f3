package io.sparsevideo.attention;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparsevideo.kernels.BandMask;
import io.sparsevideo.tensor.TensorOps;
import java.util.SplittableRandom;
import java.util.function.DoubleSupplier;

/**
 * Sparse VideoGen: heads attend either within nearby frames (spatial) or to the same place in all
 * frames (temporal). Which of the two a head does is found anew in every call, on a few sampled
 * rows.
 */
final class Svg1Attention implements Attention {
  private final Svg1Stages stages;
  private final BandMask mask;
  private final double density;
  private final int samples;
  private final int range;

  Svg1Attention(TensorOps ops, AttentionSettings settings, TokenLayout layout) {
    stages = new Svg1Stages(ops, settings.family(), layout);
    mask = stages.mask(settings.density());
    density = mask.density();
    samples = settings.sampledRows();
    range = Math.min(layout.tokens(), PresetTable.SAMPLED_ROW_RANGE);
  }

  @Override
  public AttentionMode.Kind kind() {
    return AttentionMode.Kind.SVG1;
  }

  @Override
  public DoubleSupplier attend(NDArray q, NDArray k, NDArray v, NDArray out, CallSite site) {
    int[] rows = new SplittableRandom(site.drawSeed()).ints(samples, 0, range).toArray();
    try (NDManager scope = q.getManager().newSubManager()) {
      NDArray temporal = stages.profile(q, k, v, rows, scope).temporal();
      stages.attend(q, k, v, out, temporal, mask);
    }
    return () -> density;
  }
}
