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

/** {@link SvgKernels#rope} and {@link SvgKernels#normRope} against double precision. */
class RopeTest {

  private static final float EPSILON = 1e-3f;

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(22);
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 2, 1, F32, INTERLEAVED, HEAD_MAJOR, HEAD_MAJOR",
    "3, 7, 10, 5, F32, HALVES, TOKEN_MAJOR, HEAD_MAJOR",
    "2, 9, 128, 9, BF16, INTERLEAVED, TOKEN_MAJOR, HEAD_MAJOR",
    "3, 11, 64, 6, F16, INTERLEAVED, PADDED, TOKEN_MAJOR",
    "2, 5, 18, 0, BF16, HALVES, HEAD_MAJOR, PADDED",
    "8, 8200, 128, 8190, BF16, HALVES, HEAD_MAJOR, HEAD_MAJOR",
  })
  void rope(
      int heads,
      int rows,
      int dim,
      int rotated,
      KernelType type,
      RopePairs pairs,
      Layout from,
      Layout to) {
    Heads x = Tensors.random(arena, random, 1, type, from, heads, rows, dim);
    Heads out = Tensors.allocate(arena, type, to, heads, rows, dim);
    Tables tables = new Tables(rotated, dim);

    double[][][] expected = Tensors.values(x);
    Reference.rotate(expected, pairs, rotated, tables.cos(), tables.sin());
    kernels.rope(x, out, pairs, rotated, tables.cos().data(), tables.sin().data());
    Reference.assertClose(expected, out, 1e-6);
    for (int row = rotated; row < rows; row++) {
      for (int d = 0; d < dim; d++) {
        assertEquals(Tensors.get(x, heads - 1, row, d), Tensors.get(out, heads - 1, row, d));
      }
    }

    kernels.rope(x, x, pairs, rotated, tables.cos().data(), tables.sin().data());
    Reference.assertClose(expected, x, 1e-6);
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 2, 1, F32, F32, false, INTERLEAVED, HEAD_MAJOR, HEAD_MAJOR",
    "3, 7, 10, 5, F32, BF16, true, HALVES, TOKEN_MAJOR, HEAD_MAJOR",
    "2, 9, 128, 9, BF16, BF16, true, INTERLEAVED, TOKEN_MAJOR, HEAD_MAJOR",
    "3, 11, 64, 6, F16, F32, false, INTERLEAVED, PADDED, TOKEN_MAJOR",
    "2, 5, 18, 0, BF16, F16, false, HALVES, HEAD_MAJOR, PADDED",
    "2, 33000, 128, 32999, BF16, F32, true, HALVES, TOKEN_MAJOR, HEAD_MAJOR",
  })
  void normRope(
      int heads,
      int rows,
      int dim,
      int rotated,
      KernelType type,
      KernelType weightType,
      boolean across,
      RopePairs pairs,
      Layout from,
      Layout to) {
    Heads x = Tensors.random(arena, random, 1, type, from, heads, rows, dim);
    Heads out = Tensors.allocate(arena, type, to, heads, rows, dim);
    Heads weight =
        Tensors.random(arena, random, 1, weightType, Layout.HEAD_MAJOR, across ? heads : 1, 1, dim);
    Tables tables = new Tables(rotated, dim);

    double[][][] expected = Reference.normRope(x, across, weight, EPSILON);
    Reference.rotate(expected, pairs, rotated, tables.cos(), tables.sin());
    kernels.normRope(
        x,
        out,
        across,
        weight.data(),
        weightType,
        EPSILON,
        pairs,
        rotated,
        tables.cos().data(),
        tables.sin().data());
    Reference.assertClose(expected, out, 1e-6);

    expected = Reference.normRope(x, across, null, EPSILON);
    Reference.rotate(expected, pairs, rotated, tables.cos(), tables.sin());
    kernels.normRope(
        x,
        x,
        across,
        null,
        null,
        EPSILON,
        pairs,
        rotated,
        tables.cos().data(),
        tables.sin().data());
    Reference.assertClose(expected, x, 1e-6);
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 2, 1, 1, F32, false, INTERLEAVED, HEAD_MAJOR, HEAD_MAJOR",
    "3, 7, 10, 5, 7, F32, true, HALVES, TOKEN_MAJOR, HEAD_MAJOR",
    "2, 129, 128, 129, 77, BF16, true, INTERLEAVED, TOKEN_MAJOR, HEAD_MAJOR",
    "3, 11, 64, 6, 10, F16, false, INTERLEAVED, PADDED, TOKEN_MAJOR",
    "5, 4100, 32, 4090, 4000, BF16, false, HALVES, TOKEN_MAJOR, HEAD_MAJOR",
  })
  void normRopeAndPermutation(
      int heads,
      int rows,
      int dim,
      int rotated,
      int permuted,
      KernelType type,
      boolean across,
      RopePairs pairs,
      Layout from,
      Layout to) {
    Heads x = Tensors.random(arena, random, 1, type, from, heads, rows, dim);
    Heads out = Tensors.allocate(arena, type, to, heads, rows, dim);
    Tables tables = new Tables(rotated, dim);
    int[] order = Tensors.orders(random, heads, permuted);

    double[][][] expected = Reference.normRope(x, across, null, EPSILON);
    Reference.rotate(expected, pairs, rotated, tables.cos(), tables.sin());
    expected = Reference.permute(expected, permuted, order);
    normRope(x, out, across, pairs, rotated, tables, permuted, Tensors.ints(arena, order));
    Reference.assertClose(expected, out, 1e-6);
  }

  @Test
  void ordersThatAreNoPermutationsAreRefused() {
    Heads x = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 8);
    Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 8);
    Tables tables = new Tables(3, 8);
    MemorySegment order = Tensors.ints(arena, 0, 1, 2, 2, 0, 1);
    RopePairs pairs = RopePairs.HALVES;
    refuses("out at [", () -> normRope(x, x, true, pairs, 3, tables, 3, order));
    refuses("permuted_rows is 4", () -> normRope(x, out, true, pairs, 3, tables, 4, words(8)));
    refuses("permutedRows must be", () -> normRope(x, out, true, pairs, 3, tables, -1, order));
    refuses("order is null", () -> normRope(x, out, true, pairs, 3, tables, 3, null));
    refuses("order of shape [2, 3]", () -> normRope(x, out, true, pairs, 3, tables, 3, words(5)));
    MemorySegment twice = Tensors.ints(arena, 0, 1, 2, 2, 0, 2);
    refuses(
        "order[1][2] is 2 for the second time",
        () -> normRope(x, out, true, pairs, 3, tables, 3, twice));
    MemorySegment beyond = Tensors.ints(arena, 0, 1, 3, 2, 0, 1);
    refuses("order[0][2] is 3", () -> normRope(x, out, true, pairs, 3, tables, 3, beyond));
  }

  @Test
  void withoutRotatedRowsThereAreNoTables() {
    Heads x = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 8);
    Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 8);
    kernels.rope(x, out, RopePairs.HALVES, 0, null, null);
    Reference.assertClose(Tensors.values(x), out, 0);
  }

  @Test
  void whatDoesNotFitIsRefused() {
    Heads x = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 8);
    Heads odd = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 7);
    Tables tables = new Tables(3, 8);
    refuses("svg_rope: rotatedRows must be at least 0, is -1", () -> rope(x, x, -1, tables));
    refuses("rotated_rows is 4, expected 0 to 3", () -> rope(x, x, 4, new Tables(4, 8)));
    refuses(
        "cosTable of shape [3, 4] needs 48 bytes, the memory has 32",
        () -> rope(x, x, 3, new Tables(2, 8)));
    refuses("head_dim is 7, expected pairs", () -> rope(odd, odd, 3, tables));
    refuses("out is a tensor", () -> rope(x, odd, 3, tables));
    Heads turned = Heads.tokenMajor(x.data(), KernelType.F32, 2, 3, 8);
    refuses("overlaps x at [", () -> rope(x, turned, 3, tables));
    refuses("overlaps x at [", () -> normRope(x, turned, true, 1, tables));
    refuses("svg_norm_rope: epsilon is -1", () -> normRope(x, x, true, -1, tables));
    Heads weight = Tensors.random(arena, random, 1, KernelType.F16, Layout.HEAD_MAJOR, 1, 1, 8);
    refuses(
        "weight of shape [2, 8] needs 32 bytes, the memory has 16",
        () ->
            kernels.normRope(
                x,
                x,
                true,
                weight.data(),
                KernelType.F16,
                1,
                RopePairs.HALVES,
                3,
                tables.cos().data(),
                tables.sin().data()));
  }

  private void rope(Heads x, Heads out, int rotated, Tables tables) {
    kernels.rope(x, out, RopePairs.HALVES, rotated, tables.cos().data(), tables.sin().data());
  }

  private void normRope(Heads x, Heads out, boolean across, float epsilon, Tables tables) {
    kernels.normRope(
        x,
        out,
        across,
        null,
        null,
        epsilon,
        RopePairs.HALVES,
        3,
        tables.cos().data(),
        tables.sin().data());
  }

  private void normRope(
      Heads x,
      Heads out,
      boolean across,
      RopePairs pairs,
      int rotated,
      Tables tables,
      int permuted,
      MemorySegment order) {
    kernels.normRope(
        x,
        out,
        across,
        null,
        null,
        EPSILON,
        pairs,
        rotated,
        tables.cos().data(),
        tables.sin().data(),
        permuted,
        order);
  }

  private MemorySegment words(int count) {
    return Tensors.words(arena, count);
  }

  private static void refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }

  /** Cosines and sines of random angles, (rows, D / 2); memory of one row where there is none. */
  private final class Tables {
    private final Heads cos;
    private final Heads sin;

    Tables(int rows, int dim) {
      int kept = Math.max(rows, 1);
      cos =
          Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, kept, Math.max(dim / 2, 1));
      sin =
          Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, kept, Math.max(dim / 2, 1));
      for (int row = 0; row < rows; row++) {
        for (int i = 0; i < dim / 2; i++) {
          double angle = random.nextDouble() * 2 * Math.PI;
          Tensors.set(cos, 0, row, i, (float) Math.cos(angle));
          Tensors.set(sin, 0, row, i, (float) Math.sin(angle));
        }
      }
    }

    Heads cos() {
      return cos;
    }

    Heads sin() {
      return sin;
    }
  }
}
