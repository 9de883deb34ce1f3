package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * {@link SvgKernels#rmsNorm}, {@link SvgKernels#channelNorm}, {@link SvgKernels#layerNorm} and
 * {@link SvgKernels#gatedResidual} against double precision.
 */
class NormsTest {

  private static final float EPSILON = 1e-3f;

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(21);
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, HEAD_MAJOR, HEAD_MAJOR",
    "2, 7, 33, F32, BF16, TOKEN_MAJOR, HEAD_MAJOR",
    "3, 5, 129, F16, F32, PADDED, TOKEN_MAJOR",
    "1, 11, 1536, BF16, BF16, HEAD_MAJOR, PADDED",
    "1, 520, 16384, BF16, F16, HEAD_MAJOR, HEAD_MAJOR",
  })
  void rmsNorm(
      int heads,
      int rows,
      int width,
      KernelType type,
      KernelType weightType,
      Layout from,
      Layout to) {
    Heads x = tensor(type, from, heads, rows, width);
    Heads weight = tensor(weightType, Layout.HEAD_MAJOR, 1, 1, width);
    Heads out = Tensors.allocate(arena, type, to, heads, rows, width);

    kernels.rmsNorm(x, out, weight.data(), weightType, EPSILON);
    Reference.assertClose(Reference.rmsNorm(x, weight, EPSILON), out, 1e-6);

    double[][][] withoutWeight = Reference.rmsNorm(x, null, EPSILON);
    kernels.rmsNorm(x, x, null, null, EPSILON);
    Reference.assertClose(withoutWeight, x, 1e-6);
  }

  @Test
  void zeroRowsStayZero() {
    Heads x = Tensors.allocate(arena, KernelType.F16, Layout.HEAD_MAJOR, 1, 2, 9);
    x.data().fill((byte) 0);
    Tensors.set(x, 0, 1, 4, 3);
    kernels.rmsNorm(x, x, null, null, 1e-6f);
    Reference.assertZero(x, 0, 0);
    assertEquals(3, Tensors.get(x, 0, 1, 4), 2e-3); // 3 / √(9 / 9)
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, HEAD_MAJOR, HEAD_MAJOR",
    "2, 7, 33, F32, BF16, TOKEN_MAJOR, HEAD_MAJOR",
    "3, 5, 96, F16, F32, PADDED, TOKEN_MAJOR",
    "1, 11, 384, BF16, BF16, HEAD_MAJOR, PADDED",
  })
  void channelNorm(
      int heads,
      int rows,
      int width,
      KernelType type,
      KernelType weightType,
      Layout from,
      Layout to) {
    Heads x = tensor(type, from, heads, rows, width);
    for (int d = 0; d < width; d++) {
      Tensors.set(x, 0, 0, d, 0); // stays zero
    }
    Heads weight = tensor(weightType, Layout.HEAD_MAJOR, 1, 1, width);
    Heads out = Tensors.allocate(arena, type, to, heads, rows, width);

    kernels.channelNorm(x, out, weight.data(), weightType, true);
    Reference.assertClose(Reference.channelNorm(x, weight, true), out, 1e-6);

    double[][][] plain = Reference.channelNorm(x, null, false);
    kernels.channelNorm(x, x, null, null, false);
    Reference.assertClose(plain, x, 1e-6);
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, F32, HEAD_MAJOR",
    "2, 7, 33, F32, F16, BF16, TOKEN_MAJOR",
    "3, 5, 129, BF16, F32, F16, PADDED",
    "2, 9, 1536, F16, BF16, F32, HEAD_MAJOR",
  })
  void layerNorm(
      int heads,
      int rows,
      int width,
      KernelType type,
      KernelType weightType,
      KernelType modulationType,
      Layout layout) {
    Heads x = tensor(type, layout, heads, rows, width);
    Heads weight = tensor(weightType, Layout.HEAD_MAJOR, 1, 1, width);
    Heads bias = tensor(weightType, Layout.HEAD_MAJOR, 1, 1, width);
    Heads full = tensor(modulationType, Layout.PADDED, heads, rows, width);
    Heads perHead =
        Heads.rowPerHead(
            tensor(modulationType, Layout.HEAD_MAJOR, heads, 1, width).data(),
            modulationType,
            heads,
            rows,
            width);
    Heads one = Heads.oneRow(perHead.data(), modulationType, heads, rows, width);
    Heads[][] choices = {
      {null, null, null, null},
      {weight, bias, null, null},
      {null, null, perHead, full},
      {weight, null, one, perHead},
      {null, bias, full, null},
      {weight, bias, null, one},
    };
    for (Heads[] choice : choices) {
      Heads out = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, heads, rows, width);
      kernels.layerNorm(
          x,
          out,
          choice[0] == null ? null : choice[0].data(),
          choice[1] == null ? null : choice[1].data(),
          weightType,
          choice[2],
          choice[3],
          EPSILON);
      Reference.assertClose(
          Reference.layerNorm(x, choice[0], choice[1], choice[2], choice[3], EPSILON), out, 1e-6);
    }
    double[][][] expected = Reference.layerNorm(x, null, null, full, perHead, EPSILON);
    kernels.layerNorm(x, x, null, null, null, full, perHead, EPSILON);
    Reference.assertClose(expected, x, 1e-6);
  }

  @Test
  void aLargeMeanDoesNotDrownTheVariance() {
    Heads x = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 3, 257);
    for (int row = 0; row < 3; row++) {
      for (int d = 0; d < 257; d++) {
        Tensors.set(x, 0, row, d, 4096 + random.nextInt(8));
      }
    }
    double[][][] expected = Reference.layerNorm(x, null, null, null, null, EPSILON);
    kernels.layerNorm(x, x, null, null, null, null, null, EPSILON);
    Reference.assertClose(expected, x, 1e-6);
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, HEAD_MAJOR",
    "2, 7, 33, BF16, F32, TOKEN_MAJOR",
    "3, 5, 129, F16, BF16, PADDED",
    "1, 3, 20000, F32, F16, HEAD_MAJOR",
  })
  void gatedResidual(
      int heads, int rows, int width, KernelType type, KernelType gateType, Layout layout) {
    Heads x = tensor(type, layout, heads, rows, width);
    Heads y = tensor(type, Layout.PADDED, heads, rows, width);
    Heads full = tensor(gateType, layout, heads, rows, width);
    Heads gates = tensor(gateType, Layout.HEAD_MAJOR, heads, 1, width);
    Heads perHead = Heads.rowPerHead(gates.data(), gateType, heads, rows, width);
    Heads one = Heads.oneRow(gates.data(), gateType, heads, rows, width);
    for (Heads gate : new Heads[] {null, full, perHead, one}) {
      Heads out = Tensors.allocate(arena, type, Layout.TOKEN_MAJOR, heads, rows, width);
      kernels.gatedResidual(x, y, gate, out);
      Reference.assertClose(Reference.gatedResidual(x, y, gate), out, 1e-6);
    }
    double[][][] expected = Reference.gatedResidual(x, y, one);
    kernels.gatedResidual(x, y, one, x);
    Reference.assertClose(expected, x, 1e-6);
  }

  @Test
  void whatDoesNotFitIsRefused() {
    Heads x = tensor(KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 8);
    Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 8);
    Heads half = tensor(KernelType.F16, Layout.HEAD_MAJOR, 2, 3, 8);
    Heads narrow = tensor(KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 7);
    Heads one = Heads.oneRow(half.data(), KernelType.F16, 2, 3, 8);
    Heads shifted = new Heads(x.data(), KernelType.F32, 2, 2, 8, 24, 8);
    refuses("svg_rms_norm: out is a tensor", () -> kernels.rmsNorm(x, half, null, null, 0));
    refuses(
        "weight of shape [8] needs 32 bytes, the memory has 28",
        () -> kernels.rmsNorm(x, out, x.data().asSlice(0, 28), KernelType.F32, 0));
    refuses("weight has no type", () -> kernels.rmsNorm(x, out, x.data(), null, 0));
    refuses("epsilon is nan", () -> kernels.rmsNorm(x, out, null, null, Float.NaN));
    refuses("epsilon is -1", () -> kernels.layerNorm(x, out, null, null, null, null, null, -1));
    refuses(
        "overlaps x at [",
        () ->
            kernels.rmsNorm(
                shifted,
                new Heads(x.data().asSlice(32), KernelType.F32, 2, 2, 8, 24, 8),
                null,
                null,
                0));
    refuses(
        "overlaps x at [", // the same memory by other strides
        () ->
            kernels.rmsNorm(x, Heads.tokenMajor(x.data(), KernelType.F32, 2, 3, 8), null, null, 0));
    refuses(
        "svg_layer_norm: scale is a tensor",
        () -> kernels.layerNorm(x, out, null, null, null, narrow, null, 0));
    refuses(
        "scale is F16, shift is F32",
        () -> kernels.layerNorm(x, out, null, null, null, half, x, 0));
    refuses("overlaps shift at [", () -> kernels.layerNorm(x, out, null, null, null, null, out, 0));
    refuses("svg_gated_residual: y is a tensor", () -> kernels.gatedResidual(x, half, null, out));
    refuses("overlaps y at [", () -> kernels.gatedResidual(x, out, one, out));
    Heads wide = tensor(KernelType.BF16, Layout.HEAD_MAJOR, 1, 1, 16385);
    refuses(
        "width is 16385, expected 1 to 16384", () -> kernels.rmsNorm(wide, wide, null, null, 0));
    refuses(
        "x.row_stride is 0, expected at least the row's width 8",
        () -> kernels.rmsNorm(Heads.oneRow(x.data(), KernelType.F32, 2, 3, 8), out, null, null, 0));
    refuses(
        "out.row_stride is 0",
        () -> kernels.rmsNorm(x, Heads.oneRow(out.data(), KernelType.F32, 2, 3, 8), null, null, 0));
  }

  private Heads tensor(KernelType type, Layout layout, int heads, int rows, int width) {
    return Tensors.random(arena, random, 1, type, layout, heads, rows, width);
  }

  private static void refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }
}
