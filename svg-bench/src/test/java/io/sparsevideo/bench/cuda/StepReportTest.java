package io.sparsevideo.bench.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.sparsevideo.attention.AttentionMode.Kind;
import io.sparsevideo.bench.cuda.DenoisingStep.Measured;
import io.sparsevideo.bench.cuda.StageClock.Stage;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class StepReportTest {

  private static Result peer(int height, String part, double ms) {
    return Result.of("step", Map.of("height", height, "part", part), 1).against("PyTorch", ms);
  }

  /** Two of four layers: 120 ms for the step, of which 100 in the four calls of blocks. */
  @Test
  void stepsAreExtrapolatedAndHeldAgainstPeersAndDense() {
    ResultRows rows = new ResultRows(List.of(peer(64, "layer", 50), peer(32, "step", 1)));
    StepReport report = new StepReport(Map.of("height", 64), 4, 2, rows);
    report.add(
        Kind.DENSE,
        new Measured(120, 25, Map.of(Stage.STEP, 130d, Stage.BLOCKS, 104d, Stage.GEMM, 80d), 1));
    report.add(
        Kind.SVG2,
        new Measured(60, 10, Map.of(Stage.STEP, 60d, Stage.BLOCKS, 44d, Stage.KMEANS, 4d), .25));
    List<String> found =
        rows.results().stream()
            .map(
                r ->
                    "%s %s %.1f %s %s"
                        .formatted(
                            r.params().get("attention"),
                            r.params().get("part"),
                            r.ms(),
                            r.peer(),
                            r.ratio()))
            .toList();
    assertEquals(
        List.of(
            "dense step 220.0 null null",
            "dense layer 25.0 PyTorch 2.0",
            "dense GEMM 20.0 null null",
            "dense other 6.0 null null",
            "svg2 step 100.0 own dense 2.2",
            "svg2 layer 10.0 own dense 2.5",
            "svg2 layer 10.0 PyTorch 5.0",
            "svg2 k-means 1.0 null null",
            "svg2 other 10.0 null null"),
        found);
  }
}
