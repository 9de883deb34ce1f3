package io.sparsevideo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** The command as a process of its own, with the real library. */
class MainTest {

  private static CommandRun run(String... arguments) throws IOException, InterruptedException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName()));
    command.addAll(List.of(arguments));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return new CommandRun(process.waitFor(), printed, "");
  }

  @Test
  void theStatusOfTheCommandIsThatOfTheProcess() throws Exception {
    CommandRun version = run("--version");
    assertEquals(ExitCode.OK, version.status());
    assertTrue(version.out().startsWith("svg "), version.out());

    CommandRun usage = run("generate");
    assertEquals(ExitCode.USAGE, usage.status());
    assertTrue(usage.out().contains("PROMPT"), usage.out());

    CommandRun failed = run("generate", "x", "--out", "/no/such/folder/video.mp4");
    assertEquals(ExitCode.FAILED, failed.status());
    assertEquals(1, failed.out().lines().count(), failed.out());
  }
}
