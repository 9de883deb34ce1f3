package io.sparsevideo.cuda;

/** A place in a stream that others wait for, or that keeps its time. */
public final class CudaEvent extends CudaResource {

  CudaEvent(CudaContext context, long handle) {
    super(context, handle);
  }

  /** Waits until the work before the event's last place has ended. */
  public void synchronize() {
    long event = handle();
    try (CudaContext.Scope current = context().enter()) {
      driver().synchronizeEvent(event);
    }
  }

  /** Whether the work before the event's last place has ended; does not wait. */
  public boolean isDone() {
    long event = handle();
    try (CudaContext.Scope current = context().enter()) {
      return driver().isEventDone(event);
    }
  }

  /**
   * Milliseconds of the device from an event to this one; both must have been reached.
   *
   * @throws CudaException when one has not been recorded, has not been reached or keeps no time
   */
  public float millisecondsSince(CudaEvent start) {
    long from = start.handle();
    long to = handle();
    try (CudaContext.Scope current = context().enter()) {
      return driver().elapsedMilliseconds(from, to);
    }
  }

  @Override
  void release(long handle) {
    driver().destroyEvent(handle);
  }

  @Override
  public String toString() {
    return "event of " + context().device();
  }
}
