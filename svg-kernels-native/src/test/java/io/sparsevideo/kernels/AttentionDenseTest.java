package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AttentionDenseTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(1);

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, 16, F32, HEAD_MAJOR",
    "1, 7, 1, 1, F32, HEAD_MAJOR",
    "3, 1, 129, 64, F32, TOKEN_MAJOR",
    "2, 7, 7, 17, F32, PADDED",
    "2, 129, 65, 40, F32, TOKEN_MAJOR",
    "1, 1009, 1009, 64, F32, HEAD_MAJOR",
    "2, 130, 257, 128, F32, HEAD_MAJOR",
    "2, 65, 129, 40, F16, PADDED",
    "3, 33, 200, 128, BF16, TOKEN_MAJOR",
    "1, 16, 64, 96, BF16, HEAD_MAJOR",
  })
  void agreesWithTheDefinition(
      int heads, int qRows, int kRows, int dim, KernelType type, Layout layout) {
    try (Arena arena = Arena.ofConfined()) {
      Heads q = Tensors.random(arena, random, 1, type, layout, heads, qRows, dim);
      Heads k = Tensors.random(arena, random, 1, type, layout, heads, kRows, dim);
      Heads v = Tensors.random(arena, random, 1, type, layout, heads, kRows, dim);
      Heads out = Tensors.allocate(arena, type, layout, heads, qRows, dim);
      float scale = (float) (1 / Math.sqrt(dim));
      MemorySegment lse = Tensors.words(arena, (long) heads * qRows);

      kernels.attentionDense(q, k, v, out, scale, 0, lse);

      Reference.assertClose(Reference.attention(q, k, v, scale, Reference.Mask.ALL), out, 2e-6);
      for (int h = 0; h < heads; h++) {
        for (int row : new int[] {0, qRows / 2, qRows - 1}) {
          assertEquals(
              Reference.logSumExp(q, k, scale, Reference.Mask.ALL, h, row),
              Tensors.toFloats(lse)[h * qRows + row],
              1e-5);
        }
      }
    }
  }

  @Test
  void manyHeadsArePackedInGroups() {
    // 70 heads of 1009 x 128 do not fit the conversion buffer at once.
    try (Arena arena = Arena.ofConfined()) {
      int heads = 70;
      Heads q = Tensors.random(arena, random, 1, KernelType.BF16, Layout.HEAD_MAJOR, heads, 2, 128);
      Heads k =
          Tensors.random(arena, random, 1, KernelType.BF16, Layout.HEAD_MAJOR, heads, 1009, 128);
      Heads out = Tensors.allocate(arena, KernelType.BF16, Layout.HEAD_MAJOR, heads, 2, 128);

      kernels.attentionDense(q, k, k, out, 0.09f, 0, null);

      Reference.assertClose(Reference.attention(q, k, k, 0.09f, Reference.Mask.ALL), out, 2e-6);
    }
  }

  @Test
  void floatRowsFarApartAreRead() {
    try (Arena arena = Arena.ofConfined()) {
      int heads = 40;
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.TOKEN_MAJOR, heads, 70, 64);
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.TOKEN_MAJOR, heads, 70, 64);

      kernels.attentionDense(q, q, q, out, 0.125f, 0, null);

      Reference.assertClose(Reference.attention(q, q, q, 0.125f, Reference.Mask.ALL), out, 2e-6);
    }
  }

  @ParameterizedTest
  @CsvSource({"1", "50", "64", "128", "129"})
  void splitKeepsTheGroupsApart(int split) {
    try (Arena arena = Arena.ofConfined()) {
      int rows = 129;
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, rows, 24);
      Heads k = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, rows, 24);
      Heads v = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, rows, 24);
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, rows, 24);

      kernels.attentionDense(q, k, v, out, 0.2f, split, null);

      Reference.assertClose(
          Reference.attention(q, k, v, 0.2f, (h, i, j) -> i < split == j < split), out, 2e-6);
    }
  }

  @Test
  void paddingBeyondTheSplitDoesNotLeak() {
    try (Arena arena = Arena.ofConfined()) {
      int rows = 100;
      int split = 77;
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, rows, 16);
      for (int row = split; row < rows; row++) {
        Tensors.set(q, 0, row, 3, Float.NaN);
      }
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, rows, 16);

      kernels.attentionDense(q, q, q, out, 0.25f, split, null);

      for (int row = 0; row < rows; row++) {
        assertEquals(row >= split, Double.isNaN(Tensors.get(out, 0, row, 3)), "row " + row);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"0", "60"})
  void keysFromALengthOnAreNotSeen(int split) {
    try (Arena arena = Arena.ofConfined()) {
      int rows = 100;
      int[] lengths = {100, 0, 1, 77};
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.TOKEN_MAJOR, 4, rows, 16);
      Heads k = Tensors.random(arena, random, 1, KernelType.F32, Layout.TOKEN_MAJOR, 4, rows, 16);
      Heads v = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 4, rows, 16);
      Reference.Mask mask = (h, i, j) -> i < split == j < split && j < lengths[h];
      double[][][] expected = Reference.attention(q, k, v, 0.25f, mask);
      for (int h = 0; h < 4; h++) {
        for (int row = lengths[h]; row < rows; row++) {
          Tensors.set(k, h, row, 3, Float.NaN);
          Tensors.set(v, h, row, 3, Float.NaN);
        }
      }
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 4, rows, 16);
      MemorySegment lse = Tensors.words(arena, 4L * rows);

      kernels.attentionDense(q, k, v, out, 0.25f, split, Tensors.ints(arena, lengths), lse);

      Reference.assertClose(expected, out, 2e-6);
      assertEquals(Float.NEGATIVE_INFINITY, Tensors.toFloats(lse)[rows]);
    }
  }

  @ParameterizedTest
  @CsvSource({"-1", "101"})
  void aLengthOutsideOfTheKeysIsRefused(int length) {
    try (Arena arena = Arena.ofConfined()) {
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, 100, 16);
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, 100, 16);
      MemorySegment lengths = Tensors.ints(arena, 100, length);

      KernelException refused =
          assertThrows(
              KernelException.class,
              () -> kernels.attentionDense(q, q, q, out, 1, 0, lengths, null));

      assertTrue(
          refused.getMessage().contains("k_lengths[1] is " + length + ", expected 0 to 100"),
          refused.getMessage());
    }
  }

  @ParameterizedTest
  @CsvSource({"1e4", "-1e4", "1e-30", "0"})
  void extremeScoresStayFinite(float factor) {
    try (Arena arena = Arena.ofConfined()) {
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 65, 32);
      Heads k = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 130, 32);
      Heads v = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 130, 32);
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 65, 32);

      kernels.attentionDense(q, k, v, out, factor, 0, null);

      // Scores of 5e4 in single precision are 4e-3 off, and so are probabilities of near ties.
      Reference.assertClose(Reference.attention(q, k, v, factor, Reference.Mask.ALL), out, 2e-2);
    }
  }

  @Test
  void equalScoresOfAnySizeAverageTheValues() {
    try (Arena arena = Arena.ofConfined()) {
      for (float value : new float[] {1e4f, -1e4f, 0}) {
        Heads q = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 3, 1);
        Heads k = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 70, 1);
        Heads v = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 70, 1);
        Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 3, 1);
        for (int row = 0; row < 70; row++) {
          Tensors.set(k, 0, row, 0, 1);
          Tensors.set(q, 0, row % 3, 0, value);
        }

        kernels.attentionDense(q, k, v, out, 1, 0, null);

        Reference.assertClose(Reference.attention(q, k, v, 1, Reference.Mask.ALL), out, 1e-6);
      }
    }
  }

  @Test
  void aNanSpoilsOnlyTheRowsThatSeeIt() {
    try (Arena arena = Arena.ofConfined()) {
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 40, 16);
      Heads k = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 90, 16);
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 40, 16);
      // A payload in the low bits, which a sloppy exponential would turn into a number.
      Tensors.set(q, 0, 17, 5, Float.intBitsToFloat(0x7fc00001));

      kernels.attentionDense(q, k, k, out, 0.25f, 0, null);

      for (int row = 0; row < 40; row++) {
        assertEquals(row == 17, Double.isNaN(Tensors.get(out, 0, row, 0)), "row " + row);
      }
      Tensors.set(k, 0, 88, 5, Float.NaN);
      kernels.attentionDense(q, k, k, out, 0.25f, 0, null);
      assertTrue(Double.isNaN(Tensors.get(out, 0, 0, 0)));
    }
  }

  @Test
  void halfTypesRoundToNearestAndKeepSpecialValues() {
    float[] values = {
      0,
      1,
      -2.5f,
      65504,
      65519,
      65520,
      1e-7f,
      6e-8f,
      2.9e-8f,
      6.1e-5f,
      1.0009765f,
      1.0004883f,
      3.3e38f,
      1e5f,
      Float.POSITIVE_INFINITY,
      Float.NEGATIVE_INFINITY,
      Float.NaN
    };
    try (Arena arena = Arena.ofConfined()) {
      for (KernelType type : new KernelType[] {KernelType.F16, KernelType.BF16}) {
        for (float value : values) {
          // One key: the output is its value, through both conversions.
          Heads q = Tensors.random(arena, random, 1, type, Layout.HEAD_MAJOR, 1, 1, 20);
          Heads v = Tensors.random(arena, random, 1, type, Layout.HEAD_MAJOR, 1, 1, 20);
          Heads out = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, 1, 1, 20);
          Tensors.set(v, 0, 0, 19, value);

          kernels.attentionDense(q, q, v, out, 1, 0, null);

          assertEquals(Tensors.get(v, 0, 0, 19), Tensors.get(out, 0, 0, 19), type + " of " + value);
        }
        // Two keys of equal score: the output is a mean that has to be rounded.
        for (float value : new float[] {1.0009765f, 3, 100.0625f, 1.1920929e-7f, 65504}) {
          Heads q = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, 1, 2, 1);
          Heads v = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, 1, 2, 1);
          Heads out = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, 1, 2, 1);
          for (int row = 0; row < 2; row++) {
            Tensors.set(q, 0, row, 0, 0);
            Tensors.set(v, 0, row, 0, value * (1 + row));
          }
          double mean = (Tensors.get(v, 0, 0, 0) + Tensors.get(v, 0, 1, 0)) / 2;
          Heads expected = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, 1, 1, 1);
          Tensors.set(expected, 0, 0, 0, (float) mean);

          kernels.attentionDense(q, q, v, out, 1, 0, null);

          assertEquals(
              Tensors.get(expected, 0, 0, 0), Tensors.get(out, 0, 0, 0), type + " " + mean);
        }
      }
    }
  }

  @Test
  void repeatsBitByBit() {
    try (Arena arena = Arena.ofConfined()) {
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 3, 333, 64);
      Heads first = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 3, 333, 64);
      Heads second = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 3, 333, 64);
      kernels.attentionDense(q, q, q, first, 0.125f, 0, null);
      for (int i = 0; i < 5; i++) {
        kernels.attentionDense(q, q, q, second, 0.125f, 0, null);
        assertEquals(-1, first.data().mismatch(second.data()));
      }
      assertFalse(Double.isNaN(Tensors.get(first, 2, 332, 63)));
    }
  }
}
