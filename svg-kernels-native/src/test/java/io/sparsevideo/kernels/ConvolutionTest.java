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

/** {@link SvgKernels#convolution} against double precision. */
class ConvolutionTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(41);
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({
    // frames, earlier frames, height, width, channels, out channels, kernel, strides, repeat,
    // padding
    "1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, F32",
    "2, 2, 5, 7, 6, 9, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, F32",
    "2, 2, 5, 7, 16, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, BF16",
    "3, 1, 4, 3, 8, 5, 3, 1, 1, 2, 1, 1, 0, 0, 0, 0, F16",
    "2, 0, 6, 9, 3, 4, 1, 3, 3, 1, 2, 1, 0, 1, 0, 1, F32",
    "4, 3, 7, 8, 5, 2, 3, 4, 2, 3, 3, 1, 2, 0, 1, 3, BF16",
    "2, 1, 4, 5, 6, 3, 2, 3, 3, 1, 1, 2, 1, 1, 1, 1, BF16",
    "1, 0, 4, 5, 3, 2, 1, 2, 4, 1, 2, 3, 1, 0, 2, 0, F32",
  })
  void convolution(
      int frames,
      int earlierFrames,
      int height,
      int width,
      int channels,
      int outChannels,
      int kernelFrames,
      int kernelHeight,
      int kernelWidth,
      int frameStride,
      int stride,
      int repeat,
      int padTop,
      int padBottom,
      int padLeft,
      int padRight,
      KernelType type) {
    Convolution sizes =
        new Convolution(
            frames,
            earlierFrames,
            height,
            width,
            channels,
            outChannels,
            kernelFrames,
            kernelHeight,
            kernelWidth,
            frameStride,
            stride,
            repeat,
            padTop,
            padBottom,
            padLeft,
            padRight);
    Heads earlier = tensor(type, Math.max(earlierFrames, 1), height * width, channels);
    Heads x = tensor(type, frames, height * width, channels);
    Heads weight = tensor(type, outChannels, kernelFrames * kernelHeight * kernelWidth, channels);
    Heads bias = tensor(type, 1, 1, outChannels);
    int pixels = sizes.outHeight() * sizes.outWidth();
    Heads residual = tensor(type, sizes.outFrames(), pixels, outChannels);
    Heads out =
        Tensors.allocate(arena, type, Layout.HEAD_MAJOR, sizes.outFrames(), pixels, outChannels);

    kernels.convolution(
        sizes,
        type,
        earlier.data(),
        x.data(),
        weight.data(),
        bias.data(),
        residual.data(),
        out.data());
    Reference.assertClose(
        Reference.convolution(sizes, earlier, x, weight, bias, residual), out, 1e-6);

    kernels.convolution(
        sizes, type, earlier.data(), x.data(), weight.data(), null, null, out.data());
    Reference.assertClose(Reference.convolution(sizes, earlier, x, weight, null, null), out, 1e-6);
  }

  @Test
  void keepsFloat16FiniteButNotNan() {
    Convolution sizes = new Convolution(1, 0, 1, 4, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0);
    Heads x = tensor(KernelType.F16, 1, 4, 1);
    float[] values = {40_000, -40_000, 3, Float.NaN};
    for (int i = 0; i < values.length; i++) {
      Tensors.set(x, 0, i, 0, values[i]);
    }
    Heads weight = tensor(KernelType.F16, 1, 1, 1);
    Tensors.set(weight, 0, 0, 0, 2);
    Heads out = tensor(KernelType.F16, 1, 4, 1);
    kernels.convolution(
        sizes, KernelType.F16, null, x.data(), weight.data(), null, null, out.data());
    double[] expected = {65_504, -65_504, 6, Double.NaN};
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], Tensors.get(out, 0, i, 0));
    }
  }

  @Test
  void refusesWrongArguments() {
    Convolution sizes = cube(2, 1, 4);
    Heads earlier = tensor(KernelType.F32, 1, 16, 2);
    Heads x = tensor(KernelType.F32, 2, 16, 2);
    Heads weight = tensor(KernelType.F32, 3, 27, 2);
    Heads out = tensor(KernelType.F32, 1, 16, 3);
    assertRefused(
        KernelException.class,
        "weight of shape [3, 3, 3, 3, 2] needs 648 bytes, the memory has 640",
        () -> run(sizes, earlier.data(), x.data(), weight.data().asSlice(8), out.data()));
    assertRefused(
        KernelException.class,
        "earlier is null",
        () -> run(sizes, null, x.data(), weight.data(), out.data()));
    assertRefused(
        KernelException.class,
        "overlaps",
        () -> run(sizes, earlier.data(), x.data(), weight.data(), x.data()));
    assertRefused(
        IllegalArgumentException.class,
        "the kernel spans 3 in frames, the clip with its padding has 2",
        () -> cube(1, 1, 4));
    assertRefused(
        IllegalArgumentException.class, "height must be at least 1, is 0", () -> cube(2, 1, 0));
    assertRefused(
        IllegalArgumentException.class,
        "the result's height must be at most 2147483647, is 4294967296",
        () -> new Convolution(1, 0, 1 << 30, 1, 1, 1, 1, 1, 1, 1, 1, 4, 0, 0, 0, 0));
  }

  private void run(
      Convolution sizes,
      MemorySegment earlier,
      MemorySegment x,
      MemorySegment weight,
      MemorySegment out) {
    kernels.convolution(sizes, KernelType.F32, earlier, x, weight, null, null, out);
  }

  /** A 3 × 3 × 3 kernel from 2 channels to 3. */
  private static Convolution cube(int frames, int earlierFrames, int side) {
    return new Convolution(frames, earlierFrames, side, side, 2, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1);
  }

  private static <T extends Exception> void assertRefused(
      Class<T> type, String text, Executable call) {
    T e = assertThrows(type, call);
    assertTrue(e.getMessage().contains(text), e.getMessage());
  }

  private Heads tensor(KernelType type, int heads, int rows, int width) {
    return Tensors.random(arena, random, 1, type, Layout.HEAD_MAJOR, heads, rows, width);
  }
}
