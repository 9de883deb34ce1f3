package io.sparsevideo.attention;

import io.sparsevideo.attention.AttentionMode.Option;

/**
 * An attention mode with every value filled in, for one generation.
 *
 * @param kind dense, SVG1 or SVG2
 * @param family the model family
 * @param firstTimes fraction of the steps that stay dense
 * @param firstLayers fraction of the layers that stay dense
 * @param density SVG1: requested density, which sets the band's width
 * @param sampledRows SVG1: rows sampled by the online profiling
 * @param topP SVG2: cumulative probability up to which key clusters are kept
 * @param minKeyRatio SVG2: least fraction of key clusters kept
 * @param queryClusters SVG2: clusters of queries, at most the video tokens
 * @param keyClusters SVG2: clusters of keys, at most the video tokens
 * @param clusterInDenseSteps SVG2: whether k-means already runs in dense steps
 */
public record AttentionSettings(
    AttentionMode.Kind kind,
    ModelFamily family,
    double firstTimes,
    double firstLayers,
    double density,
    int sampledRows,
    double topP,
    double minKeyRatio,
    int queryClusters,
    int keyClusters,
    boolean clusterInDenseSteps) {

  /**
   * Fills in a mode's values: what the mode sets itself, then the preset's entry for this number of
   * video tokens. At another number everything comes from the family's 720p entry, and its cluster
   * counts are scaled by the square root of the token count (see docs/decisions/cluster-counts.md).
   *
   * @param videoTokens video tokens N of a self-attention call
   */
  public static AttentionSettings resolve(
      AttentionMode mode, ModelFamily family, boolean imageToVideo, int videoTokens) {
    PresetTable.Entry entry =
        PresetTable.ofTokens(mode.preset(), family, imageToVideo, videoTokens)
            .orElseGet(() -> PresetTable.main(mode.preset(), family, imageToVideo));
    double scale = Math.sqrt((double) videoTokens / entry.videoTokens()); // 1 for a table size
    int queryClusters = Math.max(8, (int) Math.round(entry.queryClusters() * scale));
    int keyClusters = Math.max(16, (int) Math.round(entry.keyClusters() * scale));
    return new AttentionSettings(
        mode.kind(),
        family,
        mode.get(Option.FIRST_TIMES, entry.firstTimes()),
        mode.get(Option.FIRST_LAYERS, entry.firstLayers()),
        mode.get(Option.DENSITY, entry.density()),
        mode.get(Option.SAMPLED_ROWS, PresetTable.SAMPLED_ROWS),
        mode.get(Option.TOP_P, PresetTable.TOP_P),
        mode.get(Option.MIN_KEY_RATIO, PresetTable.MIN_KEY_RATIO),
        Math.min(videoTokens, mode.get(Option.QUERY_CLUSTERS, queryClusters)),
        Math.min(videoTokens, mode.get(Option.KEY_CLUSTERS, keyClusters)),
        entry.clusterInDenseSteps());
  }

  /** Whether a call stays dense: a dense mode, an early step or an early layer. */
  public boolean isDense(int step, int steps, int layer, int layers) {
    return kind == AttentionMode.Kind.DENSE
        || step < (int) Math.floor(firstTimes * steps)
        || isDenseLayer(layer, layers);
  }

  /** Whether a layer stays dense in every step. */
  public boolean isDenseLayer(int layer, int layers) {
    return layer < (int) Math.floor(firstLayers * layers);
  }
}
