package io.sparsevideo.kernels;

import java.util.ArrayList;
import java.util.List;

/** A kernel library could not be loaded; the message lists every place tried and why it failed. */
public final class KernelLoadException extends RuntimeException {

  private static final long serialVersionUID = 1;

  private final ArrayList<String> attempts;

  KernelLoadException(KernelLibrary.Kind kind, List<String> attempts) {
    super(
        "no usable %s library (%s); add the jar svg-kernels-native with classifier linux-x86_64 to "
                .formatted(kind, kind.fileName())
            + "the class path, or set the system property "
            + KernelLibrary.PATH_PROPERTY
            + ". Tried:\n  "
            + String.join("\n  ", attempts));
    this.attempts = new ArrayList<>(attempts);
  }

  /** One line for each place tried, in order, with the reason why it failed. */
  public List<String> attempts() {
    return List.copyOf(attempts);
  }
}
