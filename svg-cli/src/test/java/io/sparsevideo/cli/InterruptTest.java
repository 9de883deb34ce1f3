package io.sparsevideo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class InterruptTest {
  @TempDir Path folder;

  /** The command as a process of its own, with a library that takes its time. */
  static final class SlowCommand {
    private SlowCommand() {}

    /**
     * @param arguments milliseconds a step, frames, then the command's
     */
    public static void main(String[] arguments) {
      FakeLibrary library = new FakeLibrary();
      library.onClose = () -> System.out.println("memory is free");
      library.stepTime = Duration.ofMillis(Integer.parseInt(arguments[0]));
      library.frames = Integer.parseInt(arguments[1]);
      System.exit(Main.run(library, Stream.of(arguments).skip(2).toArray(String[]::new)));
    }
  }

  private Process start(int millisPerStep, int frames) throws IOException {
    return new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-Xmx1g",
            "-cp",
            System.getProperty("java.class.path"),
            SlowCommand.class.getName(),
            Integer.toString(millisPerStep),
            Integer.toString(frames),
            "generate",
            "x",
            "--steps",
            "1000",
            "--width",
            "640",
            "--height",
            "480",
            "--out",
            folder.resolve("video.mp4").toString())
        .redirectOutput(folder.resolve("out.txt").toFile())
        .redirectError(folder.resolve("err.txt").toFile())
        .start();
  }

  private static void await(BooleanSupplier condition) throws InterruptedException {
    while (!condition.getAsBoolean()) {
      Thread.sleep(20);
    }
  }

  private String read(String name) {
    try {
      return Files.readString(folder.resolve(name));
    } catch (IOException e) {
      return "";
    }
  }

  private List<String> outputs() {
    try (Stream<Path> files = Files.list(folder)) {
      return files
          .map(file -> file.getFileName().toString())
          .filter(name -> name.contains("video"))
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static int signal(Process process, String name) throws IOException, InterruptedException {
    int kill =
        new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).start().waitFor();
    assertEquals(0, kill);
    assertTrue(process.waitFor(60, TimeUnit.SECONDS), "the process ends");
    return process.exitValue();
  }

  /** A background job of a plain shell ignores Ctrl-C, and so do its children. */
  private static void assumeInterruptible() throws IOException {
    String ignored =
        Files.readAllLines(Path.of("/proc/self/status")).stream()
            .filter(line -> line.startsWith("SigIgn:"))
            .findFirst()
            .orElseThrow()
            .substring("SigIgn:".length())
            .trim();
    int interrupt = 2;
    assumeTrue(!new BigInteger(ignored, 16).testBit(interrupt - 1), "this process ignores SIGINT");
  }

  @ParameterizedTest
  @CsvSource({"INT, 130", "TERM, 143", "HUP, 129"})
  @Timeout(120)
  void stopsAGenerationInOrder(String signal, int status) throws Exception {
    assumeInterruptible();
    Process process = start(50, 5);
    try {
      await(() -> read("err.txt").contains("encoding the prompt 1/1"));
      assertEquals(status, signal(process, signal));
    } finally {
      process.destroyForcibly();
    }
    assertTrue(read("err.txt").endsWith("svg: interrupted" + System.lineSeparator()));
    assertEquals("memory is free" + System.lineSeparator(), read("out.txt"));
    assertEquals(List.of(), outputs());
  }

  @Test
  @Timeout(120)
  void removesThePartialFile() throws Exception {
    assumeInterruptible();
    Process process = start(0, 20_000);
    try {
      await(() -> !outputs().isEmpty());
      assertFalse(outputs().contains("video.mp4"), "only a partial file yet");
      assertEquals(130, signal(process, "INT"));
    } finally {
      process.destroyForcibly();
    }
    assertEquals(List.of(), outputs());
  }

  @Test
  @Timeout(60)
  void stopWaitsForTheCommandToFinish() throws Exception {
    FakeLibrary library = new FakeLibrary();
    library.stepTime = Duration.ofSeconds(50);
    Interrupt interrupt = new Interrupt(Thread.currentThread());
    Thread stopper = new Thread(interrupt::stop);
    library.onGenerate = stopper::start;
    CommandRun run =
        CommandRun.of(
            library, interrupt, "generate", "x", "--quiet", "--out", folder.resolve("a.mp4") + "");
    assertEquals(ExitCode.INTERRUPTED, run.status());
    assertEquals("svg: interrupted" + System.lineSeparator(), run.err());
    assertEquals(1, library.closed);
    assertTrue(stopper.isAlive(), "waits until the command says that it is over");
    interrupt.finish();
    assertTrue(Thread.interrupted(), "what does not look at the cancellation is stopped too");
    stopper.join();
  }

  @Test
  void aFinishedCommandIsLeftAlone() {
    Interrupt interrupt = new Interrupt(Thread.currentThread());
    interrupt.finish();
    interrupt.stop();
    assertFalse(Thread.currentThread().isInterrupted());
    assertFalse(interrupt.cancellation().isCancelled());
  }
}
