package io.sparsevideo.cuda.engine;

import ai.djl.ndarray.index.full.NDIndexFullSlice;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.util.Arrays;
import java.util.Locale;

/** Sizes, strides and shapes of row-major tensors. */
final class Shapes {

  private Shapes() {}

  /**
   * Bytes of a tensor.
   *
   * @throws UnsupportedOperationException for a type that the engine does not hold
   * @throws IllegalArgumentException for negative sizes, or more bytes than 64 bits count
   */
  static long bytes(Shape shape, DataType type) {
    switch (type) {
      case FLOAT32, FLOAT16, BFLOAT16, INT32, INT64, UINT8, INT8, BOOLEAN -> {}
      default -> throw Unsupported.type(type);
    }
    try {
      long bytes = type.getNumOfBytes();
      for (long size : shape.getShape()) {
        if (size < 0) {
          throw new IllegalArgumentException(
              shape + " is no shape of an array: sizes are 0 or more");
        }
        bytes = Math.multiplyExact(bytes, size);
      }
      return bytes;
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(text(shape, type) + " is larger than any memory", e);
    }
  }

  /** For example "(3, 4) bfloat16". */
  static String text(Shape shape, DataType type) {
    return shape + " " + type.name().toLowerCase(Locale.ROOT);
  }

  /** Elements from one index of each dimension to the next, when they lie one behind the other. */
  static long[] strides(long... sizes) {
    long[] strides = new long[sizes.length];
    long stride = 1;
    for (int d = sizes.length - 1; d >= 0; d--) {
      strides[d] = stride;
      stride *= sizes[d];
    }
    return strides;
  }

  /** Whether elements lie one behind the other. */
  static boolean isContiguous(long[] sizes, long[] strides) {
    long stride = 1;
    for (int d = sizes.length - 1; d >= 0; d--) {
      if (sizes[d] != 1 && strides[d] != stride) {
        return false;
      }
      stride *= sizes[d];
    }
    return true;
  }

  /** The dimension that an axis means, which may count from the end. */
  static int axis(int axis, int dimensions) {
    if (axis < -dimensions || axis >= dimensions) {
      throw new IllegalArgumentException(
          "there is no axis %d in %d dimensions".formatted(axis, dimensions));
    }
    return axis < 0 ? axis + dimensions : axis;
  }

  /** A shape of as many elements as {@code from}, where -1 stands for what is left. */
  static Shape reshaped(Shape from, Shape wanted) {
    long[] sizes = wanted.getShape().clone();
    int open = -1;
    long known = 1;
    for (int d = 0; d < sizes.length; d++) {
      if (sizes[d] == -1 && open < 0) {
        open = d;
      } else {
        known *= sizes[d];
      }
    }
    if (open >= 0 && known > 0 && from.size() % known == 0) {
      sizes[open] = from.size() / known;
      known = from.size();
    }
    if (known != from.size() || Arrays.stream(sizes).anyMatch(size -> size < 0)) {
      throw new IllegalArgumentException(
          "%s has %d elements, which do not fit %s".formatted(from, from.size(), wanted));
    }
    return new Shape(sizes);
  }

  /** The shape that both broadcast to. */
  static Shape broadcast(Shape a, Shape b) {
    int dimensions = Math.max(a.dimension(), b.dimension());
    long[] sizes = new long[dimensions];
    for (int d = 1; d <= dimensions; d++) {
      long inA = d <= a.dimension() ? a.get(a.dimension() - d) : 1;
      long inB = d <= b.dimension() ? b.get(b.dimension() - d) : 1;
      if (inA != inB && inA != 1 && inB != 1) {
        throw new IllegalArgumentException("%s and %s do not broadcast".formatted(a, b));
      }
      sizes[dimensions - d] = inA == 1 ? inB : inA;
    }
    return new Shape(sizes);
  }

  /** Strides of a row-major tensor that is read as if it had a shape that it broadcasts to. */
  static long[] broadcastStrides(Shape from, Shape to) {
    int added = to.dimension() - from.dimension();
    long[] strides = strides(from.getShape());
    long[] result = new long[to.dimension()];
    for (int d = Math.max(added, 0); d < result.length; d++) {
      result[d] = from.get(d - added) == 1 ? 0 : strides[d - added];
    }
    if (!broadcast(from, to).equals(to)) {
      throw new IllegalArgumentException("%s does not broadcast to %s".formatted(from, to));
    }
    return result;
  }

  /** Refuses a slice that leaves the shape. */
  static void requireInside(NDIndexFullSlice slice, Shape shape) {
    for (int d = 0; d < shape.dimension(); d++) {
      long min = slice.getMin()[d];
      long max = slice.getMax()[d];
      if (min < 0 || max > shape.get(d) || min > max || slice.getStep()[d] < 1) {
        throw new IndexOutOfBoundsException(
            "[%d, %d) by %d is no slice of dimension %d of %s"
                .formatted(min, max, slice.getStep()[d], d, shape));
      }
    }
  }
}
