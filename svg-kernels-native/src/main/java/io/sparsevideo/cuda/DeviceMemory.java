package io.sparsevideo.cuda;

import java.lang.foreign.MemorySegment;

/**
 * Memory of a device, of the device ({@link CudaContext#allocate}) or of its stream-ordered pool
 * ({@link CudaStream#allocate}).
 *
 * <p>Closing frees it: pool memory in the order of its stream, so that work put on the stream
 * before may still use it; when the stream is closed, and other memory, once the device has
 * finished. Work on other streams must have been waited for.
 */
public final class DeviceMemory extends CudaResource {

  private final CudaStream stream;
  private final MemorySegment segment;

  /**
   * @param stream where the memory is freed; null for memory that is freed at once
   */
  DeviceMemory(CudaContext context, CudaStream stream, long address, long bytes) {
    super(context, address);
    this.stream = stream;
    segment = MemorySegment.ofAddress(address).reinterpret(bytes);
  }

  /**
   * The memory, for kernels and copies. Slices of it do not notice when it is closed: Java cannot
   * track what the device still works on.
   *
   * @throws IllegalStateException when this is closed
   */
  public MemorySegment segment() {
    handle();
    return segment;
  }

  /** The device pointer, for other libraries. */
  public long address() {
    return handle();
  }

  public long byteSize() {
    return segment.byteSize();
  }

  @Override
  void release(long handle) {
    if (stream == null) {
      driver().free(handle);
    } else {
      stream.free(handle);
    }
  }

  @Override
  public String toString() {
    return "%d bytes of %s".formatted(segment.byteSize(), context().device());
  }
}
