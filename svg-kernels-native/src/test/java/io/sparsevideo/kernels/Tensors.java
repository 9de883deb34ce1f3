package io.sparsevideo.kernels;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;

/** Tensors and arrays of tests: values as doubles, memory as kernels read it. */
final class Tensors {

  /** How a tensor lies in memory. */
  enum Layout {
    HEAD_MAJOR,
    TOKEN_MAJOR,
    /** Rows and heads with gaps between them. */
    PADDED
  }

  private Tensors() {}

  /** Memory for a tensor, filled with NaN, so that what a kernel leaves out shows. */
  static Heads allocate(Arena arena, KernelType type, Layout layout, int heads, int rows, int dim) {
    long rowStride =
        switch (layout) {
          case HEAD_MAJOR -> dim;
          case TOKEN_MAJOR -> (long) heads * dim;
          case PADDED -> dim + 3L;
        };
    long headStride =
        switch (layout) {
          case HEAD_MAJOR -> (long) rows * dim;
          case TOKEN_MAJOR -> dim;
          case PADDED -> rows * rowStride + 5;
        };
    long elements = (heads - 1) * headStride + (rows - 1) * rowStride + dim;
    MemorySegment memory = arena.allocate(elements * type.bytes(), 64);
    Heads tensor = new Heads(memory, type, heads, rows, dim, headStride, rowStride);
    for (long i = 0; i < elements; i++) {
      encode(memory, type, i, Float.NaN);
    }
    return tensor;
  }

  /** Normal values times {@code scale}. */
  static Heads random(
      Arena arena,
      Random random,
      double scale,
      KernelType type,
      Layout layout,
      int heads,
      int rows,
      int dim) {
    Heads tensor = allocate(arena, type, layout, heads, rows, dim);
    for (int h = 0; h < heads; h++) {
      for (int r = 0; r < rows; r++) {
        for (int d = 0; d < dim; d++) {
          set(tensor, h, r, d, (float) (random.nextGaussian() * scale));
        }
      }
    }
    return tensor;
  }

  static void set(Heads t, int head, int row, int d, float value) {
    encode(t.data(), t.type(), index(t, head, row, d), value);
  }

  static double get(Heads t, int head, int row, int d) {
    long i = index(t, head, row, d);
    return switch (t.type()) {
      case F32 -> t.data().getAtIndex(ValueLayout.JAVA_FLOAT, i);
      case F16 -> Float.float16ToFloat(t.data().getAtIndex(ValueLayout.JAVA_SHORT, i));
      case BF16 -> Float.intBitsToFloat(t.data().getAtIndex(ValueLayout.JAVA_SHORT, i) << 16);
    };
  }

  /** The values of a tensor: head, row, dimension. */
  static double[][][] values(Heads t) {
    double[][][] values = new double[t.heads()][t.rows()][t.headDim()];
    for (int h = 0; h < t.heads(); h++) {
      for (int r = 0; r < t.rows(); r++) {
        for (int d = 0; d < t.headDim(); d++) {
          values[h][r][d] = get(t, h, r, d);
        }
      }
    }
    return values;
  }

  static MemorySegment ints(Arena arena, int... values) {
    return arena.allocateFrom(ValueLayout.JAVA_INT, values);
  }

  static MemorySegment floats(Arena arena, float... values) {
    return arena.allocateFrom(ValueLayout.JAVA_FLOAT, values);
  }

  /** A random permutation of [0, count) for each head. */
  static int[] orders(Random random, int heads, int count) {
    int[] order = new int[heads * count];
    for (int h = 0; h < heads; h++) {
      for (int i = 0; i < count; i++) {
        int j = random.nextInt(i + 1);
        order[h * count + i] = order[h * count + j];
        order[h * count + j] = i;
      }
    }
    return order;
  }

  /** Memory for {@code count} 32-bit values. */
  static MemorySegment words(Arena arena, long count) {
    return arena.allocate(ValueLayout.JAVA_INT, count);
  }

  static int[] toInts(MemorySegment memory) {
    return memory.toArray(ValueLayout.JAVA_INT);
  }

  static float[] toFloats(MemorySegment memory) {
    return memory.toArray(ValueLayout.JAVA_FLOAT);
  }

  private static long index(Heads t, int head, int row, int d) {
    return head * t.headStride() + row * t.rowStride() + d;
  }

  private static void encode(MemorySegment memory, KernelType type, long i, float value) {
    switch (type) {
      case F32 -> memory.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
      case F16 -> memory.setAtIndex(ValueLayout.JAVA_SHORT, i, Float.floatToFloat16(value));
      case BF16 -> memory.setAtIndex(ValueLayout.JAVA_SHORT, i, bf16(value));
    }
  }

  /** To nearest, ties to even. */
  private static short bf16(float value) {
    int bits = Float.floatToRawIntBits(value);
    return (short) (Float.isNaN(value) ? 0x7fc0 : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }
}
