package io.sparsevideo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.ProgressListener.Stage;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.Test;

class ProgressTest {
  private Instant now = Instant.EPOCH;

  private List<String> lines(Stage stage, int total) {
    StringWriter err = new StringWriter();
    try (LineProgress progress = new LineProgress(new PrintWriter(err), () -> now)) {
      for (int done = 0; done <= total; done++) {
        progress.progress(stage, done, total);
        now = now.plusSeconds(2);
      }
    }
    return err.toString().lines().toList();
  }

  @Test
  void shortStagesHaveALineForEachUnit() {
    assertEquals(
        List.of(
            "loading 1/3 (2.0 s, about 4.0 s left)",
            "loading 2/3 (4.0 s, about 2.0 s left)",
            "loading 3/3 (6.0 s)"),
        lines(Stage.LOADING, 3));
  }

  @Test
  void longStagesHaveAFewLines() {
    List<String> lines = lines(Stage.DENOISING, 47);
    assertEquals("denoising 5/47 (10.0 s, about 1 min 24 s left)", lines.getFirst());
    assertEquals("denoising 47/47 (1 min 34 s)", lines.getLast());
    assertEquals(10, lines.size());
  }

  private static String bar(Charset charset, boolean complete) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (BarProgress progress = new BarProgress(new PrintStream(bytes, true, charset))) {
      progress.progress(Stage.LOADING, 0, 2);
      progress.progress(Stage.LOADING, 2, 2);
      progress.progress(Stage.DENOISING, 0, 4);
      progress.warning("careful");
      progress.progress(Stage.DENOISING, complete ? 4 : 1, 4);
    }
    return bytes.toString(charset);
  }

  @Test
  void barsEndWithTheirStage() {
    String drawn = bar(StandardCharsets.UTF_8, true);
    assertTrue(drawn.contains("loading 100%") && drawn.contains("2/2"), drawn);
    assertTrue(drawn.contains("denoising 100%") && drawn.contains("4/4"), drawn);
    assertTrue(drawn.contains(System.lineSeparator() + "svg: warning: careful"), drawn);
    assertTrue(drawn.contains("\u2588"), drawn);
    assertTrue(drawn.endsWith(System.lineSeparator()), drawn);
  }

  @Test
  void aBarThatIsCutShortEndsItsLineToo() {
    String drawn = bar(StandardCharsets.UTF_8, false);
    assertTrue(drawn.contains("1/4"), drawn);
    assertTrue(drawn.endsWith(System.lineSeparator()), drawn);
  }

  @Test
  void anInterruptOutlivesTheBar() {
    Thread.currentThread().interrupt();
    String drawn = bar(StandardCharsets.UTF_8, true);
    assertTrue(Thread.interrupted());
    assertTrue(drawn.contains("4/4"), drawn);
  }

  @Test
  void terminalsWithoutBlocksGetAscii() {
    String drawn = bar(StandardCharsets.US_ASCII, true);
    assertTrue(drawn.contains("==="), drawn);
    assertFalse(drawn.contains("?") && !drawn.contains("/ ?)"), drawn);
  }
}
