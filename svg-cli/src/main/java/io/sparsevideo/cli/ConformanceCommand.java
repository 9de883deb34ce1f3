package io.sparsevideo.cli;

import ai.djl.Device;
import io.sparsevideo.attention.AttentionMode.Kind;
import io.sparsevideo.conformance.ConformanceReport;
import io.sparsevideo.conformance.StageResult;
import io.sparsevideo.conformance.StageResult.Status;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code svg conformance}: this library against recordings of the public implementations. */
@Command(
    name = "conformance",
    sortOptions = false,
    abbreviateSynopsis = true,
    description = "Compare every stage of a model with a recorded trace.",
    footer = {
      "",
      "One line for each recorded stage: name, relative error |a - b| / |b|, tolerance, and ok,"
          + " FAILED or not supported yet. The exit status is 1 unless all are ok."
    })
final class ConformanceCommand implements Callable<Integer> {
  private final Context context;

  @Spec private CommandSpec command;

  @Parameters(
      paramLabel = "DIR",
      converter = Converters.OfFolder.class,
      description = "Folder with trace.json, trace.safetensors and, of a pipeline, checkpoint/.")
  private Path folder;

  @Option(
      names = "--device",
      paramLabel = "cpu|cuda[:N]",
      converter = Converters.OfDevice.class,
      description = "Where to run (default: the best available).")
  private Device device;

  @Option(
      names = "--attention",
      paramLabel = "dense|svg1|svg2",
      defaultValue = "dense",
      converter = Converters.OfKind.class,
      description = "Self-attention (default: ${DEFAULT-VALUE}).")
  private Kind kind;

  @Mixin private AttentionOptions attention;

  @Option(names = "--verbose", description = "Show what libraries log, and where an error arose.")
  private boolean verbose;

  ConformanceCommand(Context context) {
    this.context = context;
  }

  @Override
  public Integer call() {
    attention.check(EnumSet.of(kind));
    PrintWriter out = command.commandLine().getOut();
    ConformanceReport report =
        context
            .library()
            .conform(
                folder,
                Optional.ofNullable(device),
                attention.mode(kind),
                stage -> {
                  out.println(line(stage));
                  out.flush();
                });
    out.println(count(report));
    return report.passed() ? ExitCode.OK : ExitCode.FAILED;
  }

  private static String line(StageResult stage) {
    String line =
        Text.format(
            "%-44s  %9s  %9s  %s",
            stage.name(),
            number("%.2e", stage.error()),
            number("%.0e", stage.tolerance()),
            stage.status().label());
    return stage.detail().isEmpty() ? line : line + " (" + stage.detail() + ")";
  }

  private static String number(String pattern, double value) {
    return Double.isNaN(value) ? "-" : Text.format(pattern, value);
  }

  private static String count(ConformanceReport report) {
    return report.stages().size()
        + " stages: "
        + Arrays.stream(Status.values())
            .map(status -> report.count(status) + " " + status.label())
            .collect(Collectors.joining(", "));
  }
}
