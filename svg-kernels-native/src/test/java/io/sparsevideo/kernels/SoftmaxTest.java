package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@link SvgKernels#softmax} against double precision. */
class SoftmaxTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(29);
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, HEAD_MAJOR",
    "2, 7, 33, BF16, BF16, TOKEN_MAJOR",
    "3, 5, 129, F16, F32, PADDED",
    "1, 3, 70000, BF16, F16, HEAD_MAJOR",
  })
  void softmax(int heads, int rows, int width, KernelType to, KernelType biasType, Layout layout) {
    Heads scores = Tensors.random(arena, random, 3, KernelType.F32, layout, heads, rows, width);
    Heads out = Tensors.allocate(arena, to, Layout.TOKEN_MAJOR, heads, rows, width);
    Heads memory =
        Tensors.random(arena, random, 2, biasType, Layout.HEAD_MAJOR, heads, 1, rows + width - 1);
    ScoreBias relative = ScoreBias.relative(memory.data(), biasType, rows, width);
    ScoreBias ofKeys = new ScoreBias(memory.data(), biasType, 0, 0, 0, 1);

    kernels.softmax(scores, 0.7f, relative, out);
    Reference.assertClose(Reference.softmax(scores, 0.7f, relative), out, 1e-6);
    kernels.softmax(scores, 1, ofKeys, out);
    Reference.assertClose(Reference.softmax(scores, 1, ofKeys), out, 1e-6);
    double[][][] withoutBias = Reference.softmax(scores, -2, null);
    kernels.softmax(scores, -2, null, out);
    Reference.assertClose(withoutBias, out, 1e-6);
    kernels.softmax(scores, -2, null, scores);
    Reference.assertClose(withoutBias, scores, 1e-6);
  }

  /** Scores that are far apart, hidden, or all hidden; and NaN, which no other row sees. */
  @Test
  void extremes() {
    float inf = Float.POSITIVE_INFINITY;
    float[][] rows = {
      {1e30f, -1e30f, 0, 1e30f},
      {-inf, 3, -inf, -inf},
      {-inf, -inf, -inf, -inf},
      {-Float.MAX_VALUE, 3, 3, -Float.MAX_VALUE},
      {0, Float.NaN, 0, 0},
    };
    double[][] expected = {
      {.5, 0, 0, .5}, {0, 1, 0, 0}, {0, 0, 0, 0}, {0, .5, .5, 0},
    };
    Heads x = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, rows.length, 4);
    for (int r = 0; r < rows.length; r++) {
      for (int i = 0; i < 4; i++) {
        Tensors.set(x, 0, r, i, rows[r][i]);
      }
    }
    kernels.softmax(x, 1, null, x);
    for (int i = 0; i < 4; i++) {
      for (int r = 0; r < expected.length; r++) {
        assertEquals(expected[r][i], Tensors.get(x, 0, r, i), 1e-6);
      }
      assertEquals(Double.NaN, Tensors.get(x, 0, 4, i));
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    Heads scores = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 8);
    Heads out = Tensors.allocate(arena, KernelType.BF16, Layout.HEAD_MAJOR, 2, 3, 8);
    refuses("scores must be F32", () -> kernels.softmax(out, 1, null, scores));
    refuses("out is a tensor", () -> kernels.softmax(scores, 1, null, out.firstRows(2)));
    refuses("scale is nan", () -> kernels.softmax(scores, Float.NaN, null, out));
    MemorySegment memory = arena.allocate(80, 4); // 20 elements: 2 heads of 3 + 8 - 1
    kernels.softmax(scores, 1, ScoreBias.relative(memory, KernelType.F32, 3, 8), out);
    refuses(
        "bias is a bias from element 3 on",
        () -> kernels.softmax(scores, 1, ScoreBias.relative(memory, KernelType.F32, 4, 8), out));
    refuses(
        "bias is a bias from element 1 on",
        () -> kernels.softmax(scores, 1, ScoreBias.relative(memory, KernelType.F32, 2, 8), out));
    refuses(
        "bias is a bias",
        () ->
            kernels.softmax(
                scores, 1, new ScoreBias(memory, KernelType.F32, 0, Long.MAX_VALUE, 2, 2), out));
    refuses(
        "overlaps bias at [",
        () ->
            kernels.softmax(
                scores, 1, new ScoreBias(scores.data(), KernelType.F32, 0, 0, 0, 1), scores));
    refuses(
        "bias must be native memory",
        () ->
            kernels.softmax(
                scores,
                1,
                ScoreBias.relative(MemorySegment.ofArray(new float[20]), KernelType.F32, 3, 8),
                out));
  }

  private static void refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }
}
