package io.sparsevideo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionMode.Kind;
import io.sparsevideo.conformance.StageResult;
import io.sparsevideo.conformance.StageResult.Status;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

class ConformanceCommandTest {
  private final FakeLibrary library = new FakeLibrary();

  @Test
  void oneLineForEachStageAndACount() {
    library.stages.add(new StageResult("noise_pred.0", 1.234e-5, 5e-4, Status.OK, ""));
    CommandRun run = CommandRun.of(library, "conformance", "some/dir");
    assertEquals(0, run.status(), run.err());
    List<String> lines = run.out().lines().toList();
    assertTrue(lines.get(0).matches("noise_pred\\.0 +1\\.23e-05 +5e-04  ok"), lines.get(0));
    assertEquals("1 stages: 1 ok, 0 FAILED, 0 not supported yet", lines.get(1));
    FakeLibrary.Opened opened = library.opened.getFirst();
    assertEquals(Optional.of(Path.of("some/dir")), opened.model());
    assertEquals(Optional.empty(), opened.device());
    assertEquals(Kind.DENSE, opened.attention().kind());
  }

  @Test
  void anyOtherStatusFails() {
    library.stages.add(new StageResult("a", 1e-5, 5e-4, Status.OK, ""));
    library.stages.add(new StageResult("video", 0.5, 2e-3, Status.FAILED, "in frame 3"));
    CommandRun run = CommandRun.of(library, "conformance", "dir");
    assertEquals(1, run.status());
    assertTrue(run.out().contains("FAILED (in frame 3)"), run.out());

    library.stages.set(
        1, new StageResult("audio", Double.NaN, Double.NaN, Status.NOT_SUPPORTED, ""));
    run = CommandRun.of(library, "conformance", "dir");
    assertEquals(1, run.status());
    assertTrue(run.out().lines().anyMatch(l -> l.matches("audio +- +-  not supported yet")));
    assertTrue(run.out().endsWith("2 stages: 1 ok, 0 FAILED, 1 not supported yet%n".formatted()));

    library.stages.clear();
    assertEquals(1, CommandRun.of(library, "conformance", "dir").status());
  }

  @Test
  void optionsReachTheLibrary() {
    CommandRun run =
        CommandRun.of(
            library,
            "conformance",
            "dir",
            "--device",
            "cuda:2",
            "--attention",
            "svg2",
            "--top-p",
            "1",
            "--first-times",
            "0",
            "--first-layers",
            "0");
    assertEquals(1, run.status());
    FakeLibrary.Opened opened = library.opened.getFirst();
    assertEquals(Optional.of(Device.gpu(2)), opened.device());
    assertEquals(
        AttentionMode.svg2().optTopP(1).optFirstTimes(0).optFirstLayers(0), opened.attention());
  }

  @Test
  void usage() {
    CommandRun run = CommandRun.of(library, "conformance");
    assertEquals(2, run.status());
    assertTrue(run.err().contains("DIR"), run.err());
    run = CommandRun.of(library, "conformance", "dir", "--top-p", "0.9");
    assertEquals(2, run.status());
    assertTrue(run.err().contains("svg2") && run.err().contains("dense"), run.err());
  }
}
