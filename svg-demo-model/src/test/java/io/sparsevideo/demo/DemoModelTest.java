package io.sparsevideo.demo;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class DemoModelTest {
  private static final Path SOURCES =
      Path.of("src/main/resources/io/sparsevideo/demo").toAbsolutePath();

  @TempDir Path cache;

  @Test
  void theListNamesEveryFile() throws Exception {
    List<String> expected = new ArrayList<>();
    for (String path : files(SOURCES.resolve("checkpoint"))) {
      byte[] content = Files.readAllBytes(SOURCES.resolve("checkpoint").resolve(path));
      byte[] hash = MessageDigest.getInstance("SHA-256").digest(content);
      expected.add(HexFormat.of().formatHex(hash) + " " + content.length + " " + path);
    }
    assertEquals(
        expected,
        Files.readAllLines(SOURCES.resolve("checkpoint.list")),
        "run scripts/demo-model/list after changing the checkpoint");
  }

  @Test
  void filesOnDiskAreUsedInPlace() throws IOException {
    assertEquals(files(SOURCES.resolve("checkpoint")), files(DemoModel.folder()));
    assertTrue(files(cache).isEmpty());
  }

  @Test
  void unpacksEveryFileOnce() throws IOException {
    Path folder = DemoModel.unpack(cache);
    assertUnpacked(folder);
    Path weights = folder.resolve("vae/diffusion_pytorch_model.safetensors");
    var before = Files.getLastModifiedTime(weights);
    assertEquals(folder, DemoModel.unpack(cache));
    assertEquals(before, Files.getLastModifiedTime(weights));
  }

  @Test
  void repairsADamagedFolderAndOneThatWasLeftHalfDone() throws IOException {
    Path folder = DemoModel.unpack(cache);
    Files.writeString(folder.resolve("model_index.json"), "{}");
    Path partial = Files.createDirectory(cache.resolve(folder.getFileName() + ".partial"));
    Files.writeString(partial.resolve("left over"), "by a process that was killed");
    DemoModel.unpack(cache);
    assertUnpacked(folder);
  }

  @Test
  void severalThreadsAndProcessesUnpackAtOnce() throws Exception {
    List<Process> processes = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      processes.add(
          new ProcessBuilder(
                  Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                  "-cp",
                  System.getProperty("java.class.path"),
                  Unpacker.class.getName(),
                  cache.toString())
              .redirectErrorStream(true)
              .start());
    }
    try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
      Callable<Path> unpack = () -> DemoModel.unpack(cache);
      for (Future<Path> folder : threads.invokeAll(List.of(unpack, unpack, unpack, unpack))) {
        assertUnpacked(folder.get());
      }
    }
    for (Process process : processes) {
      String output = new String(process.getInputStream().readAllBytes());
      assertEquals(0, process.waitFor(), output);
      assertUnpacked(Path.of(output.strip()));
    }
  }

  /** What the other processes of the test run. */
  static final class Unpacker {
    public static void main(String[] args) {
      System.out.println(DemoModel.unpack(Path.of(args[0])));
    }
  }

  @Test
  void saysWhatToDoWhereTheCacheCannotBeWritten() throws IOException {
    Path file = Files.createFile(cache.resolve("a file"));
    UncheckedIOException e =
        assertThrows(UncheckedIOException.class, () -> DemoModel.unpack(file.resolve("cache")));
    assertTrue(e.getMessage().contains(file.toString()), e.getMessage());
    assertTrue(e.getMessage().contains("-Dsvg.cache=DIR"), e.getMessage());
    assertTrue(e.getMessage().contains("XDG_CACHE_HOME"), e.getMessage());
  }

  @Test
  void unpacksToThePropertyElseTheUsersCache() {
    Path home = Path.of(System.getProperty("user.home"), ".cache", "sparse-videogen");
    Map<String, String> xdg = Map.of("XDG_CACHE_HOME", "/var/x");
    assertEquals(Path.of("/p"), DemoModel.cache("/p", xdg));
    assertEquals(Path.of("/var/x/sparse-videogen"), DemoModel.cache(null, xdg));
    assertEquals(Path.of("/var/x/sparse-videogen"), DemoModel.cache("", xdg));
    assertEquals(home, DemoModel.cache(null, Map.of()));
    // The XDG rules say to ignore relative paths.
    assertEquals(home, DemoModel.cache(null, Map.of("XDG_CACHE_HOME", "cache")));
  }

  private static void assertUnpacked(Path folder) throws IOException {
    assertEquals(files(SOURCES.resolve("checkpoint")), files(folder));
    for (String path : files(folder)) {
      assertArrayEquals(
          Files.readAllBytes(SOURCES.resolve("checkpoint").resolve(path)),
          Files.readAllBytes(folder.resolve(path)),
          path);
    }
  }

  /** Paths of all files under a folder, in order. */
  private static List<String> files(Path folder) throws IOException {
    try (Stream<Path> paths = Files.walk(folder)) {
      return List.copyOf(
          paths
              .filter(Files::isRegularFile)
              .map(path -> folder.relativize(path).toString())
              .collect(Collectors.toCollection(TreeSet::new)));
    }
  }
}
