package io.sparsevideo.attention;

import java.util.Arrays;
import java.util.Locale;
import java.util.stream.Collectors;

/** A named set of values for the sparse modes. */
public enum AttentionPreset {
  /** What the public system's scripts run. */
  REFERENCE,
  /** What the SVG2 paper states: fewer clusters, more dense steps. */
  PAPER;

  /** The name that the command line uses. */
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  /**
   * @throws IllegalArgumentException when there is no such preset; the message lists the names
   */
  public static AttentionPreset of(String label) {
    return Arrays.stream(values())
        .filter(p -> p.label().equals(label))
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "unknown preset \""
                        + label
                        + "\"; there are: "
                        + Arrays.stream(values())
                            .map(AttentionPreset::label)
                            .collect(Collectors.joining(", "))));
  }
}
