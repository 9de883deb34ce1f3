package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link SvgKernels#timestepEmbedding} against its definition. */
class TimestepEmbeddingTest {

  private static final float[] TIMESTEPS = {0, 1, 17.25f, 500, 999, 1000};

  private final SvgKernels kernels = SvgKernels.host();
  private final Arena arena = Arena.ofConfined();
  private final MemorySegment timesteps = Tensors.floats(arena, TIMESTEPS);

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({
    "256, true, 0, 1, 10000, F32, HEAD_MAJOR",
    "256, true, 0, 1, 10000, BF16, PADDED",
    "320, false, 1, 1, 10000, F16, HEAD_MAJOR",
    "33, false, 0.5, 2.5, 500, F32, PADDED",
    "2, true, 0, 1000, 10000, F32, HEAD_MAJOR",
  })
  void embedding(
      int width,
      boolean flip,
      float shift,
      float scale,
      float maxPeriod,
      KernelType type,
      Layout layout) {
    Heads out = Tensors.allocate(arena, type, layout, 1, TIMESTEPS.length, width);
    kernels.timestepEmbedding(timesteps, out, flip, shift, scale, maxPeriod);
    int half = width / 2;
    double[][][] expected = new double[1][TIMESTEPS.length][width];
    for (int r = 0; r < TIMESTEPS.length; r++) {
      for (int i = 0; i < half; i++) {
        float exponent = (float) -Math.log(maxPeriod) * i / (half - shift);
        double angle = scale * (TIMESTEPS[r] * (float) Math.exp(exponent));
        expected[0][r][flip ? half + i : i] = Math.sin(angle);
        expected[0][r][flip ? i : half + i] = Math.cos(angle);
      }
    }
    Reference.assertClose(expected, out, 1e-7);
  }

  @Test
  void whatDoesNotFitIsRefused() {
    Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 6, 8);
    refuses(
        "timesteps of shape [6] needs 24 bytes, the memory has 20",
        () -> kernels.timestepEmbedding(timesteps.asSlice(4), out, true, 0, 1, 10000));
    refuses(
        "downscale_freq_shift is 4, expected less than 4",
        () -> kernels.timestepEmbedding(timesteps, out, true, 4, 1, 10000));
    refuses(
        "max_period is 0, expected more than 0",
        () -> kernels.timestepEmbedding(timesteps, out, true, 0, 1, 0));
    refuses(
        "scale is nan, expected a finite number",
        () -> kernels.timestepEmbedding(timesteps, out, true, 0, Float.NaN, 10000));
    refuses(
        "out.heads is 2",
        () ->
            kernels.timestepEmbedding(
                timesteps,
                Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 8),
                true,
                0,
                1,
                10000));
  }

  private static void refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }
}
