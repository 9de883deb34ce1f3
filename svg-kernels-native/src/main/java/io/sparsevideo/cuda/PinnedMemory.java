package io.sparsevideo.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/** Page-locked host memory, which copies to and from any device read and write directly. */
public final class PinnedMemory extends CudaResource {

  private final Arena arena = Arena.ofShared();
  private final MemorySegment segment;

  PinnedMemory(CudaContext context, long address, long bytes) {
    super(context, address);
    segment = MemorySegment.ofAddress(address).reinterpret(bytes, arena, null);
  }

  /** The memory, for Java and for copies; accessible until this is closed. */
  public MemorySegment segment() {
    handle();
    return segment;
  }

  public long byteSize() {
    return segment.byteSize();
  }

  /**
   * Frees the memory; copies that use it must have ended.
   *
   * @throws IllegalStateException while Java or a native call uses it; it then stays open
   */
  @Override
  public synchronized void close() {
    if (segment.scope().isAlive()) {
      arena.close();
    }
    super.close();
  }

  @Override
  void release(long handle) {
    driver().freeHost(handle);
  }

  @Override
  public String toString() {
    return "%d bytes of pinned memory".formatted(segment.byteSize());
  }
}
