package io.sparsevideo.cuda;

import io.sparsevideo.cuda.ffi.cuda_h;
import java.lang.foreign.MemorySegment;

/**
 * A sequence of work on a device; its methods put work on it and return, unless they say that they
 * wait. Host memory of a copy must stay open until the stream has passed it, and makes the calling
 * thread wait unless it is pinned. Thread-safe, but for closing it while others use it.
 */
public final class CudaStream extends CudaResource {

  CudaStream(CudaContext context, long handle) {
    super(context, handle);
  }

  /** The {@code CUstream}, which is also the {@code cudaStream_t}, for other libraries. */
  public long address() {
    return handle();
  }

  /** Waits for all work on the stream. */
  public void synchronize() {
    long stream = handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().synchronizeStream(stream);
    }
  }

  /** Whether all work on the stream has ended; does not wait. */
  public boolean isDone() {
    long stream = handle();
    try (CudaContext.Scope current = context().enter()) {
      return driver().isStreamDone(stream);
    }
  }

  /** Marks this place of the stream; an event marks one place at a time. */
  public void record(CudaEvent event) {
    long stream = handle();
    long mark = event.handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().recordEvent(mark, stream);
    }
  }

  /** Later work on this stream starts after the event's place, also one of another stream. */
  public void waitFor(CudaEvent event) {
    long stream = handle();
    long mark = event.handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().waitForEvent(stream, mark);
    }
  }

  /**
   * Records what {@code work} puts on this stream, and on streams that wait for it, instead of
   * running it. Pool memory that it allocates must be freed in it; it must not wait for the device.
   *
   * @param work runs once, on the calling thread
   */
  public CudaGraph capture(Runnable work) {
    long stream = handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().beginCapture(stream, cuda_h.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL());
      try {
        work.run();
      } catch (Throwable t) {
        abandonCapture(stream, t);
        throw t;
      }
      long graph = driver().endCapture(stream);
      try {
        return context().opened(new CudaGraph(context(), driver().instantiate(graph)));
      } finally {
        driver().destroyGraph(graph);
      }
    }
  }

  /** A failed capture ends with an error of its own, which says less than the first. */
  private void abandonCapture(long stream, Throwable first) {
    try {
      driver().destroyGraph(driver().endCapture(stream));
    } catch (CudaException e) {
      first.addSuppressed(e);
    }
  }

  /** Runs what was captured, on the memory that it was captured with. */
  public void launch(CudaGraph graph) {
    long stream = handle();
    long captured = graph.handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().launchGraph(captured, stream);
    }
  }

  /**
   * Device memory of the device's pool, uninitialised, for work on this stream from here on; see
   * {@link DeviceMemory#close}.
   *
   * @param bytes at least 1
   * @throws CudaException when memory does not suffice ({@link CudaException#isOutOfMemory})
   */
  public DeviceMemory allocate(long bytes) {
    CudaContext.requireSize(bytes);
    long stream = handle();
    try (CudaContext.Scope current = context().enter()) {
      long address = driver().allocate(bytes, stream);
      return context().opened(new DeviceMemory(context(), this, address, bytes));
    }
  }

  /**
   * @param target device memory of the size of {@code source}
   * @param source native host memory
   */
  public void copyToDevice(MemorySegment target, MemorySegment source) {
    Copies.toDevice(target, source);
    long stream = handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().copyToDevice(target.address(), source, source.byteSize(), stream);
    }
  }

  /**
   * @param target native host memory of the size of {@code source}
   * @param source device memory
   */
  public void copyToHost(MemorySegment target, MemorySegment source) {
    Copies.toHost(target, source);
    long stream = handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().copyToHost(target, source.address(), source.byteSize(), stream);
    }
  }

  /** Copies from device memory to device memory of one size that do not overlap. */
  public void copyOnDevice(MemorySegment target, MemorySegment source) {
    Copies.onDevice(target, source);
    long stream = handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().copyOnDevice(target.address(), source.address(), source.byteSize(), stream);
    }
  }

  /** Sets every byte of device memory. */
  public void fill(MemorySegment target, byte value) {
    Copies.requireNative("the target", target);
    long stream = handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().fillBytes(target.address(), value, target.byteSize(), stream);
    }
  }

  /**
   * Sets every 32-bit value of device memory.
   *
   * @param target of a multiple of four bytes, aligned to four
   */
  public void fillInts(MemorySegment target, int value) {
    Copies.requireNative("the target", target);
    if (target.byteSize() % Integer.BYTES != 0 || target.address() % Integer.BYTES != 0) {
      throw new IllegalArgumentException(
          "the target must hold whole 32-bit values, starts at 0x%x and has %d bytes"
              .formatted(target.address(), target.byteSize()));
    }
    long stream = handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().fillInts(target.address(), value, target.byteSize() / Integer.BYTES, stream);
    }
  }

  /** Gives the stream back; work that is on it still runs to its end. */
  @Override
  public synchronized void close() { // one lock with free, which asks whether it is closed
    super.close();
  }

  /** Frees pool memory once the stream, or all of the context where that is closed, has used it. */
  synchronized void free(long memory) {
    if (isClosed()) {
      driver().synchronizeContext(); // cuMemFree does not wait for what the stream still runs
      driver().free(memory);
    } else {
      driver().free(memory, address());
    }
  }

  @Override
  void release(long handle) {
    driver().destroyStream(handle);
  }

  @Override
  public String toString() {
    return "stream of " + context().device();
  }
}
