package io.sparsevideo.bench.cuda;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/** Results as a Markdown table, a line for each benchmark and shape. */
final class ResultTable {
  private ResultTable() {}

  static String markdown(List<Result> results) {
    Map<List<Object>, List<Result>> lines = new LinkedHashMap<>();
    for (Result result : results) {
      lines
          .computeIfAbsent(List.of(result.benchmark(), result.params()), key -> new ArrayList<>())
          .add(result);
    }
    StringBuilder table = new StringBuilder();
    table.append("| benchmark | shape | time | rate | held against |\n|---|---|---|---|---|\n");
    for (List<Result> rows : lines.values()) {
      Result first = rows.getFirst();
      table.append(
          "| %s | %s | %s | %s | %s |%n"
              .formatted(
                  first.benchmark().replace("_", "\\_"),
                  shape(first.params()),
                  time(first.ms()),
                  first.rate() == null ? "–" : number(first.rate()) + " " + first.unit(),
                  rows.stream()
                      .filter(row -> row.peer() != null)
                      .map(ResultTable::peer)
                      .collect(Collectors.joining("; "))));
    }
    return table.toString();
  }

  private static String shape(Map<String, Object> params) {
    return params.entrySet().stream()
        .filter(p -> !p.getKey().equals("dtype") && !Boolean.FALSE.equals(p.getValue()))
        .map(
            p ->
                p.getKey().replace('_', ' ')
                    + (p.getValue() instanceof Boolean ? "" : " " + p.getValue()))
        .collect(Collectors.joining(", "));
  }

  private static String time(double ms) {
    return ms < 0.001 ? number(ms * 1e6) + " ns" : number(ms) + " ms";
  }

  private static String peer(Result row) {
    String ratio = "%s × %s".formatted(number(row.ratio()), row.peer());
    return row.peerMs() == null ? ratio : "%s (%s)".formatted(ratio, time(row.peerMs()));
  }

  private static String number(double value) {
    return Results.rounded(value).toPlainString();
  }

  /**
   * Puts a table in place of the one in a page, between the lines {@code <!-- name -->} and {@code
   * <!-- end of name -->}.
   */
  static void replace(Path page, String name, String table) throws IOException {
    String text = Files.readString(page);
    String from = "<!-- " + name + " -->\n";
    String to = "<!-- end of " + name + " -->";
    int start = text.indexOf(from);
    int end = text.indexOf(to, start);
    if (start < 0 || end < 0) {
      throw new IOException(
          "%s has no lines %s and %s to put the table between".formatted(page, from.strip(), to));
    }
    Files.writeString(page, text.substring(0, start + from.length()) + table + text.substring(end));
  }
}
