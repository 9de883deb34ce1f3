package io.sparsevideo.bench.cuda;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * The sizes of a benchmark by name, written {@code heads=40 tokens=75600 inverse=true}: JMH's
 * parameter and a result's {@code params} in one.
 */
record Shape(Map<String, Object> values) {

  static Shape parse(String text) {
    Map<String, Object> values = new LinkedHashMap<>();
    for (String pair : text.split(" ")) {
      String[] parts = pair.split("=", 2);
      if (parts.length != 2) {
        throw new IllegalArgumentException(
            "a shape is a list of name=value, '%s' is not one".formatted(text));
      }
      values.put(parts[0], value(parts[1]));
    }
    return new Shape(values);
  }

  private static Object value(String text) {
    if (text.equals("true") || text.equals("false")) {
      return Boolean.valueOf(text);
    }
    return text.matches("-?\\d+")
        ? (Object) Integer.valueOf(text)
        : text.matches("-?\\d*\\.\\d+") ? (Object) Double.valueOf(text) : text;
  }

  int size(String name) {
    return get(name, Integer.class);
  }

  double number(String name) {
    return get(name, Number.class).doubleValue();
  }

  String text(String name) {
    return get(name, String.class);
  }

  /** False when the shape does not say. */
  boolean flag(String name) {
    return values.containsKey(name) && get(name, Boolean.class);
  }

  private <T> T get(String name, Class<T> type) {
    if (!type.isInstance(values.get(name))) {
      throw new IllegalArgumentException(
          "%s needs a %s '%s'".formatted(values, type.getSimpleName(), name));
    }
    return type.cast(values.get(name));
  }
}
