package io.sparsevideo.bench.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ResultsTest {

  @TempDir Path temp;

  @Test
  void shapesAreParsed() {
    Shape shape = Shape.parse("heads=40 density=0.25 inverse=true kind=text");
    assertEquals(40, shape.size("heads"));
    assertEquals(0.25, shape.number("density"));
    assertTrue(shape.flag("inverse"));
    assertEquals(
        Map.of("heads", 40, "density", 0.25, "inverse", true, "kind", "text"), shape.values());
    assertThrows(IllegalArgumentException.class, () -> Shape.parse("heads"));
    assertThrows(IllegalArgumentException.class, () -> shape.size("tokens"));
  }

  @Test
  void resultsAreHeldAgainstPeersOfTheSameWork() throws IOException {
    Path printed =
        Files.writeString(
            temp.resolve("peers"),
            """
            a warning
            {"benchmark": "copy", "gb_per_s": 4000, "device": "NVIDIA H200"}
            {"benchmark": "rmsnorm", "params": {"tokens": 10, "width": 4}, "peer": "a", "peer_ms": 3, "device": "NVIDIA H200"}
            {"benchmark": "rmsnorm", "params": {"tokens": 10, "width": 4, "affine": false, "dtype": "bf16"}, "peer": "b", "peer_ms": 1}
            {"benchmark": "rmsnorm", "params": {"tokens": 11, "width": 4}, "peer": "c", "peer_ms": 1}
            {"benchmark": "rmsnorm", "params": {"tokens": 10, "width": 4, "affine": true}, "peer": "d", "peer_ms": 1}
            {"benchmark": "layernorm", "params": {"tokens": 10, "width": 4}, "peer": "e", "peer_ms": 1}
            """);
    List<Result> measured =
        List.of(
            measured("copy", Map.of("bytes", 100), 1, 4000),
            measured("rmsnorm", Map.of("tokens", 10, "width", 4, "dtype", "bf16"), 2, 3000),
            measured("rmsnorm", Map.of("tokens", 5, "width", 4), 0.001, 3000));
    List<Result> joined = Results.join(measured, Results.readPeers(printed, "NVIDIA H200"));
    assertEquals(
        List.of(
            "copy null null",
            "rmsnorm a 1.5",
            "rmsnorm b 0.5",
            "rmsnorm device-to-device copy 0.75",
            "rmsnorm null null"),
        joined.stream().map(r -> r.benchmark() + " " + r.peer() + " " + r.ratio()).toList());
    IOException e =
        assertThrows(IOException.class, () -> Results.readPeers(printed, "NVIDIA H100"));
    assertTrue(e.getMessage().contains("timed on NVIDIA H200"), e.getMessage());
  }

  @Test
  void whatIsWrittenIsReadAndShown() throws IOException {
    Result kmeans =
        measured("kmeans", Map.of("tokens", 75600), 3.20449, 483.4567)
            .against("flash-kmeans", 7.71);
    Result copied =
        measured("sort_labels", Map.of("inverse", true), 0.07, 4000).againstRate("copy", 8000);
    Path file = temp.resolve(Results.fileName("NVIDIA H100 80GB HBM3"));
    assertEquals("h100.json", file.getFileName().toString());
    Results.write(file, List.of(kmeans, copied));
    assertEquals(
        """
        [
          {"benchmark": "kmeans", "params": {"tokens": 75600}, "ms": 3.204, "wall_ms": 3.204, "rate": 483.5, "unit": "GB/s", "peer": "flash-kmeans", "peer_ms": 7.71, "ratio": 2.406},
          {"benchmark": "sort_labels", "params": {"inverse": true}, "ms": 0.07, "wall_ms": 0.07, "rate": 4000, "unit": "GB/s", "peer": "copy", "ratio": 0.5}
        ]
        """,
        Files.readString(file));
    String table = ResultTable.markdown(Results.read(file));
    assertEquals(
        """
        | benchmark | shape | time | rate | held against |
        |---|---|---|---|---|
        | kmeans | tokens 75600 | 3.204 ms | 483.5 GB/s | 2.406 × flash-kmeans (7.71 ms) |
        | sort\\_labels | inverse | 0.07 ms | 4000 GB/s | 0.5 × copy |
        """,
        table);

    Path page =
        Files.writeString(temp.resolve("page.md"), "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n");
    ResultTable.replace(page, "x", "new\n");
    assertEquals("a\n<!-- x -->\nnew\n<!-- end of x -->\nb\n", Files.readString(page));
    assertThrows(IOException.class, () -> ResultTable.replace(page, "y", table));
  }

  private static Result measured(
      String benchmark, Map<String, Object> params, double ms, double rate) {
    return Result.of(benchmark, params, ms, ms, rate, "GB/s");
  }
}
