package io.sparsevideo.tensor;

import ai.djl.ndarray.types.DataType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Conversion between the floating-point types that checkpoints store and those that backends
 * compute in.
 *
 * <p>Sources and targets are memory segments of little-endian values of any size and alignment, so
 * a mapped file converts straight into a backend's memory without a Java array of the whole tensor.
 * They must not overlap. Narrowing rounds to nearest, ties to even, and keeps infinities and NaN;
 * FLOAT64 goes through FLOAT32, as PyTorch's casts do.
 */
public final class FloatConversion {
  private static final ValueLayout.OfShort SHORT =
      ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfDouble DOUBLE =
      ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  /**
   * Values converted at a time: small enough for the first-level cache, and array loops vectorise.
   */
  private static final int CHUNK = 4096;

  private FloatConversion() {}

  /**
   * Converts all values of {@code source}.
   *
   * @param stored FLOAT64, FLOAT32, FLOAT16 or BFLOAT16
   * @param target four bytes for each value
   * @throws IllegalArgumentException for another stored type or sizes that do not match
   */
  public static void toFloat32(MemorySegment source, DataType stored, MemorySegment target) {
    long count = count(source, stored, target, DataType.FLOAT32);
    if (stored == DataType.FLOAT32) {
      target.copyFrom(source);
      return;
    }
    Chunk chunk = new Chunk();
    for (long start = 0; start < count; start += CHUNK) {
      int length = (int) Math.min(CHUNK, count - start);
      chunk.read(source, stored, start, length);
      MemorySegment.copy(chunk.values, 0, target, FLOAT, start * Float.BYTES, length);
    }
  }

  /**
   * Converts all values of {@code source}.
   *
   * @param stored FLOAT64, FLOAT32, FLOAT16 or BFLOAT16
   * @param target two bytes for each value
   * @throws IllegalArgumentException for another stored type or sizes that do not match
   */
  public static void toBfloat16(MemorySegment source, DataType stored, MemorySegment target) {
    long count = count(source, stored, target, DataType.BFLOAT16);
    if (stored == DataType.BFLOAT16) {
      target.copyFrom(source);
      return;
    }
    Chunk chunk = new Chunk();
    for (long start = 0; start < count; start += CHUNK) {
      int length = (int) Math.min(CHUNK, count - start);
      chunk.read(source, stored, start, length);
      for (int i = 0; i < length; i++) {
        chunk.halves[i] = floatToBfloat16(chunk.values[i]);
      }
      MemorySegment.copy(chunk.halves, 0, target, SHORT, start * Short.BYTES, length);
    }
  }

  /** The value of 16 bits that are the upper half of a float. */
  public static float bfloat16ToFloat(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /** The nearest bfloat16, ties to even; NaN stays a (quiet) NaN. */
  public static short floatToBfloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    int rounded = bits + 0x7fff + (bits >>> 16 & 1);
    // A NaN's payload could carry into the exponent or be cut off altogether: set its quiet bit.
    return (short) ((value != value ? bits | 0x400000 : rounded) >>> 16);
  }

  private static long count(
      MemorySegment source, DataType stored, MemorySegment target, DataType wanted) {
    switch (stored) {
      case FLOAT64, FLOAT32, FLOAT16, BFLOAT16 -> {}
      default ->
          throw new IllegalArgumentException(
              "cannot convert %s to %s: expected FLOAT64, FLOAT32, FLOAT16 or BFLOAT16"
                  .formatted(stored.name(), wanted.name()));
    }
    long count = source.byteSize() / stored.getNumOfBytes();
    if (count * stored.getNumOfBytes() != source.byteSize()
        || count * wanted.getNumOfBytes() != target.byteSize()) {
      throw new IllegalArgumentException(
          "cannot convert %d bytes of %s to %d bytes of %s: the sizes do not match"
              .formatted(source.byteSize(), stored.name(), target.byteSize(), wanted.name()));
    }
    return count;
  }

  /** Scratch arrays of one conversion. */
  private static final class Chunk {
    final float[] values = new float[CHUNK];
    final short[] halves = new short[CHUNK];
    private double[] doubles;

    /** Reads {@code length} values from {@code start} on into {@link #values}. */
    void read(MemorySegment source, DataType stored, long start, int length) {
      long offset = start * stored.getNumOfBytes();
      switch (stored) {
        case FLOAT32 -> MemorySegment.copy(source, FLOAT, offset, values, 0, length);
        case FLOAT16 -> {
          MemorySegment.copy(source, SHORT, offset, halves, 0, length);
          for (int i = 0; i < length; i++) {
            values[i] = Float.float16ToFloat(halves[i]);
          }
        }
        case BFLOAT16 -> {
          MemorySegment.copy(source, SHORT, offset, halves, 0, length);
          for (int i = 0; i < length; i++) {
            values[i] = bfloat16ToFloat(halves[i]);
          }
        }
        case FLOAT64 -> {
          if (doubles == null) {
            doubles = new double[CHUNK];
          }
          MemorySegment.copy(source, DOUBLE, offset, doubles, 0, length);
          for (int i = 0; i < length; i++) {
            values[i] = (float) doubles[i];
          }
        }
        default -> throw new AssertionError(stored);
      }
    }
  }
}
