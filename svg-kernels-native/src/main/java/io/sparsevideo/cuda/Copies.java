package io.sparsevideo.cuda;

import java.lang.foreign.MemorySegment;

/** What a copy asks of its memory; the driver only sees addresses and one size. */
final class Copies {

  private Copies() {}

  static void toDevice(MemorySegment target, MemorySegment source) {
    requireEqualSizes(target, source);
    requireNative("the target", target);
    requireNative("the source", source);
  }

  static void toHost(MemorySegment target, MemorySegment source) {
    toDevice(target, source);
    if (target.isReadOnly()) {
      throw new IllegalArgumentException("the target is read-only: " + target);
    }
  }

  static void onDevice(MemorySegment target, MemorySegment source) {
    toDevice(target, source);
  }

  static void requireNative(String name, MemorySegment segment) {
    if (!segment.isNative()) {
      throw new IllegalArgumentException(
          name
              + " must be native memory (of an Arena, mapped or pinned), is on the Java heap: "
              + segment);
    }
  }

  private static void requireEqualSizes(MemorySegment target, MemorySegment source) {
    if (target.byteSize() != source.byteSize()) {
      throw new IllegalArgumentException(
          "the target has %d bytes, the source %d; slices of one size can be copied"
              .formatted(target.byteSize(), source.byteSize()));
    }
  }
}
