package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class BlockDensityTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(11);

  @ParameterizedTest
  @CsvSource({
    // heads, query clusters, key clusters, of which count
    "1, 3, 2, 3, 2",
    "3, 7, 33, 7, 33",
    "2, 9, 40, 8, 39",
    "2, 300, 1002, 299, 1000",
  })
  void countsPairs(int heads, int queries, int keys, int countedQueries, int countedKeys) {
    int[][] q = offsets(heads, queries);
    int[][] k = offsets(heads, keys);
    byte[] map = new byte[heads * queries * keys];
    random.nextBytes(map);
    for (int i = 0; i < map.length; i++) {
      map[i] = (byte) (map[i] > 40 ? map[i] : 0); // any byte but 0 keeps a pair
    }
    float[] density = run(queries, keys, countedQueries, countedKeys, q, k, map);
    for (int h = 0; h < heads; h++) {
      long pairs = 0;
      for (int i = 0; i < countedQueries; i++) {
        for (int j = 0; j < countedKeys; j++) {
          if (map[(h * queries + i) * keys + j] != 0) {
            pairs += (long) (q[h][i + 1] - q[h][i]) * (k[h][j + 1] - k[h][j]);
          }
        }
      }
      assertEquals(
          (double) pairs / q[h][countedQueries] / k[h][countedKeys], density[h], 1e-7, "head " + h);
    }
  }

  @Test
  void isOneWithoutRows() {
    int[][] offsets = {{0, 0, 5}};
    byte[] map = {0, 1, 1, 1};
    assertEquals(1, run(2, 2, 1, 2, offsets, offsets, map)[0]);
  }

  /** Pairs of a whole clip are more than 32 bits count. */
  @Test
  void countsMoreThan32Bits() {
    int[][] offsets = {{0, 200_000, 400_000}};
    byte[] map = {1, 1, 1, 0};
    assertEquals(0.75f, run(2, 2, 2, 2, offsets, offsets, map)[0]);
  }

  private int[][] offsets(int heads, int clusters) {
    return IntStream.range(0, heads)
        .mapToObj(
            h -> {
              int[] result = new int[clusters + 1];
              for (int i = 0; i < clusters; i++) {
                int size = i == 0 ? 1 : random.nextInt(9); // some of the others are empty
                result[i + 1] = result[i] + size;
              }
              return result;
            })
        .toArray(int[][]::new);
  }

  private float[] run(
      int queries,
      int keys,
      int countedQueries,
      int countedKeys,
      int[][] q,
      int[][] k,
      byte[] map) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment density = Tensors.words(arena, q.length);
      kernels.blockDensity(
          q.length,
          queries,
          keys,
          countedQueries,
          countedKeys,
          ints(arena, q),
          ints(arena, k),
          arena.allocateFrom(ValueLayout.JAVA_BYTE, map),
          density);
      return density.toArray(ValueLayout.JAVA_FLOAT);
    }
  }

  private static MemorySegment ints(Arena arena, int[][] rows) {
    int[] flat = IntStream.range(0, rows.length).flatMap(h -> IntStream.of(rows[h])).toArray();
    return arena.allocateFrom(ValueLayout.JAVA_INT, flat);
  }
}
