package io.sparsevideo.cuda.engine;

import ai.djl.ndarray.BaseNDManager;
import ai.djl.ndarray.types.DataType;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.tensor.FloatConversion;
import java.lang.foreign.MemorySegment;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.nio.LongBuffer;
import java.nio.ShortBuffer;

/** Values of arrays as they lie in memory. */
final class Elements {

  private Elements() {}

  /** Appends a value, rounded to a type. */
  static void put(ByteBuffer to, Number value, DataType type) {
    switch (type) {
      case FLOAT32 -> to.putFloat(value.floatValue());
      case FLOAT16 -> to.putShort(Float.floatToFloat16(value.floatValue()));
      case BFLOAT16 -> to.putShort(FloatConversion.floatToBfloat16(value.floatValue()));
      case INT32 -> to.putInt(value.intValue());
      case INT64 -> to.putLong(value.longValue());
      case UINT8, INT8 -> to.put((byte) value.intValue());
      case BOOLEAN -> to.put((byte) (value.doubleValue() == 0 ? 0 : 1));
      default -> throw Unsupported.type(type);
    }
  }

  /**
   * The memory of what remains of a buffer, in the system's byte order.
   *
   * @throws IllegalArgumentException when its elements are not of the type's size, or not so many
   */
  static MemorySegment of(Buffer buffer, DataType type, long bytes) {
    MemorySegment memory = MemorySegment.ofBuffer(inNativeOrder(buffer));
    if (!(buffer instanceof ByteBuffer)
        && DataType.fromBuffer(buffer).getNumOfBytes() != type.getNumOfBytes()) {
      throw new IllegalArgumentException(
          "a buffer of %s has elements of another size than %s"
              .formatted(DataType.fromBuffer(buffer), type));
    }
    requireSize("the buffer", memory, bytes);
    return memory;
  }

  /**
   * @param name of the memory, for the message
   * @param bytes of the array on the other side of a copy
   */
  static void requireSize(String name, MemorySegment memory, long bytes) {
    if (memory.byteSize() != bytes) {
      throw new IllegalArgumentException(
          "%s has %d bytes, the array %d".formatted(name, memory.byteSize(), bytes));
    }
  }

  /** Byte buffers are taken as they are: their order only says how Java would read numbers. */
  private static Buffer inNativeOrder(Buffer buffer) {
    if (buffer instanceof ByteBuffer || order(buffer) == ByteOrder.nativeOrder()) {
      return buffer;
    }
    int size = DataType.fromBuffer(buffer).getNumOfBytes();
    ByteBuffer turned =
        ByteBuffer.allocate(Math.multiplyExact(buffer.remaining(), size))
            .order(ByteOrder.nativeOrder());
    BaseNDManager.copyBuffer(buffer.duplicate(), turned);
    return turned;
  }

  private static ByteOrder order(Buffer buffer) {
    return switch (buffer) {
      case FloatBuffer b -> b.order();
      case IntBuffer b -> b.order();
      case LongBuffer b -> b.order();
      case ShortBuffer b -> b.order();
      case DoubleBuffer b -> b.order();
      default -> ByteOrder.nativeOrder();
    };
  }

  /**
   * The kernels' name of a type that they compute with.
   *
   * @param operation for the message
   * @throws UnsupportedOperationException for the others
   */
  static KernelType kernelType(String operation, DataType type) {
    return switch (type) {
      case FLOAT32 -> KernelType.F32;
      case FLOAT16 -> KernelType.F16;
      case BFLOAT16 -> KernelType.BF16;
      default -> throw Unsupported.operation(operation + " of " + type.name());
    };
  }
}
