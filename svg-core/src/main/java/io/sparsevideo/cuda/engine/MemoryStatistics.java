package io.sparsevideo.cuda.engine;

/**
 * Memory of one device, in bytes.
 *
 * @param arrays open arrays, views included
 * @param tensors pieces of memory that open arrays are on
 * @param liveBytes what those pieces hold
 * @param peakBytes the most that {@code liveBytes} has been since {@link
 *     CudaNDManager#restartPeak}, or ever
 * @param usedBytes what the device's pool has given out: the live bytes rounded up, and working
 *     memory of the kernels
 * @param reservedBytes what the pool holds of the device
 * @param freeBytes what is free on the device, for this and all other processes
 */
public record MemoryStatistics(
    long arrays,
    long tensors,
    long liveBytes,
    long peakBytes,
    long usedBytes,
    long reservedBytes,
    long freeBytes) {

  /**
   * The part of the pool's memory that nothing uses, 0 to 1: what waits to be used again, and what
   * is too scattered to be.
   */
  public double fragmentation() {
    return reservedBytes == 0 ? 0 : 1 - (double) usedBytes / reservedBytes;
  }
}
