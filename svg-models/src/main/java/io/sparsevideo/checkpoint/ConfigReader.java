package io.sparsevideo.checkpoint;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.json.JsonReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.function.Predicate;

/**
 * Typed reads of a JSON config file. Every read validates; what does not fit throws a {@link
 * CheckpointException} that holds the file, the key, what was expected and what was found. In the
 * variants with a default, an absent key and {@code null} both give the default; unknown keys are
 * nobody's concern.
 */
public final class ConfigReader {
  // Python writes the non-standard NaN and Infinity, and integers of any length.
  private static final JsonMapper MAPPER =
      JsonMapper.builder()
          .enable(JsonReadFeature.ALLOW_NON_NUMERIC_NUMBERS)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  private final Path file;
  private final JsonNode root;

  private ConfigReader(Path file, JsonNode root) {
    this.file = file;
    this.root = root;
  }

  /**
   * Reads a file.
   *
   * @throws CheckpointException when it is missing or not a JSON object
   */
  public static ConfigReader read(Path file) {
    CheckpointFiles.requireFile(file);
    JsonNode root;
    try {
      root = MAPPER.readTree(Files.readAllBytes(file));
    } catch (JacksonException e) {
      throw new CheckpointException(
          "%s is not valid JSON: %s (line %d)"
              .formatted(
                  file, reason(e), e.getLocation() == null ? 1 : e.getLocation().getLineNr()),
          e);
    } catch (IOException e) {
      throw CheckpointFiles.unreadable(file, e);
    }
    if (!root.isObject()) {
      throw new CheckpointException("%s does not hold a JSON object".formatted(file));
    }
    return new ConfigReader(file, root);
  }

  /** What Jackson says, without its note that it does not show the source. */
  static String reason(JacksonException e) {
    return e.getOriginalMessage().replaceAll("\\[Source: REDACTED [^;]*; ", "[");
  }

  public Path file() {
    return file;
  }

  /** All of the file, for what the typed reads do not cover. */
  public JsonNode json() {
    return root;
  }

  /** Whether the key is absent or {@code null}. */
  public boolean isNull(String key) {
    return root.path(key).isMissingNode() || root.path(key).isNull();
  }

  public int intValue(String key) {
    return intAtLeast(key, Integer.MIN_VALUE);
  }

  public int intValue(String key, int defaultValue) {
    return isNull(key) ? defaultValue : intValue(key);
  }

  /** An integer of at least 1: a count or a size. */
  public int positiveInt(String key) {
    return intAtLeast(key, 1);
  }

  /** An integer of at least 1: a count or a size. */
  public int positiveInt(String key, int defaultValue) {
    return isNull(key) ? defaultValue : positiveInt(key);
  }

  public double doubleValue(String key) {
    return require(key, ConfigReader::isFinite, "a number").doubleValue();
  }

  public double doubleValue(String key, double defaultValue) {
    return isNull(key) ? defaultValue : doubleValue(key);
  }

  /** A number greater than 0. */
  public double positiveDouble(String key) {
    return require(key, n -> isFinite(n) && n.doubleValue() > 0, "a number greater than 0")
        .doubleValue();
  }

  /** A number greater than 0. */
  public double positiveDouble(String key, double defaultValue) {
    return isNull(key) ? defaultValue : positiveDouble(key);
  }

  public boolean bool(String key) {
    return require(key, JsonNode::isBoolean, "true or false").booleanValue();
  }

  public boolean bool(String key, boolean defaultValue) {
    return isNull(key) ? defaultValue : bool(key);
  }

  public String string(String key) {
    return require(key, JsonNode::isTextual, "a string").textValue();
  }

  public String string(String key, String defaultValue) {
    return isNull(key) ? defaultValue : string(key);
  }

  /** A string for which only some values are supported. */
  public String oneOf(String key, String... supported) {
    return require(
            key,
            n -> n.isTextual() && Arrays.asList(supported).contains(n.textValue()),
            supported.length == 1
                ? "\"" + supported[0] + "\""
                : "one of " + Arrays.toString(supported))
        .textValue();
  }

  /** An array of integers of any length. */
  public int[] ints(String key) {
    JsonNode array = array(key, n -> isInt(n, Integer.MIN_VALUE), "integers");
    return array.valueStream().mapToInt(JsonNode::intValue).toArray();
  }

  /** An array of {@code count} integers of at least 1. */
  public int[] positiveInts(String key, int count) {
    JsonNode array = array(key, count, n -> isInt(n, 1), "integers of at least 1");
    return array.valueStream().mapToInt(JsonNode::intValue).toArray();
  }

  /** An array of {@code count} numbers. */
  public double[] doubles(String key, int count) {
    JsonNode array = array(key, count, ConfigReader::isFinite, "numbers");
    return array.valueStream().mapToDouble(JsonNode::doubleValue).toArray();
  }

  /** An array of {@code count} booleans. */
  public boolean[] bools(String key, int count) {
    JsonNode array = array(key, count, JsonNode::isBoolean, "booleans");
    boolean[] values = new boolean[count];
    for (int i = 0; i < count; i++) {
      values[i] = array.get(i).booleanValue();
    }
    return values;
  }

  /**
   * What to throw when a value is well formed but cannot be used, for example together with another
   * one.
   *
   * @param expected what would have been right, as the end of the sentence "expected …"
   */
  public CheckpointException invalid(String key, String expected) {
    JsonNode found = root.path(key);
    return new CheckpointException(
        "%s: '%s' should be %s, found %s"
            .formatted(file, key, expected, found.isMissingNode() ? "no such key" : cap(found)));
  }

  private int intAtLeast(String key, int minimum) {
    String expected =
        minimum == Integer.MIN_VALUE ? "an integer" : "an integer of at least " + minimum;
    return require(key, n -> isInt(n, minimum), expected).intValue();
  }

  private JsonNode array(String key, int count, Predicate<JsonNode> valid, String of) {
    JsonNode array = array(key, valid, count + " " + of);
    if (array.size() != count) {
      throw invalid(key, "an array of %d %s".formatted(count, of));
    }
    return array;
  }

  private JsonNode array(String key, Predicate<JsonNode> valid, String of) {
    return require(key, n -> n.isArray() && n.valueStream().allMatch(valid), "an array of " + of);
  }

  private JsonNode require(String key, Predicate<JsonNode> valid, String expected) {
    JsonNode value = root.path(key);
    if (value.isMissingNode() || !valid.test(value)) {
      throw invalid(key, expected);
    }
    return value;
  }

  private static boolean isInt(JsonNode node, int minimum) {
    return node.isIntegralNumber() && node.canConvertToInt() && node.intValue() >= minimum;
  }

  private static boolean isFinite(JsonNode node) {
    return node.isNumber() && Double.isFinite(node.doubleValue());
  }

  /** The value as text, cut to a length that suits a message. */
  private static String cap(JsonNode value) {
    String text = value.toString();
    return text.length() <= 80 ? text : text.substring(0, 77) + "...";
  }
}
