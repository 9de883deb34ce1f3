package io.sparsevideo.checkpoint;

import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** Lists in messages. */
final class Names {
  private static final int SHOWN = 5;

  private Names() {}

  /** The first few items, and how many more there are. */
  static String list(Stream<String> items) {
    List<String> all = items.toList();
    String shown = all.stream().limit(SHOWN).collect(Collectors.joining(", "));
    return all.size() <= SHOWN ? shown : shown + " and %d more".formatted(all.size() - SHOWN);
  }
}
