package io.sparsevideo.cuda.engine;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.cuda.DeviceMemory;
import java.lang.foreign.MemorySegment;
import java.util.HashSet;
import java.util.Set;

/** Device memory that an array and its views share; freed when the last of them lets go of it. */
final class Storage {

  private final DeviceHeap heap;
  private final CudaQueue allocatedOn;
  private final DeviceMemory memory;
  private final MemorySegment segment;
  private final Shape shape;
  private final DataType type;
  private final Set<CudaQueue> usedOn = new HashSet<>();
  private volatile String label;
  private int holders;
  private boolean freed;

  /** Memory of {@code bytes}, for a tensor of this shape. Nobody holds it yet. */
  Storage(
      DeviceHeap heap,
      CudaQueue queue,
      DeviceMemory memory,
      long bytes,
      Shape shape,
      DataType type,
      String label) {
    this.heap = heap;
    this.memory = memory;
    this.shape = shape;
    this.type = type;
    this.label = label;
    allocatedOn = queue;
    segment = memory.segment().asSlice(0, bytes);
  }

  DeviceHeap heap() {
    return heap;
  }

  MemorySegment segment() {
    return segment;
  }

  long byteSize() {
    return segment.byteSize();
  }

  void setLabel(String label) {
    this.label = label;
  }

  /**
   * One more array is on this memory and uses it on a queue.
   *
   * @throws IllegalStateException when the last array on it was closed meanwhile
   */
  synchronized void hold(CudaQueue queue) {
    if (freed) {
      throw new IllegalStateException("the memory of " + this + " is freed");
    }
    holders++;
    usedOn.add(queue);
  }

  /** An array that holds this memory goes on to use it on another queue. */
  synchronized void useOn(CudaQueue queue) {
    usedOn.add(queue);
  }

  /** Frees the memory when nobody else holds it, in the order of the queues that used it. */
  synchronized void release() {
    if (--holders > 0) {
      return;
    }
    freed = true;
    try {
      if (allocatedOn.isOpen()) { // else closing the memory waits for the device
        usedOn.forEach(allocatedOn::follow);
      }
    } catch (RuntimeException e) { // the stream was closed meanwhile, or there is no event left
      usedOn.forEach(CudaQueue::synchronize);
    } finally {
      memory.close();
      heap.freed(this);
    }
  }

  @Override
  public String toString() {
    return "%s %s, %s"
        .formatted(
            label == null ? "(unnamed)" : label,
            Shapes.text(shape, type),
            CudaOutOfMemoryException.bytes(byteSize()));
  }
}
