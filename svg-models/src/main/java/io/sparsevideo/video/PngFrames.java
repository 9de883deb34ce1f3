package io.sparsevideo.video;

import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.Video;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import javax.imageio.ImageIO;

/** The frames of a video as numbered PNG files of one folder, from 1. */
record PngFrames(Path folder, String namePattern) {
  /** As ffmpeg and printf write it: %d, or %04d for leading zeros. */
  private static final Pattern NUMBER = Pattern.compile("%(0\\d)?d");

  private static final String DEFAULT_NAME = "%04d.png";

  /**
   * @param file an existing folder, or a name that holds the place of the number
   * @throws InvalidRequestException when it is neither
   */
  static PngFrames of(Path file) {
    if (Files.isDirectory(file)) {
      return new PngFrames(file, DEFAULT_NAME);
    }
    String name = file.getFileName().toString();
    if (NUMBER.matcher(name).results().count() != 1) {
      throw new InvalidRequestException(
          file
              + ": a PNG file holds one frame; name an existing folder, or put the place of the"
              + " number into the name, such as frame-%04d.png");
    }
    return new PngFrames(file.toAbsolutePath().getParent(), name);
  }

  private Path path(int number) {
    return folder.resolve(
        NUMBER
            .matcher(namePattern)
            .replaceFirst(place -> String.format(Locale.ROOT, place.group(), number)));
  }

  /** Writes all frames or none; existing files of these names are replaced, others stay. */
  void write(Video video) throws IOException {
    Path hidden = Files.createTempDirectory(folder, ".svg-frames-");
    List<Path> written = new ArrayList<>();
    List<Path> moved = new ArrayList<>();
    try {
      for (int i = 0; i < video.frames().size(); i++) {
        VideoFiles.checkInterrupt();
        Path frame = hidden.resolve(Integer.toString(i));
        written.add(frame);
        ImageIO.write(video.image(i), "png", frame.toFile());
      }
      for (int i = 0; i < written.size(); i++) {
        Path frame = path(i + 1);
        Files.move(written.get(i), frame, StandardCopyOption.ATOMIC_MOVE);
        moved.add(frame);
      }
    } catch (Throwable e) {
      for (Path frame : moved) {
        Files.deleteIfExists(frame);
      }
      throw e;
    } finally {
      for (Path frame : written) {
        Files.deleteIfExists(frame);
      }
      Files.delete(hidden);
    }
  }
}
