package io.sparsevideo.kernels;

import java.lang.foreign.MemorySegment;
import java.util.Objects;

/**
 * What is added to attention scores (H, Sq, Sk): a view of any layout, whose strides may be 0, for
 * a bias that scores share, or negative.
 *
 * @param data native memory (a device pointer for the CUDA library) that holds every element
 * @param type type of one element
 * @param first elements from the start of the memory to the bias of score [0][0][0]
 * @param headStride elements from one head to the next
 * @param rowStride elements from one query to the next
 * @param columnStride elements from one key to the next
 */
public record ScoreBias(
    MemorySegment data,
    KernelType type,
    long first,
    long headStride,
    long rowStride,
    long columnStride) {

  public ScoreBias {
    Objects.requireNonNull(data, "data");
    Objects.requireNonNull(type, "type");
  }

  /**
   * A bias by relative position: that of query i and key j is [h][Sq - 1 + j - i].
   *
   * @param data (H, Sq + Sk - 1), contiguous
   * @param queries Sq
   * @param keys Sk
   */
  public static ScoreBias relative(MemorySegment data, KernelType type, int queries, int keys) {
    return new ScoreBias(data, type, queries - 1L, queries + keys - 1L, -1, 1);
  }

  /** The bias of the queries from one on. */
  public ScoreBias fromRow(int row) {
    return new ScoreBias(data, type, first + row * rowStride, headStride, rowStride, columnStride);
  }

  /** Whether the memory holds the bias of so many scores. */
  boolean covers(int heads, int rows, int columns) {
    try {
      long toLastHead = Math.multiplyExact(heads - 1L, headStride);
      long toLastRow = Math.multiplyExact(rows - 1L, rowStride);
      long toLastColumn = Math.multiplyExact(columns - 1L, columnStride);
      long least = first;
      long most = first;
      for (long span : new long[] {toLastHead, toLastRow, toLastColumn}) {
        least = Math.addExact(least, Math.min(span, 0));
        most = Math.addExact(most, Math.max(span, 0));
      }
      return least >= 0 && most < data.byteSize() / type.bytes();
    } catch (ArithmeticException e) {
      return false;
    }
  }

  @Override
  public String toString() {
    return "a bias from element %d on with strides %d, %d and %d of %d bytes of %s"
        .formatted(first, headStride, rowStride, columnStride, data.byteSize(), type);
  }
}
