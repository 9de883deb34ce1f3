package io.sparsevideo.cuda.engine;

import ai.djl.Device;
import ai.djl.Model;
import ai.djl.engine.Engine;
import ai.djl.engine.StandardCapabilities;
import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.kernels.SvgKernels;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentMap;
import java.util.function.Function;
import java.util.function.Supplier;

/**
 * DJL's view of NVIDIA GPUs through the CUDA driver; {@code Engine.getEngine(CudaEngine.NAME)}.
 *
 * <p>It never becomes DJL's default engine by itself, and has no alternative engine: an operation
 * that it lacks fails with its name. A device's primary context stays retained once the device was
 * used, as with the CUDA runtime.
 */
public final class CudaEngine extends Engine {

  public static final String NAME = "SvgCuda";

  /** DJL takes the engine of the lowest rank as the default, and none of this rank. */
  static final int RANK = Integer.MAX_VALUE;

  private final Supplier<CudaDriver> driver;
  private final Function<CudaStream, SvgKernels> kernels;
  private final ConcurrentMap<Integer, DeviceHeap> heaps = new ConcurrentHashMap<>();
  private final ConcurrentMap<Integer, CudaNDManager> systemManagers = new ConcurrentHashMap<>();

  /**
   * @param driver loads the driver, or throws why there is none
   * @param kernels binds the kernels to a stream
   */
  CudaEngine(Supplier<CudaDriver> driver, Function<CudaStream, SvgKernels> kernels) {
    this.driver = driver;
    this.kernels = kernels;
  }

  /** Null: nothing falls back to another engine. */
  @Override
  public Engine getAlternativeEngine() {
    return null;
  }

  @Override
  public String getEngineName() {
    return NAME;
  }

  @Override
  public int getRank() {
    return RANK;
  }

  @Override
  public String getVersion() {
    return Optional.ofNullable(CudaEngine.class.getPackage().getImplementationVersion())
        .orElse("(not packaged)");
  }

  @Override
  public boolean hasCapability(String capability) {
    return StandardCapabilities.CUDA.equals(capability);
  }

  /** The number of devices; 0 where there is no usable driver. */
  @Override
  public int getGpuCount() {
    try {
      return driver.get().devices().size();
    } catch (CudaUnavailableException e) {
      return 0;
    }
  }

  /** The first GPU, whether or not there is one. */
  @Override
  public Device defaultDevice() {
    return Device.gpu(0);
  }

  /** Models of this project are plain Java classes, not DJL's. */
  @Override
  public Model newModel(String name, Device device) {
    throw Unsupported.operation("newModel");
  }

  @Override
  public CudaNDManager newBaseManager() {
    return newBaseManager(null);
  }

  /**
   * A manager with a stream of its own.
   *
   * @param device a GPU by its ordinal among those that the process may use; null for the first
   * @throws CudaUnavailableException when there is no usable driver
   * @throws IllegalArgumentException when there is no such device
   * @throws io.sparsevideo.kernels.KernelLoadException when the CUDA kernels cannot be loaded
   */
  @Override
  public CudaNDManager newBaseManager(Device device) {
    Device chosen = device == null ? defaultDevice() : device;
    return CudaNDManager.newTree(systemManager(chosen), newQueue(chosen));
  }

  /** What the engine holds of a device's memory, over all trees of managers. */
  public MemoryStatistics statistics(Device device) {
    return heap(device).statistics();
  }

  /** Where arrays of a device belong that were detached; it is never closed. */
  CudaNDManager systemManager(Device device) {
    return systemManagers.computeIfAbsent(
        ordinal(device), n -> CudaNDManager.newSystemManager(this, device, newQueue(device)));
  }

  CudaQueue newQueue(Device device) {
    return new CudaQueue(heap(device), kernels);
  }

  private DeviceHeap heap(Device device) {
    return heaps.computeIfAbsent(ordinal(device), this::openHeap);
  }

  private DeviceHeap openHeap(int ordinal) {
    CudaContext context = driver.get().device(ordinal).retainContext();
    try {
      return new DeviceHeap(context);
    } catch (RuntimeException | Error e) {
      context.close();
      throw e;
    }
  }

  private static int ordinal(Device device) {
    if (!device.isGpu()) {
      throw new IllegalArgumentException(
          "the engine %s computes on GPUs, not on %s; Device.gpu(0) is the first"
              .formatted(NAME, device));
    }
    return device.getDeviceId();
  }
}
