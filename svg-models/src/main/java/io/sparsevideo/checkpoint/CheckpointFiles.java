package io.sparsevideo.checkpoint;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.util.Arrays;

/** What goes wrong with any file of a downloaded checkpoint, told apart once. */
public final class CheckpointFiles {
  private static final byte[] LFS_POINTER =
      "version https://git-lfs".getBytes(StandardCharsets.US_ASCII);

  private CheckpointFiles() {}

  /**
   * The file, which exists, can be read and is not the text that a git clone without LFS leaves in
   * a large file's place.
   *
   * @throws CheckpointException naming the file and what to do
   */
  public static Path requireFile(Path file) {
    requirePresent(file, "file");
    if (!Files.isRegularFile(file)) {
      throw new CheckpointException(
          "%s is %s, expected a file"
              .formatted(file, Files.isDirectory(file) ? "a folder" : "a device or pipe"));
    }
    if (Arrays.equals(firstBytes(file, LFS_POINTER.length), LFS_POINTER)) {
      throw new CheckpointException(
          "%s is a git-LFS pointer, not the file itself: run 'git lfs pull' in the clone, or download the file"
              .formatted(file));
    }
    return file;
  }

  /**
   * The folder, which exists.
   *
   * @throws CheckpointException naming the folder and what was found instead
   */
  public static Path requireFolder(Path folder) {
    requirePresent(folder, "folder");
    if (!Files.isDirectory(folder)) {
      throw new CheckpointException("%s is a file, expected a folder".formatted(folder));
    }
    return folder;
  }

  /** The first bytes of a file, fewer when it is shorter. */
  static byte[] firstBytes(Path file, int count) {
    try (InputStream in = Files.newInputStream(file)) {
      return in.readNBytes(count);
    } catch (IOException e) {
      throw unreadable(file, e);
    }
  }

  /** What to throw when a file or folder is there, but reading it fails. */
  public static CheckpointException unreadable(Path file, IOException e) {
    String reason =
        switch (e) {
          case AccessDeniedException denied -> "permission denied";
          case FileSystemException failure when failure.getReason() != null -> failure.getReason();
          default -> e.toString();
        };
    return new CheckpointException("%s cannot be read: %s".formatted(file, reason), e);
  }

  private static void requirePresent(Path path, String kind) {
    try {
      Files.readAttributes(path, BasicFileAttributes.class);
    } catch (NoSuchFileException e) {
      throw absent(path, kind);
    } catch (IOException e) {
      throw unreadable(path, e);
    }
  }

  private static CheckpointException absent(Path path, String kind) {
    if (Files.isSymbolicLink(path)) {
      return new CheckpointException(
          "%s is a link to %s, which does not exist: download the checkpoint again"
              .formatted(path, target(path)));
    }
    Path parent = path.toAbsolutePath().getParent();
    return new CheckpointException(
        parent == null || Files.isDirectory(parent)
            ? "%s %s does not exist".formatted(kind, path)
            : "%s %s does not exist, nor does the folder around it".formatted(kind, path));
  }

  private static Path target(Path link) {
    try {
      return Files.readSymbolicLink(link);
    } catch (IOException e) {
      throw unreadable(link, e);
    }
  }
}
