package io.sparsevideo.cuda;

import io.sparsevideo.cuda.ffi.cuda_h;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A retained primary context of a device: where streams, events and memory come from. Thread-safe.
 */
public final class CudaContext implements AutoCloseable {

  /** While it is open, the context is current on the thread that entered it. */
  public static final class Scope implements AutoCloseable {
    private final DriverBindings pushedOn;

    private Scope(DriverBindings pushedOn) {
      this.pushedOn = pushedOn;
    }

    /** Makes current again what was so before; on the thread that entered. */
    @Override
    public void close() {
      if (pushedOn != null) {
        pushedOn.popCurrentContext();
      }
    }
  }

  /** The driver's handle of the stream that calls without a stream use. */
  private static final long DEFAULT_STREAM = 0;

  private static final Scope WAS_CURRENT = new Scope(null);

  private final DriverBindings driver;
  private final CudaDevice device;
  private final long handle;
  private final Scope pushed;
  private final Set<CudaResource> open = ConcurrentHashMap.newKeySet();
  private final AtomicBoolean closed = new AtomicBoolean();

  CudaContext(DriverBindings driver, CudaDevice device, long handle) {
    this.driver = driver;
    this.device = device;
    this.handle = handle;
    pushed = new Scope(driver);
  }

  public CudaDevice device() {
    return device;
  }

  /** The {@code CUcontext}, for other libraries. */
  public long address() {
    if (closed.get()) {
      throw new IllegalStateException(this + " is closed");
    }
    return handle;
  }

  /**
   * Makes the context the calling thread's current one until another is made so. What it does is
   * lost to a virtual thread that moves to another carrier; use {@link #enter} around calls there.
   */
  public void setCurrent() {
    driver.setCurrentContext(address());
  }

  /**
   * Makes the context the calling thread's current one until the result is closed. A virtual thread
   * must not block meanwhile: it could go on on another carrier, whose current context is another.
   */
  public Scope enter() {
    long mine = address();
    if (driver.currentContext() == mine) {
      return WAS_CURRENT;
    }
    driver.pushCurrentContext(mine);
    return pushed;
  }

  /** Waits for all work of the context. */
  public void synchronize() {
    try (Scope current = enter()) {
      driver.synchronizeContext();
    }
  }

  /** Bytes of device memory that are free now, for this and all other processes. */
  public long freeMemory() {
    try (Scope current = enter()) {
      return driver.freeMemory();
    }
  }

  /** A stream that does not wait for the default stream. */
  public CudaStream newStream() {
    try (Scope current = enter()) {
      return opened(new CudaStream(this, driver.newStream(cuda_h.CU_STREAM_NON_BLOCKING())));
    }
  }

  /** An event that keeps the time when it is reached. */
  public CudaEvent newEvent() {
    return newEvent(cuda_h.CU_EVENT_DEFAULT());
  }

  /** An event without a time: cheaper, where only order matters. */
  public CudaEvent newUntimedEvent() {
    return newEvent(cuda_h.CU_EVENT_DISABLE_TIMING());
  }

  private CudaEvent newEvent(int flags) {
    try (Scope current = enter()) {
      return opened(new CudaEvent(this, driver.newEvent(flags)));
    }
  }

  /**
   * Device memory, uninitialised. Slow, and freeing it waits for the device: {@link
   * CudaStream#allocate} suits what comes and goes.
   *
   * @param bytes at least 1
   * @throws CudaException when memory does not suffice ({@link CudaException#isOutOfMemory})
   */
  public DeviceMemory allocate(long bytes) {
    requireSize(bytes);
    try (Scope current = enter()) {
      return opened(new DeviceMemory(this, null, driver.allocate(bytes), bytes));
    }
  }

  /**
   * Page-locked host memory, uninitialised: what asynchronous copies need to overlap with other
   * work. The system has less of it than of other memory.
   *
   * @param bytes at least 1
   */
  public PinnedMemory allocatePinned(long bytes) {
    requireSize(bytes);
    try (Scope current = enter()) {
      long address = driver.allocateHost(bytes, cuda_h.CU_MEMHOSTALLOC_PORTABLE());
      return opened(new PinnedMemory(this, address, bytes));
    }
  }

  /** The pool that streams of this device allocate from. */
  public CudaMemoryPool memoryPool() {
    return new CudaMemoryPool(this, driver.defaultPool(device.id()));
  }

  /**
   * Copies to the device and waits until it has arrived: what is launched later sees it, on any
   * stream. Not ordered with what streams still have to do.
   *
   * @param target device memory of the size of {@code source}
   * @param source native host memory
   */
  public void copyToDevice(MemorySegment target, MemorySegment source) {
    Copies.toDevice(target, source);
    try (Scope current = enter()) {
      driver.copyToDevice(target.address(), source, source.byteSize());
      // The driver returns once it has read pageable memory; other streams do not wait for the
      // rest.
      driver.synchronizeStream(DEFAULT_STREAM);
    }
  }

  /**
   * Copies to the host and waits for it; not ordered with streams.
   *
   * @param target native host memory of the size of {@code source}
   * @param source device memory
   */
  public void copyToHost(MemorySegment target, MemorySegment source) {
    Copies.toHost(target, source);
    try (Scope current = enter()) {
      driver.copyToHost(target, source.address(), source.byteSize());
    }
  }

  /** Copies within the device, on the default stream; the sizes must be equal. */
  public void copyOnDevice(MemorySegment target, MemorySegment source) {
    Copies.onDevice(target, source);
    try (Scope current = enter()) {
      driver.copyOnDevice(target.address(), source.address(), source.byteSize());
    }
  }

  /** What was opened from this context and is not closed; for messages and leak tests. */
  public List<String> openResources() {
    return open.stream().map(CudaResource::toString).sorted().toList();
  }

  /**
   * Releases the context, which others may still hold. Where nobody does, it is gone, and the
   * calling thread is left without a current context if it was that. Closing twice does nothing.
   *
   * @throws IllegalStateException when something opened from it is still open; it then stays open
   */
  @Override
  public void close() {
    synchronized (open) {
      if (closed.get()) {
        return;
      }
      if (!open.isEmpty()) {
        throw new IllegalStateException(
            "%s cannot be closed before what was opened from it: %s"
                .formatted(this, String.join(", ", openResources())));
      }
      closed.set(true);
    }
    driver.releasePrimaryContext(device.id());
    if (driver.currentContext() == handle && !driver.isPrimaryContextActive(device.id())) {
      driver.setCurrentContext(0);
    }
  }

  @Override
  public String toString() {
    return "context of " + device;
  }

  DriverBindings driver() {
    return driver;
  }

  <T extends CudaResource> T opened(T resource) {
    synchronized (open) {
      if (!closed.get()) {
        open.add(resource);
        return resource;
      }
    }
    // Another thread closed the context while the resource was made.
    IllegalStateException failure = new IllegalStateException(this + " is closed");
    try {
      resource.release(resource.handle());
    } catch (CudaException e) { // it went with the context
      failure.addSuppressed(e);
    }
    throw failure;
  }

  void closed(CudaResource resource) {
    open.remove(resource);
  }

  static void requireSize(long bytes) {
    if (bytes < 1) {
      throw new IllegalArgumentException("bytes must be at least 1, is " + bytes);
    }
  }
}
