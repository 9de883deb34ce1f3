package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import io.sparsevideo.kernels.Reference.Mask;
import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ProfileHeadsTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(4);

  @ParameterizedTest
  @CsvSource({
    // heads, frames, tokens per frame, context, sink, band blocks, samples, dim
    "2, 4, 160, 0, 160, 2, 24, 64, F32, HEAD_MAJOR",
    "3, 3, 131, 37, 0, 1, 65, 40, F32, TOKEN_MAJOR",
    "2, 5, 77, 20, 30, 2, 7, 128, BF16, HEAD_MAJOR",
    "1, 2, 300, 0, 0, 0, 9, 16, F32, PADDED",
    "2, 7, 41, 3, 1, 1, 130, 24, F16, HEAD_MAJOR",
  })
  void agreesWithTheMaskedDefinition(
      int heads,
      int frames,
      int tokens,
      int context,
      int sink,
      int bandBlocks,
      int samples,
      int dim,
      KernelType type,
      Layout memory) {
    try (Arena arena = Arena.ofConfined()) {
      VideoLayout layout = new VideoLayout(frames, tokens, context);
      int rows = layout.rows();
      Heads q = Tensors.random(arena, random, 2, type, memory, heads, rows, dim);
      Heads k = Tensors.random(arena, random, 2, type, memory, heads, rows, dim);
      Heads v = Tensors.random(arena, random, 1, type, memory, heads, rows, dim);
      int[] sampled = random.ints(samples, 0, rows).toArray();
      MemorySegment mse = Tensors.words(arena, 2L * heads);
      MemorySegment best = Tensors.words(arena, heads);

      kernels.profileHeads(
          q,
          k,
          v,
          0.2f,
          layout,
          sink,
          bandBlocks,
          samples,
          Tensors.ints(arena, sampled),
          mse,
          best);

      double[][][] exact = Reference.attention(q, k, v, 0.2f, Mask.ALL);
      int[] expectedBest = new int[heads];
      double[][] expected = new double[2][heads];
      for (int mask = 0; mask < 2; mask++) {
        boolean temporal = mask == 1;
        double[][][] masked =
            Reference.attention(
                q, k, v, 0.2f, (h, i, j) -> allows(layout, temporal, sink, bandBlocks, i, j));
        for (int h = 0; h < heads; h++) {
          for (int row : sampled) {
            for (int d = 0; d < dim; d++) {
              double difference = masked[h][row][d] - exact[h][row][d];
              expected[mask][h] += difference * difference / ((double) samples * dim);
            }
          }
          assertEquals(
              expected[mask][h],
              Tensors.toFloats(mse)[mask * heads + h],
              1e-5 * expected[mask][h],
              "mask " + mask + ", head " + h);
        }
      }
      for (int h = 0; h < heads; h++) {
        expectedBest[h] = expected[1][h] < expected[0][h] ? 1 : 0;
      }
      assertArrayEquals(expectedBest, Tensors.toInts(best));
    }
  }

  private static boolean allows(
      VideoLayout layout, boolean temporal, int sink, int bandBlocks, int q, int k) {
    if (q >= layout.videoRows() || k >= layout.videoRows()) {
      return true;
    }
    int p = temporal ? tokenMajor(layout, q) : q;
    int r = temporal ? tokenMajor(layout, k) : k;
    return r < sink || Math.abs(p / 128 - r / 128) < bandBlocks;
  }

  private static int tokenMajor(VideoLayout layout, int row) {
    return row % layout.tokensPerFrame() * layout.frames() + row / layout.tokensPerFrame();
  }

  @Test
  void masksThatAllowEverythingHaveNoErrorAndSpatialWins() {
    try (Arena arena = Arena.ofConfined()) {
      VideoLayout layout = new VideoLayout(3, 101, 10);
      Heads q =
          Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, layout.rows(), 32);
      MemorySegment mse = Tensors.floats(arena, 1, 1, 1, 1);
      MemorySegment best = Tensors.ints(arena, 7, 7);

      kernels.profileHeads(
          q, q, q, 0.2f, layout, 0, 3, 5, Tensors.ints(arena, 0, 1, 150, 302, 310), mse, best);

      assertArrayEquals(new float[4], Tensors.toFloats(mse));
      assertArrayEquals(new int[2], Tensors.toInts(best));
    }
  }

  @Test
  void oneFrameGivesBothMasksTheSameError() {
    try (Arena arena = Arena.ofConfined()) {
      VideoLayout layout = new VideoLayout(1, 517, 0);
      Heads q = Tensors.random(arena, random, 2, KernelType.F32, Layout.HEAD_MAJOR, 3, 517, 32);
      MemorySegment mse = Tensors.words(arena, 6);
      MemorySegment best = Tensors.ints(arena, 7, 7, 7);

      kernels.profileHeads(
          q, q, q, 0.2f, layout, 9, 1, 3, Tensors.ints(arena, 3, 200, 516), mse, best);

      float[] errors = Tensors.toFloats(mse);
      for (int h = 0; h < 3; h++) {
        assertEquals(errors[h], errors[3 + h]);
      }
      assertArrayEquals(new int[3], Tensors.toInts(best));
    }
  }
}
