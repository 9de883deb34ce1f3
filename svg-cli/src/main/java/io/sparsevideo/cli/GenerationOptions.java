package io.sparsevideo.cli;

import io.sparsevideo.VideoRequest;
import io.sparsevideo.video.VideoFileOptions;
import io.sparsevideo.video.VideoFiles;
import java.nio.file.Path;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** What to generate and how to write it: the options that generate and compare share. */
final class GenerationOptions {
  @Parameters(paramLabel = "PROMPT", description = "What the video shows; may be empty (\"\").")
  private String prompt;

  @Mixin SizeOptions size;

  @Option(
      names = "--steps",
      paramLabel = "N",
      converter = Converters.OfCount.class,
      description = "Denoising steps.")
  private Integer steps;

  @Option(
      names = "--guidance",
      paramLabel = "X",
      converter = Converters.OfNumber.class,
      description = "Scale of classifier-free guidance, from 0; up to 1 runs without.")
  private Double guidance;

  @Option(
      names = "--flow-shift",
      paramLabel = "X",
      converter = Converters.OfPositive.class,
      description = "Flow shift of the scheduler.")
  private Double flowShift;

  @Option(
      names = "--negative-prompt",
      paramLabel = "TEXT",
      description = "What the video should not show.")
  private String negativePrompt;

  @Option(
      names = "--seed",
      paramLabel = "N",
      defaultValue = "0",
      converter = Converters.OfSeed.class,
      description = "Seed of the start (default: ${DEFAULT-VALUE}); the same gives the same video.")
  private long seed;

  @Option(
      names = "--fps",
      paramLabel = "N",
      converter = Converters.OfPositive.class,
      description = "Frames per second of the file, for example 16 or 23.976.")
  private Double fps;

  @Option(
      names = "--quality",
      paramLabel = "Q",
      converter = Converters.OfPercent.class,
      description = "0 (smallest) to 100 (best) for MP4 and WebP (default: 85).")
  private Integer quality;

  @Option(names = "--quiet", description = "Show nothing but warnings and errors.")
  boolean quiet;

  @Option(
      names = "--verbose",
      description = "Show what libraries log, a table of all layers, and where an error arose.")
  boolean verbose;

  VideoRequest request(Progress progress, Interrupt interrupt) {
    return builder(interrupt).optListener(progress).build();
  }

  /**
   * One frame in one step: loads and warms up all that the full request needs, in a fraction of its
   * time.
   */
  VideoRequest warmUp(Interrupt interrupt) {
    return builder(interrupt).optFrames(1).optSteps(1).build();
  }

  private VideoRequest.Builder builder(Interrupt interrupt) {
    VideoRequest.Builder request =
        VideoRequest.builder()
            .setPrompt(prompt)
            .optSeed(seed)
            .optCancellation(interrupt.cancellation());
    size.apply(request);
    if (steps != null) {
      request.optSteps(steps);
    }
    if (guidance != null) {
      request.optGuidance(guidance);
    }
    if (flowShift != null) {
      request.optFlowShift(flowShift);
    }
    if (negativePrompt != null) {
      request.optNegativePrompt(negativePrompt);
    }
    if (fps != null) {
      request.optFps(fps);
    }
    return request;
  }

  VideoFileOptions fileOptions() {
    return quality == null
        ? VideoFileOptions.DEFAULT
        : VideoFileOptions.DEFAULT.optQuality(quality);
  }

  boolean hasQuality() {
    return quality != null;
  }

  /**
   * Refuses an output before anything is computed for it.
   *
   * @param across how many videos lie next to each other in it
   */
  void checkOutput(Path file, int across) {
    VideoFiles.checkWritable(file, fileOptions());
    if (size.height != null && size.width != null) {
      VideoFiles.checkSize(file, across * size.width, size.height);
    }
    if (fps != null) {
      VideoFiles.checkRate(file, fps);
    }
  }
}
