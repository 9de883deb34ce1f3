package io.sparsevideo;

import io.sparsevideo.video.VideoFiles;
import java.awt.image.BufferedImage;
import java.nio.file.Path;
import java.util.List;

/** A generated video: RGB frames in memory, 8 bits a channel. */
public final class Video {
  private final int width;
  private final int height;
  private final double fps;
  private final List<byte[]> frames;
  private final GenerationReport report;

  /**
   * @param frames one array of {@code height · width · 3} bytes a frame, rows from the top, red
   *     first
   * @param report how it was made, or null for a video from elsewhere
   */
  public Video(int width, int height, double fps, List<byte[]> frames, GenerationReport report) {
    if (width < 1 || height < 1 || frames.isEmpty() || !(fps > 0)) {
      throw new IllegalArgumentException(
          "a video needs a size, a frame and a rate: "
              + width
              + "x"
              + height
              + ", "
              + frames.size()
              + " frames, "
              + fps
              + " fps");
    }
    long frameBytes = (long) width * height * 3;
    for (byte[] frame : frames) {
      if (frame.length != frameBytes) {
        throw new IllegalArgumentException(
            "a frame of "
                + width
                + "x"
                + height
                + " has "
                + frameBytes
                + " bytes, got "
                + frame.length);
      }
    }
    this.width = width;
    this.height = height;
    this.fps = fps;
    this.frames = List.copyOf(frames);
    this.report = report;
  }

  public int width() {
    return width;
  }

  public int height() {
    return height;
  }

  public double fps() {
    return fps;
  }

  /** The frames' bytes, not copied: rows from the top, red first. */
  public List<byte[]> frames() {
    return frames;
  }

  /** How this video was made; null when it did not come from a pipeline. */
  public GenerationReport report() {
    return report;
  }

  /** Frame {@code index} as an image. */
  public BufferedImage image(int index) {
    byte[] rgb = frames.get(index);
    BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
    for (int y = 0, i = 0; y < height; y++) {
      for (int x = 0; x < width; x++, i += 3) {
        image.setRGB(x, y, (rgb[i] & 255) << 16 | (rgb[i + 1] & 255) << 8 | (rgb[i + 2] & 255));
      }
    }
    return image;
  }

  /**
   * Writes the video in the format of the file's extension, as {@link VideoFiles#write}. The file
   * appears under its name only when it is complete.
   *
   * @throws InvalidRequestException when the format is unknown, or cannot hold this size or rate
   * @throws io.sparsevideo.video.VideoFileException when it cannot be written
   */
  public void save(Path file) {
    VideoFiles.write(this, file);
  }
}
