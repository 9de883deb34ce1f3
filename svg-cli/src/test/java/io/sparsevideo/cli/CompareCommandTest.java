package io.sparsevideo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionMode.Kind;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CompareCommandTest {
  @TempDir Path folder;

  private final FakeLibrary library = new FakeLibrary();

  @Test
  void runsAllModesFromOneSeedAndTabulates() {
    CommandRun run = CommandRun.of(library, "compare", "a circle", "--seed", "7");
    assertEquals(0, run.status(), run.err());
    assertEquals(
        List.of(Kind.DENSE, Kind.SVG1, Kind.SVG2),
        library.opened.stream().map(o -> o.attention().kind()).toList());
    assertEquals(3, library.closed);
    library.requests.forEach(request -> assertEquals(7, request.seed()));
    // Each mode is warmed up with one frame in one step before its time is taken.
    assertEquals(6, library.requests.size());
    for (int i = 0; i < 6; i++) {
      boolean warmUp = i % 2 == 0;
      VideoRequest request = library.requests.get(i);
      assertEquals(warmUp ? OptionalInt.of(1) : OptionalInt.empty(), request.frames());
      assertEquals(warmUp ? OptionalInt.of(1) : OptionalInt.empty(), request.steps());
    }

    List<List<String>> rows =
        run.out().lines().map(line -> List.of(line.trim().split("\\s{2,}"))).toList();
    assertEquals(4, rows.size(), run.out());
    assertEquals(
        List.of("mode", "density", "overall", "total", "denoising", "speed-up", "PSNR", "SSIM"),
        rows.getFirst());
    assertEquals(List.of("dense", "1.000", "1.000"), rows.get(1).subList(0, 3));
    assertEquals(List.of("1.5 s", "1.00x", "-", "-"), rows.get(1).subList(4, 8));
    assertEquals(List.of("svg1", "0.375", "0.688"), rows.get(2).subList(0, 3));
    // Channels differ by 0, 1 and 2 levels: mean squared error 5/3.
    assertEquals("45.91", rows.get(2).get(6));
    // By 0, 2 and 4 levels: four times the error.
    assertEquals("39.89", rows.get(3).get(6));
    assertTrue(rows.get(3).get(7).startsWith("0.9"), run.out());
    assertTrue(run.err().contains("svg1"), run.err());
  }

  @Test
  void eachModeGetsItsOwnOptions() {
    CommandRun run =
        CommandRun.of(
            library,
            "compare",
            "x",
            "--density",
            "0.4",
            "--top-p",
            "0.7",
            "--first-times",
            "0.5",
            "--quiet");
    assertEquals(0, run.status(), run.err());
    assertEquals("", run.err());
    assertEquals(AttentionMode.dense(), library.opened.get(0).attention());
    assertEquals(
        AttentionMode.svg1().optDensity(0.4).optFirstTimes(0.5), library.opened.get(1).attention());
    assertEquals(
        AttentionMode.svg2().optTopP(0.7).optFirstTimes(0.5), library.opened.get(2).attention());
  }

  @Test
  void writesTheSideBySideVideo() {
    Path file = folder.resolve("all.mp4");
    CommandRun run = CommandRun.of(library, "compare", "x", "--out", file.toString());
    assertEquals(0, run.status(), run.err());
    assertTrue(Files.exists(file));
    assertTrue(run.out().contains("from left to right"), run.out());
  }

  @Test
  void badOutputsAreFoundBeforeGenerating() {
    CommandRun run =
        CommandRun.of(library, "compare", "x", "--out", folder.resolve("a/b.mp4").toString());
    assertEquals(1, run.status());
    assertTrue(run.err().contains("does not exist"), run.err());
    run =
        CommandRun.of(
            library,
            "compare",
            "x",
            "--height",
            "64",
            "--width",
            "4096",
            "--out",
            folder.resolve("b.mp4").toString());
    assertEquals(2, run.status());
    assertTrue(run.err().contains("12288x64"), run.err());
    run = CommandRun.of(library, "compare", "x", "--quality", "5");
    assertEquals(2, run.status());
    assertTrue(run.err().contains("--out"), run.err());
    assertEquals(List.of(), library.opened);
  }
}
