package io.sparsevideo.tensor;

import ai.djl.Device;
import java.util.Map;

/** Opens the backend of a device. */
public final class TensorBackends {
  /** Where DJL finds a folder with libtorch, as a variable or a system property. */
  private static final String LIBTORCH = "PYTORCH_LIBRARY_PATH";

  /** Lies in the jar with PyTorch's natives; without it DJL would try to download them. */
  private static final String NATIVES = "native/lib/pytorch.properties";

  private TensorBackends() {}

  /**
   * The backend of a device.
   *
   * @param device null for the best that is available
   * @throws DeviceUnavailableException with the reason and what to do
   */
  public static TensorOps open(Device device) {
    requireAvailable(device);
    return new DjlTensorOps();
  }

  /**
   * Checks a device without opening it.
   *
   * @param device null for the best that is available
   * @throws DeviceUnavailableException with the reason and what to do
   */
  public static void requireAvailable(Device device) {
    requireKnown(device);
    requireNatives(TensorBackends.class.getClassLoader(), System.getenv());
  }

  /**
   * Checks that there is such a device, not whether what it needs is installed.
   *
   * @param device null for the best that is available
   * @throws DeviceUnavailableException with the reason and what to do
   */
  public static void requireKnown(Device device) {
    if (device == null || Device.cpu().equals(device)) {
      return;
    }
    throw new DeviceUnavailableException(
        device.isGpu()
            ? "device "
                + device
                + ": this version computes on the CPU only; leave the device out or say cpu"
            : "device " + device + " is unknown; there is: cpu");
  }

  static void requireNatives(ClassLoader loader, Map<String, String> environment) {
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
