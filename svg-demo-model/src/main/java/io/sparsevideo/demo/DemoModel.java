package io.sparsevideo.demo;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Comparator;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * The small Wan-architecture checkpoint that comes with the library, as a diffusers folder.
 *
 * <p>Weights are memory-mapped, which a file inside a jar cannot be: from a jar the checkpoint is
 * unpacked once to a folder of the user's cache. The folder is named by the content, so versions
 * never mix.
 */
public final class DemoModel {
  /** System property that names the folder to unpack into, instead of the user's cache. */
  public static final String CACHE_PROPERTY = "svg.cache";

  /** Serialises the threads of this JVM; processes are serialised by a lock file. */
  private static final Object UNPACKING = new Object();

  private DemoModel() {}

  /** A file of the checkpoint, by its path inside. */
  private record Entry(long size, String path) {}

  /**
   * The checkpoint's folder, unpacked if need be.
   *
   * @throws UncheckedIOException if it cannot be unpacked; the message says where and what to do
   */
  public static Path folder() {
    URL index = DemoModel.class.getResource("checkpoint/model_index.json");
    if (index != null && index.getProtocol().equals("file")) {
      try {
        return Path.of(index.toURI()).getParent();
      } catch (URISyntaxException e) {
        throw new IllegalStateException("a class path entry is no URI: " + index, e);
      }
    }
    return unpack(cache(System.getProperty(CACHE_PROPERTY), System.getenv()));
  }

  /** Where to unpack: the property, else the user's cache by the XDG base directory rules. */
  static Path cache(String property, Map<String, String> environment) {
    if (property != null && !property.isEmpty()) {
      return Path.of(property);
    }
    String xdg = environment.getOrDefault("XDG_CACHE_HOME", "");
    Path caches =
        Path.of(xdg).isAbsolute()
            ? Path.of(xdg)
            : Path.of(System.getProperty("user.home"), ".cache");
    return caches.resolve("sparse-videogen");
  }

  /** The complete checkpoint in {@code cache}; safe against other threads and processes. */
  static Path unpack(Path cache) {
    byte[] list = resource("checkpoint.list");
    List<Entry> entries = entries(list);
    Path folder = cache.resolve("demo-model-" + key(list));
    if (isComplete(folder, entries)) {
      return folder;
    }
    synchronized (UNPACKING) {
      try {
        Files.createDirectories(cache);
        try (FileChannel lock =
            FileChannel.open(
                cache.resolve("demo-model.lock"),
                StandardOpenOption.CREATE,
                StandardOpenOption.WRITE)) {
          lock.lock();
          if (!isComplete(folder, entries)) {
            unpackInto(folder, entries);
          }
        }
      } catch (IOException e) {
        throw new UncheckedIOException(
            "cannot unpack the demo model to "
                + folder
                + " ("
                + e
                + "); give a folder that can be written with -D"
                + CACHE_PROPERTY
                + "=DIR or the variable XDG_CACHE_HOME",
            e);
      }
    }
    return folder;
  }

  /** Fills a neighbouring folder and renames it, so that the folder is only ever complete. */
  private static void unpackInto(Path folder, List<Entry> entries) throws IOException {
    Path partial = folder.resolveSibling(folder.getFileName() + ".partial");
    delete(partial);
    try {
      for (Entry entry : entries) {
        Path file = partial.resolve(entry.path);
        Files.createDirectories(file.getParent());
        try (InputStream in = open("checkpoint/" + entry.path)) {
          Files.copy(in, file);
        }
      }
      if (!isComplete(partial, entries)) {
        throw new IOException("the files in the jar do not have the listed sizes");
      }
      delete(folder);
      Files.move(partial, folder, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      delete(partial);
    }
  }

  private static boolean isComplete(Path folder, List<Entry> entries) {
    return entries.stream()
        .allMatch(
            entry -> {
              Path file = folder.resolve(entry.path);
              return Files.isRegularFile(file) && file.toFile().length() == entry.size;
            });
  }

  private static void delete(Path folder) throws IOException {
    if (Files.exists(folder)) {
      try (Stream<Path> files = Files.walk(folder)) {
        for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(file);
        }
      }
    }
  }

  /** Lines of {@code checkpoint.list}: SHA-256, size in bytes, path. */
  private static List<Entry> entries(byte[] list) {
    return new String(list, StandardCharsets.UTF_8)
        .lines()
        .map(line -> line.split(" ", 3))
        .map(fields -> new Entry(Long.parseLong(fields[1]), fields[2]))
        .toList();
  }

  /** Names the content: the list holds a hash of every file. */
  private static String key(byte[] list) {
    try {
      byte[] digest = MessageDigest.getInstance("SHA-256").digest(list);
      return HexFormat.of().formatHex(digest, 0, 8);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
  }

  private static byte[] resource(String name) {
    try (InputStream in = open(name)) {
      return in.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException("cannot read the demo model's " + name, e);
    }
  }

  private static InputStream open(String name) throws IOException {
    InputStream in = DemoModel.class.getResourceAsStream(name);
    if (in == null) {
      throw new IOException(name + " is missing from the demo model's jar");
    }
    return in;
  }
}
