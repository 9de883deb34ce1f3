package io.sparsevideo.video;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.HexFormat;
import java.util.concurrent.ThreadLocalRandom;

/**
 * A hidden file in the folder of the final one, which it replaces in one step when {@link #publish}
 * is called; without that, {@link #close} deletes it.
 */
final class PartialFile implements AutoCloseable {
  private final Path target;
  private final Path path;

  /** Creates the empty file, with the permissions that any new file gets. */
  PartialFile(Path target) throws IOException {
    this.target = target;
    String unique = HexFormat.of().toHexDigits(ThreadLocalRandom.current().nextLong());
    path = target.resolveSibling("." + target.getFileName() + "." + unique + ".part");
    Files.createFile(path);
  }

  Path path() {
    return path;
  }

  void publish() throws IOException {
    Files.move(path, target, StandardCopyOption.ATOMIC_MOVE);
  }

  @Override
  public void close() throws IOException {
    Files.deleteIfExists(path);
  }
}
