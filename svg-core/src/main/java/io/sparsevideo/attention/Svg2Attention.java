package io.sparsevideo.attention;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.attention.Svg2Stages.Clustering;
import io.sparsevideo.tensor.TensorOps;
import java.util.HashMap;
import java.util.Map;
import java.util.function.DoubleSupplier;

/**
 * Sparse VideoGen 2: queries and keys are clustered by k-means, and each query cluster attends to
 * the key clusters that hold most of its estimated attention. Centroids are kept per layer for the
 * whole generation; conditional and unconditional passes share them.
 */
final class Svg2Attention implements Attention {
  private final AttentionSettings settings;
  private final TokenLayout layout;
  private final Svg2Stages stages;
  private final NDManager manager;
  private final DensityLog densities;
  private final Map<Integer, Centroids> cache = new HashMap<>();

  /** A layer's centroids: queries (H, Q, D) and keys (H, K, D), FLOAT32. */
  private record Centroids(NDArray queries, NDArray keys) {}

  /** Queries and keys by cluster, and the centroids they ended at. */
  private record Clusters(Centroids centroids, Clustering byQuery, Clustering byKey) {}

  Svg2Attention(TensorOps ops, AttentionSettings settings, TokenLayout layout) {
    this.settings = settings;
    this.layout = layout;
    stages = new Svg2Stages(ops, layout);
    manager = ops.manager().newSubManager();
    densities = new DensityLog(ops, manager);
  }

  @Override
  public AttentionMode.Kind kind() {
    return AttentionMode.Kind.SVG2;
  }

  @Override
  public DoubleSupplier attend(NDArray q, NDArray k, NDArray v, NDArray out, CallSite site) {
    try (NDManager scope = q.getManager().newSubManager()) {
      Clusters c = cluster(q, k, site, scope);
      NDArray map =
          stages.blockMap(
              c.centroids.queries,
              c.centroids.keys,
              c.byKey.sizes(),
              settings.topP(),
              settings.minKeyRatio(),
              scope);
      stages.attend(q, k, v, out, c.byQuery, c.byKey, map);
      return densities.add(
          (int) q.getShape().get(1), row -> stages.densities(c.byQuery, c.byKey, map, false, row));
    }
  }

  @Override
  public void observe(NDArray q, NDArray k, CallSite site) {
    if (settings.clusterInDenseSteps()) {
      try (NDManager scope = q.getManager().newSubManager()) {
        cluster(q, k, site, scope);
      }
    }
  }

  /**
   * The layer's first call starts from random rows, later ones from where the last left the
   * centroids.
   */
  private Clusters cluster(NDArray q, NDArray k, CallSite site, NDManager scope) {
    Centroids known = cache.get(site.layer());
    if (known != null) {
      int iterations = PresetTable.LATER_ITERATIONS;
      return new Clusters(
          known,
          stages.cluster(q, known.queries, null, iterations, scope),
          stages.cluster(k, known.keys, null, iterations, scope));
    }
    int heads = (int) q.getShape().get(1);
    long dim = q.getShape().get(2);
    int queries = settings.queryClusters();
    int keys = settings.keyClusters();
    Centroids fresh =
        new Centroids(
            manager.create(new Shape(heads, queries, dim), DataType.FLOAT32),
            manager.create(new Shape(heads, keys, dim), DataType.FLOAT32));
    int iterations = PresetTable.FIRST_ITERATIONS;
    long seed = site.drawSeed();
    Clusters clusters =
        new Clusters(
            fresh,
            stages.clusterFromRandomRows(q, fresh.queries, seed, iterations, scope),
            stages.clusterFromRandomRows(k, fresh.keys, ~seed, iterations, scope));
    cache.put(site.layer(), fresh);
    return clusters;
  }

  @Override
  public void close() {
    manager.close();
  }
}
