package io.sparsevideo.tensor;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.Map;

/**
 * Keeps OpenMP's idle threads from burning the processors that others need. libtorch and the host
 * kernels each bring a thread pool whose threads, by default, spin for milliseconds after every
 * parallel region. Beside any other load, the other pool's included, a generation then takes ten
 * times as long; a short spin costs nothing when it is alone.
 */
final class OpenMpSettings {
  private static final String NAME = "GOMP_SPINCOUNT";
  private static final String VALUE = "1000";
  private static boolean applied;

  private OpenMpSettings() {}

  /**
   * Call it before either library is loaded: they read the environment then. What the user has set
   * stays.
   */
  static synchronized void apply() {
    if (!applied && isUnset(System.getenv())) {
      setEnvironment(NAME, VALUE);
    }
    applied = true;
  }

  static boolean isUnset(Map<String, String> environment) {
    return !environment.containsKey(NAME) && !environment.containsKey("OMP_WAIT_POLICY");
  }

  /**
   * Sets a variable of this process; Java cannot, and its own view of the environment does not
   * change.
   */
  static void setEnvironment(String name, String value) {
    Linker linker = Linker.nativeLinker();
    MethodHandle setenv =
        linker.downcallHandle(
            linker.defaultLookup().findOrThrow("setenv"),
            FunctionDescriptor.of(
                ValueLayout.JAVA_INT,
                ValueLayout.ADDRESS,
                ValueLayout.ADDRESS,
                ValueLayout.JAVA_INT));
    try (Arena arena = Arena.ofConfined()) {
      int status = (int) setenv.invokeExact(arena.allocateFrom(name), arena.allocateFrom(value), 1);
      if (status != 0) {
        throw new IllegalStateException("setenv " + name + "=" + value + " failed");
      }
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }
}
