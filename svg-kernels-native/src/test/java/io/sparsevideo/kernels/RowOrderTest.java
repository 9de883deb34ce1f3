package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Comparator;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link SvgKernels#sortLabels} and {@link SvgKernels#permuteRows}. */
class RowOrderTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(8);

  @ParameterizedTest
  @CsvSource({"1, 1, 1", "2, 7, 1", "3, 129, 200", "2, 1009, 16"})
  void sortIsStableAndCountsClusters(int heads, int rows, int clusters) {
    try (Arena arena = Arena.ofConfined()) {
      int[] labels = random.ints((long) heads * rows, 0, clusters).toArray();
      MemorySegment order = Tensors.words(arena, (long) heads * rows);
      MemorySegment offsets = Tensors.words(arena, heads * (clusters + 1L));

      kernels.sortLabels(
          heads, rows, clusters, 0, 0, 0, Tensors.ints(arena, labels), order, offsets);

      for (int h = 0; h < heads; h++) {
        int base = h * rows;
        int[] expected =
            IntStream.range(0, rows)
                .boxed()
                .sorted(Comparator.comparingInt(i -> labels[base + i]))
                .mapToInt(Integer::intValue)
                .toArray();
        assertArrayEquals(expected, Arrays.copyOfRange(Tensors.toInts(order), base, base + rows));
        int[] starts = new int[clusters + 1];
        for (int j = 0; j <= clusters; j++) {
          int cluster = j;
          starts[j] =
              (int) IntStream.range(base, base + rows).filter(i -> labels[i] < cluster).count();
        }
        int first = h * (clusters + 1);
        assertArrayEquals(
            starts, Arrays.copyOfRange(Tensors.toInts(offsets), first, first + clusters + 1));
      }
    }
  }

  @Test
  void promptAndPaddingFollowTheClusters() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment labels = Tensors.ints(arena, new int[] {1, 0, 1, 1, 1, 1});
      MemorySegment order = Tensors.words(arena, 6);
      MemorySegment offsets = Tensors.words(arena, 2 * 5);

      kernels.sortLabels(2, 3, 2, 2, 4, 1, labels, order, offsets);

      assertArrayEquals(new int[] {1, 0, 2, 0, 1, 2}, Tensors.toInts(order));
      assertArrayEquals(new int[] {0, 1, 3, 7, 8, 0, 0, 3, 7, 8}, Tensors.toInts(offsets));
      for (int[] bad : new int[][] {{1, 0, 0}, {0, 4, 0}, {0, 0, 1}, {2, -1, 0}, {2, 0, -1}}) {
        assertThrows(
            KernelException.class,
            () -> kernels.sortLabels(2, 3, 2, bad[0], bad[1], bad[2], labels, order, offsets),
            Arrays.toString(bad));
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, 1, F32, HEAD_MAJOR",
    "2, 129, 129, 40, F32, TOKEN_MAJOR",
    "3, 200, 150, 64, BF16, PADDED",
    "2, 50, 0, 17, F16, HEAD_MAJOR",
  })
  void permutesAndComesBack(
      int heads, int rows, int permuted, int dim, KernelType type, Layout layout) {
    try (Arena arena = Arena.ofConfined()) {
      Heads src = Tensors.random(arena, random, 1, type, layout, heads, rows, dim);
      Heads dst = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, heads, rows, dim);
      Heads back = Tensors.allocate(arena, type, layout, heads, rows, dim);
      int[] order = Tensors.orders(random, heads, permuted);
      MemorySegment memory = Tensors.ints(arena, order);

      kernels.permuteRows(src, dst, permuted, memory, false);
      kernels.permuteRows(dst, back, permuted, memory, true);

      for (int h = 0; h < heads; h++) {
        for (int row = 0; row < rows; row++) {
          int from = row < permuted ? order[h * permuted + row] : row;
          for (int d = 0; d < dim; d++) {
            assertEquals(Tensors.get(src, h, from, d), Tensors.get(dst, h, row, d));
            assertEquals(Tensors.get(src, h, row, d), Tensors.get(back, h, row, d));
          }
        }
      }
    }
  }
}
