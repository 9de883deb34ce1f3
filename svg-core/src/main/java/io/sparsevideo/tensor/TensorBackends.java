package io.sparsevideo.tensor;

import ai.djl.Device;
import io.sparsevideo.cuda.CudaDevice;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaException;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.cuda.blas.CublasLt;
import io.sparsevideo.cuda.blas.CublasUnavailableException;
import io.sparsevideo.cuda.engine.CudaOutOfMemoryException;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.kernels.KernelLibrary;
import io.sparsevideo.kernels.KernelLoadException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;

/** Opens the backend of a device. */
public final class TensorBackends {
  /** Where DJL finds a folder with libtorch, as a variable or a system property. */
  private static final String LIBTORCH = "PYTORCH_LIBRARY_PATH";

  /** Lies in the jar with PyTorch's natives; without it DJL would try to download them. */
  private static final String NATIVES = "native/lib/pytorch.properties";

  /** Ampere: the least that the CUDA kernels are built for. */
  private static final int LEAST_CAPABILITY = 80;

  private static final TensorBackends REAL =
      new TensorBackends(
          () -> CudaDriver.load().devices(),
          () -> KernelLibrary.load(KernelLibrary.Kind.CUDA),
          CublasLt::load,
          TensorBackends.class.getClassLoader(),
          System.getenv());

  private final Supplier<List<CudaDevice>> gpus;
  private final Runnable loadKernels;
  private final Runnable loadCublas;
  private final ClassLoader loader;
  private final Map<String, String> environment;

  /**
   * @param gpus lists them, or throws why there is no driver
   * @param loadKernels loads the CUDA kernels, or throws why they cannot be
   * @param loadCublas likewise cuBLASLt
   * @param loader has PyTorch's natives, or not
   */
  TensorBackends(
      Supplier<List<CudaDevice>> gpus,
      Runnable loadKernels,
      Runnable loadCublas,
      ClassLoader loader,
      Map<String, String> environment) {
    this.gpus = gpus;
    this.loadKernels = loadKernels;
    this.loadCublas = loadCublas;
    this.loader = loader;
    this.environment = environment;
  }

  /**
   * A device that can be used.
   *
   * @param text its name, and why others were passed over
   */
  record Choice(Device device, String text) {}

  /**
   * The backend of a device. {@link TensorOps#device()} says which was taken, and why where that
   * was left open.
   *
   * @param device null for the best that is available: the first GPU that has all it needs, else
   *     the CPU
   * @throws DeviceUnavailableException with the reason and what to do
   */
  public static TensorOps open(Device device) {
    return REAL.use(
        device,
        choice ->
            choice.device.isGpu()
                ? CudaTensorOps.open(choice.device, choice.text)
                : new DjlTensorOps(choice.text));
  }

  /**
   * Checks a device without opening it.
   *
   * @param device null for the best that is available
   * @return the device that {@link #open} would take
   * @throws DeviceUnavailableException with the reason and what to do
   */
  public static Device requireAvailable(Device device) {
    return REAL.choose(device).device;
  }

  /**
   * Checks that there is such a kind of device, not whether this machine has one.
   *
   * @param device null for the best that is available
   * @return the device; for null the one that {@link #open} would take, or the CPU where none can
   *     be
   * @throws DeviceUnavailableException with the reason and what to do
   */
  public static Device requireKnown(Device device) {
    if (device == null) {
      try {
        return requireAvailable(null);
      } catch (DeviceUnavailableException e) {
        return Device.cpu();
      }
    }
    if (!device.isGpu() && !Device.cpu().equals(device)) {
      throw unknown(device);
    }
    return device;
  }

  /**
   * What {@link #open} would take, for people: a device and, where that was left open, why; or why
   * there is none.
   *
   * @param device null for the best that is available
   */
  public static String describe(Device device) {
    try {
      return REAL.choose(device).text;
    } catch (DeviceUnavailableException e) {
      return oneLine(e.getMessage());
    }
  }

  private static String oneLine(String message) {
    return message.replaceAll("\\s*\\R\\s*", " ");
  }

  Choice choose(Device device) {
    return use(device, choice -> choice);
  }

  /** Hands over the device; where that was left open and it cannot be opened, another. */
  <T> T use(Device device, Function<Choice, T> user) {
    if (device == null) {
      return useBest(user);
    }
    if (Device.cpu().equals(device)) {
      requireNatives();
      return user.apply(new Choice(device, "cpu"));
    }
    if (!device.isGpu()) {
      throw unknown(device);
    }
    try {
      return user.apply(new Choice(device, requireUsable(gpu(device.getDeviceId()))));
    } catch (CudaUnavailableException
        | KernelLoadException
        | CublasUnavailableException
        | DeviceUnavailableException
        | CudaOutOfMemoryException
        | CudaException e) {
      throw new DeviceUnavailableException(
          "device cuda:%d: %s".formatted(device.getDeviceId(), e.getMessage()), e);
    }
  }

  private CudaDevice gpu(int ordinal) {
    List<CudaDevice> devices = gpus.get();
    if (ordinal < 0 || ordinal >= devices.size()) {
      throw new DeviceUnavailableException(
          devices.isEmpty()
              ? "the driver finds no GPU; cpu is another device"
              : "there is no such GPU; there are: " + devices);
    }
    return devices.get(ordinal);
  }

  /** What a GPU is called, if it can be used. */
  private String requireUsable(CudaDevice gpu) {
    if (gpu.computeCapability() < LEAST_CAPABILITY) {
      throw new DeviceUnavailableException(
          "%s has compute capability %s; the kernels are built for 8.0 (Ampere) and later"
              .formatted(gpu, gpu.computeCapability() / 10 + "." + gpu.computeCapability() % 10));
    }
    loadKernels.run();
    loadCublas.run();
    return gpu.toString();
  }

  private <T> T useBest(Function<Choice, T> user) {
    List<String> passedOver = new ArrayList<>();
    try {
      List<CudaDevice> devices = gpus.get();
      if (devices.isEmpty()) {
        passedOver.add("the driver finds no GPU");
      }
      for (CudaDevice gpu : devices) {
        try {
          String text = withReasons(requireUsable(gpu), passedOver);
          return user.apply(new Choice(Device.gpu(gpu.ordinal()), text));
        } catch (DeviceUnavailableException e) {
          passedOver.add(e.getMessage());
        } catch (CudaOutOfMemoryException | CudaException e) { // full, or another process's alone
          passedOver.add(gpu + " cannot be opened: " + e.getMessage());
        } catch (KernelLoadException | CublasUnavailableException e) {
          passedOver.add(gpu + " is not used: " + e.getMessage()); // nor would another be
          break;
        }
      }
    } catch (CudaUnavailableException e) {
      passedOver.add("no GPU: " + String.join("; ", e.attempts()));
    }
    try {
      requireNatives();
    } catch (DeviceUnavailableException e) {
      throw new DeviceUnavailableException(
          "no device can be used. " + String.join("; ", passedOver) + ". " + e.getMessage(), e);
    }
    return user.apply(new Choice(Device.cpu(), withReasons("cpu", passedOver)));
  }

  private static String withReasons(String device, List<String> reasons) {
    return reasons.isEmpty() ? device : device + " (" + oneLine(String.join("; ", reasons)) + ")";
  }

  private static DeviceUnavailableException unknown(Device device) {
    return new DeviceUnavailableException(
        "device " + device + " is unknown; there are: cpu, cuda and cuda:N");
  }

  private void requireNatives() {
    if (loader.getResource(NATIVES) == null
        && !environment.containsKey(LIBTORCH)
        && System.getProperty(LIBTORCH) == null) {
      throw new DeviceUnavailableException(
          "device cpu: the CPU engine (PyTorch's native library) is not part of this installation,"
              + " and nothing is downloaded; add the jar ai.djl.pytorch:pytorch-native-cpu with"
              + " classifier linux-x86_64 to the class path, or name a folder with libtorch in the"
              + " variable "
              + LIBTORCH);
    }
  }
}
