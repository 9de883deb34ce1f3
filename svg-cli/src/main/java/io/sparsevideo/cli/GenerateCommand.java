package io.sparsevideo.cli;

import io.sparsevideo.Video;
import io.sparsevideo.VideoPipeline;
import io.sparsevideo.attention.AttentionMode.Kind;
import io.sparsevideo.video.VideoFiles;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.EnumSet;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code svg generate}: one prompt, one video file. */
@Command(
    name = "generate",
    sortOptions = false,
    abbreviateSynopsis = true,
    description = "Generate a video from a prompt and write it to a file.",
    footer = {
      "",
      "What is not given comes from the checkpoint's generation_config.json, else from a named"
          + " preset, else from the checkpoint's other configs.",
      "A file that exists is replaced, once the new one is complete. A summary goes to standard"
          + " output; progress, warnings and errors go to standard error."
    })
final class GenerateCommand implements Callable<Integer> {
  private final Context context;

  @Spec private CommandSpec command;
  @Mixin private GenerationOptions options;

  @Option(
      names = {"-o", "--out"},
      order = -2,
      paramLabel = "FILE",
      converter = Converters.OfPath.class,
      defaultValue = "video.mp4",
      description = {
        "Output (default: ${DEFAULT-VALUE}). The name says the format:",
        "  .mp4, .gif, .webp;",
        "  an existing folder, or a name such as frame-%%04d.png, for PNG frames."
      })
  private Path out;

  @Option(
      names = "--attention",
      paramLabel = "dense|svg1|svg2",
      defaultValue = "svg2",
      converter = Converters.OfKind.class,
      description = "Self-attention (default: ${DEFAULT-VALUE}).")
  private Kind kind;

  @Mixin private AttentionOptions attention;

  GenerateCommand(Context context) {
    this.context = context;
  }

  @Override
  public Integer call() {
    attention.check(EnumSet.of(kind));
    options.checkOutput(out, 1);
    Instant start = Instant.now();
    PrintWriter err = command.commandLine().getErr();
    Video video;
    try (VideoPipeline pipeline =
            context
                .library()
                .open(options.size.model(), options.size.device(), attention.mode(kind));
        Progress progress = Progress.of(options.quiet, context.terminal(), err)) {
      video = pipeline.generate(options.request(progress, context.interrupt()));
    }
    context.interrupt().check();
    Instant writing = Instant.now();
    VideoFiles.write(video, out, options.fileOptions());
    Instant end = Instant.now();
    if (!options.quiet) {
      PrintWriter summary = command.commandLine().getOut();
      Summary.print(
          summary, video, out, Duration.between(writing, end), Duration.between(start, end));
      if (options.verbose) {
        Summary.printLayers(summary, video.report());
      }
    }
    return ExitCode.OK;
  }
}
