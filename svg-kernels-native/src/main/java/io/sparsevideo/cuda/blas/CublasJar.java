package io.sparsevideo.cuda.blas;

import java.io.IOException;
import java.io.InputStream;
import java.net.JarURLConnection;
import java.net.URISyntaxException;
import java.net.URL;
import java.net.URLConnection;
import java.nio.file.FileSystemNotFoundException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;

/**
 * A cuBLASLt on the class path, where JavaCPP's presets for CUDA have it. The library is hundreds
 * of megabytes and the system's loader opens files, so it is copied once, to the folder that the
 * kernels are extracted to.
 */
final class CublasJar {

  /** The Maven coordinates, for messages. */
  static final String COORDINATES = "org.bytedeco:cuda-redist-cublas (classifier linux-x86_64)";

  private static final String FOLDER = "org/bytedeco/cuda/linux-x86_64/";

  private CublasJar() {}

  /**
   * The library's file, extracted if it is in a jar.
   *
   * @param cache folder to extract to; created when missing
   * @return nothing when the class path has no library of that name
   * @throws IOException when it cannot be read, or not be written to the folder
   */
  static Optional<Path> extract(ClassLoader loader, String name, Path cache) throws IOException {
    URL resource = loader.getResource(FOLDER + name);
    return resource == null ? Optional.empty() : Optional.of(file(resource, name, cache));
  }

  private static Path file(URL resource, String name, Path cache) throws IOException {
    URLConnection connection = resource.openConnection();
    if (!(connection instanceof JarURLConnection jar)) {
      try {
        return Path.of(resource.toURI());
      } catch (URISyntaxException | IllegalArgumentException | FileSystemNotFoundException e) {
        throw new IOException(resource + " is neither a file nor in a jar", e);
      }
    }
    // Caching would keep the jar open, and a stale one after it was replaced.
    jar.setUseCaches(false);
    try (InputStream in = jar.getInputStream()) {
      long size = jar.getJarEntry().getSize();
      String build = "cublaslt-%08x".formatted(jar.getJarEntry().getCrc());
      Path target = cache.resolve(build).resolve(name);
      // Files get their names when they are complete.
      if (!Files.isRegularFile(target) || Files.size(target) != size) {
        write(in, target);
      }
      return target;
    }
  }

  private static void write(InputStream in, Path target) throws IOException {
    Files.createDirectories(target.getParent());
    Path part = Files.createTempFile(target.getParent(), target.getFileName().toString(), ".part");
    try {
      Files.copy(in, part, StandardCopyOption.REPLACE_EXISTING);
      Files.move(part, target, StandardCopyOption.ATOMIC_MOVE);
    } finally {
      Files.deleteIfExists(part);
    }
  }
}
