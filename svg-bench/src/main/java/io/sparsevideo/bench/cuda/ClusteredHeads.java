package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.cuda.engine.CudaNDArray;
import io.sparsevideo.cuda.engine.CudaNDManager;
import io.sparsevideo.tensor.FloatConversion;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.SplittableRandom;
import java.util.stream.IntStream;

/**
 * Queries and keys (S, H, D) as a trained model has them: in each head every token belongs to one
 * of a few clusters, and is the cluster's centre plus noise. Centres are normal in every channel,
 * so that the scaled score of a query centre and a key centre is normal with the deviation that is
 * asked for, σ. Over clusters of equal size the share f of the keys that holds the probability p
 * would be where Φ(σ − Φ⁻¹(1 − f)) = p: .26 for .90 at σ = 1.92. It is about .30 of the clusters
 * that k-means finds.
 *
 * @param queries (S, H, D) BFLOAT16
 * @param keys (S, H, D) BFLOAT16
 */
record ClusteredHeads(CudaNDArray queries, CudaNDArray keys) {

  /** Fewer than k-means looks for, so that each is found: it starts from random rows. */
  private static final int QUERY_CENTRES = 64;

  private static final int KEY_CENTRES = 128;

  /** Deviation of a channel within a cluster. */
  private static final float NOISE = 0.3f;

  private static final int DRAWN_NOISE = 1 << 20;

  /**
   * @param seed of the noise; the centres are always the same
   * @param deviation σ
   */
  static ClusteredHeads draw(
      CudaNDManager manager, int tokens, int heads, int dim, double deviation, long seed) {
    float spread = (float) Math.sqrt(deviation);
    return new ClusteredHeads(
        draw(manager, tokens, heads, dim, spread, QUERY_CENTRES, 1, 2 * seed),
        draw(manager, tokens, heads, dim, spread, KEY_CENTRES, 2, 2 * seed + 1));
  }

  private static CudaNDArray draw(
      CudaNDManager manager,
      int tokens,
      int heads,
      int dim,
      float spread,
      int centres,
      long centreSeed,
      long noiseSeed) {
    float[] centre = normal(centres * heads * dim, spread, centreSeed);
    float[] noise = normal(DRAWN_NOISE, NOISE, noiseSeed);
    Shape shape = new Shape(tokens, heads, dim);
    try (Arena arena = Arena.ofShared()) {
      MemorySegment values = arena.allocate(2 * shape.size(), 2);
      IntStream.range(0, tokens)
          .parallel()
          .forEach(
              token -> {
                SplittableRandom places = new SplittableRandom(centreSeed << 32 | token);
                SplittableRandom parts = new SplittableRandom(noiseSeed << 32 | token);
                for (int h = 0; h < heads; h++) {
                  int from = (places.nextInt(centres) * heads + h) * dim;
                  int part = parts.nextInt(DRAWN_NOISE - dim);
                  long to = ((long) token * heads + h) * dim;
                  for (int d = 0; d < dim; d++) {
                    values.setAtIndex(
                        ValueLayout.JAVA_SHORT,
                        to + d,
                        FloatConversion.floatToBfloat16(centre[from + d] + noise[part + d]));
                  }
                }
              });
      return manager.create(values, shape, DataType.BFLOAT16);
    }
  }

  private static float[] normal(int count, float deviation, long seed) {
    SplittableRandom random = new SplittableRandom(seed);
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) (deviation * random.nextGaussian());
    }
    return values;
  }
}
