package io.sparsevideo.bench.cuda;

import com.fasterxml.jackson.core.type.TypeReference;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.MathContext;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/** Files of results: an array with a row a line, or what peers' scripts print, an object a line. */
final class Results {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final MathContext DIGITS = new MathContext(4);

  /** Work below this many bytes may stay in a cache, and is not held against the copy. */
  private static final double PAST_CACHE = 1e8;

  private Results() {}

  static List<Result> read(Path file) throws IOException {
    List<Result> results = new ArrayList<>();
    for (JsonNode row : JSON.readTree(file.toFile())) {
      results.add(result(row));
    }
    return results;
  }

  /**
   * The peers' times in what their scripts printed; other lines are skipped.
   *
   * @throws IOException when it cannot be read, or a time is of another card than {@code device}
   */
  static List<Result> readPeers(Path file, String device) throws IOException {
    List<Result> peers = new ArrayList<>();
    for (String line : Files.readAllLines(file)) {
      JsonNode row = line.startsWith("{") ? JSON.readTree(line) : null;
      if (row == null || !row.has("peer_ms")) {
        continue;
      }
      Result peer = result(row);
      if (peer.device() != null && !peer.device().equals(device)) {
        throw new IOException(
            "%s: timed on %s, which does not compare with this %s"
                .formatted(file, peer.device(), device));
      }
      peers.add(peer);
    }
    return peers;
  }

  private static Result result(JsonNode row) {
    return new Result(
        row.path("benchmark").asText(),
        JSON.convertValue(row.path("params"), new TypeReference<Map<String, Object>>() {}),
        number(row, "ms"),
        number(row, "wall_ms"),
        number(row, "rate"),
        text(row, "unit"),
        text(row, "peer"),
        number(row, "peer_ms"),
        number(row, "ratio"),
        text(row, "device"));
  }

  private static Double number(JsonNode row, String name) {
    return row.has(name) ? row.get(name).asDouble() : null;
  }

  private static String text(JsonNode row, String name) {
    return row.has(name) ? row.get(name).asText() : null;
  }

  static void write(Path file, List<Result> results) throws IOException {
    List<String> lines = new ArrayList<>();
    for (Result result : results) {
      lines.add(
          "  "
              + JSON.writeValueAsString(row(result)).replace("\":", "\": ").replace(",\"", ", \""));
    }
    Files.writeString(file, "[\n" + String.join(",\n", lines) + "\n]\n");
  }

  private static ObjectNode row(Result result) {
    ObjectNode row = JSON.createObjectNode();
    row.put("benchmark", result.benchmark());
    row.set("params", JSON.valueToTree(result.params()));
    put(row, "ms", result.ms());
    put(row, "wall_ms", result.wallMs());
    put(row, "rate", result.rate());
    put(row, "unit", result.unit());
    put(row, "peer", result.peer());
    put(row, "peer_ms", result.peerMs());
    put(row, "ratio", result.ratio());
    return row;
  }

  private static void put(ObjectNode row, String name, Double value) {
    if (value != null) {
      row.put(name, rounded(value));
    }
  }

  private static void put(ObjectNode row, String name, String value) {
    if (value != null) {
      row.put(name, value);
    }
  }

  /** Four digits that count, as a person would write them. */
  static BigDecimal rounded(double value) {
    BigDecimal rounded = new BigDecimal(value).round(DIGITS);
    BigDecimal plain = rounded.stripTrailingZeros();
    return plain.scale() < 0 ? plain.setScale(0) : plain;
  }

  /** Holds every result against its peers of the same work and, of memory, against the copy. */
  static List<Result> join(List<Result> measured, List<Result> peers) {
    Double copy =
        measured.stream()
            .filter(r -> r.benchmark().equals("copy"))
            .map(Result::rate)
            .findFirst()
            .orElse(null);
    List<Result> joined = new ArrayList<>();
    for (Result result : measured) {
      List<Result> against = new ArrayList<>(result.against(result.params(), peers));
      if (copy != null && isPastCache(result) && !result.benchmark().equals("copy")) {
        against.add(result.againstRate("device-to-device copy", copy));
      }
      joined.addAll(against.isEmpty() ? List.of(result) : against);
    }
    return joined;
  }

  private static boolean isPastCache(Result result) {
    return "GB/s".equals(result.unit()) && result.rate() * result.ms() * 1e6 > PAST_CACHE;
  }

  /** The name of a card's file: h200.json of "NVIDIA H200". */
  static String fileName(String device) {
    String model = device.replaceFirst("^NVIDIA ", "").split(" ")[0];
    return model.toLowerCase(Locale.ROOT) + ".json";
  }
}
