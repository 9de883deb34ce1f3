package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.kernels.ffi.svg_kernels_h;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** {@link SvgKernels#copy} and {@link SvgKernels#elementwise} over views, on the host. */
class ViewTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(5);
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 4, 8})
  void aTransposedSliceIsCopied(int size) {
    MemorySegment from = randomBytes(size * 3 * 5 * 7);
    MemorySegment to = arena.allocate(size * 7 * 3 * 2, 8);
    long[] sizes = {7, 3, 2};
    // Columns, rows, and the planes 1 and 3 of (3, 5, 7).
    View src = new View(from.asSlice(7 * size), size, sizes, new long[] {1, 35, 14});
    kernels.copy(src, new View(to, size, sizes, new long[] {6, 2, 1}));
    for (int c = 0; c < 7; c++) {
      for (int r = 0; r < 3; r++) {
        for (int p = 0; p < 2; p++) {
          long expected = size * (r * 35L + (1 + 2 * p) * 7 + c);
          assertEquals(
              -1,
              to.asSlice(size * (6L * c + 2 * r + p), size).mismatch(from.asSlice(expected, size)));
        }
      }
    }
  }

  @Test
  void whatLiesBetweenWrittenElementsStays() {
    MemorySegment from = arena.allocateFrom(ValueLayout.JAVA_INT, 1, 2, 3, 4);
    MemorySegment to = arena.allocateFrom(ValueLayout.JAVA_INT, 9, 9, 9, 9, 9, 9, 9);
    kernels.copy(
        new View(from, 4, new long[] {2, 2}, new long[] {2, 1}),
        new View(to, 4, new long[] {2, 2}, new long[] {4, 2}));
    assertArrayEquals(new int[] {1, 9, 2, 9, 3, 9, 4}, to.toArray(ValueLayout.JAVA_INT));
  }

  /** Enough elements for threads. */
  @Test
  void oneElementIsBroadcastToMany() {
    int count = (1 << 23) + 3;
    MemorySegment to = arena.allocate(4L * count, 4);
    View one =
        new View(
            arena.allocateFrom(ValueLayout.JAVA_INT, 7), 4, new long[] {count, 1}, new long[2]);
    kernels.copy(one, new View(to, 4, new long[] {count, 1}, new long[] {1, 1}));
    int[] values = to.toArray(ValueLayout.JAVA_INT);
    assertTrue(Arrays.stream(values).allMatch(v -> v == 7));
  }

  @ParameterizedTest
  @EnumSource(Elementwise.class)
  void numbersAreCombined(Elementwise op) {
    MemorySegment x = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 1, -2, 3, 4, 5, 6);
    MemorySegment y = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 10, 0.5f, -4);
    MemorySegment out = arena.allocate(24, 4);
    long[] sizes = {2, 3};
    View rows = new View(x, 4, sizes, new long[] {3, 1});
    View result = new View(out, 4, sizes, new long[] {3, 1});
    KernelType f32 = KernelType.F32;
    kernels.elementwise(op, rows, f32, new View(y, 4, sizes, new long[] {0, 1}), f32, result, f32);
    for (int i = 0; i < 6; i++) {
      float by = y.getAtIndex(ValueLayout.JAVA_FLOAT, i % 3);
      assertEquals(expected(op, value(x, i), by), value(out, i));
    }
    kernels.elementwise(op, rows, f32, 2.5f, rows, f32); // in place
    float[] before = {1, -2, 3, 4, 5, 6};
    for (int i = 0; i < 6; i++) {
      assertEquals(expected(op, before[i], 2.5f), value(x, i));
    }
  }

  private static float value(MemorySegment memory, int i) {
    return memory.getAtIndex(ValueLayout.JAVA_FLOAT, i);
  }

  private static float expected(Elementwise op, float x, float y) {
    return switch (op) {
      case ADD -> x + y;
      case SUBTRACT -> x - y;
      case MULTIPLY -> x * y;
      case DIVIDE -> x / y;
      case MINIMUM -> Math.min(x, y);
      case MAXIMUM -> Math.max(x, y);
    };
  }

  @ParameterizedTest
  @EnumSource(names = {"MINIMUM", "MAXIMUM"})
  void whatIsNotANumberIsNotHidden(Elementwise op) {
    MemorySegment x = arena.allocateFrom(ValueLayout.JAVA_FLOAT, Float.NaN, 1);
    MemorySegment y = arena.allocateFrom(ValueLayout.JAVA_FLOAT, 2, Float.NaN);
    MemorySegment out = arena.allocate(8, 4);
    KernelType f32 = KernelType.F32;
    View[] views = new View[3];
    Arrays.setAll(
        views,
        i -> new View(new MemorySegment[] {x, y, out}[i], 4, new long[] {2}, new long[] {1}));
    kernels.elementwise(op, views[0], f32, views[1], f32, views[2], f32);
    assertEquals(Float.NaN, value(out, 0));
    assertEquals(Float.NaN, value(out, 1));
  }

  @ParameterizedTest
  @CsvSource({"F16, BF16, F32", "BF16, F32, BF16", "F32, F16, F16"})
  void typesMayDiffer(KernelType xType, KernelType yType, KernelType outType) {
    Heads x = Tensors.random(arena, random, 1, xType, Tensors.Layout.HEAD_MAJOR, 1, 5, 7);
    Heads y = Tensors.random(arena, random, 1, yType, Tensors.Layout.HEAD_MAJOR, 1, 5, 7);
    Heads out = Tensors.allocate(arena, outType, Tensors.Layout.HEAD_MAJOR, 1, 5, 7);
    kernels.elementwise(Elementwise.SUBTRACT, all(x), xType, all(y), yType, all(out), outType);
    double[][][] expected = Tensors.values(x);
    double[][][] subtracted = Tensors.values(y);
    for (int r = 0; r < 5; r++) {
      for (int c = 0; c < 7; c++) {
        expected[0][r][c] -= subtracted[0][r][c];
      }
    }
    Reference.assertClose(expected, out, 1e-6);
  }

  private static View all(Heads t) {
    return new View(
        t.data(),
        t.type().bytes(),
        new long[] {t.rows(), t.headDim()},
        new long[] {t.rowStride(), 1});
  }

  @Test
  void whatDoesNotFitIsRefused() {
    MemorySegment memory = arena.allocate(64, 8);
    View whole = new View(memory.asSlice(0, 32), 4, new long[] {2, 4}, new long[] {4, 1});
    View other = new View(memory.asSlice(32), 4, new long[] {4, 2}, new long[] {2, 1});
    refuses("dst is a view of sizes [4, 2]", () -> kernels.copy(whole, other));
    View wide = new View(memory.asSlice(32), 2, new long[] {2, 4}, new long[] {4, 1});
    refuses("elements of 4 bytes, dst of 2", () -> kernels.copy(whole, wide));
    refuses("overlaps dst at [", () -> kernels.copy(whole, whole));
    View folded = new View(memory.asSlice(32), 4, new long[] {2, 4}, new long[] {1, 1});
    refuses("dst.strides[1] is 1: elements of what is written", () -> kernels.copy(whole, folded));
    View bytes3 = new View(memory, 3, new long[] {1}, new long[] {1});
    View others3 = new View(memory.asSlice(8), 3, new long[] {1}, new long[] {1});
    refuses("element_size is 3, expected 1, 2, 4 or 8", () -> kernels.copy(bytes3, others3));
    refuses(
        "does not fit F16",
        () ->
            kernels.elementwise(Elementwise.ADD, whole, KernelType.F16, 1, whole, KernelType.F16));
    View shifted = new View(memory.asSlice(4), 4, new long[] {2, 4}, new long[] {4, 1});
    refuses(
        "x at [",
        () ->
            kernels.elementwise(
                Elementwise.ADD, whole, KernelType.F32, 1, shifted, KernelType.F32));
  }

  @Test
  void badViewsAreRefused() {
    assertEquals(svg_kernels_h.SVG_MAX_DIMS(), View.MAX_DIMS);
    MemorySegment memory = arena.allocate(64, 8);
    rejects("needs 68 bytes, the memory has 64", memory, new long[] {2, 2}, new long[] {15, 1});
    rejects("sizes must be at least 1", memory, new long[] {2, 0}, new long[] {1, 1});
    rejects("strides at least 0", memory, new long[] {2}, new long[] {-1});
    rejects("1 to 8 sizes and a stride for each", memory, new long[9], new long[9]);
    rejects("1 to 8 sizes and a stride for each", memory, new long[] {1}, new long[2]);
    rejects("larger than any memory", memory, new long[] {1L << 40}, new long[] {1L << 40});
    MemorySegment heap = MemorySegment.ofArray(new int[4]);
    rejects("on the Java heap", heap, new long[] {1}, new long[] {1});
  }

  private static void rejects(String reason, MemorySegment data, long[] sizes, long[] strides) {
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> new View(data, 4, sizes, strides));
    assertTrue(e.getMessage().contains(reason), e.getMessage());
  }

  private MemorySegment randomBytes(int count) {
    byte[] bytes = new byte[count];
    random.nextBytes(bytes);
    MemorySegment memory = arena.allocate(count, 8);
    memory.copyFrom(MemorySegment.ofArray(bytes));
    return memory;
  }

  private static void refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }
}
