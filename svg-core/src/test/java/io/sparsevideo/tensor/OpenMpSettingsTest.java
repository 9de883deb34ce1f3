package io.sparsevideo.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Map;
import org.junit.jupiter.api.Test;

class OpenMpSettingsTest {

  @Test
  void theUsersChoiceStays() {
    assertTrue(OpenMpSettings.isUnset(Map.of()));
    assertFalse(OpenMpSettings.isUnset(Map.of("GOMP_SPINCOUNT", "7")));
    assertFalse(OpenMpSettings.isUnset(Map.of("OMP_WAIT_POLICY", "active")));
  }

  @Test
  void nativeCodeSeesTheVariable() throws Throwable {
    OpenMpSettings.setEnvironment("SVG_TEST_VARIABLE", "1 2");
    Linker linker = Linker.nativeLinker();
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment value =
          (MemorySegment)
              linker
                  .downcallHandle(
                      linker.defaultLookup().findOrThrow("getenv"),
                      FunctionDescriptor.of(ValueLayout.ADDRESS, ValueLayout.ADDRESS))
                  .invokeExact(arena.allocateFrom("SVG_TEST_VARIABLE"));
      assertEquals("1 2", value.reinterpret(4).getString(0));
    }
  }
}
