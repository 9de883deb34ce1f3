package io.sparsevideo.tensor;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.Map;
import org.junit.jupiter.api.Test;

class TensorBackendsTest {

  @Test
  void theCpuIsThere() {
    TensorBackends.requireAvailable(null);
    TensorBackends.requireAvailable(Device.cpu());
  }

  @Test
  void otherDevicesAreRefused() {
    assertRefused("CPU only", () -> TensorBackends.requireAvailable(Device.gpu(0)));
    assertRefused("there is: cpu", () -> TensorBackends.requireKnown(Device.of("abacus", 0)));
  }

  @Test
  void missingNativesAreNamedWithTheRemedy() throws IOException {
    try (URLClassLoader empty = new URLClassLoader(new URL[0], null)) {
      assertRefused("pytorch-native-cpu", () -> TensorBackends.requireNatives(empty, Map.of()));
      TensorBackends.requireNatives(empty, Map.of("PYTORCH_LIBRARY_PATH", "/opt/libtorch"));
    }
  }

  private static void assertRefused(String reason, Runnable call) {
    DeviceUnavailableException e = assertThrows(DeviceUnavailableException.class, call::run);
    assertTrue(e.getMessage().contains(reason), e.getMessage());
  }
}
