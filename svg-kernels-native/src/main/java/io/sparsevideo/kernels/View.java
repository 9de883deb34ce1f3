package io.sparsevideo.kernels;

import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Objects;

/**
 * A tensor of any layout in memory: up to {@value #MAX_DIMS} dimensions, the last one the
 * innermost. Immutable.
 */
public final class View {

  /** The most dimensions that kernels loop over. */
  public static final int MAX_DIMS = 8;

  private final MemorySegment data;
  private final int elementSize;
  private final long[] sizes;
  private final long[] strides;

  /**
   * @param data native memory (a device pointer for the CUDA library) that holds the first element
   *     at its start, and all others
   * @param elementSize bytes of an element: 1, 2, 4 or 8
   * @param sizes at least 1 each; 1 to {@value #MAX_DIMS} of them
   * @param strides elements from one index to the next, at least 0, for each of the sizes
   * @throws IllegalArgumentException when a value is refused or the memory ends before the tensor
   */
  public View(MemorySegment data, int elementSize, long[] sizes, long[] strides) {
    this.data = Objects.requireNonNull(data, "data");
    this.elementSize = elementSize;
    this.sizes = sizes.clone();
    this.strides = strides.clone();
    if (sizes.length < 1 || sizes.length > MAX_DIMS || strides.length != sizes.length) {
      throw new IllegalArgumentException(
          "%s: expected 1 to %d sizes and a stride for each".formatted(this, MAX_DIMS));
    }
    if (!data.isNative()) {
      throw new IllegalArgumentException(
          "kernels read native memory, this segment is on the Java heap: " + data);
    }
    long bytes;
    try {
      long last = 0;
      for (int d = 0; d < sizes.length; d++) {
        if (sizes[d] < 1 || strides[d] < 0) {
          throw new IllegalArgumentException(
              this + ": sizes must be at least 1 and strides at least 0");
        }
        last = Math.addExact(last, Math.multiplyExact(sizes[d] - 1, strides[d]));
      }
      bytes = Math.multiplyExact(Math.addExact(last, 1), (long) elementSize);
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(this + " is larger than any memory", e);
    }
    if (data.byteSize() < bytes) {
      throw new IllegalArgumentException(
          "%s needs %d bytes, the memory has %d".formatted(this, bytes, data.byteSize()));
    }
  }

  /** The memory, from the first element on. */
  public MemorySegment data() {
    return data;
  }

  /** Bytes of an element. */
  public int elementSize() {
    return elementSize;
  }

  /** The number of dimensions. */
  public int dims() {
    return sizes.length;
  }

  public long size(int dim) {
    return sizes[dim];
  }

  /** Elements from one index of a dimension to the next. */
  public long stride(int dim) {
    return strides[dim];
  }

  boolean hasSizesOf(View other) {
    return Arrays.equals(sizes, other.sizes);
  }

  @Override
  public String toString() {
    return "a view of sizes %s, strides %s and elements of %d bytes"
        .formatted(Arrays.toString(sizes), Arrays.toString(strides), elementSize);
  }
}
