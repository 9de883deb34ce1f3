package io.sparsevideo.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.Map;
import java.util.Properties;
import org.junit.jupiter.api.Test;

class DjlSettingsTest {

  @Test
  void setsWhatTheUserHasNotSet() {
    Properties properties = new Properties();
    DjlSettings.apply(Map.of(), properties);
    assertEquals(Map.of("OPT_OUT_TRACKING", "true", "RUST_FLAVOR", "cpu"), properties);
  }

  @Test
  void keepsWhatTheUserHasSet() {
    Properties properties = new Properties();
    properties.setProperty("RUST_FLAVOR", "cu122");
    DjlSettings.apply(Map.of("OPT_OUT_TRACKING", "false"), properties);
    assertEquals(Map.of("RUST_FLAVOR", "cu122"), properties);
  }
}
