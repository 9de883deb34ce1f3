package io.sparsevideo.bench.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import org.junit.jupiter.api.Test;
import picocli.CommandLine;

class MainTest {

  /** A part of the results would take the place of all. */
  @Test
  void partsOfTheResultsAreNotWritten() {
    String reason = "leave out NAME and --shapes";
    assertRefused(reason, "--out", "results", "kmeans");
    assertRefused(reason, "--out", "results", "--shapes", "heads=3 ");
  }

  @Test
  void whatMatchesNothingIsRefused() {
    assertRefused("there is no benchmark 'svg3'", "svg3");
    assertRefused("no shape matches 'heads=x'", "--shapes", "heads=x");
  }

  private static void assertRefused(String reason, String... arguments) {
    StringWriter errors = new StringWriter();
    CommandLine bench = Main.commandLine().setErr(new PrintWriter(errors));
    assertEquals(CommandLine.ExitCode.USAGE, bench.execute(arguments));
    assertTrue(errors.toString().contains(reason), errors.toString());
  }
}
