package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class VideoLayoutTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(5);

  @ParameterizedTest
  @CsvSource({
    "1, 1, 0, 1, F32, HEAD_MAJOR",
    "5, 7, 3, 16, F32, TOKEN_MAJOR",
    "1, 33, 2, 40, BF16, PADDED",
    "33, 1, 0, 40, F16, HEAD_MAJOR",
    "7, 144, 0, 64, F32, HEAD_MAJOR",
  })
  void reordersFlaggedHeadsAndComesBack(
      int frames, int tokens, int context, int dim, KernelType type, Layout memory) {
    try (Arena arena = Arena.ofConfined()) {
      VideoLayout layout = new VideoLayout(frames, tokens, context);
      Heads src = Tensors.random(arena, random, 1, type, memory, 3, layout.rows(), dim);
      Heads dst = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, 3, layout.rows(), dim);
      Heads back = Tensors.allocate(arena, type, memory, 3, layout.rows(), dim);
      var flags = Tensors.ints(arena, 1, 0, -2);

      kernels.videoLayout(src, dst, layout, flags, false);
      kernels.videoLayout(dst, back, layout, flags, true);

      for (int h = 0; h < 3; h++) {
        for (int row = 0; row < layout.rows(); row++) {
          boolean moves = h != 1 && row < layout.videoRows();
          int to = moves ? row % tokens * frames + row / tokens : row;
          for (int d = 0; d < dim; d++) {
            assertEquals(Tensors.get(src, h, row, d), Tensors.get(dst, h, to, d));
            assertEquals(Tensors.get(src, h, row, d), Tensors.get(back, h, row, d));
          }
        }
      }
    }
  }

  @Test
  void countsRows() {
    VideoLayout layout = new VideoLayout(21, 3600, 512);
    assertEquals(75_600, layout.videoRows());
    assertEquals(76_112, layout.rows());
  }

  @ParameterizedTest
  @CsvSource({"0, 1, 0", "1, 0, 0", "1, 1, -1", "65536, 32768, 0", "32768, 65535, 40000"})
  void refusesImpossibleSizes(int frames, int tokens, int context) {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class, () -> new VideoLayout(frames, tokens, context));
    assertTrue(e.getMessage().contains(Integer.toString(tokens)), e.getMessage());
  }
}
