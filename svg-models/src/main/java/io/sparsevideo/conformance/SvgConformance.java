package io.sparsevideo.conformance;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import io.sparsevideo.attention.ModelFamily;
import io.sparsevideo.attention.Svg1Stages;
import io.sparsevideo.attention.Svg2Stages;
import io.sparsevideo.attention.Svg2Stages.Clustering;
import io.sparsevideo.attention.TokenLayout;
import io.sparsevideo.kernels.BandMask;
import io.sparsevideo.tensor.TensorOps;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.TreeSet;
import java.util.function.IntBinaryOperator;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Traces of the sparse attention stages. Each layout of {@code trace.json} is an object with the
 * sizes; its tensors start with its name. A layout with text tokens has HunyuanVideo's masks, one
 * without has Wan's.
 */
final class SvgConformance {
  private static final double CENTROIDS = 1e-3;

  /** What rounding centroids to 16 bits may do: rows in other clusters, and looser clusters. */
  private static final double MOVED = .03;

  private static final double INERTIA = 1e-3;

  private static final String ROUNDED =
      "centroids are rounded to 16 bits for the assignment: rows that moved, and how much looser the"
          + " clusters are; later stages start from the recorded clusters";

  private final Trace trace;
  private final TensorOps ops;
  private final double attention; // tolerance of attention outputs
  private final NDManager manager;
  private final String name;
  private final TokenLayout layout;
  private final Svg1Stages svg1;
  private final Svg2Stages svg2;

  private SvgConformance(Trace trace, TensorOps ops, NDManager manager, String name) {
    this.trace = trace;
    this.ops = ops;
    attention = Tolerances.of(ops).attention();
    this.manager = manager;
    this.name = name;
    JsonNode sizes = trace.json().get(name);
    int prompt = sizes.path("prompt_length").asInt(0);
    layout =
        new TokenLayout(
            trace.count(name, "frames"),
            trace.count(name, "frame_size"),
            prompt,
            sizes.path("context_length").asInt(0) - prompt);
    ModelFamily family = layout.contextTokens() > 0 ? ModelFamily.HUNYUAN : ModelFamily.WAN;
    svg1 = new Svg1Stages(ops, family, layout);
    svg2 = new Svg2Stages(ops, layout);
  }

  static boolean recognises(Trace trace) {
    return !layouts(trace).isEmpty();
  }

  static void run(Trace trace, TensorOps ops) {
    for (String layout : layouts(trace)) {
      try (NDManager scope = ops.manager().newSubManager()) {
        new SvgConformance(trace, ops, scope, layout).run();
      }
    }
  }

  private static Collection<String> layouts(Trace trace) {
    Collection<String> result = new TreeSet<>();
    trace
        .json()
        .properties()
        .forEach(
            e -> {
              if (e.getValue().has("frame_size") && trace.has(e.getKey() + ".q")) {
                result.add(e.getKey());
              }
            });
    return result;
  }

  private void run() {
    NDArray q = tokenMajor("q");
    NDArray k = tokenMajor("k");
    NDArray v = tokenMajor("v");
    trace.compare(name + ".dense", headMajor(ops.attention(q, k, v)), attention);
    svg1(q, k, v);
    svg2(q, k, v);
  }

  private void svg1(NDArray q, NDArray k, NDArray v) {
    int heads = (int) q.getShape().get(1);
    trace.compare(
        name + ".profile_mask_spatial", mask((i, j) -> svg1.profileAllows(false, i, j) ? 1 : 0));
    trace.compare(
        name + ".profile_mask_temporal", mask((i, j) -> svg1.profileAllows(true, i, j) ? 1 : 0));
    Svg1Stages.Profile profile = svg1.profile(q, k, v, trace.ints(name + ".sampled_rows"), manager);
    trace.compare(name + ".sampled_mse", profile.errors(), attention);
    trace.compare(name + ".best_mask", profile.temporal().toIntArray());

    for (String density : suffixes("band_mask\\.(.+)")) {
      BandMask band = svg1.mask(Double.parseDouble(density));
      int rows = layout.tokens();
      trace.compare(
          name + ".band_mask." + density, mask((i, j) -> band.allows(rows, i, j) ? 1 : 0));
      for (String kind : List.of("spatial", "temporal")) {
        NDArray flags =
            manager.full(new Shape(heads), kind.equals("temporal") ? 1 : 0, DataType.INT32);
        NDArray out = manager.create(q.getShape(), q.getDataType());
        svg1.attend(q, k, v, out, flags, band);
        trace.compare(name + ".svg1_out_" + kind + "." + density, headMajor(out), attention);
      }
    }
  }

  private void svg2(NDArray q, NDArray k, NDArray v) {
    Clusters queries = null;
    Clusters keys = null;
    for (String iterations : suffixes("kmeans_q\\.(\\d+)\\.labels")) {
      queries = cluster(q, "q", Integer.parseInt(iterations));
      keys = cluster(k, "k", Integer.parseInt(iterations));
    }
    if (queries == null) {
      return;
    }
    NDArray map =
        svg2.blockMap(
            queries.centroids,
            keys.centroids,
            keys.rows.sizes(),
            trace.number(name, "top_p"),
            trace.number(name, "min_kc_ratio"),
            manager);
    trace.compare(name + ".dynamic_map", videoMap(map));
    NDArray densities = svg2.densities(queries.rows, keys.rows, map, true, manager);
    trace.compare(name + ".density_video", densities, 1e-6);
    NDArray out = manager.create(q.getShape(), q.getDataType());
    svg2.attend(q, k, v, out, queries.rows, keys.rows, map);
    trace.compare(name + ".svg2_out", headMajor(out), attention);
  }

  private record Clusters(NDArray centroids, Clustering rows) {}

  private Clusters cluster(NDArray x, String side, int iterations) {
    String init = name + "." + side + "_init_rows";
    long heads = x.getShape().get(1);
    long clusters = trace.size(init, 1);
    NDArray rows = manager.create(trace.ints(init), new Shape(heads, clusters));
    NDArray centroids =
        manager.create(new Shape(heads, clusters, x.getShape().get(2)), DataType.FLOAT32);
    Clustering found = svg2.cluster(x, centroids, rows, iterations, manager);
    String prefix = name + ".kmeans_" + side + "." + iterations + ".";
    if (ops.computeType() == DataType.FLOAT32) {
      trace.compare(prefix + "labels", found.labels().toIntArray());
      trace.compare(prefix + "sizes", found.sizes().toIntArray());
      trace.compare(prefix + "centroids", centroids, CENTROIDS);
      return new Clusters(centroids, found);
    }
    // Kernels that round centroids to 16 bits for the assignment decide near ties otherwise: rows
    // may move, but clusters must be as tight. What follows starts from the recorded ones.
    int[] labels = trace.ints(prefix + "labels");
    int[] sizes = trace.ints(prefix + "sizes");
    float[] recorded = trace.floats(prefix + "centroids");
    float[] points = x.toType(DataType.FLOAT32, false).toFloatArray();
    int[] foundLabels = found.labels().toIntArray();
    for (String stage : List.of("labels", "sizes", "centroids")) {
      trace.note(prefix + stage, ROUNDED);
    }
    trace.judge(prefix + "labels", moved(labels, foundLabels) / labels.length, MOVED);
    double arrived = 0;
    int[] foundSizes = found.sizes().toIntArray();
    for (int i = 0; i < sizes.length; i++) {
      arrived += Math.max(0, foundSizes[i] - sizes[i]);
    }
    trace.judge(prefix + "sizes", arrived / labels.length, MOVED);
    double expected = inertia(points, labels, recorded, (int) heads);
    double reached = inertia(points, foundLabels, centroids.toFloatArray(), (int) heads);
    // Both are 0 where every row is a cluster of its own.
    double error = reached == expected ? 0 : Math.abs(reached / expected - 1);
    trace.judge(prefix + "centroids", error, INERTIA);
    return new Clusters(
        manager.create(recorded, centroids.getShape()),
        svg2.sort(
            manager.create(labels, found.labels().getShape()),
            manager.create(sizes, found.sizes().getShape()),
            manager));
  }

  /** How many whole numbers differ. */
  private static double moved(int[] expected, int[] found) {
    int count = 0;
    for (int i = 0; i < expected.length; i++) {
      count += expected[i] == found[i] ? 0 : 1;
    }
    return count;
  }

  /** The sum of squared distances of video rows (S, H, D) to their centroids (H, K, D). */
  private double inertia(float[] points, int[] labels, float[] centroids, int heads) {
    int rows = layout.videoTokens();
    int dim = points.length / layout.tokens() / heads;
    int clusters = centroids.length / heads / dim;
    double sum = 0;
    for (int h = 0; h < heads; h++) {
      for (int row = 0; row < rows; row++) {
        int point = (row * heads + h) * dim;
        int centroid = (h * clusters + labels[h * rows + row]) * dim;
        for (int d = 0; d < dim; d++) {
          double difference = (double) points[point + d] - centroids[centroid + d];
          sum += difference * difference;
        }
      }
    }
    return sum;
  }

  /**
   * What a pattern's group matches among the names of this layout's tensors, in the order of
   * numbers.
   */
  private List<String> suffixes(String pattern) {
    Pattern full = Pattern.compile(Pattern.quote(name) + "\\." + pattern);
    List<String> result = new ArrayList<>();
    for (String tensor : trace.names()) {
      Matcher matcher = full.matcher(tensor);
      if (matcher.matches()) {
        result.add(matcher.group(1));
      }
    }
    result.sort((a, b) -> Double.compare(Double.parseDouble(a), Double.parseDouble(b)));
    return result;
  }

  private int[] mask(IntBinaryOperator allows) {
    int s = layout.tokens();
    int[] result = new int[s * s];
    for (int i = 0; i < s; i++) {
      for (int j = 0; j < s; j++) {
        result[i * s + j] = allows.applyAsInt(i, j);
      }
    }
    return result;
  }

  /** The (H, Q, K) part of a block map. */
  private int[] videoMap(NDArray map) {
    byte[] values = map.toByteArray();
    int context = layout.contextTokens() == 0 ? 0 : 2;
    int queries = (int) map.getShape().get(1);
    int keys = (int) map.getShape().get(2);
    int heads = (int) map.getShape().get(0);
    int[] result = new int[heads * (queries - context) * (keys - context)];
    int n = 0;
    for (int h = 0; h < heads; h++) {
      for (int i = 0; i < queries - context; i++) {
        for (int j = 0; j < keys - context; j++) {
          result[n++] = values[(h * queries + i) * keys + j];
        }
      }
    }
    return result;
  }

  /** A recorded (1, H, S, D) as (S, H, D), in the type that the backend computes in. */
  private NDArray tokenMajor(String tensor) {
    return trace
        .tensor(name + "." + tensor, manager)
        .squeeze(0)
        .transpose(1, 0, 2)
        .toType(ops.computeType(), false);
  }

  /** (S, H, D) to (H, S, D). */
  private static NDArray headMajor(NDArray x) {
    return x.transpose(1, 0, 2);
  }
}
