package io.sparsevideo.tensor;

import ai.djl.Device;

/** Opens the backend of a device. */
public final class TensorBackends {
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
}
