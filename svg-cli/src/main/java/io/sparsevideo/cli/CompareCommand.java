package io.sparsevideo.cli;

import io.sparsevideo.GenerationReport;
import io.sparsevideo.ProgressListener.Stage;
import io.sparsevideo.Video;
import io.sparsevideo.VideoPipeline;
import io.sparsevideo.attention.AttentionMode.Kind;
import io.sparsevideo.video.SideBySide;
import io.sparsevideo.video.VideoFiles;
import io.sparsevideo.video.VideoMetrics;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * {@code svg compare}: what the sparse modes change against dense attention, and what they save.
 */
@Command(
    name = "compare",
    sortOptions = false,
    abbreviateSynopsis = true,
    description = "Generate a video with dense, svg1 and svg2 attention and compare them.",
    footer = {
      "",
      "All three start from the same seed. The table gives the density of the sparse calls and of"
          + " all calls, times, and PSNR (dB) and SSIM against the dense video."
    })
final class CompareCommand implements Callable<Integer> {
  private final Context context;

  @Spec private CommandSpec command;
  @Mixin private GenerationOptions options;

  @Option(
      names = {"-o", "--out"},
      order = -2,
      paramLabel = "FILE",
      converter = Converters.OfPath.class,
      description = "Also write a video that shows the three side by side; formats as in generate.")
  private Path out;

  @Mixin private AttentionOptions attention;

  CompareCommand(Context context) {
    this.context = context;
  }

  /** One mode's video and how long it took from opening the pipeline on. */
  private record Run(Kind kind, Video video, Duration total) {
    Duration denoising() {
      return video.report().times().getOrDefault(Stage.DENOISING, Duration.ZERO);
    }
  }

  @Override
  public Integer call() {
    if (out != null) {
      options.checkOutput(out, Kind.values().length);
    } else if (options.hasQuality()) {
      throw new ParameterException(command.commandLine(), "--quality needs --out");
    }
    attention.check(EnumSet.allOf(Kind.class));
    List<Run> runs = new ArrayList<>();
    for (Kind kind : Kind.values()) {
      runs.add(run(kind));
      context.interrupt().check();
    }
    PrintWriter summary = command.commandLine().getOut();
    table(runs).forEach(summary::println);
    if (out != null) {
      VideoFiles.write(
          SideBySide.join(
              runs.stream().map(Run::video).toList(),
              runs.stream().map(run -> label(run, runs.getFirst())).toList()),
          out,
          options.fileOptions());
      if (!options.quiet) {
        summary.println(out + ": dense, svg1 and svg2 from left to right");
      }
    }
    return ExitCode.OK;
  }

  private Run run(Kind kind) {
    PrintWriter err = command.commandLine().getErr();
    if (!options.quiet) {
      err.println(kind.label());
      err.flush();
    }
    try (VideoPipeline pipeline =
            context
                .library()
                .open(options.size.model(), options.size.device(), attention.mode(kind));
        Progress progress = Progress.of(options.quiet, context.terminal(), err)) {
      // Otherwise the first mode's time holds Java's warm-up, and every mode's the loading of
      // weights.
      pipeline.generate(options.warmUp(context.interrupt()));
      Instant start = Instant.now();
      Video video = pipeline.generate(options.request(progress, context.interrupt()));
      return new Run(kind, video, Duration.between(start, Instant.now()));
    }
  }

  private static List<String> table(List<Run> runs) {
    Run dense = runs.getFirst();
    List<List<String>> rows = new ArrayList<>();
    rows.add(
        List.of("mode", "density", "overall", "total", "denoising", "speed-up", "PSNR", "SSIM"));
    for (Run run : runs) {
      GenerationReport report = run.video.report();
      boolean reference = run == dense;
      rows.add(
          List.of(
              run.kind.label(),
              Text.format("%.3f", report.sparseDensity()),
              Text.format("%.3f", report.meanDensity()),
              Text.duration(run.total),
              Text.duration(run.denoising()),
              Text.format(
                  "%.2fx",
                  (double) dense.denoising().toNanos() / Math.max(1, run.denoising().toNanos())),
              reference ? "-" : decibels(run, dense),
              reference ? "-" : Text.format("%.4f", VideoMetrics.ssim(dense.video, run.video))));
    }
    return Text.table(rows);
  }

  private static String label(Run run, Run dense) {
    return run == dense
        ? run.kind.label()
        : Text.format(
            "%s %.2f %s dB",
            run.kind.label(), run.video.report().sparseDensity(), decibels(run, dense));
  }

  private static String decibels(Run run, Run dense) {
    double psnr = VideoMetrics.psnr(dense.video, run.video);
    return Double.isInfinite(psnr) ? "equal" : Text.format("%.2f", psnr);
  }
}
