package io.sparsevideo.cuda;

import java.util.ArrayList;
import java.util.List;

/**
 * There is no usable CUDA driver; the message lists what was tried, why it failed and what to do.
 */
public final class CudaUnavailableException extends RuntimeException {

  private static final long serialVersionUID = 1;

  private final ArrayList<String> attempts;

  CudaUnavailableException(List<String> attempts) {
    super(
        "no usable CUDA driver; install NVIDIA's driver (nvidia-smi tells whether it works; a"
            + " container must be started with its GPUs), or name the file libcuda.so.1 in the"
            + " system property "
            + CudaDriver.PATH_PROPERTY
            + ". Tried:\n  "
            + String.join("\n  ", attempts));
    this.attempts = new ArrayList<>(attempts);
  }

  /** One line for each place tried, with the reason why it failed. */
  public List<String> attempts() {
    return List.copyOf(attempts);
  }
}
