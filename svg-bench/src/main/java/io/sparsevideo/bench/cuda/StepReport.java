package io.sparsevideo.bench.cuda;

import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.bench.cuda.DenoisingStep.Measured;
import io.sparsevideo.bench.cuda.StageClock.Stage;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Prints what steps take, and collects the rows: the step, a layer, and the layer's stages. */
final class StepReport {
  private final Map<String, Object> shape;
  private final int layers;
  private final int layersRun;
  private final List<Result> peers;
  private final List<Result> results = new ArrayList<>();
  private Map<String, Double> dense = Map.of();

  /**
   * @param shape of all rows, and of the peers' that they are held against
   * @param layers of the whole model
   * @param layersRun of those that were timed
   */
  StepReport(Map<String, Object> shape, int layers, int layersRun, List<Result> peers) {
    this.shape = shape;
    this.layers = layers;
    this.layersRun = layersRun;
    this.peers = peers;
  }

  List<Result> results() {
    return Collections.unmodifiableList(results);
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
    wholes.forEach((part, ms) -> addCompared(row(part, kind, measured, ms)));
    stages.forEach((stage, ms) -> results.add(row(stage, kind, measured, ms)));
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
    Map<String, Object> params = new LinkedHashMap<>(shape);
    params.put("part", part);
    params.put("attention", kind.label());
    params.put("density", Results.rounded(measured.density()));
    return new Result("step", params, ms, null, null, null, null, null, null, null);
  }

  /** A row for each thing that a whole is held against. */
  private void addCompared(Result result) {
    Map<String, Object> work = new LinkedHashMap<>(shape);
    Object part = result.params().get("part");
    work.put("part", part);
    List<Result> compared = new ArrayList<>();
    if (dense.containsKey(part)) {
      compared.add(result.against("own dense", dense.get(part)));
    }
    for (Result peer : peers) {
      if (peer.benchmark().equals("step") && peer.params().equals(work)) {
        compared.add(result.against(peer.peer(), peer.peerMs()));
      }
    }
    for (Result c : compared) {
      System.out.printf("  %s: %.3f × %s (%.2f ms)%n", part, c.ratio(), c.peer(), c.peerMs());
    }
    results.addAll(compared.isEmpty() ? List.of(result) : compared);
  }
}
