package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

class NativeBundleTest {

  private static final List<String> NAMES = List.of("a.so", "b.so");

  @TempDir Path temp;
  private Path resources;
  private Path cache;

  @BeforeEach
  void write() throws IOException {
    resources = Files.createDirectories(temp.resolve("r").resolve(NativeBundle.resourceFolder()));
    Files.writeString(resources.resolve("a.so"), "first");
    Files.writeString(resources.resolve("b.so"), "second");
    cache = temp.resolve("not/yet/there");
  }

  @Test
  void extractsOnceAndKeepsWhatIsRight() throws IOException {
    Path folder = extract(NAMES);
    assertEquals("first", Files.readString(folder.resolve("a.so")));
    FileTime old = FileTime.from(Instant.EPOCH);
    Files.setLastModifiedTime(folder.resolve("a.so"), old);

    assertEquals(folder, extract(NAMES));
    assertEquals(old, Files.getLastModifiedTime(folder.resolve("a.so")));
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(2, files.count());
    }
  }

  @Test
  void anotherContentGetsAnotherFolder() throws IOException {
    Path folder = extract(NAMES);
    Files.writeString(resources.resolve("b.so"), "changed");
    assertNotEquals(folder, extract(NAMES));
    assertEquals("second", Files.readString(folder.resolve("b.so")));
  }

  @Test
  void aDamagedFileIsReplaced() throws IOException {
    Path folder = extract(NAMES);
    Files.writeString(folder.resolve("b.so"), "sec");
    extract(NAMES);
    assertEquals("second", Files.readString(folder.resolve("b.so")));
  }

  @Test
  void aMissingResourceIsNamed() {
    NoSuchFileException e =
        assertThrows(NoSuchFileException.class, () -> extract(List.of("a.so", "c.so")));
    assertEquals(NativeBundle.resourceFolder() + "c.so", e.getFile());
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void aFolderThatCannotBeCreatedIsNoMissingResource() {
    cache = Path.of("/proc/svg-cache");
    IOException e = assertThrows(IOException.class, () -> extract(NAMES));
    assertFalse(e instanceof NoSuchFileException, e::toString);
    assertEquals("cannot create /proc/svg-cache", e.getMessage());
  }

  @Test
  void manyMayExtractAtTheSameTime() throws Exception {
    byte[] content = new byte[1 << 20];
    Files.write(resources.resolve("a.so"), content);
    Callable<byte[]> task = () -> Files.readAllBytes(extract(NAMES).resolve("a.so"));
    try (ExecutorService pool = Executors.newFixedThreadPool(8)) {
      for (Future<byte[]> result : pool.invokeAll(List.of(task, task, task, task, task, task))) {
        assertArrayEquals(content, result.get());
      }
    }
  }

  private Path extract(List<String> names) throws IOException {
    URL[] path = {temp.resolve("r").toUri().toURL()};
    try (URLClassLoader loader = new URLClassLoader(path, null)) {
      return new NativeBundle(loader, cache).extract(names);
    }
  }
}
