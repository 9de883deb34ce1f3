package io.sparsevideo.tensor;

import java.util.Map;
import java.util.Properties;

/**
 * Keeps DJL off the network. Without these settings DJL reports its use to its makers, and its
 * tokenizers download a CUDA build of their native library on hosts with a CUDA runtime; this
 * project tokenizes on the CPU and downloads nothing.
 */
public final class DjlSettings {
  private static final Map<String, String> DEFAULTS =
      Map.of("OPT_OUT_TRACKING", "true", "RUST_FLAVOR", "cpu");

  private DjlSettings() {}

  /**
   * Sets the system properties that DJL reads where it finds no environment variable of the same
   * name. Call it before the first use of DJL's engines or tokenizers, which read them once. What
   * the user has set, as a variable or as a property, stays.
   */
  public static void apply() {
    apply(System.getenv(), System.getProperties());
  }

  static void apply(Map<String, String> environment, Properties properties) {
    DEFAULTS.forEach(
        (name, value) -> {
          if (!environment.containsKey(name)) {
            properties.putIfAbsent(name, value);
          }
        });
  }
}
