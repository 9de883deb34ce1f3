package io.sparsevideo.cuda;

import io.sparsevideo.cuda.ffi.cuda_h;

/** The pool of a device that {@link CudaStream#allocate} takes from; the process has one. */
public final class CudaMemoryPool {

  private final CudaContext context;
  private final long handle;

  CudaMemoryPool(CudaContext context, long handle) {
    this.context = context;
    this.handle = handle;
  }

  /**
   * How much free memory the pool may keep when a stream, event or context is waited for. The
   * driver's default is 0: every wait gives the memory back to the system, which is slow to get
   * again.
   *
   * @param bytes at least 0; {@link Long#MAX_VALUE} keeps everything
   */
  public void setReleaseThreshold(long bytes) {
    requireNotNegative(bytes);
    context.driver().setPoolAttribute(handle, cuda_h.CU_MEMPOOL_ATTR_RELEASE_THRESHOLD(), bytes);
  }

  /** Bytes in use by allocations that are not freed. */
  public long usedBytes() {
    return attribute(cuda_h.CU_MEMPOOL_ATTR_USED_MEM_CURRENT());
  }

  /** Bytes that the pool holds of the device's memory, used and free. */
  public long reservedBytes() {
    return attribute(cuda_h.CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT());
  }

  /** Gives free memory back until the pool holds no more than so many bytes, where it can. */
  public void trim(long bytes) {
    requireNotNegative(bytes);
    context.driver().trimPool(handle, bytes);
  }

  private long attribute(int attribute) {
    return context.driver().poolAttribute(handle, attribute);
  }

  private static void requireNotNegative(long bytes) {
    if (bytes < 0) {
      throw new IllegalArgumentException("bytes must be at least 0, is " + bytes);
    }
  }
}
