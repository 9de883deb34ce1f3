package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** {@link SvgKernels#colorBytes} against its definition. */
class ColorBytesTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  /** Frames larger than a piece that is worked on at once. */
  @ParameterizedTest
  @EnumSource(KernelType.class)
  void valuesAreScaledAndRounded(KernelType type) {
    int size = 5001;
    Heads x = Tensors.allocate(arena, type, Layout.HEAD_MAJOR, 1, 2, size);
    Random random = new Random(3);
    for (int frame = 0; frame < 2; frame++) {
      for (int i = 0; i < size; i++) {
        Tensors.set(x, 0, frame, i, (float) random.nextGaussian());
      }
    }
    MemorySegment out = arena.allocate(2 * size);
    MemorySegment notNumbers = Tensors.words(arena, 2);
    kernels.colorBytes(x.data(), type, 2, size, out, notNumbers);
    double[][][] values = Tensors.values(x);
    for (int frame = 0; frame < 2; frame++) {
      for (int i = 0; i < size; i++) {
        float clipped = Math.clamp((float) values[0][frame][i], -1f, 1f);
        int found = Byte.toUnsignedInt(out.get(ValueLayout.JAVA_BYTE, (long) frame * size + i));
        assertEquals(Math.round((clipped + 1) * 127.5f), found);
      }
    }
    assertArrayEquals(new int[2], notNumbers.toArray(ValueLayout.JAVA_INT));
  }

  @Test
  void whatIsNotANumberIsCounted() {
    float nan = Float.NaN;
    float infinity = Float.POSITIVE_INFINITY;
    MemorySegment x = Tensors.floats(arena, 1, -infinity, infinity, nan, 0, nan);
    MemorySegment out = arena.allocate(6);
    MemorySegment notNumbers = Tensors.words(arena, 2);
    kernels.colorBytes(x, KernelType.F32, 2, 3, out, notNumbers);
    assertArrayEquals(new byte[] {-1, 0, -1, 0, (byte) 128, 0}, out.toArray(ValueLayout.JAVA_BYTE));
    assertArrayEquals(new int[] {0, 2}, notNumbers.toArray(ValueLayout.JAVA_INT));
  }

  @Test
  void whatDoesNotFitIsRefused() {
    MemorySegment x = Tensors.floats(arena, 1, 2, 3, 4);
    MemorySegment out = arena.allocate(4);
    MemorySegment notNumbers = Tensors.words(arena, 2);
    refuses(
        "x of shape [2, 3] needs 24 bytes, the memory has 16",
        () -> kernels.colorBytes(x, KernelType.F32, 2, 3, out, notNumbers));
    refuses(
        "out of shape [2, 2] needs 4 bytes, the memory has 3",
        () -> kernels.colorBytes(x, KernelType.F32, 2, 2, out.asSlice(1), notNumbers));
    refuses(
        "frames must be at least 1, is 0",
        () -> kernels.colorBytes(x, KernelType.F32, 0, 2, out, notNumbers));
    refuses(
        "notNumbers is written, but its memory is read-only",
        () -> kernels.colorBytes(x, KernelType.F32, 2, 2, out, notNumbers.asReadOnly()));
  }

  private static void refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }
}
