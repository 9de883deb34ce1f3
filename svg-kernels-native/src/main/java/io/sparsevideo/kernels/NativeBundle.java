package io.sparsevideo.kernels;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * Native libraries on the class path, and the folder of the user that they are extracted to: the
 * system's loader opens files, not jar entries.
 *
 * <p>The folder's name is a hash of the content, so builds never mix, and every file gets its name
 * only when it is complete, so any number of processes may extract at the same time.
 */
final class NativeBundle {

  private final ClassLoader loader;
  private final Path cache;

  /**
   * @param loader where the libraries are looked up
   * @param cache folder that extracted bundles lie in; created when missing
   */
  NativeBundle(ClassLoader loader, Path cache) {
    this.loader = loader;
    this.cache = cache;
  }

  /** The resource folder of this platform's libraries, for example "native/linux-x86_64/". */
  static String resourceFolder() {
    String system = System.getProperty("os.name").toLowerCase(Locale.ROOT);
    String machine = System.getProperty("os.arch");
    return "native/" + system + "-" + (machine.equals("amd64") ? "x86_64" : machine) + "/";
  }

  /** {@code sparse-videogen/native} in the user's cache folder, unless a property names another. */
  static Path defaultCache() {
    String chosen = System.getProperty(KernelLibrary.CACHE_PROPERTY);
    if (chosen != null) {
      return Path.of(chosen);
    }
    String xdg = System.getenv("XDG_CACHE_HOME");
    Path base =
        xdg != null && !xdg.isBlank()
            ? Path.of(xdg)
            : Path.of(System.getProperty("user.home"), ".cache");
    return base.resolve("sparse-videogen").resolve("native");
  }

  /**
   * Extracts files that belong together into one folder and returns it. Files that are there with
   * the right content stay as they are.
   *
   * @throws NoSuchFileException when the class path lacks one of the files
   * @throws IOException when the cache folder cannot be written
   */
  Path extract(List<String> names) throws IOException {
    SortedMap<String, byte[]> files = new TreeMap<>();
    for (String name : names) {
      String resource = resourceFolder() + name;
      try (InputStream in = loader.getResourceAsStream(resource)) {
        if (in == null) {
          throw new NoSuchFileException(resource);
        }
        files.put(name, in.readAllBytes());
      }
    }
    Path folder = cache.resolve(digest(files));
    try {
      Files.createDirectories(folder);
      for (var file : files.entrySet()) {
        write(folder.resolve(file.getKey()), file.getValue());
      }
    } catch (NoSuchFileException e) { // that type is for resources
      throw new IOException("cannot create " + e.getFile(), e);
    }
    return folder;
  }

  private static void write(Path target, byte[] content) throws IOException {
    if (Files.isRegularFile(target) && Arrays.equals(Files.readAllBytes(target), content)) {
      return;
    }
    Path part = Files.createTempFile(target.getParent(), target.getFileName().toString(), ".part");
    try {
      Files.write(part, content);
      Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(part);
    }
  }

  private static String digest(SortedMap<String, byte[]> files) {
    MessageDigest sha;
    try {
      sha = MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Java platform has SHA-256", e);
    }
    files.values().forEach(sha::update);
    return HexFormat.of().formatHex(sha.digest(), 0, 8);
  }
}
