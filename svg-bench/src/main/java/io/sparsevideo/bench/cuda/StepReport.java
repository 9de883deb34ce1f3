package io.sparsevideo.bench.cuda;

import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.bench.cuda.DenoisingStep.Measured;
import io.sparsevideo.bench.cuda.StageClock.Stage;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Prints what steps take, and adds the rows: the step, a layer, and the layer's stages. */
final class StepReport {
  private final Map<String, Object> shape;
  private final int layers;
  private final int layersRun;
  private final ResultRows rows;
  private Map<String, Double> dense = Map.of();

  /**
   * @param shape of all rows, and of the peers' that they are held against
   * @param layers of the whole model
   * @param layersRun of those that were timed
   * @param rows takes the rows
   */
  StepReport(Map<String, Object> shape, int layers, int layersRun, ResultRows rows) {
    this.shape = shape;
    this.layers = layers;
    this.layersRun = layersRun;
    this.rows = rows;
  }

  /** Dense attention should come first: what follows is held against it. */
  void add(AttentionMode.Kind kind, Measured measured) {
    double layerMs = measured.layerMs();
    Map<String, Double> wholes = new LinkedHashMap<>();
    wholes.put("step", measured.stepMs() + 2 * (layers - layersRun) * layerMs);
    wholes.put("layer", layerMs);
    System.out.printf(
        "%n%s, density %.3f: step %.0f ms%s, layer %.2f ms%n",
        kind.label(),
        measured.density(),
        wholes.get("step"),
        layersRun == layers ? "" : " (from %d of %d layers)".formatted(layersRun, layers),
        layerMs);
    Map<String, Double> stages = stages(measured.stages());
    stages.forEach(
        (stage, ms) ->
            System.out.printf(
                "  %-12s %8.2f ms a layer %5.1f %%%n", stage, ms, 100 * ms / layerMs));
    wholes.forEach((part, ms) -> addCompared(part, row(part, kind, measured, ms)));
    stages.forEach((stage, ms) -> rows.add(row(stage, kind, measured, ms)));
    if (kind == AttentionMode.Kind.DENSE) {
      dense = wholes;
    }
  }

  /** Milliseconds of a block in one pass by stage, and what is left of it. */
  private Map<String, Double> stages(Map<Stage, Double> times) {
    Map<String, Double> stages = new LinkedHashMap<>();
    double[] other = {times.get(Stage.BLOCKS)};
    times.forEach(
        (stage, ms) -> {
          if (!stage.isWhole()) {
            stages.put(stage.label(), ms / (2 * layersRun));
            other[0] -= ms;
          }
        });
    stages.put("other", other[0] / (2 * layersRun));
    return stages;
  }

  private Result row(String part, AttentionMode.Kind kind, Measured measured, double ms) {
    Map<String, Object> params = work(part);
    params.put("attention", kind.label());
    params.put("density", Results.rounded(measured.density()));
    return Result.of("step", params, ms);
  }

  /** What peers' rows are found by: they have no attention mode. */
  private Map<String, Object> work(String part) {
    Map<String, Object> work = new LinkedHashMap<>(shape);
    work.put("part", part);
    return work;
  }

  private void addCompared(String part, Result result) {
    List<Result> own =
        dense.containsKey(part) ? List.of(result.against("own dense", dense.get(part))) : List.of();
    for (Result row : rows.addCompared(result, work(part), own)) {
      System.out.printf("  %s: %.3f × %s (%.2f ms)%n", part, row.ratio(), row.peer(), row.peerMs());
    }
  }
}
