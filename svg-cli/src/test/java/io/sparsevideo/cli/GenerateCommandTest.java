package io.sparsevideo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.engine.EngineException;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionPreset;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.tensor.DeviceUnavailableException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class GenerateCommandTest {
  @TempDir Path folder;

  private final FakeLibrary library = new FakeLibrary();

  private CommandRun generate(String... more) {
    String[] arguments =
        Stream.concat(
                Stream.of("generate", "a red circle", "--out", file().toString()),
                Arrays.stream(more))
            .toArray(String[]::new);
    return CommandRun.of(library, arguments);
  }

  private Path file() {
    return folder.resolve("circle.mp4");
  }

  private List<String> list() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(f -> f.getFileName().toString()).toList();
    }
  }

  @Test
  void writesTheVideoAndSaysWhatItDid() throws IOException {
    CommandRun run = generate();
    assertEquals(0, run.status(), run.err());
    assertEquals(List.of("circle.mp4"), list());
    String head = Files.readString(file(), StandardCharsets.ISO_8859_1).substring(4, 8);
    assertEquals("ftyp", head);
    for (String part :
        List.of(
            file() + ": 5 frames of 64x48, 16 fps, 0.31 s, ",
            "model      made up, 4 steps, guidance 5, flow shift 3, seed 0",
            "device     cpu (no GPU: none was made)",
            "attention  svg2 (reference), density 0.375 in 6 sparse of 12 calls, 0.688 overall",
            "encoding the prompt 1.5 s, loading 1.5 s, denoising 1.5 s, decoding 1.5 s, writing ",
            "; in all ")) {
      assertTrue(run.out().contains(part), run.out());
    }
    assertFalse(run.out().contains("layer"), run.out());
    assertTrue(run.err().startsWith("device: cpu (no GPU: none was made)"), run.err());
    assertTrue(run.err().contains("denoising 4/4 ("), run.err());
    assertEquals(1, library.closed);
  }

  @Test
  void defaultsAreTheLibrarys() {
    generate();
    FakeLibrary.Opened opened = library.opened.getFirst();
    assertEquals(Optional.empty(), opened.model());
    assertEquals(Optional.empty(), opened.device());
    assertEquals(AttentionMode.svg2(), opened.attention());
    VideoRequest request = library.requests.getFirst();
    assertEquals("a red circle", request.prompt());
    assertEquals(Optional.empty(), request.negativePrompt());
    assertEquals(OptionalInt.empty(), request.height());
    assertEquals(OptionalInt.empty(), request.width());
    assertEquals(OptionalInt.empty(), request.frames());
    assertEquals(OptionalInt.empty(), request.steps());
    assertEquals(OptionalDouble.empty(), request.guidance());
    assertEquals(OptionalDouble.empty(), request.flowShift());
    assertEquals(OptionalDouble.empty(), request.fps());
    assertEquals(0, request.seed());
  }

  @Test
  void everyOptionReachesTheLibrary() {
    String[] options =
        ("--model some/dir --device cuda:1 --attention svg2 --preset paper --top-p 0.8"
                + " --min-key-ratio 0.2"
                + " --first-times 0.1 --first-layers 0.05 --query-clusters 7 --key-clusters 9"
                + " --height 32 --width 80 --frames 9 --steps 3 --guidance -1 --flow-shift 2.5"
                + " --seed -5 --fps 23.976 --quality 50 --negative-prompt")
            .split(" ");
    options = Arrays.copyOf(options, options.length + 1);
    options[options.length - 1] = "dark, blurred";
    CommandRun run = generate(options);
    assertEquals(0, run.status(), run.err());
    FakeLibrary.Opened opened = library.opened.getFirst();
    assertEquals(Optional.of(Path.of("some/dir")), opened.model());
    assertEquals(Optional.of(Device.gpu(1)), opened.device());
    assertEquals(
        AttentionMode.svg2()
            .optPreset(AttentionPreset.PAPER)
            .optTopP(0.8)
            .optMinKeyRatio(0.2)
            .optFirstTimes(0.1)
            .optFirstLayers(0.05)
            .optQueryClusters(7)
            .optKeyClusters(9),
        opened.attention());
    VideoRequest request = library.requests.getFirst();
    assertEquals(OptionalInt.of(32), request.height());
    assertEquals(OptionalInt.of(80), request.width());
    assertEquals(OptionalInt.of(9), request.frames());
    assertEquals(OptionalInt.of(3), request.steps());
    assertEquals(OptionalDouble.of(-1), request.guidance());
    assertEquals(OptionalDouble.of(2.5), request.flowShift());
    assertEquals(OptionalDouble.of(23.976), request.fps());
    assertEquals(-5, request.seed());
    assertEquals(Optional.of("dark, blurred"), request.negativePrompt());
    assertTrue(run.out().contains("23.976 fps"), run.out());
  }

  @Test
  void theOtherModesAndDevices() {
    generate("--attention svg1 --density 0.3 --sampled-rows 16 --device cpu".split(" "));
    generate("--attention", "dense", "--device", "cuda");
    assertEquals(
        AttentionMode.svg1().optDensity(0.3).optSampledRows(16), library.opened.get(0).attention());
    assertEquals(Optional.of(Device.cpu()), library.opened.get(0).device());
    assertEquals(AttentionMode.dense(), library.opened.get(1).attention());
    assertEquals(Optional.of(Device.gpu(0)), library.opened.get(1).device());
  }

  @Test
  void denseHasNoDensityToReport() {
    CommandRun run = generate("--attention", "dense");
    assertTrue(run.out().contains("attention  dense" + System.lineSeparator()), run.out());
  }

  @Test
  void qualityChangesTheFile() throws IOException {
    generate("--quality", "0");
    long small = Files.size(file());
    generate("--quality", "100");
    assertTrue(Files.size(file()) > small);
  }

  @Test
  void promptsAreTakenLiterally() throws IOException {
    Path list = Files.writeString(folder.resolve("list"), "something else");
    for (String prompt : List.of("", "@" + list, "\"quoted\" ${seed} %d")) {
      CommandRun.of(library, "generate", prompt, "--out", file().toString());
      assertEquals(prompt, library.requests.getLast().prompt());
    }
  }

  @Test
  void quietShowsWarningsOnly() {
    library.warning = "the prompt was cut";
    CommandRun run = generate("--quiet");
    assertEquals("", run.out());
    assertEquals("svg: warning: the prompt was cut" + System.lineSeparator(), run.err());
  }

  @Test
  void verboseShowsTheLayers() {
    CommandRun run = generate("--verbose");
    List<String> lines = run.out().lines().toList();
    assertEquals(
        List.of(
            "layer  dense calls  sparse calls  least   mean   most",
            "0                4             0      -      -      -",
            "1                1             3  0.250  0.250  0.250",
            "2                1             3  0.500  0.500  0.500"),
        lines.subList(lines.size() - 4, lines.size()));
  }

  // What is refused before anything is opened.

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "--height 0 | --height | whole number of at least 1 | 0",
        "--width -16 | --width | whole number of at least 1 | -16",
        "--frames 4.5 | --frames | whole number of at least 1 | 4.5",
        "--steps 0 | --steps | whole number of at least 1 | 0",
        "--steps 99999999999 | --steps | whole number of at least 1 | 99999999999",
        "--guidance NaN | --guidance | expected a number | NaN",
        "--guidance high | --guidance | expected a number | high",
        "--flow-shift 0 | --flow-shift | number above 0 | 0",
        "--fps -1 | --fps | number above 0 | -1",
        "--fps Infinity | --fps | number above 0 | Infinity",
        "--fps 2000 | circle.mp4 | 0.01 to 1000 | 2000",
        "--quality 101 | --quality | from 0 to 100 | 101",
        "--seed x | --seed | whole number from -2^63 | x",
        "--device tpu | --device | cpu, cuda or cuda:N | tpu",
        "--device cuda:x | --device | cpu, cuda or cuda:N | cuda:x",
        "--attention full | --attention | dense, svg1, svg2 | full",
        "--preset fast | --preset | reference, paper | fast",
        "--top-p 1.5 | --top-p | from 0 to 1 | 1.5",
        "--top-p NaN | --top-p | from 0 to 1 | NaN",
        "--first-times -0.1 | --first-times | from 0 to 1 | -0.1",
        "--first-layers 2 | --first-layers | from 0 to 1 | 2",
        "--attention svg1 --density 3 | --density | from 0 to 1 | 3",
        "--query-clusters 0 | --query-clusters | at least 1 | 0",
        "--key-clusters 0 | --key-clusters | at least 1 | 0",
        "--attention dense --top-p 0.9 | --top-p | svg2 | dense",
        "--attention dense --first-times 0.1 | --first-times | svg1 or svg2 | dense",
        "--attention dense --first-layers 0.1 | --first-layers | svg1 or svg2 | dense",
        "--attention svg1 --top-p 0.9 | --top-p | svg2 | svg1",
        "--attention svg1 --min-key-ratio 0.1 | --min-key-ratio | svg2 | svg1",
        "--attention svg2 --sampled-rows 9 | --sampled-rows | svg1 | svg2",
        "--attention svg1 --query-clusters 9 | --query-clusters | svg2 | svg1",
        "--attention svg1 --key-clusters 9 | --key-clusters | svg2 | svg1",
        "--attention svg2 --density 0.3 | --density | svg1 | svg2",
        "--height 8 --width 64 | circle.mp4 | 16 to 8688 | 64x8",
        "--nonsense | --nonsense | Unknown option | generate --help",
        "surplus words | surplus | Unmatched argument | go in quotes",
        "--nonsense x | --nonsense | Unknown option | generate --help",
        "--steps | --steps | Missing required parameter | generate --help",
      })
  void badOptions(String options, String name, String expected, String found) throws IOException {
    CommandRun run = generate(options.split(" "));
    assertEquals(2, run.status(), run.err());
    for (String part : List.of("svg: ", name, expected, found)) {
      assertTrue(run.err().contains(part), run.err());
    }
    assertEquals("", run.out());
    assertEquals(List.of(), library.opened);
    assertEquals(List.of(), list());
  }

  @Test
  void namesThatNoFileCanHave() {
    CommandRun run = CommandRun.of(library, "generate", "x", "--out", "a\0.mp4");
    assertEquals(2, run.status());
    assertTrue(run.err().contains("cannot be a file's name here: Nul character"), run.err());
    run = CommandRun.of(library, "generate", "x", "--out", path("a.mp4"), "--model", "");
    assertEquals(2, run.status());
    assertTrue(run.err().contains("--model") && run.err().contains("a folder"), run.err());
    assertEquals(List.of(), library.opened);
  }

  @Test
  void missingPromptAndMissingCommand() {
    CommandRun run = CommandRun.of(library, "generate");
    assertEquals(2, run.status());
    assertTrue(run.err().contains("PROMPT"), run.err());
    run = CommandRun.of(library);
    assertEquals(2, run.status());
    assertTrue(run.err().contains("svg --help"), run.err());
    run = CommandRun.of(library, "generat", "x");
    assertEquals(2, run.status());
    assertTrue(run.err().contains("Did you mean"), run.err());
  }

  @ParameterizedTest
  @ValueSource(strings = {"circle.avi", "circle", "circle.png", ""})
  void unknownFormats(String name) {
    CommandRun run =
        CommandRun.of(library, "generate", "x", "--out", name.isEmpty() ? "" : path(name));
    assertEquals(2, run.status(), run.err());
    assertTrue(run.err().contains("frame-%04d.png"), run.err());
    assertEquals(List.of(), library.opened);
  }

  private String path(String name) {
    return folder.resolve(name).toString();
  }

  @Test
  void anUnusableOutputIsFoundBeforeGenerating() throws IOException {
    CommandRun run = CommandRun.of(library, "generate", "x", "--out", path("missing/a.mp4"));
    assertEquals(1, run.status());
    assertEquals(
        "svg: %s: the folder %s does not exist; create it first%n"
            .formatted(path("missing/a.mp4"), path("missing")),
        run.err());
    Files.createDirectory(folder.resolve("a.mp4"));
    run = CommandRun.of(library, "generate", "x", "--out", path("a.mp4"));
    assertEquals(1, run.status());
    assertTrue(run.err().contains("is a folder"), run.err());
    run = CommandRun.of(library, "generate", "x", "--out", path("a.gif"), "--quality", "3");
    assertEquals(2, run.status());
    assertTrue(run.err().contains("no quality setting"), run.err());
    assertEquals(List.of(), library.opened);
  }

  // What fails later.

  private CommandRun failing(RuntimeException e, String... more) {
    library.onGenerate =
        () -> {
          throw e;
        };
    return generate(more);
  }

  @Test
  void failuresAreOneLineAndLeaveNoFile() throws IOException {
    CommandRun run = failing(new CheckpointException("weight x is missing"));
    assertEquals(1, run.status());
    assertEquals("svg: weight x is missing" + System.lineSeparator(), run.err());
    assertEquals(List.of(), list());
    assertEquals(1, library.closed);

    run = failing(new InvalidRequestException("frames must be 4k+1, is 6"));
    assertEquals(2, run.status());
    assertEquals("svg: frames must be 4k+1, is 6" + System.lineSeparator(), run.err());
  }

  @Test
  void failuresOfOtherTypesAreOneLineToo() {
    CommandRun run = failing(new DeviceUnavailableException("device gpu(0): there is none"));
    assertEquals(1, run.status());
    assertEquals("svg: device gpu(0): there is none" + System.lineSeparator(), run.err());

    run = failing(new EngineException("DefaultCPUAllocator: can't allocate memory: 7 bytes"));
    assertEquals(1, run.status());
    assertEquals(1, run.err().lines().count(), run.err());
    assertTrue(run.err().startsWith("svg: out of memory"), run.err());

    run = failing(new IllegalStateException("a list:\n  one\n  two"));
    assertTrue(run.err().contains("a list: one | two"), run.err());
    assertEquals(1, run.err().lines().count(), run.err());
  }

  @Test
  void onlyVerboseShowsATrace() {
    CommandRun run = failing(new IllegalStateException("broken"));
    assertEquals(1, run.status());
    assertEquals(1, run.err().lines().count(), run.err());
    assertTrue(run.err().contains("IllegalStateException: broken"), run.err());
    assertTrue(run.err().contains("--verbose"), run.err());
    run = failing(new IllegalStateException("broken"), "--verbose");
    assertTrue(run.err().contains("\tat " + getClass().getName()), run.err());
  }

  @Test
  void outOfMemoryIsOneLineToo() {
    library.onGenerate =
        () -> {
          throw new OutOfMemoryError("Java heap space");
        };
    CommandRun run = generate();
    assertEquals(1, run.status());
    assertEquals(1, run.err().lines().count(), run.err());
    assertTrue(run.err().contains("Java heap space") && run.err().contains("-Xmx"), run.err());
    assertEquals(1, library.closed);
  }

  @Test
  void helpNamesEveryOptionAndTheVersion() {
    CommandRun run = CommandRun.of(library, "generate", "--help");
    assertEquals(0, run.status());
    for (String option :
        ("--out --model --device --attention --preset --density --sampled-rows --top-p"
                + " --min-key-ratio --first-times"
                + " --first-layers --query-clusters --key-clusters --height --width --frames"
                + " --steps --guidance --flow-shift --negative-prompt --seed --fps --quality"
                + " --quiet --verbose")
            .split(" ")) {
      assertTrue(run.out().contains(option), option);
    }
    run = CommandRun.of(library, "--help");
    assertTrue(run.out().contains("130") && run.out().contains("compare"), run.out());
    run = CommandRun.of(library, "--version");
    assertEquals(0, run.status());
    assertTrue(run.out().startsWith("svg "), run.out());
  }
}
