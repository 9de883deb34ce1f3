package io.sparsevideo.video;

import io.sparsevideo.GenerationCancelledException;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.Video;
import java.io.IOException;
import java.nio.file.AccessDeniedException;
import java.nio.file.FileSystemException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import javax.imageio.IIOException;

/**
 * Writes videos to files, in the format that the name asks for:
 *
 * <ul>
 *   <li>{@code .mp4}: H.264 (4:2:0, BT.709), the index first. An odd side gets its last row or
 *       column a second time, because 4:2:0 has even sides only.
 *   <li>{@code .gif}: animated, one palette of 256 colours for the clip, repeats for ever.
 *   <li>{@code .webp}: animated, lossy, repeats for ever.
 *   <li>an existing folder, or a pattern such as {@code frame-%04d.png}: one PNG a frame, numbered
 *       from 1 ({@code 0001.png} … in a folder).
 * </ul>
 *
 * <p>A file appears under its name only when it is complete, in place of one that was there. The
 * same frames and options give the same bytes.
 */
public final class VideoFiles {
  private VideoFiles() {}

  /** As {@link #write(Video, Path, VideoFileOptions)} with the default options. */
  public static void write(Video video, Path file) {
    write(video, file, VideoFileOptions.DEFAULT);
  }

  /**
   * Writes {@code video}.
   *
   * @throws InvalidRequestException when the format is unknown, or cannot hold this size or rate
   * @throws VideoFileException when {@link #checkWritable} would refuse the file, or when writing
   *     fails (a full disk, for example); nothing of it is left then
   * @throws GenerationCancelledException when the thread is interrupted; it still is afterwards,
   *     and nothing is left of the file
   */
  public static void write(Video video, Path file, VideoFileOptions options) {
    VideoFormat format = VideoFormat.of(file);
    checkWritable(file, options);
    format.checkSize(file, video.width(), video.height());
    format.checkRate(file, video.fps());
    try {
      if (format == VideoFormat.PNG) {
        PngFrames.of(file).write(video);
      } else {
        // A link stays one, and what it points to is replaced.
        try (PartialFile part = new PartialFile(Files.exists(file) ? file.toRealPath() : file)) {
          encode(video, part.path(), format.recipe(options));
          part.publish();
        }
      }
    } catch (IOException | FfmpegException e) {
      throw new VideoFileException(file + ": cannot be written: " + reason(e), e);
    }
  }

  private static void encode(Video video, Path file, VideoFormat.Recipe recipe) {
    try (FfmpegEncoder encoder =
        new FfmpegEncoder(file, recipe, video.width(), video.height(), video.fps())) {
      for (byte[] frame : video.frames()) {
        checkInterrupt();
        encoder.write(frame);
      }
      encoder.finish();
    }
  }

  static void checkInterrupt() {
    if (Thread.currentThread().isInterrupted()) {
      throw new GenerationCancelledException("writing the video was interrupted");
    }
  }

  /** As {@link #checkWritable(Path, VideoFileOptions)} with the default options. */
  public static void checkWritable(Path file) {
    checkWritable(file, VideoFileOptions.DEFAULT);
  }

  /**
   * Finds out whether a video can be written to {@code file} with {@code options}, so that nobody
   * learns it after a long generation. Leaves no trace.
   *
   * @throws InvalidRequestException when the name says no known format, or an option does not fit
   *     the format
   * @throws VideoFileException when the folder is missing (it is not created) or not writable, the
   *     file is a folder or may not be replaced, or the native ffmpeg libraries that the format
   *     needs cannot be loaded
   */
  public static void checkWritable(Path file, VideoFileOptions options) {
    VideoFormat format = VideoFormat.of(file);
    format.checkOptions(file, options);
    if (file.getFileSystem() != FileSystems.getDefault()) {
      throw new VideoFileException(file + ": is not on the default file system");
    }
    if (format == VideoFormat.PNG) {
      PngFrames frames = PngFrames.of(file);
      checkFolder(file, frames.folder());
      probe(file, frames.folder().resolve(frames.namePattern()));
      return;
    }
    checkFolder(file, file.toAbsolutePath().getParent());
    if (Files.exists(file) && !Files.isRegularFile(file)) {
      throw new VideoFileException(
          file + ": " + (Files.isDirectory(file) ? "is a folder" : "is not a regular file"));
    }
    if (Files.exists(file) && !Files.isWritable(file)) {
      throw new VideoFileException(
          file + ": exists and may not be written; remove it or choose another name");
    }
    probe(file, file);
    loadFfmpeg(file, format);
  }

  private static void checkFolder(Path file, Path folder) {
    if (!Files.isDirectory(folder)) {
      throw new VideoFileException(
          file
              + ": the folder "
              + folder
              + (Files.exists(folder) ? " is a file" : " does not exist; create it first"));
    }
  }

  /** Only an attempt tells: permissions, read-only file systems and quotas. */
  private static void probe(Path file, Path target) {
    try (PartialFile part = new PartialFile(target)) {
      // Closing deletes it.
    } catch (IOException e) {
      throw new VideoFileException(file + ": cannot be written: " + reason(e), e);
    }
  }

  private static void loadFfmpeg(Path file, VideoFormat format) {
    try {
      FfmpegEncoder.load();
    } catch (LinkageError e) {
      throw new VideoFileException(
          file
              + ": "
              + format
              + " needs the native ffmpeg libraries, which cannot be loaded ("
              + e
              + "); see that org.bytedeco:ffmpeg with this platform's classifier is on the class"
              + " path and libudev1 is installed, or write PNG frames (an existing folder)",
          e);
    }
  }

  /** What went wrong, without the name of the partial file. */
  private static String reason(Exception e) {
    if (!(e instanceof FileSystemException failure)) {
      // javax.imageio's own message says only that there was one.
      return e instanceof IIOException && e.getCause() != null
          ? e.getCause().getMessage()
          : e.getMessage();
    }
    String place = failure.getOtherFile() == null ? "" : failure.getOtherFile() + ": ";
    if (failure instanceof AccessDeniedException) {
      return place + "permission denied";
    }
    if (failure instanceof NoSuchFileException) {
      return place + "its folder takes no new files";
    }
    String reason = failure.getReason();
    return place + (reason == null ? failure.getClass().getSimpleName() : reason);
  }

  /**
   * Finds out whether the format of {@code file} can hold frames of this size in pixels.
   *
   * @throws InvalidRequestException when it cannot; the message names the limits
   */
  public static void checkSize(Path file, int width, int height) {
    VideoFormat.of(file).checkSize(file, width, height);
  }

  /**
   * Finds out whether the format of {@code file} can hold this many frames per second.
   *
   * @throws InvalidRequestException when it cannot; the message names the limits
   */
  public static void checkRate(Path file, double fps) {
    VideoFormat.of(file).checkRate(file, fps);
  }
}
