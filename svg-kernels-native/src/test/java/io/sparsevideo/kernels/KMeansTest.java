package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class KMeansTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(6);

  @ParameterizedTest
  @CsvSource({
    // heads, rows, dim, clusters, iterations, distance of the rows from the origin
    "1, 1, 16, 1, 1, 0, F32, HEAD_MAJOR",
    "2, 7, 3, 7, 2, 0, F32, PADDED",
    "2, 129, 40, 5, 3, 0, F32, TOKEN_MAJOR",
    "3, 1009, 64, 16, 4, 0, BF16, TOKEN_MAJOR",
    "1, 333, 128, 30, 2, 0, F16, HEAD_MAJOR",
    "1, 500, 33, 9, 3, 1000, F32, HEAD_MAJOR",
  })
  void agreesWithTheDefinition(
      int heads,
      int rows,
      int dim,
      int clusters,
      int iterations,
      float offset,
      KernelType type,
      Layout layout) {
    try (Arena arena = Arena.ofConfined()) {
      Problem problem =
          new Problem(
              arena,
              heads,
              clusters,
              clustered(arena, heads, rows, dim, clusters, offset, type, layout));
      int[] initial = new int[heads * clusters];
      for (int h = 0; h < heads; h++) {
        for (int j = 0; j < clusters; j++) {
          initial[h * clusters + j] = j * rows / clusters;
        }
      }

      problem.run(iterations, 0, initial);

      for (int h = 0; h < heads; h++) {
        double[][] x = Tensors.values(problem.x)[h];
        int[] start = Arrays.copyOfRange(initial, h * clusters, (h + 1) * clusters);
        double[][] centroids =
            Arrays.stream(start).mapToObj(i -> x[i].clone()).toArray(double[][]::new);
        int[] labels = new int[rows];
        int[] sizes = new int[clusters];
        for (int i = 0; i < iterations; i++) {
          iterate(x, centroids, labels, sizes);
        }
        assertArrayEquals(labels, problem.labels(h), "labels of head " + h);
        assertArrayEquals(sizes, problem.sizes(h), "sizes of head " + h);
        for (int j = 0; j < clusters; j++) {
          for (int d = 0; d < dim; d++) {
            assertEquals(
                centroids[j][d], problem.centroid(h, j, d), 1e-6 * (1 + Math.abs(centroids[j][d])));
          }
        }
      }
      assertEquals(iterations, problem.iterationsDone());
    }
  }

  @Test
  void anEmptyClusterKeepsItsCentroidAndEqualDistancesGoToTheLowestIndex() {
    try (Arena arena = Arena.ofConfined()) {
      Heads x = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 6, 1);
      float[] values = {-1, 0, 1, 9, 10, 11};
      for (int row = 0; row < 6; row++) {
        Tensors.set(x, 0, row, 0, values[row]);
      }
      Problem problem = new Problem(arena, 1, 4, x);
      // The second and the fourth are as near as the first and the third; 5 is as near to 0 as to
      // 10.
      problem.centroids.copyFrom(Tensors.floats(arena, 0, 0, 10, 10));
      Tensors.set(x, 0, 5, 0, 5);

      problem.run(1, 0, null);

      assertArrayEquals(new int[] {0, 0, 0, 2, 2, 0}, problem.labels(0));
      assertArrayEquals(new int[] {4, 0, 2, 0}, problem.sizes(0));
      assertArrayEquals(new float[] {1.25f, 0, 9.5f, 10}, Tensors.toFloats(problem.centroids));
    }
  }

  @Test
  void warmStartContinuesWhereItStopped() {
    try (Arena arena = Arena.ofConfined()) {
      Heads x = clustered(arena, 2, 400, 24, 10, 0, KernelType.F32, Layout.HEAD_MAJOR);
      int[] initial = random.ints(20, 0, 400).toArray();
      Problem whole = new Problem(arena, 2, 10, x);
      whole.run(5, 0, initial);
      Problem parts = new Problem(arena, 2, 10, x);
      parts.run(2, 0, initial);
      parts.run(3, 0, null);

      assertEquals(-1, whole.centroids.mismatch(parts.centroids));
      assertEquals(-1, whole.labels.mismatch(parts.labels));
    }
  }

  @Test
  void stopsEarlyWhenNoCentroidOfAnyHeadMoves() {
    try (Arena arena = Arena.ofConfined()) {
      Heads x = clustered(arena, 2, 300, 8, 3, 0, KernelType.F32, Layout.HEAD_MAJOR);
      int[] initial = {0, 100, 200, 0, 100, 200};
      Problem converged = new Problem(arena, 2, 3, x);
      converged.run(100, 1e-4f, initial);
      int done = converged.iterationsDone();
      Problem longer = new Problem(arena, 2, 3, x);
      longer.run(100, 0, initial);

      assertEquals(-1, longer.labels.mismatch(converged.labels));
      assertEquals(100, longer.iterationsDone());
      assertEquals(true, done > 1 && done < 100, "stopped after " + done);
      Problem fewer = new Problem(arena, 2, 3, x);
      fewer.run(1, 1e9f, initial);
      assertEquals(1, fewer.iterationsDone());
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, 0",
    "3, 2, 2, 7",
    "2, 17, 17, -1",
    "2, 1009, 100, 123456789012345",
    "1, 70000, 9, 5"
  })
  void drawsDistinctRowsAsTheHeaderDefinesThem(int heads, int rows, int clusters, long seed) {
    try (Arena arena = Arena.ofConfined()) {
      Heads x = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, heads, rows, 1);
      for (int h = 0; h < heads; h++) {
        for (int row = 0; row < rows; row++) {
          Tensors.set(x, h, row, 0, row);
        }
      }
      int[] drawn = new int[heads * clusters];
      for (int h = 0; h < heads; h++) {
        for (int j = 0; j < clusters; j++) {
          drawn[h * clusters + j] = drawnRow(seed, h, rows, j);
        }
        int[] ofHead = Arrays.copyOfRange(drawn, h * clusters, (h + 1) * clusters);
        assertEquals(clusters, Arrays.stream(ofHead).distinct().count());
      }
      Problem fromRows = new Problem(arena, heads, clusters, x);
      fromRows.run(2, 0, drawn);
      Problem fromSeed = new Problem(arena, heads, clusters, x);

      fromSeed.run(2, 0, seed);

      assertEquals(-1, fromRows.centroids.mismatch(fromSeed.centroids));
      assertEquals(-1, fromRows.labels.mismatch(fromSeed.labels));
    }
  }

  @Test
  void everyRowIsDrawnEquallyOften() {
    int rows = 100;
    int clusters = 10;
    int[] counts = new int[rows];
    int draws = 3000;
    for (int seed = 0; seed < draws; seed++) {
      for (int j = 0; j < clusters; j++) {
        counts[drawnRow(seed, seed % 3, rows, j)]++;
      }
    }
    double expected = draws * clusters / (double) rows;
    double chiSquared =
        Arrays.stream(counts).mapToDouble(n -> (n - expected) * (n - expected) / expected).sum();
    // 99 degrees of freedom: above 149 in one of a thousand cases.
    assertEquals(true, chiSquared < 149, "chi squared " + chiSquared);
  }

  @Test
  void everyRowMayBeACluster() {
    try (Arena arena = Arena.ofConfined()) {
      Heads x = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 17, 5);
      Problem problem = new Problem(arena, 1, 17, x);
      int[] all = new int[17];
      Arrays.setAll(all, i -> i);

      problem.run(3, 0, all);

      assertArrayEquals(all, problem.labels(0));
    }
  }

  /**
   * Rows around as many centres as there are clusters; row i belongs to centre i · clusters / rows.
   */
  private Heads clustered(
      Arena arena,
      int heads,
      int rows,
      int dim,
      int clusters,
      float offset,
      KernelType type,
      Layout layout) {
    Heads x = Tensors.random(arena, random, 0.7, type, layout, heads, rows, dim);
    for (int h = 0; h < heads; h++) {
      double[][] centres = new double[clusters][dim];
      for (double[] centre : centres) {
        Arrays.setAll(centre, d -> offset + random.nextGaussian());
      }
      for (int row = 0; row < rows; row++) {
        for (int d = 0; d < dim; d++) {
          double value =
              centres[(int) ((long) row * clusters / rows)][d] + Tensors.get(x, h, row, d);
          Tensors.set(x, h, row, d, (float) value);
        }
      }
    }
    return x;
  }

  /** One iteration in double precision. */
  private static void iterate(double[][] x, double[][] centroids, int[] labels, int[] sizes) {
    Arrays.fill(sizes, 0);
    double[][] sums = new double[centroids.length][centroids[0].length];
    for (int row = 0; row < x.length; row++) {
      double best = Double.POSITIVE_INFINITY;
      for (int j = 0; j < centroids.length; j++) {
        double distance = 0;
        for (int d = 0; d < x[row].length; d++) {
          distance += (x[row][d] - centroids[j][d]) * (x[row][d] - centroids[j][d]);
        }
        if (distance < best) {
          best = distance;
          labels[row] = j;
        }
      }
      sizes[labels[row]]++;
      for (int d = 0; d < x[row].length; d++) {
        sums[labels[row]][d] += x[row][d];
      }
    }
    for (int j = 0; j < centroids.length; j++) {
      for (int d = 0; d < centroids[j].length && sizes[j] > 0; d++) {
        centroids[j][d] = (float) (sums[j][d] / sizes[j]);
      }
    }
  }

  /** The j-th drawn row, as svg_kernels.h defines it. */
  private static int drawnRow(long seed, int head, int rows, int j) {
    long key = mix(seed + (head + 1) * 0x9e3779b97f4a7c15L);
    int bits = 1;
    while (1L << 2 * bits < rows) {
      bits++;
    }
    long mask = (1L << bits) - 1;
    long row = j;
    do {
      long left = row >> bits;
      long right = row & mask;
      for (long round = 0; round < 6; round++) {
        long next = left ^ (mix(key ^ (round << 32 | right)) & mask);
        left = right;
        right = next;
      }
      row = left << bits | right;
    } while (row >= rows);
    return (int) row;
  }

  private static long mix(long x) {
    x = (x ^ x >>> 30) * 0xbf58476d1ce4e5b9L;
    x = (x ^ x >>> 27) * 0x94d049bb133111ebL;
    return x ^ x >>> 31;
  }

  private final class Problem {
    final Arena arena;
    final int clusters;
    final Heads x;
    final MemorySegment centroids;
    final MemorySegment labels;
    final MemorySegment sizes;
    final MemorySegment done;

    Problem(Arena arena, int heads, int clusters, Heads x) {
      this.arena = arena;
      this.clusters = clusters;
      this.x = x;
      centroids = Tensors.words(arena, (long) heads * clusters * x.headDim());
      labels = Tensors.words(arena, (long) heads * x.rows());
      sizes = Tensors.words(arena, (long) heads * clusters);
      done = Tensors.words(arena, 1);
    }

    void run(int iterations, float tolerance, int[] initial) {
      MemorySegment rows = initial == null ? null : Tensors.ints(arena, initial);
      kernels.kmeans(x, clusters, iterations, tolerance, rows, centroids, labels, sizes, done);
    }

    void run(int iterations, float tolerance, long seed) {
      kernels.kmeans(x, clusters, iterations, tolerance, seed, centroids, labels, sizes, done);
    }

    int[] labels(int head) {
      return Arrays.copyOfRange(Tensors.toInts(labels), head * x.rows(), (head + 1) * x.rows());
    }

    int[] sizes(int head) {
      return Arrays.copyOfRange(Tensors.toInts(sizes), head * clusters, (head + 1) * clusters);
    }

    float centroid(int head, int j, int d) {
      return Tensors.toFloats(centroids)[(head * clusters + j) * x.headDim() + d];
    }

    int iterationsDone() {
      return Tensors.toInts(done)[0];
    }
  }
}
