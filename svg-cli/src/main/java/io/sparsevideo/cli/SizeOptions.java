package io.sparsevideo.cli;

import ai.djl.Device;
import io.sparsevideo.VideoRequest;
import java.nio.file.Path;
import java.util.Optional;
import picocli.CommandLine.Option;

/** Which model, where, and how large a video. */
final class SizeOptions {
  @Option(
      names = "--model",
      paramLabel = "DIR",
      converter = Converters.OfFolder.class,
      description = "A diffusers checkpoint folder (default: the embedded demo model).")
  private Path model;

  @Option(
      names = "--device",
      paramLabel = "cpu|cuda[:N]",
      converter = Converters.OfDevice.class,
      description = "Where to run (default: the best available).")
  private Device device;

  @Option(
      names = "--height",
      paramLabel = "N",
      converter = Converters.OfCount.class,
      description = "Pixels, a multiple of 16.")
  Integer height;

  @Option(
      names = "--width",
      paramLabel = "N",
      converter = Converters.OfCount.class,
      description = "Pixels, a multiple of 16.")
  Integer width;

  @Option(
      names = "--frames",
      paramLabel = "N",
      converter = Converters.OfCount.class,
      description = "Frames, 4k + 1.")
  private Integer frames;

  Optional<Path> model() {
    return Optional.ofNullable(model);
  }

  Optional<Device> device() {
    return Optional.ofNullable(device);
  }

  void apply(VideoRequest.Builder request) {
    if (height != null) {
      request.optHeight(height);
    }
    if (width != null) {
      request.optWidth(width);
    }
    if (frames != null) {
      request.optFrames(frames);
    }
  }
}
