package io.sparsevideo.video;

import io.sparsevideo.InvalidRequestException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** The formats that a video can be written in, found by the name of the file. */
enum VideoFormat {
  /** H.264 in 4:2:0, BT.709, which every player opens; the largest side is that of level 5.2. */
  MP4(".mp4", true, 16, 8688, 1000),
  /** 256 colours for the whole clip; times are hundredths of a second. */
  GIF(".gif", false, 1, 65_535, 50),
  /** Animated, lossy. */
  WEBP(".webp", true, 1, 16_383, 1000),
  /** One lossless image a frame, in a folder. */
  PNG(".png", false, 1, 65_535, 1000);

  /** Level 5.2, the highest that the encoder has, ends here: 36,864 macroblocks. */
  private static final long LARGEST_H264_AREA = 36_864L * 16 * 16;

  private static final double LEAST_FPS = 0.01;

  private final String extension;
  private final boolean hasQuality;
  private final int leastSide;
  private final int largestSide;
  private final int largestFps;

  VideoFormat(
      String extension, boolean hasQuality, int leastSide, int largestSide, int largestFps) {
    this.extension = extension;
    this.hasQuality = hasQuality;
    this.leastSide = leastSide;
    this.largestSide = largestSide;
    this.largestFps = largestFps;
  }

  /**
   * The format that {@code file} asks for: by its extension, or PNG frames when it is an existing
   * folder.
   *
   * @throws InvalidRequestException when the name says no known format
   */
  static VideoFormat of(Path file) {
    Optional<VideoFormat> named = byExtension(file);
    if (named.isPresent()) {
      return named.get();
    }
    // The empty path is a folder for Java, but nobody means it.
    if (Files.isDirectory(file) && !file.toString().isEmpty()) {
      return PNG;
    }
    throw new InvalidRequestException(
        "\""
            + file
            + "\" says no known format; use .mp4, .gif, .webp, a pattern such as"
            + " frame-%04d.png, or an existing folder (for PNG frames)");
  }

  private static Optional<VideoFormat> byExtension(Path file) {
    Path name = file.getFileName();
    String lower = name == null ? "" : name.toString().toLowerCase(Locale.ROOT);
    return Arrays.stream(values()).filter(f -> lower.endsWith(f.extension)).findFirst();
  }

  /** Refuses options that this format has no use for. */
  void checkOptions(Path file, VideoFileOptions options) {
    if (options.quality().isPresent() && !hasQuality) {
      throw new InvalidRequestException(
          "%s: %s has no quality setting, %d was asked for; leave it out, or use .mp4 or .webp"
              .formatted(file, name(), options.quality().getAsInt()));
    }
  }

  /** Refuses frames that a file of this format cannot hold. */
  void checkSize(Path file, int width, int height) {
    boolean sides = Math.min(width, height) >= leastSide && Math.max(width, height) <= largestSide;
    if (!sides || (this == MP4 && macroblockArea(width, height) > LARGEST_H264_AREA)) {
      throw new InvalidRequestException(
          "%s: %s cannot hold frames of %dx%d; it takes sides from %d to %d pixels%s; "
                  .formatted(
                      file,
                      name(),
                      width,
                      height,
                      leastSide,
                      largestSide,
                      this == MP4 ? " and at most the area of 4096x2304" : "")
              + "PNG frames (an existing folder) take larger and smaller ones");
    }
  }

  /** Refuses a rate that a file of this format cannot hold. */
  void checkRate(Path file, double fps) {
    if (!(fps >= LEAST_FPS && fps <= largestFps)) {
      throw new InvalidRequestException(
          "%s: %s takes from %s to %d frames per second, not %s"
              .formatted(file, name(), LEAST_FPS, largestFps, fps));
    }
  }

  private static long macroblockArea(int width, int height) {
    return ((width + 15L) / 16 * 16) * ((height + 15L) / 16 * 16);
  }

  /**
   * How ffmpeg makes a file of this format.
   *
   * @param muxer the container's short name
   * @param muxerOptions its options, generic and private
   * @param encoder the encoder's name
   * @param encoderOptions its options, generic and private
   * @param filters the filter chain from RGB to what the encoder takes
   * @param sideMultiple what the sides of a frame are multiples of
   */
  record Recipe(
      String muxer,
      Map<String, String> muxerOptions,
      String encoder,
      Map<String, String> encoderOptions,
      String filters,
      int sideMultiple) {}

  /**
   * The recipe for one stream. All of them are "bitexact" and single-threaded: the same frames give
   * the same bytes, without dates or versions in the file.
   *
   * @throws IllegalStateException for PNG, which needs no ffmpeg
   */
  Recipe recipe(VideoFileOptions options) {
    int quality = options.quality().orElse(VideoFileOptions.DEFAULT_QUALITY);
    return switch (this) {
      case MP4 -> {
        // The encoder keeps to a constant quantiser only when both bounds are the same; a bit rate
        // has no effect on it. It takes 12 to 51; quality 0, 85 and 100 give 51, 18 and 12.
        String quantiser = Long.toString(Math.round(51 - 0.39 * quality));
        yield new Recipe(
            "mp4",
            // The index comes first, so that a browser starts before it has the whole file.
            Map.of("movflags", "+faststart", "fflags", "+bitexact"),
            "libopenh264",
            Map.ofEntries(
                Map.entry("profile", "high"),
                Map.entry("rc_mode", "quality"),
                Map.entry("qmin", quantiser),
                Map.entry("qmax", quantiser),
                Map.entry("g", "48"),
                Map.entry("color_primaries", "bt709"),
                Map.entry("color_trc", "bt709"),
                Map.entry("colorspace", "bt709"),
                Map.entry("color_range", "tv"),
                Map.entry("threads", "1"),
                Map.entry("flags", "+bitexact+global_header")),
            "scale=out_color_matrix=bt709:out_range=limited"
                + ":flags=bicubic+accurate_rnd+full_chroma_int+bitexact,format=yuv420p",
            // 4:2:0 has a colour for every two by two pixels; the encoder would cut an odd side.
            2);
      }
      case GIF ->
          new Recipe(
              "gif",
              Map.of("loop", "0", "fflags", "+bitexact"),
              "gif",
              Map.of("threads", "1", "flags", "+bitexact"),
              "split[all][shown];[all]palettegen[palette];"
                  + "[shown][palette]paletteuse=dither=sierra2_4a",
              1);
      case WEBP ->
          new Recipe(
              "webp",
              Map.of("loop", "0", "fflags", "+bitexact"),
              "libwebp_anim",
              Map.of("quality", Integer.toString(quality), "threads", "1", "flags", "+bitexact"),
              "format=bgra",
              1);
      case PNG -> throw new IllegalStateException("PNG frames are written by javax.imageio");
    };
  }
}
