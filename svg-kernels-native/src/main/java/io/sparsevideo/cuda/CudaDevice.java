package io.sparsevideo.cuda;

import io.sparsevideo.cuda.ffi.cuda_h;

/** A CUDA device and what the driver says of it. */
public final class CudaDevice {

  private final DriverBindings bindings;
  private final int ordinal;
  private final int id;
  private final String name;
  private final long totalMemory;

  CudaDevice(DriverBindings bindings, int ordinal) {
    this.bindings = bindings;
    this.ordinal = ordinal;
    id = bindings.device(ordinal);
    name = bindings.deviceName(id);
    totalMemory = bindings.deviceTotalMemory(id);
  }

  /** Its number among the devices that the process may use, from 0. */
  public int ordinal() {
    return ordinal;
  }

  /** For example "NVIDIA H200". */
  public String name() {
    return name;
  }

  /** Bytes of device memory. */
  public long totalMemory() {
    return totalMemory;
  }

  /** Ten times the major and once the minor version: 90 for Hopper, whose code is sm_90. */
  public int computeCapability() {
    return 10 * attribute(cuda_h.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR())
        + attribute(cuda_h.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR());
  }

  public int multiprocessors() {
    return attribute(cuda_h.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT());
  }

  /** Bytes of the second-level cache. */
  public int cacheSize() {
    return attribute(cuda_h.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE());
  }

  /**
   * Retains the device's primary context, which the CUDA runtime, and with it the kernel library,
   * uses as well. Close it to release it.
   */
  public CudaContext retainContext() {
    return new CudaContext(bindings, this, bindings.retainPrimaryContext(id));
  }

  /** The driver's own number of the device. */
  int id() {
    return id;
  }

  private int attribute(int attribute) {
    return bindings.deviceAttribute(attribute, id);
  }

  @Override
  public String toString() {
    return "cuda:%d %s".formatted(ordinal, name);
  }
}
