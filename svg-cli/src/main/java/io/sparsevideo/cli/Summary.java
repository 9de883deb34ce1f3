package io.sparsevideo.cli;

import io.sparsevideo.GenerationReport;
import io.sparsevideo.ProgressListener.Stage;
import io.sparsevideo.Video;
import io.sparsevideo.attention.AttentionMode.Kind;
import io.sparsevideo.attention.LayerDensity;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.DoubleSummaryStatistics;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;

/** What is said about a generated video when it is done. */
final class Summary {
  private Summary() {}

  /**
   * @param file where it was written
   * @param writing how long that took
   * @param total wall time of it all
   */
  static void print(PrintWriter out, Video video, Path file, Duration writing, Duration total) {
    GenerationReport report = video.report();
    out.println(file + ": " + describe(video) + size(file));
    out.println(
        Text.format(
            "model      %s, %s, guidance %s, flow shift %s, seed %d",
            report.model(),
            Text.count(report.steps(), "step"),
            Text.number(report.guidance()),
            Text.number(report.flowShift()),
            report.seed()));
    out.println("device     " + report.device());
    out.println("attention  " + attention(report));
    out.println("time       " + times(report.times(), writing, total));
  }

  private static String describe(Video video) {
    int frames = video.frames().size();
    return Text.format(
        "%s of %dx%d, %s fps, %.2f s",
        Text.count(frames, "frame"),
        video.width(),
        video.height(),
        Text.number(video.fps()),
        frames / video.fps());
  }

  private static String size(Path file) {
    try {
      return Files.isRegularFile(file) ? ", " + Text.bytes(Files.size(file)) : "";
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static String attention(GenerationReport report) {
    if (report.attention().kind() == Kind.DENSE) {
      return report.attention().toString();
    }
    long sparse = report.densities().stream().filter(d -> d.kind() != Kind.DENSE).count();
    return Text.format(
        "%s, density %.3f in %d sparse of %d calls, %.3f overall",
        report.attention(),
        report.sparseDensity(),
        sparse,
        report.densities().size(),
        report.meanDensity());
  }

  private static String times(Map<Stage, Duration> times, Duration writing, Duration total) {
    List<String> parts = new ArrayList<>();
    for (Stage stage : Stage.values()) {
      if (times.containsKey(stage)) {
        parts.add(stage.label() + " " + Text.duration(times.get(stage)));
      }
    }
    parts.add("writing " + Text.duration(writing));
    return String.join(", ", parts) + "; in all " + Text.duration(total);
  }

  /** A row for each layer: how many of its calls were sparse, and their densities. */
  static void printLayers(PrintWriter out, GenerationReport report) {
    Map<Integer, List<LayerDensity>> layers =
        report.densities().stream()
            .collect(Collectors.groupingBy(LayerDensity::layer, TreeMap::new, Collectors.toList()));
    List<List<String>> rows = new ArrayList<>();
    rows.add(List.of("layer", "dense calls", "sparse calls", "least", "mean", "most"));
    layers.forEach((layer, calls) -> rows.add(row(layer, calls)));
    Text.table(rows).forEach(out::println);
  }

  private static List<String> row(int layer, List<LayerDensity> calls) {
    DoubleSummaryStatistics sparse =
        calls.stream()
            .filter(call -> call.kind() != Kind.DENSE)
            .mapToDouble(LayerDensity::density)
            .summaryStatistics();
    List<String> row = new ArrayList<>();
    row.add(Integer.toString(layer));
    row.add(Long.toString(calls.size() - sparse.getCount()));
    row.add(Long.toString(sparse.getCount()));
    for (double density : new double[] {sparse.getMin(), sparse.getAverage(), sparse.getMax()}) {
      row.add(sparse.getCount() == 0 ? "-" : Text.format("%.3f", density));
    }
    return row;
  }
}
