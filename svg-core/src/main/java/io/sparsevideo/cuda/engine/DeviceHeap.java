package io.sparsevideo.cuda.engine;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaException;
import io.sparsevideo.cuda.CudaMemoryPool;
import io.sparsevideo.cuda.DeviceMemory;
import io.sparsevideo.kernels.KernelException;
import io.sparsevideo.kernels.SvgKernels;
import java.util.Comparator;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The tensors of one device. Memory comes from the device's default pool, in the order of a stream;
 * the kernels' working memory does too, so that either can use what the other gave back. The pool
 * keeps all of it until memory runs out or a tree of managers closes.
 */
final class DeviceHeap implements SvgKernels.MemoryRecovery {

  /** Tensors that an out-of-memory message names. */
  private static final int NAMED = 5;

  private final CudaContext context;
  private final CudaMemoryPool pool;
  private final Set<Storage> live = ConcurrentHashMap.newKeySet();
  private final AtomicLong liveBytes = new AtomicLong();
  private final AtomicLong peakBytes = new AtomicLong();
  private final AtomicLong arrays = new AtomicLong();

  DeviceHeap(CudaContext context) {
    this.context = context;
    pool = context.memoryPool();
    pool.setReleaseThreshold(Long.MAX_VALUE);
  }

  CudaContext context() {
    return context;
  }

  /**
   * Uninitialised memory for a tensor, for work on the queue from here on.
   *
   * @param label whom the memory is for; may be null
   * @throws CudaOutOfMemoryException when there is no room, also after a second attempt
   */
  Storage allocate(CudaQueue queue, Shape shape, DataType type, String label) {
    long bytes = Shapes.bytes(shape, type);
    DeviceMemory memory = allocate(queue, bytes, shape, type);
    Storage storage = new Storage(this, queue, memory, bytes, shape, type, label);
    live.add(storage);
    peakBytes.accumulateAndGet(liveBytes.addAndGet(bytes), Math::max);
    return storage;
  }

  private DeviceMemory allocate(CudaQueue queue, long bytes, Shape shape, DataType type) {
    long atLeastOne = Math.max(bytes, 1); // CUDA has no empty memory
    try {
      return queue.stream().allocate(atLeastOne);
    } catch (CudaException e) {
      requireOutOfMemory(e);
    }
    try {
      makeRoom();
      return queue.stream().allocate(atLeastOne);
    } catch (CudaException e) {
      requireOutOfMemory(e);
      throw new CudaOutOfMemoryException(
          context.device().toString(), Shapes.text(shape, type), bytes, statistics(), largest(), e);
    }
  }

  private static void requireOutOfMemory(CudaException e) {
    if (!e.isOutOfMemory()) {
      throw e;
    }
  }

  private List<String> largest() {
    return live.stream()
        .sorted(Comparator.comparingLong(Storage::byteSize).reversed())
        .limit(NAMED)
        .map(Storage::toString)
        .toList();
  }

  @Override
  public void makeRoom() {
    context.synchronize(); // what streams still are to free is free then
    giveBack();
  }

  @Override
  public CudaOutOfMemoryException outOfMemory(String use, KernelException cause) {
    return exhausted(use, cause);
  }

  /** What to throw for a failure of the driver: where memory ran out, with what holds it. */
  RuntimeException translated(String use, CudaException e) {
    return e.isOutOfMemory() ? exhausted(use, e) : e;
  }

  private CudaOutOfMemoryException exhausted(String use, RuntimeException cause) {
    return new CudaOutOfMemoryException(
        context.device().toString(), use, 0, statistics(), largest(), cause);
  }

  /** Gives back to the system what the pool keeps and nothing uses. */
  void giveBack() {
    pool.trim(0);
  }

  void freed(Storage storage) {
    if (live.remove(storage)) {
      liveBytes.addAndGet(-storage.byteSize());
    }
  }

  void arrayOpened() {
    arrays.incrementAndGet();
  }

  void arrayClosed() {
    arrays.decrementAndGet();
  }

  /** From here on the peak is that of what is live now and of what comes. */
  void restartPeak() {
    peakBytes.set(liveBytes.get());
  }

  MemoryStatistics statistics() {
    return new MemoryStatistics(
        arrays.get(),
        live.size(),
        liveBytes.get(),
        peakBytes.get(),
        pool.usedBytes(),
        pool.reservedBytes(),
        context.freeMemory());
  }

  @Override
  public String toString() {
    return context.device().toString();
  }
}
