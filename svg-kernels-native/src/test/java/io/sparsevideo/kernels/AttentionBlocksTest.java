package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AttentionBlocksTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(3);

  @ParameterizedTest
  @CsvSource({
    // heads, query rows, key rows, dim, query clusters, key clusters, kept share
    "1, 1, 1, 16, 1, 1, 1, F32, HEAD_MAJOR",
    "2, 7, 7, 17, 3, 5, 0.5, F32, PADDED",
    "3, 1009, 1009, 64, 8, 16, 0.3, F32, HEAD_MAJOR",
    "2, 129, 300, 40, 40, 150, 0.2, F32, TOKEN_MAJOR",
    "1, 129, 64, 128, 200, 300, 0.9, F32, HEAD_MAJOR",
    "2, 200, 333, 128, 5, 30, 0.4, BF16, TOKEN_MAJOR",
    "2, 100, 333, 48, 5, 30, 0.1, F16, PADDED",
  })
  void agreesWithTheMaskedDefinition(
      int heads,
      int qRows,
      int kRows,
      int dim,
      int qClusters,
      int kClusters,
      double share,
      KernelType type,
      Layout layout) {
    try (Arena arena = Arena.ofConfined()) {
      Clusters clusters = new Clusters(arena, heads, qRows, kRows, qClusters, kClusters);
      for (byte[][] head : clusters.map) {
        for (byte[] row : head) {
          for (int j = 0; j < row.length; j++) {
            row[j] = (byte) (random.nextDouble() < share ? 1 + random.nextInt(255) : 0);
          }
        }
      }
      Heads q = Tensors.random(arena, random, 1, type, layout, heads, qRows, dim);
      Heads k = Tensors.random(arena, random, 1, type, layout, heads, kRows, dim);
      Heads v = Tensors.random(arena, random, 1, type, layout, heads, kRows, dim);
      Heads out = Tensors.allocate(arena, type, layout, heads, qRows, dim);

      clusters.attend(arena, q, k, v, out);

      Reference.assertClose(
          Reference.attention(q, k, v, Clusters.SCALE, clusters::allows), out, 2e-6);
    }
  }

  @Test
  void aMapThatKeepsEverythingIsDenseAttention() {
    try (Arena arena = Arena.ofConfined()) {
      Clusters clusters = new Clusters(arena, 2, 300, 300, 7, 21);
      for (byte[][] head : clusters.map) {
        for (byte[] row : head) {
          Arrays.fill(row, (byte) 1);
        }
      }
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, 300, 64);
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, 300, 64);
      Heads dense = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, 300, 64);

      clusters.attend(arena, q, q, q, out);
      kernels.attentionDense(q, q, q, dense, Clusters.SCALE, 0, null);

      // The same keys in the same tiles.
      assertEquals(-1, dense.data().mismatch(out.data()));
    }
  }

  @Test
  void oneGiantClusterBesideEmptyOnes() {
    try (Arena arena = Arena.ofConfined()) {
      Clusters clusters = new Clusters(arena, 1, 500, 700, 4, 6);
      clusters.qOffsets[0] = new int[] {0, 0, 500, 500, 500};
      clusters.kOffsets[0] = new int[] {0, 0, 0, 699, 699, 699, 700};
      clusters.map[0][1][2] = 1;
      clusters.map[0][0][5] = 1;
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 500, 32);
      Heads k = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 700, 32);
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 500, 32);

      clusters.attend(arena, q, k, k, out);

      Reference.assertClose(
          Reference.attention(q, k, k, Clusters.SCALE, clusters::allows), out, 2e-6);
    }
  }

  @Test
  void rowsWithoutKeysBecomeZerosAndDroppedKeysAreNotRead() {
    try (Arena arena = Arena.ofConfined()) {
      Clusters clusters = new Clusters(arena, 1, 90, 90, 3, 3);
      clusters.qOffsets[0] = new int[] {0, 30, 60, 90};
      clusters.kOffsets[0] = new int[] {0, 30, 30, 90};
      clusters.map[0][0][0] = 1;
      clusters.map[0][1][1] = 1; // kept, but empty
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 90, 16);
      Heads k = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 90, 16);
      for (int row = 30; row < 90; row++) {
        Tensors.set(k, 0, row, 2, Float.NaN);
      }
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 90, 16);

      clusters.attend(arena, q, k, k, out);

      for (int row = 0; row < 30; row++) {
        assertTrue(Double.isFinite(Tensors.get(out, 0, row, 2)), "row " + row);
      }
      for (int row = 30; row < 90; row++) {
        Reference.assertZero(out, 0, row);
      }
    }
  }

  /** Offsets at random places, and an empty map. */
  private final class Clusters {
    static final float SCALE = 0.15f;

    final int[][] qOffsets;
    final int[][] kOffsets;
    final byte[][][] map;

    Clusters(Arena arena, int heads, int qRows, int kRows, int qClusters, int kClusters) {
      qOffsets = new int[heads][];
      kOffsets = new int[heads][];
      map = new byte[heads][qClusters][kClusters];
      for (int h = 0; h < heads; h++) {
        qOffsets[h] = offsets(qRows, qClusters);
        kOffsets[h] = offsets(kRows, kClusters);
      }
    }

    private int[] offsets(int rows, int clusters) {
      int[] offsets = new int[clusters + 1];
      for (int i = 1; i < clusters; i++) {
        offsets[i] = random.nextInt(rows + 1);
      }
      offsets[clusters] = rows;
      Arrays.sort(offsets);
      return offsets;
    }

    boolean allows(int head, int q, int k) {
      return map[head][clusterOf(qOffsets[head], q)][clusterOf(kOffsets[head], k)] != 0;
    }

    private static int clusterOf(int[] offsets, int row) {
      int cluster = 0;
      while (offsets[cluster + 1] <= row) {
        cluster++;
      }
      return cluster;
    }

    void attend(Arena arena, Heads q, Heads k, Heads v, Heads out) {
      int qClusters = map[0].length;
      int kClusters = map[0][0].length;
      MemorySegment bytes = arena.allocate((long) map.length * qClusters * kClusters);
      long at = 0;
      for (byte[][] head : map) {
        for (byte[] row : head) {
          MemorySegment.copy(row, 0, bytes, ValueLayout.JAVA_BYTE, at, kClusters);
          at += kClusters;
        }
      }
      int[] qs = Arrays.stream(qOffsets).flatMapToInt(Arrays::stream).toArray();
      int[] ks = Arrays.stream(kOffsets).flatMapToInt(Arrays::stream).toArray();
      kernels.attentionBlocks(
          q,
          k,
          v,
          out,
          SCALE,
          qClusters,
          kClusters,
          Tensors.ints(arena, qs),
          Tensors.ints(arena, ks),
          bytes);
    }
  }
}
