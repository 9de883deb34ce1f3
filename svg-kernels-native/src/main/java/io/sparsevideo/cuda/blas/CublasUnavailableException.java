package io.sparsevideo.cuda.blas;

import java.util.ArrayList;
import java.util.List;

/** There is no usable cuBLASLt; the message lists what was tried, why it failed and what to do. */
public final class CublasUnavailableException extends RuntimeException {

  private static final long serialVersionUID = 1;

  private final ArrayList<String> attempts;

  CublasUnavailableException(List<String> attempts) {
    super(
        "no usable cuBLASLt; install a CUDA toolkit of version 12 or later, or put the jar "
            + CublasJar.COORDINATES
            + " on the class path, or name the file libcublasLt.so.13 (or .12), or its folder, in"
            + " the system property "
            + CublasLt.PATH_PROPERTY
            + ". Tried:\n  "
            + String.join("\n  ", attempts));
    this.attempts = new ArrayList<>(attempts);
  }

  /** One line for each place tried, with the reason why it failed. */
  public List<String> attempts() {
    return List.copyOf(attempts);
  }
}
