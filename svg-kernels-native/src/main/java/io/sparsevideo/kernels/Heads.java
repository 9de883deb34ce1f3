package io.sparsevideo.kernels;

import java.lang.foreign.MemorySegment;
import java.util.Objects;

/**
 * An (H, S, D) tensor in memory that kernels read in place. The last dimension is contiguous, heads
 * and rows are strided, so that head-major (H, S, D) and token-major (S, H, D) buffers both serve.
 *
 * <p>{@code data} must be native memory (a device pointer for the CUDA library) whose size is
 * known: a segment from {@link MemorySegment#ofAddress} needs {@link
 * MemorySegment#reinterpret(long)} first.
 *
 * @param data memory that holds the tensor from its first byte on
 * @param type type of one element
 * @param heads H
 * @param rows S
 * @param headDim D
 * @param headStride elements from one head to the next
 * @param rowStride elements from one row to the next, at least D; or 0 in a tensor that a kernel
 *     reads per channel, where one row serves a whole head
 */
public record Heads(
    MemorySegment data,
    KernelType type,
    int heads,
    int rows,
    int headDim,
    long headStride,
    long rowStride) {

  /**
   * @throws IllegalArgumentException when a size is below 1, a stride too small, or the memory ends
   *     before the tensor does
   */
  public Heads {
    Objects.requireNonNull(data, "data");
    Objects.requireNonNull(type, "type");
    atLeast("heads", heads, 1);
    atLeast("rows", rows, 1);
    atLeast("headDim", headDim, 1);
    atLeast("headStride", headStride, 0);
    if (rowStride != 0) {
      atLeast("rowStride", rowStride, headDim);
    }
    if (!data.isNative()) {
      throw new IllegalArgumentException(
          "kernels read native memory, this segment is on the Java heap: " + data);
    }
    if (data.address() % type.bytes() != 0) {
      throw new IllegalArgumentException(
          "%s elements must start at a multiple of %d bytes, the address is 0x%x"
              .formatted(type, type.bytes(), data.address()));
    }
    long bytes;
    try {
      long last =
          Math.addExact(
              Math.multiplyExact(heads - 1L, headStride), Math.multiplyExact(rows - 1L, rowStride));
      bytes = Math.multiplyExact(Math.addExact(last, headDim), (long) type.bytes());
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          shape(heads, rows, headDim, headStride, rowStride) + " is larger than any memory", e);
    }
    if (data.byteSize() < bytes) {
      throw new IllegalArgumentException(
          "%s of %s needs %d bytes, the memory has %d"
              .formatted(
                  shape(heads, rows, headDim, headStride, rowStride),
                  type,
                  bytes,
                  data.byteSize()));
    }
  }

  /** A contiguous (H, S, D) tensor. */
  public static Heads headMajor(
      MemorySegment data, KernelType type, int heads, int rows, int headDim) {
    return new Heads(data, type, heads, rows, headDim, (long) rows * headDim, headDim);
  }

  /** A contiguous (S, H, D) tensor. */
  public static Heads tokenMajor(
      MemorySegment data, KernelType type, int heads, int rows, int headDim) {
    return new Heads(data, type, heads, rows, headDim, headDim, (long) heads * headDim);
  }

  /** A (D) row that serves all rows of all heads, where a kernel reads a tensor per channel. */
  public static Heads oneRow(
      MemorySegment data, KernelType type, int heads, int rows, int headDim) {
    return new Heads(data, type, heads, rows, headDim, 0, 0);
  }

  /** An (H, D) tensor whose row serves all rows of its head, where a kernel reads per channel. */
  public static Heads rowPerHead(
      MemorySegment data, KernelType type, int heads, int rows, int headDim) {
    return new Heads(data, type, heads, rows, headDim, headDim, 0);
  }

  /** The same memory, fewer rows: rows [0, {@code rows}) of every head. */
  public Heads firstRows(int rows) {
    return rows(0, rows);
  }

  /** The same memory from a row on: rows [{@code first}, {@code first + count}) of every head. */
  public Heads rows(int first, int count) {
    if (first < 0 || count > rows - first) {
      throw new IllegalArgumentException(
          "rows %d to %d of a tensor that has %d".formatted(first, first + count, rows));
    }
    MemorySegment start = data.asSlice(first * rowStride * type.bytes());
    return new Heads(start, type, heads, count, headDim, headStride, rowStride);
  }

  private static void atLeast(String name, long value, long least) {
    if (value < least) {
      throw new IllegalArgumentException(name + " must be at least " + least + ", is " + value);
    }
  }

  private static String shape(int heads, int rows, int headDim, long headStride, long rowStride) {
    return "a tensor of %d heads × %d rows × %d with head stride %d and row stride %d"
        .formatted(heads, rows, headDim, headStride, rowStride);
  }

  @Override
  public String toString() {
    return shape(heads, rows, headDim, headStride, rowStride) + " of " + type;
  }
}
