package io.sparsevideo.attention;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.tensor.HeadViews;
import io.sparsevideo.tensor.TensorOps;
import java.lang.foreign.MemorySegment;

/**
 * The stages of Sparse VideoGen 2 on one backend: clustering, block map, and attention over
 * permuted rows. Q query and K key clusters; where the sequence has text, its prompt tokens form
 * one more cluster and its padding another.
 *
 * <p>Source: "Sparse VideoGen2: Accelerate Video Generation with Sparse Attention via
 * Semantic-Aware Permutation", section 4, and the public system's block map.
 */
public final class Svg2Stages {
  /** Stop k-means early when no centroid moves farther than this. */
  private static final float TOLERANCE = 1e-4f;

  private final TensorOps ops;
  private final TokenLayout layout;
  private final int contextClusters;

  public Svg2Stages(TensorOps ops, TokenLayout layout) {
    this.ops = ops;
    this.layout = layout;
    contextClusters = layout.contextTokens() == 0 ? 0 : 2;
  }

  /**
   * Video rows by cluster, all INT32.
   *
   * @param labels (H, N) cluster of each row
   * @param sizes (H, clusters)
   * @param order (H, N) rows, cluster by cluster
   * @param offsets (H, clusters + context clusters + 1) where each cluster starts
   */
  public record Clustering(NDArray labels, NDArray sizes, NDArray order, NDArray offsets) {}

  /**
   * k-means over the video tokens.
   *
   * @param x (S, H, D)
   * @param centroids (H, clusters, D) FLOAT32, updated; the start too when {@code initRows} is null
   * @param initRows (H, clusters) INT32 rows to start from, or null
   * @param iterations at least 1
   * @param manager owner of the result
   */
  public Clustering cluster(
      NDArray x, NDArray centroids, NDArray initRows, int iterations, NDManager manager) {
    return cluster(
        x,
        centroids,
        manager,
        (rows, labels, sizes) ->
            ops.kernels()
                .kmeans(
                    rows,
                    (int) centroids.getShape().get(1),
                    iterations,
                    TOLERANCE,
                    initRows == null ? null : ops.memory(initRows),
                    ops.memory(centroids),
                    labels,
                    sizes,
                    null));
  }

  /**
   * k-means over the video tokens from distinct random rows of each head, which every backend draws
   * alike.
   *
   * @param x (S, H, D)
   * @param centroids (H, clusters, D) FLOAT32, written
   * @param seed of the rows
   * @param iterations at least 1
   * @param manager owner of the result
   */
  public Clustering clusterFromRandomRows(
      NDArray x, NDArray centroids, long seed, int iterations, NDManager manager) {
    return cluster(
        x,
        centroids,
        manager,
        (rows, labels, sizes) ->
            ops.kernels()
                .kmeans(
                    rows,
                    (int) centroids.getShape().get(1),
                    iterations,
                    TOLERANCE,
                    seed,
                    ops.memory(centroids),
                    labels,
                    sizes,
                    null));
  }

  /** Assigns rows to clusters: labels and sizes are written. */
  private interface KMeans {
    void run(Heads rows, MemorySegment labels, MemorySegment sizes);
  }

  private Clustering cluster(NDArray x, NDArray centroids, NDManager manager, KMeans kMeans) {
    int heads = (int) x.getShape().get(1);
    int rows = layout.videoTokens();
    int clusters = (int) centroids.getShape().get(1);
    NDArray labels = manager.create(new Shape(heads, rows), DataType.INT32);
    NDArray sizes = manager.create(new Shape(heads, clusters), DataType.INT32);
    kMeans.run(HeadViews.of(ops, x).firstRows(rows), ops.memory(labels), ops.memory(sizes));
    return sort(labels, sizes, manager);
  }

  /**
   * Video rows by cluster.
   *
   * @param labels (H, N) INT32
   * @param sizes (H, clusters) INT32
   * @param manager owner of what is not given
   */
  public Clustering sort(NDArray labels, NDArray sizes, NDManager manager) {
    int heads = (int) labels.getShape().get(0);
    int rows = (int) labels.getShape().get(1);
    int clusters = (int) sizes.getShape().get(1);
    NDArray order = manager.create(new Shape(heads, rows), DataType.INT32);
    NDArray offsets =
        manager.create(new Shape(heads, clusters + contextClusters + 1), DataType.INT32);
    ops.kernels()
        .sortLabels(
            heads,
            rows,
            clusters,
            contextClusters,
            layout.promptTokens(),
            layout.paddingTokens(),
            ops.memory(labels),
            ops.memory(order),
            ops.memory(offsets));
    return new Clustering(labels, sizes, order, offsets);
  }

  /**
   * Which key clusters each query cluster attends to.
   *
   * @param queryCentroids (H, Q, D) FLOAT32
   * @param keyCentroids (H, K, D) FLOAT32
   * @param keySizes (H, K) INT32
   * @param topP cumulative probability up to which clusters are kept
   * @param minKeyRatio least fraction of the K clusters kept
   * @param manager owner of the result
   * @return (H, Q + context clusters, K + context clusters) UINT8
   */
  public NDArray blockMap(
      NDArray queryCentroids,
      NDArray keyCentroids,
      NDArray keySizes,
      double topP,
      double minKeyRatio,
      NDManager manager) {
    int heads = (int) queryCentroids.getShape().get(0);
    int queries = (int) queryCentroids.getShape().get(1);
    int keys = (int) keyCentroids.getShape().get(1);
    int dim = (int) keyCentroids.getShape().get(2);
    NDArray map =
        manager.create(
            new Shape(heads, queries + contextClusters, keys + contextClusters), DataType.UINT8);
    ops.kernels()
        .blockMap(
            heads,
            dim,
            queries,
            keys,
            contextClusters,
            (int) Math.floor(minKeyRatio * keys),
            (float) topP,
            (float) (1 / Math.sqrt(dim)),
            ops.memory(queryCentroids),
            ops.memory(keyCentroids),
            ops.memory(keySizes),
            ops.memory(map));
    return map;
  }

  /**
   * Attention of every query cluster to its kept key clusters.
   *
   * @param q (S, H, D), as k, v and out
   * @param map what {@link #blockMap} gave
   */
  public void attend(
      NDArray q,
      NDArray k,
      NDArray v,
      NDArray out,
      Clustering byQuery,
      Clustering byKey,
      NDArray map) {
    try (NDManager scope = q.getManager().newSubManager()) {
      Heads queries = permute(q, byQuery.order, scope);
      Heads keys = permute(k, byKey.order, scope);
      Heads values = permute(v, byKey.order, scope);
      Heads blocked = HeadViews.of(ops, scope.create(out.getShape(), out.getDataType()));
      ops.kernels()
          .attentionBlocks(
              queries,
              keys,
              values,
              blocked,
              HeadViews.scale(q),
              (int) map.getShape().get(1),
              (int) map.getShape().get(2),
              ops.memory(byQuery.offsets),
              ops.memory(byKey.offsets),
              ops.memory(map));
      ops.kernels()
          .permuteRows(
              blocked,
              HeadViews.of(ops, out),
              layout.videoTokens(),
              ops.memory(byQuery.order),
              true);
    }
  }

  private Heads permute(NDArray x, NDArray order, NDManager scope) {
    Heads moved = HeadViews.of(ops, scope.create(x.getShape(), x.getDataType()));
    ops.kernels()
        .permuteRows(HeadViews.of(ops, x), moved, layout.videoTokens(), ops.memory(order), false);
    return moved;
  }

  /**
   * Allowed pairs / all pairs of each head.
   *
   * @param videoOnly counts video × video pairs only; otherwise video and prompt tokens, never
   *     padding
   * @param manager owner of the result
   * @return (H) FLOAT32
   */
  public NDArray densities(
      Clustering byQuery, Clustering byKey, NDArray map, boolean videoOnly, NDManager manager) {
    NDArray densities = manager.create(new Shape(map.getShape().get(0)), DataType.FLOAT32);
    densities(byQuery, byKey, map, videoOnly, ops.memory(densities));
    return densities;
  }

  /** The same into memory of H floats. */
  void densities(
      Clustering byQuery, Clustering byKey, NDArray map, boolean videoOnly, MemorySegment out) {
    int queries = (int) map.getShape().get(1);
    int keys = (int) map.getShape().get(2);
    int skipped = contextClusters == 0 ? 0 : videoOnly ? 2 : 1; // context clusters are the last
    ops.kernels()
        .blockDensity(
            (int) map.getShape().get(0),
            queries,
            keys,
            queries - skipped,
            keys - skipped,
            ops.memory(byQuery.offsets),
            ops.memory(byKey.offsets),
            ops.memory(map),
            out);
  }
}
