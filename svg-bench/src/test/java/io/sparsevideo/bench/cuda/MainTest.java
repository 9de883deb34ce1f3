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

  @Test
  void stepsOfNoModelAreRefused() {
    assertRefused(
        "--config is wan-1.3b, wan-14b or a file, not 'wan-7b'", "step", "--config", "wan-7b");
    assertRefused(
        "--layers must be 1 to 30, is 31", "step", "--config", "wan-1.3b", "--layers", "31");
    assertRefused("--height must be a multiple of 16, is 700", "step", "--height", "700");
    assertRefused("--height must be a multiple of 16, is 0", "step", "--height", "0");
    assertRefused("--width must be a multiple of 16, is -16", "step", "--width", "-16");
    String frames = "--frames must be one more than a multiple of 4, is ";
    assertRefused(frames + 80, "step", "--frames", "80");
    assertRefused(frames + -3, "step", "--frames", "-3");
    assertRefused("--spread must be above 0, is -1.0", "step", "--spread", "-1");
    assertRefused("--repeats must be at least 1, is 0", "step", "--repeats", "0");
  }

  @Test
  void sizesThatTheVaeDoesNotTakeAreRefused() {
    assertRefused("--repeats must be at least 1, is 0", "vae", "--repeats", "0");
    assertRefused("--height must be a multiple of 8, is 100", "vae", "--height", "100");
    assertRefused("--width must be a multiple of 8, is 0", "vae", "--width", "0");
    assertRefused("--frames less 1 must be a multiple of 4, is 79", "vae", "--frames", "80");
    assertRefused("config.json", "vae", "--config", "no/config.json");
  }

  @Test
  void textsThatCannotBeEncodedAreRefused() {
    String least = "--repeats and --tokens must be at least 1";
    assertRefused(least, "text", "--repeats", "0");
    assertRefused(least, "text", "--tokens", "512,0");
    assertRefused("config.json", "text", "--config", "no/config.json");
  }

  private static void assertRefused(String reason, String... arguments) {
    StringWriter errors = new StringWriter();
    CommandLine bench = Main.commandLine().setErr(new PrintWriter(errors));
    assertEquals(CommandLine.ExitCode.USAGE, bench.execute(arguments));
    assertTrue(errors.toString().contains(reason), errors.toString());
  }
}
