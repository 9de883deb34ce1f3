package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AttentionBandTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(2);

  @ParameterizedTest
  @CsvSource({
    // heads, rows, dim, video, prompt, sink, half width
    "1, 1, 16, 1, 0, 0, 0, F32, HEAD_MAJOR",
    "2, 129, 40, 129, 0, 0, 10, F32, TOKEN_MAJOR",
    "1, 1009, 64, 1009, 0, 100, 77, F32, HEAD_MAJOR",
    "1, 500, 64, 500, 0, 600, 20, F32, HEAD_MAJOR",
    "2, 300, 32, 250, 30, 0, 64, F32, PADDED",
    "2, 300, 32, 250, 30, 13, 0, F32, HEAD_MAJOR",
    "2, 300, 128, 250, 30, 40, -1, BF16, TOKEN_MAJOR",
    "1, 300, 32, 100, 0, 0, 2147483647, F32, HEAD_MAJOR",
    "2, 200, 17, 190, 10, 5, 33, F16, PADDED",
    "1, 70, 16, 3, 0, 0, 1, F32, HEAD_MAJOR",
  })
  void agreesWithTheMaskedDefinition(
      int heads,
      int rows,
      int dim,
      int video,
      int prompt,
      int sink,
      int width,
      KernelType type,
      Layout layout) {
    try (Arena arena = Arena.ofConfined()) {
      Heads q = Tensors.random(arena, random, 1, type, layout, heads, rows, dim);
      Heads k = Tensors.random(arena, random, 1, type, layout, heads, rows, dim);
      Heads v = Tensors.random(arena, random, 1, type, layout, heads, rows, dim);
      Heads out = Tensors.allocate(arena, type, layout, heads, rows, dim);
      BandMask mask = new BandMask(video, prompt, sink, width);

      kernels.attentionBand(q, k, v, out, 0.2f, mask);

      Reference.assertClose(
          Reference.attention(q, k, v, 0.2f, (h, i, j) -> mask.allows(rows, i, j)), out, 2e-6);
    }
  }

  @Test
  void aRowThatSeesNoKeyBecomesZeros() {
    try (Arena arena = Arena.ofConfined()) {
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, 150, 16);
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, 150, 16);

      kernels.attentionBand(q, q, q, out, 0.25f, new BandMask(150, 0, 0, -1));

      for (int row = 0; row < 150; row++) {
        Reference.assertZero(out, 1, row);
      }
    }
  }

  @Test
  void nanInRowsThatNobodySeesDoesNotLeak() {
    try (Arena arena = Arena.ofConfined()) {
      int rows = 200;
      BandMask mask = new BandMask(150, 20, 10, -1);
      Heads q = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, rows, 16);
      Heads k = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, rows, 16);
      for (int row = mask.realRows(); row < rows; row++) {
        Tensors.set(q, 0, row, 0, Float.NaN);
        Tensors.set(k, 0, row, 0, Float.NaN);
      }
      Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, rows, 16);

      kernels.attentionBand(q, k, k, out, 0.25f, mask);

      for (int row = 0; row < rows; row++) {
        assertEquals(
            row >= mask.realRows(), Double.isNaN(Tensors.get(out, 0, row, 0)), "row " + row);
      }
    }
  }
}
