package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Test;

class HeadsTest {

  @Test
  void layoutsHaveTheirStrides() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment data = arena.allocate(3 * 5 * 8 * 4, 4);
      Heads headMajor = Heads.headMajor(data, KernelType.F32, 3, 5, 8);
      assertEquals(40, headMajor.headStride());
      assertEquals(8, headMajor.rowStride());
      Heads tokenMajor = Heads.tokenMajor(data, KernelType.F32, 3, 5, 8);
      assertEquals(8, tokenMajor.headStride());
      assertEquals(24, tokenMajor.rowStride());

      Heads one = Heads.oneRow(data.asSlice(0, 8 * 4), KernelType.F32, 3, 5, 8);
      assertEquals(0, one.headStride());
      assertEquals(0, one.rowStride());
      Heads rowPerHead = Heads.rowPerHead(data.asSlice(0, 3 * 8 * 4), KernelType.F32, 3, 5, 8);
      assertEquals(8, rowPerHead.headStride());
      assertEquals(0, rowPerHead.rowStride());

      Heads first = headMajor.firstRows(2);
      assertEquals(data, first.data());
      assertEquals(2, first.rows());
      assertEquals(40, first.headStride());
      Heads middle = tokenMajor.rows(1, 3);
      assertEquals(data.address() + 24 * 4, middle.data().address());
      assertEquals(3, middle.rows());
      assertEquals(24, middle.rowStride());
    }
  }

  @Test
  void theLastElementMustBeInMemoryButNothingBeyondIt() {
    try (Arena arena = Arena.ofConfined()) {
      // Two heads of three rows of 4, with gaps: the last element is 2 * 20 + 2 * 6 + 4 - 1.
      MemorySegment data = arena.allocate((20 + 2 * 6 + 4) * 2, 2);
      Heads tensor = new Heads(data, KernelType.BF16, 2, 3, 4, 20, 6);
      assertEquals(2, tensor.type().bytes());
      String message = refusal(() -> new Heads(data.asSlice(2), KernelType.BF16, 2, 3, 4, 20, 6));
      assertTrue(message.contains("needs 72 bytes") && message.contains("has 70"), message);
    }
  }

  @Test
  void refusesWhatCannotBeATensor() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment data = arena.allocate(64, 4);
      assertNames("heads", () -> Heads.headMajor(data, KernelType.F32, 0, 1, 1));
      assertNames("rows", () -> Heads.headMajor(data, KernelType.F32, 1, 0, 1));
      assertNames("headDim", () -> Heads.headMajor(data, KernelType.F32, 1, 1, 0));
      assertNames("rowStride", () -> new Heads(data, KernelType.F32, 1, 2, 4, 8, 3));
      assertNames("rowStride", () -> new Heads(data, KernelType.F32, 1, 2, 4, 8, -1));
      assertNames("headStride", () -> new Heads(data, KernelType.F32, 2, 1, 4, -4, 4));
      assertNames(
          "larger than any memory",
          () -> new Heads(data, KernelType.F32, 3, 2, 4, Long.MAX_VALUE / 2, 4));
      assertNames("multiple of 4", () -> Heads.headMajor(data.asSlice(2), KernelType.F32, 1, 1, 1));
      assertNames(
          "Java heap",
          () -> Heads.headMajor(MemorySegment.ofArray(new float[4]), KernelType.F32, 1, 1, 4));
      Heads tensor = Heads.headMajor(data, KernelType.F32, 2, 2, 4);
      assertNames("2", () -> tensor.firstRows(3));
      assertNames("rows 1 to 3 of a tensor that has 2", () -> tensor.rows(1, 2));
      assertNames("rows -1 to 1", () -> tensor.rows(-1, 2));
      assertNames("rows", () -> tensor.firstRows(0));
    }
  }

  private static void assertNames(String part, Runnable action) {
    String message = refusal(action);
    assertTrue(message.contains(part), message);
  }

  private static String refusal(Runnable action) {
    return assertThrows(IllegalArgumentException.class, action::run).getMessage();
  }
}
