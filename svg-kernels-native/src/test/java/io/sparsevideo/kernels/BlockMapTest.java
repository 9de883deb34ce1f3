package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BlockMapTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(7);

  @ParameterizedTest
  @CsvSource({
    // heads, dim, query clusters, key clusters, context, min keep, top p
    "1, 1, 1, 1, 0, 0, 0.5",
    "2, 64, 8, 16, 0, 1, 0.9",
    "3, 40, 5, 33, 2, 3, 0.3",
    "2, 128, 30, 100, 2, 60, 0.85",
    "2, 16, 7, 9, 0, 9, 0",
    "2, 16, 7, 9, 2, 0, 1",
  })
  void agreesWithTheDefinition(
      int heads, int dim, int queries, int keys, int context, int minKeep, float topP) {
    try (Arena arena = Arena.ofConfined()) {
      float[] q = normals(heads * queries * dim);
      float[] k = normals(heads * keys * dim);
      int[] sizes = random.ints((long) heads * keys, 0, 90).toArray();

      byte[][][] map =
          run(arena, heads, dim, queries, keys, context, minKeep, topP, 0.4f, q, k, sizes);

      for (int h = 0; h < heads; h++) {
        for (int i = 0; i < queries; i++) {
          double[] p = new double[keys];
          for (int j = 0; j < keys; j++) {
            double score = 0;
            for (int d = 0; d < dim; d++) {
              score += 0.4f * q[(h * queries + i) * dim + d] * (double) k[(h * keys + j) * dim + d];
            }
            p[j] = sizes[h * keys + j] * Math.exp(score);
          }
          double sum = Arrays.stream(p).sum();
          int[] order =
              IntStream.range(0, keys)
                  .boxed()
                  .sorted(Comparator.comparingDouble(j -> -p[j]))
                  .mapToInt(Integer::intValue)
                  .toArray();
          byte[] expected = new byte[keys + context];
          double before = 0;
          for (int rank = 0; rank < keys; rank++) {
            if (topP >= 1 || rank < minKeep || before <= topP) {
              expected[order[rank]] = 1;
            }
            before += p[order[rank]] / sum;
          }
          if (context == 2) {
            expected[keys] = 1;
          }
          assertArrayEquals(expected, map[h][i], "head " + h + ", query cluster " + i);
        }
        if (context == 2) {
          byte[] prompt = new byte[keys + 2];
          Arrays.fill(prompt, 0, keys + 1, (byte) 1);
          byte[] padding = new byte[keys + 2];
          padding[keys + 1] = 1;
          assertArrayEquals(prompt, map[h][queries]);
          assertArrayEquals(padding, map[h][queries + 1]);
        }
      }
    }
  }

  @Test
  void equalProbabilitiesAreKeptFromTheLowestIndexOn() {
    try (Arena arena = Arena.ofConfined()) {
      float[] k = new float[8];
      int[] sizes = {5, 5, 5, 5, 5, 5, 5, 5};

      byte[][][] map = run(arena, 1, 1, 1, 8, 0, 0, 0.25f, 1, new float[] {1}, k, sizes);

      // Before the third the sum is .25, which is still at most .25; before the fourth it is not.
      assertArrayEquals(new byte[] {1, 1, 1, 0, 0, 0, 0, 0}, map[0][0]);
    }
  }

  @Test
  void theLeastNumberBindsWhereOneClusterHoldsEverything() {
    try (Arena arena = Arena.ofConfined()) {
      float[] k = {0, 50, 0, 0, 49};
      int[] sizes = {1, 1, 1, 1, 1};

      byte[][][] map = run(arena, 1, 1, 1, 5, 0, 4, 0.1f, 1, new float[] {1}, k, sizes);

      assertArrayEquals(new byte[] {1, 1, 1, 0, 1}, map[0][0]);
    }
  }

  @Test
  void anEmptyKeyClusterHasNoWeightHoweverHighItsScore() {
    try (Arena arena = Arena.ofConfined()) {
      float[] k = {0, 1000, 0.5f};
      int[] sizes = {3, 0, 3};

      byte[][][] map = run(arena, 1, 1, 1, 3, 0, 0, 0.5f, 1, new float[] {1}, k, sizes);

      assertArrayEquals(new byte[] {0, 0, 1}, map[0][0]);
    }
  }

  @Test
  void centroidsThatAreNotNumbersKeepAtLeastTheMinimum() {
    try (Arena arena = Arena.ofConfined()) {
      float[] k = new float[300];
      Arrays.fill(k, Float.NaN);
      int[] sizes = new int[300];
      Arrays.fill(sizes, 2);

      byte[][][] map = run(arena, 1, 1, 1, 300, 0, 7, 0.5f, 1, new float[] {1}, k, sizes);

      int kept = 0;
      for (byte b : map[0][0]) {
        assertTrue(b == 0 || b == 1);
        kept += b;
      }
      assertTrue(kept >= 7, "kept " + kept);
    }
  }

  private float[] normals(int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  private byte[][][] run(
      Arena arena,
      int heads,
      int dim,
      int queries,
      int keys,
      int context,
      int minKeep,
      float topP,
      float scale,
      float[] q,
      float[] k,
      int[] sizes) {
    int columns = keys + context;
    int rows = queries + context;
    MemorySegment map = arena.allocate((long) heads * rows * columns);
    map.fill((byte) 77);
    kernels.blockMap(
        heads,
        dim,
        queries,
        keys,
        context,
        minKeep,
        topP,
        scale,
        Tensors.floats(arena, q),
        Tensors.floats(arena, k),
        Tensors.ints(arena, sizes),
        map);
    byte[] bytes = map.toArray(ValueLayout.JAVA_BYTE);
    byte[][][] result = new byte[heads][rows][];
    for (int h = 0; h < heads; h++) {
      for (int i = 0; i < rows; i++) {
        int at = (h * rows + i) * columns;
        result[h][i] = Arrays.copyOfRange(bytes, at, at + columns);
      }
    }
    assertEquals(heads, result.length);
    return result;
  }
}
