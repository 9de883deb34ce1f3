package io.sparsevideo.cuda;

/**
 * Work that was captured once and can be launched as a whole, which costs one launch: see {@link
 * CudaStream#capture}.
 */
public final class CudaGraph extends CudaResource {

  CudaGraph(CudaContext context, long handle) {
    super(context, handle);
  }

  @Override
  void release(long handle) {
    driver().destroyLaunchable(handle);
  }

  @Override
  public String toString() {
    return "graph of " + context().device();
  }
}
