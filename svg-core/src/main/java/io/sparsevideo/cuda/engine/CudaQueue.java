package io.sparsevideo.cuda.engine;

import io.sparsevideo.cuda.CudaEvent;
import io.sparsevideo.cuda.CudaException;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.kernels.SvgKernels;
import java.lang.foreign.MemorySegment;
import java.util.function.Function;

/** What a tree of managers works on: a stream of a device, the kernels on it, and its staging. */
final class CudaQueue implements AutoCloseable {

  private static final String PINNED = "pinned memory of the host";

  private final DeviceHeap heap;
  private final CudaStream stream;
  private final SvgKernels kernels;
  private final Staging staging;
  private volatile boolean open = true;

  CudaQueue(DeviceHeap heap, Function<CudaStream, SvgKernels> kernels) {
    this.heap = heap;
    stream = heap.context().newStream();
    try {
      this.kernels = kernels.apply(stream).recoveringBy(heap);
    } catch (RuntimeException | Error e) {
      stream.close();
      throw e;
    }
    staging = new Staging(stream);
  }

  DeviceHeap heap() {
    return heap;
  }

  CudaStream stream() {
    return stream;
  }

  SvgKernels kernels() {
    return kernels;
  }

  boolean isOpen() {
    return open;
  }

  /** Returns when the source has been read; the target is ready for later work on this queue. */
  void copyToDevice(MemorySegment target, MemorySegment source) {
    try {
      staging.toDevice(target, source);
    } catch (CudaException e) {
      throw heap.translated(PINNED, e);
    }
  }

  /** Waits for the copy, and so for all work before it. */
  void copyToHost(MemorySegment target, MemorySegment source) {
    try {
      staging.toHost(target, source);
    } catch (CudaException e) {
      throw heap.translated(PINNED, e);
    }
  }

  /** Later work on this queue starts after what is on the other one now. */
  void follow(CudaQueue other) {
    if (other == this) {
      return;
    }
    synchronized (other) {
      if (!other.open) {
        return; // closing waited for its work
      }
      try (CudaEvent mark = other.heap.context().newUntimedEvent()) {
        other.stream.record(mark);
        stream.waitFor(mark);
      }
    }
  }

  /** Waits for all work. */
  synchronized void synchronize() {
    if (open) { // closing waited for it
      stream.synchronize();
    }
  }

  /** Waits for all work, then gives the stream back. Closing twice does nothing. */
  @Override
  public synchronized void close() {
    if (!open) {
      return;
    }
    try (stream;
        staging) {
      stream.synchronize();
    } finally {
      open = false;
    }
  }
}
