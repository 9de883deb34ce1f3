package io.sparsevideo.cuda;

import java.util.concurrent.atomic.AtomicBoolean;

/** What belongs to a context and is closed by whoever opened it; closing twice does nothing. */
abstract sealed class CudaResource implements AutoCloseable
    permits CudaEvent, CudaGraph, CudaStream, DeviceMemory, PinnedMemory {

  private final CudaContext context;
  private final long handle;
  private final AtomicBoolean closed = new AtomicBoolean();

  /** The subclass calls {@link CudaContext#opened} when it is complete. */
  CudaResource(CudaContext context, long handle) {
    this.context = context;
    this.handle = handle;
  }

  public final CudaContext context() {
    return context;
  }

  /**
   * @throws IllegalStateException when this is closed
   */
  final long handle() {
    if (closed.get()) {
      throw new IllegalStateException(this + " is closed");
    }
    return handle;
  }

  final boolean isClosed() {
    return closed.get();
  }

  final DriverBindings driver() {
    return context.driver();
  }

  @Override
  public void close() {
    if (!closed.compareAndSet(false, true)) {
      return;
    }
    try (CudaContext.Scope current = context.enter()) {
      release(handle);
    } finally {
      context.closed(this);
    }
  }

  /** Gives back what the handle stands for; the context is current. */
  abstract void release(long handle);

  @Override
  public abstract String toString();
}
