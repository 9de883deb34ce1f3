package io.sparsevideo.kernels;

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
import org.junit.jupiter.params.provider.CsvSource;

class GatherRowsTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Random random = new Random(41);
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, 4, HEAD_MAJOR",
    "32, 1023, 64, BF16, 8, HEAD_MAJOR",
    "5, 77, 33, F16, 4, PADDED",
  })
  void everyRowIsItsIndexes(
      int tableRows, int rows, int width, KernelType type, int indexBytes, Layout layout) {
    Heads table = Tensors.random(arena, random, 1, type, layout, 1, tableRows, width);
    Heads out = Tensors.allocate(arena, type, layout, 1, rows, width);
    MemorySegment indices = arena.allocate((long) rows * indexBytes, 8);
    int[] chosen = random.ints(rows, 0, tableRows).toArray();
    for (int i = 0; i < rows; i++) {
      if (indexBytes == 4) {
        indices.setAtIndex(ValueLayout.JAVA_INT, i, chosen[i]);
      } else {
        indices.setAtIndex(ValueLayout.JAVA_LONG, i, chosen[i]);
      }
    }
    kernels.gatherRows(table, indices, indexBytes, out);
    for (int i = 0; i < rows; i++) {
      for (int d = 0; d < width; d++) {
        assertEquals(Tensors.get(table, 0, chosen[i], d), Tensors.get(out, 0, i, d));
      }
    }
  }

  @Test
  void whatDoesNotFitIsRefused() {
    Heads table = Tensors.random(arena, random, 1, KernelType.F32, Layout.HEAD_MAJOR, 1, 4, 3);
    Heads out = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 2, 3);
    MemorySegment indices = Tensors.ints(arena, 3, 4);
    refuses(
        "svg_gather_rows: indices[1] is 4, expected 0 to 3",
        () -> kernels.gatherRows(table, indices, 4, out));
    indices.setAtIndex(ValueLayout.JAVA_INT, 1, -1);
    refuses("indices[1] is -1", () -> kernels.gatherRows(table, indices, 4, out));
    refuses(
        "indices of shape [2] needs 16 bytes, the memory has 8",
        () -> kernels.gatherRows(table, indices, 8, out));
    refuses("indexBytes is 2", () -> kernels.gatherRows(table, indices, 2, out));
    refuses("indexBytes is 0", () -> kernels.gatherRows(table, indices, 0, out));
    refuses("overlaps table at [", () -> kernels.gatherRows(table, indices, 4, table.rows(1, 2)));
    Heads heads = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 2, 2, 3);
    refuses("table.heads is 2", () -> kernels.gatherRows(heads, indices, 4, out));
    refuses(
        "out is a tensor",
        () ->
            kernels.gatherRows(
                table,
                indices,
                4,
                Tensors.allocate(arena, KernelType.F16, Layout.HEAD_MAJOR, 1, 2, 3)));
  }

  private static void refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
    assertTrue(e.getMessage().contains(message), e.getMessage());
  }
}
