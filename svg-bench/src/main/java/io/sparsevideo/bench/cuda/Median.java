package io.sparsevideo.bench.cuda;

import java.util.Arrays;

/** The median; of an even number of values, the upper of the two in the middle. */
final class Median {
  private Median() {}

  static double of(double... values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return sorted[sorted.length / 2];
  }
}
