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

/** {@link SvgKernels#activation} against double precision. */
class ActivationTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(23);
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, F32, IDENTITY, HEAD_MAJOR",
    "2, 7, 33, F32, BF16, F16, GELU_TANH, TOKEN_MAJOR",
    "3, 5, 129, F16, F32, BF16, SILU, PADDED",
    "2, 3, 50, BF16, F16, F32, IDENTITY, PADDED",
    "1, 3, 20000, BF16, BF16, BF16, GELU_TANH, HEAD_MAJOR",
  })
  void activation(
      int heads,
      int rows,
      int width,
      KernelType from,
      KernelType to,
      KernelType biasType,
      Activation kind,
      Layout layout) {
    Heads x = Tensors.random(arena, random, 3, from, layout, heads, rows, width);
    Heads bias = Tensors.random(arena, random, 1, biasType, Layout.HEAD_MAJOR, 1, 1, width);
    Heads out = Tensors.allocate(arena, to, Layout.TOKEN_MAJOR, heads, rows, width);

    kernels.activation(x, out, kind, bias.data(), biasType);
    Reference.assertClose(Reference.activation(x, kind, bias), out, 1e-6);

    double[][][] withoutBias = Reference.activation(x, kind, null);
    kernels.activation(x, out, kind, null, null);
    Reference.assertClose(withoutBias, out, 1e-6);
    kernels.activation(x, x, kind, null, null);
    Reference.assertClose(withoutBias, x, 1e-6);
  }

  @ParameterizedTest
  @CsvSource({"GELU_TANH", "SILU"})
  void farFromZeroItIsZeroOrTheIdentity(Activation kind) {
    Heads x = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 1, 6);
    float[] values = {-1e30f, -1e4f, -200, 200, 1e4f, 1e30f};
    for (int i = 0; i < values.length; i++) {
      Tensors.set(x, 0, 0, i, values[i]);
    }
    kernels.activation(x, x, kind, null, null);
    for (int i = 0; i < values.length; i++) {
      assertEquals(Math.max(values[i], 0.0), Math.abs(Tensors.get(x, 0, 0, i)), 1e-30);
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    Heads x = Tensors.random(arena, random, 1, KernelType.F16, Layout.HEAD_MAJOR, 2, 3, 8);
    Heads out = Tensors.allocate(arena, KernelType.BF16, Layout.HEAD_MAJOR, 2, 4, 8);
    refuses(
        "svg_activation: out is a tensor",
        () -> kernels.activation(x, out, Activation.SILU, null, null));
    refuses(
        "bias of shape [8] needs 32 bytes, the memory has 30",
        () ->
            kernels.activation(
                x, out.firstRows(3), Activation.SILU, x.data().asSlice(0, 30), KernelType.F32));
    refuses(
        "overlaps x at [", // the same memory as another type
        () ->
            kernels.activation(
                x,
                Heads.headMajor(x.data(), KernelType.BF16, 2, 3, 8),
                Activation.IDENTITY,
                null,
                null));
    refuses(
        "overlaps bias at [",
        () -> kernels.activation(x, x, Activation.IDENTITY, x.data(), KernelType.F16));
  }

  private static void refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }
}
