package io.sparsevideo.cli;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Numbers and tables as a person reads them. */
final class Text {
  private static final String[] BYTE_UNITS = {"bytes", "kB", "MB", "GB", "TB"};

  private Text() {}

  /** 6.2 s, 3 min 05 s, 2 h 03 min. */
  static String duration(Duration time) {
    double seconds = time.toMillis() / 1000.0;
    if (seconds < 59.95) {
      return format("%.1f s", seconds);
    }
    long whole = Math.round(seconds);
    if (whole < 3600) {
      return format("%d min %02d s", whole / 60, whole % 60);
    }
    long minutes = Math.round(seconds / 60);
    return format("%d h %02d min", minutes / 60, minutes % 60);
  }

  /** 12 bytes, 143.2 kB, 28.6 GB; decimal units. */
  static String bytes(long count) {
    double value = count;
    int unit = 0;
    while (value >= 999.95 && unit < BYTE_UNITS.length - 1) {
      value /= 1000;
      unit++;
    }
    return unit == 0 ? count + " " + BYTE_UNITS[0] : format("%.1f %s", value, BYTE_UNITS[unit]);
  }

  /** 1 frame, 2 frames. */
  static String count(int count, String unit) {
    return count + " " + unit + (count == 1 ? "" : "s");
  }

  /** Without a trailing ".0": 12, 23.976. */
  static String number(double value) {
    return value == Math.rint(value) && Math.abs(value) < 1e15
        ? Long.toString((long) value)
        : Double.toString(value);
  }

  static String format(String pattern, Object... values) {
    return String.format(Locale.ROOT, pattern, values);
  }

  /**
   * Rows in columns: the first aligned left, the others right, two spaces between.
   *
   * @param rows of equal length, the header first
   */
  static List<String> table(List<List<String>> rows) {
    int columns = rows.getFirst().size();
    int[] widths = new int[columns];
    for (List<String> row : rows) {
      for (int c = 0; c < columns; c++) {
        widths[c] = Math.max(widths[c], row.get(c).length());
      }
    }
    List<String> lines = new ArrayList<>();
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder(format("%-" + widths[0] + "s", row.getFirst()));
      for (int c = 1; c < columns; c++) {
        line.append(format("  %" + widths[c] + "s", row.get(c)));
      }
      lines.add(line.toString());
    }
    return lines;
  }
}
