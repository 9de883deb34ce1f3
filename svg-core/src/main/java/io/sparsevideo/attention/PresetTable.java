package io.sparsevideo.attention;

import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The values of the public system's scripts, one entry per model family, task and size
 * (Sparse-VideoGen, scripts/), and the SVG2 paper's where they differ.
 */
public final class PresetTable {

  /**
   * One script's values.
   *
   * @param family the model family
   * @param imageToVideo whether a first frame is given
   * @param height pixels
   * @param width pixels
   * @param frames frames of the video
   * @param videoTokens video tokens N of a self-attention call
   * @param fps frames per second
   * @param steps denoising steps
   * @param flowShift the scheduler's flow shift; NaN where the scheduler has none
   * @param guidance guidance scale
   * @param firstTimes fraction of the steps that stay dense
   * @param firstLayers fraction of the layers that stay dense
   * @param density SVG1's requested density
   * @param queryClusters SVG2's clusters of queries
   * @param keyClusters SVG2's clusters of keys
   * @param clusterInDenseSteps whether k-means already runs in the dense steps
   */
  public record Entry(
      ModelFamily family,
      boolean imageToVideo,
      int height,
      int width,
      int frames,
      int videoTokens,
      double fps,
      int steps,
      double flowShift,
      double guidance,
      double firstTimes,
      double firstLayers,
      double density,
      int queryClusters,
      int keyClusters,
      boolean clusterInDenseSteps) {

    /** The SVG2 paper's clusters and dense steps, all else as here. */
    Entry paper() {
      return new Entry(
          family,
          imageToVideo,
          height,
          width,
          frames,
          videoTokens,
          fps,
          steps,
          flowShift,
          guidance,
          .30,
          firstLayers,
          density,
          100,
          500,
          clusterInDenseSteps);
    }
  }

  /** SVG1: rows sampled by the online profiling, and the range they are drawn from. */
  static final int SAMPLED_ROWS = 64;

  static final int SAMPLED_ROW_RANGE = 10_000;

  /** SVG2: top-p, least key ratio, k-means iterations of the first and of later calls. */
  static final double TOP_P = .9;

  static final double MIN_KEY_RATIO = .10;
  static final int FIRST_ITERATIONS = 50;
  static final int LATER_ITERATIONS = 2;

  // Each family's 720p text-to-video entry comes first: other sizes take their values from it.
  private static final List<Entry> ENTRIES =
      List.of(
          new Entry(
              ModelFamily.WAN,
              false,
              720,
              1280,
              81,
              21 * 3600,
              16,
              50,
              5,
              5,
              .20,
              .03,
              .30,
              300,
              1000,
              false),
          new Entry(
              ModelFamily.WAN,
              true,
              720,
              1280,
              81,
              21 * 3600,
              16,
              40,
              5,
              5,
              .35,
              .03,
              .30,
              300,
              1000,
              false),
          // No public script runs text-to-video at 480p: the image-to-video column with 50 steps.
          new Entry(
              ModelFamily.WAN,
              false,
              480,
              832,
              81,
              21 * 1560,
              16,
              50,
              3,
              5,
              .20,
              .03,
              .30,
              200,
              1000,
              true),
          new Entry(
              ModelFamily.WAN,
              true,
              480,
              832,
              81,
              21 * 1560,
              16,
              40,
              3,
              5,
              .20,
              .03,
              .30,
              200,
              1000,
              true),
          new Entry(
              ModelFamily.HUNYUAN,
              false,
              720,
              1280,
              129,
              33 * 3600,
              24,
              50,
              7,
              6,
              .10,
              .03,
              .25,
              400,
              1000,
              true),
          new Entry(
              ModelFamily.HUNYUAN,
              false,
              480,
              720,
              129,
              33 * 1350,
              24,
              50,
              7,
              6,
              .04,
              0,
              .20,
              200,
              1000,
              true),
          new Entry(
              ModelFamily.COSMOS,
              false,
              704,
              1280,
              121,
              16 * 3520,
              30,
              35,
              Double.NaN,
              7,
              .30,
              .03,
              .25,
              400,
              1000,
              false));

  private PresetTable() {}

  /** The entry of exactly this size in pixels, either way up. */
  public static Optional<Entry> ofSize(
      AttentionPreset preset, ModelFamily family, boolean imageToVideo, int height, int width) {
    return entries(preset, family, imageToVideo)
        .filter(
            e -> e.height == height && e.width == width || e.height == width && e.width == height)
        .findFirst();
  }

  /** The entry of exactly this number of video tokens. */
  static Optional<Entry> ofTokens(
      AttentionPreset preset, ModelFamily family, boolean imageToVideo, int videoTokens) {
    return entries(preset, family, imageToVideo)
        .filter(e -> e.videoTokens == videoTokens)
        .findFirst();
  }

  /** The family's 720p entry. */
  public static Entry main(AttentionPreset preset, ModelFamily family, boolean imageToVideo) {
    return entries(preset, family, imageToVideo)
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "no preset for "
                        + family
                        + (imageToVideo ? " image-to-video" : " text-to-video")));
  }

  private static Stream<Entry> entries(
      AttentionPreset preset, ModelFamily family, boolean imageToVideo) {
    return ENTRIES.stream()
        .filter(e -> e.family == family && e.imageToVideo == imageToVideo)
        .map(e -> preset == AttentionPreset.PAPER ? e.paper() : e);
  }
}
