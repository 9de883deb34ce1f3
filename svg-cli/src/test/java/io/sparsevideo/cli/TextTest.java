package io.sparsevideo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TextTest {
  @ParameterizedTest
  @CsvSource({
    "0, 0.0 s",
    "6240, 6.2 s",
    "59949, 59.9 s",
    "59950, 1 min 00 s",
    "185000, 3 min 05 s",
    "3599499, 59 min 59 s",
    "3599500, 1 h 00 min",
    "7380000, 2 h 03 min",
  })
  void durations(long millis, String expected) {
    assertEquals(expected, Text.duration(Duration.ofMillis(millis)));
  }

  @Test
  void counts() {
    assertEquals("0 steps", Text.count(0, "step"));
    assertEquals("1 step", Text.count(1, "step"));
    assertEquals("2 steps", Text.count(2, "step"));
  }

  @ParameterizedTest
  @CsvSource({
    "0, 0 bytes",
    "999, 999 bytes",
    "1000, 1.0 kB",
    "999949, 999.9 kB",
    "999950, 1.0 MB",
    "28600000000, 28.6 GB",
    "9000000000000000, 9000.0 TB",
  })
  void bytes(long count, String expected) {
    assertEquals(expected, Text.bytes(count));
  }

  @ParameterizedTest
  @CsvSource({"12, 12", "23.976, 23.976", "-1, -1", "0.5, 0.5", "1e20, 1.0E20"})
  void numbers(double value, String expected) {
    assertEquals(expected, Text.number(value));
  }

  @Test
  void tables() {
    assertEquals(
        List.of("a      bb", "long  ccc"),
        Text.table(List.of(List.of("a", "bb"), List.of("long", "ccc"))));
  }
}
