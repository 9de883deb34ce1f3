package io.sparsevideo.cuda.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.engine.StandardCapabilities;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrayAdapter;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.internal.NDArrayEx;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.kernels.SvgKernels;
import io.sparsevideo.tensor.DjlSettings;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

/** What DJL sees of the engine, and what the engine says that it lacks. */
class CudaEngineTest {

  private final CudaEngine engine = TestEngine.FAKE.open();

  @BeforeAll
  static void stayOffline() {
    DjlSettings.apply();
  }

  @Test
  void djlFindsItAndDoesNotMakeItTheDefault() {
    assertTrue(Engine.hasEngine(CudaEngine.NAME));
    assertNotEquals(CudaEngine.NAME, Engine.getDefaultEngineName());
    Engine found = Engine.getEngine(CudaEngine.NAME);
    assertSame(found, Engine.getEngine(CudaEngine.NAME));
    assertEquals(CudaEngine.NAME, found.getEngineName());
    assertEquals(Integer.MAX_VALUE, found.getRank());
    assertNull(found.getAlternativeEngine());
    assertTrue(found.hasCapability(StandardCapabilities.CUDA));
  }

  @Test
  void devicesAreCountedByTheDriver() {
    assertEquals(2, engine.getGpuCount());
    assertEquals(Device.gpu(0), engine.defaultDevice());
    assertEquals(2, engine.getDevices().length);
  }

  @Test
  void withoutADriverThereAreNoDevicesAndTheReasonIsGiven() {
    Path missing = Path.of("no", "such", "libcuda.so.1");
    CudaEngine without =
        new CudaEngine(() -> CudaDriver.load(missing), stream -> SvgKernels.host());
    assertEquals(0, without.getGpuCount());
    CudaUnavailableException e =
        assertThrows(CudaUnavailableException.class, () -> without.newBaseManager());
    assertTrue(e.getMessage().contains("there is no such file"), e.getMessage());
  }

  @Test
  void devicesThatAreNotThereAreRefused() {
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> engine.newBaseManager(Device.gpu(2)));
    assertTrue(e.getMessage().contains("cuda:2"), e.getMessage());
    e = assertThrows(IllegalArgumentException.class, () -> engine.newBaseManager(Device.cpu()));
    assertTrue(e.getMessage().contains("computes on GPUs"), e.getMessage());
  }

  /** A stream that the kernels cannot be bound to is closed again. */
  @Test
  void kernelsThatAreMissingLeaveNothingOpen() {
    CudaEngine without =
        new CudaEngine(
            () -> CudaDriver.load(TestEngine.fakeDriver()),
            stream -> {
              throw new IllegalStateException("no kernels for " + stream);
            });
    for (int i = 0; i < 2; i++) {
      IllegalStateException e =
          assertThrows(IllegalStateException.class, () -> without.newBaseManager());
      assertEquals("no kernels for stream of cuda:0 Fake device A", e.getMessage());
    }
  }

  /** Every operation of DJL's arrays is there, or names itself. */
  @Test
  void whatIsMissingNamesItself() throws Exception {
    Set<String> nameless = new TreeSet<>();
    int missing = 0;
    try (NDManager manager = engine.newBaseManager()) {
      for (Method method : NDArrayAdapter.class.getDeclaredMethods()) {
        if (!Modifier.isPublic(method.getModifiers()) || method.getName().equals("close")) {
          continue;
        }
        NDArray array = manager.ones(new Shape(2, 2));
        // After a move the adapter would look for another engine anew.
        array.attach(manager.newSubManager());
        missing += checkNamed(method, array, arguments(method, array), nameless);
      }
      NDArrayEx more = manager.ones(new Shape(2)).getNDArrayInternal();
      for (Method method : NDArrayEx.class.getMethods()) {
        missing += checkNamed(method, more, arguments(method, null), nameless);
      }
    }
    assertEquals(Set.of(), nameless);
    assertTrue(missing > 150, missing + " operations are missing: were they looked for?");
  }

  private static int checkNamed(
      Method method, Object target, Object[] arguments, Set<String> nameless) throws Exception {
    try {
      method.invoke(target, arguments);
      return 0;
    } catch (InvocationTargetException e) {
      if (e.getCause() instanceof UnsupportedOperationException cause) {
        if (!cause.getMessage().startsWith(method.getName())) {
          nameless.add(method + ": " + cause.getMessage());
        }
        return 1;
      }
      if (e.getCause() instanceof StackOverflowError || e.getCause().getMessage() == null) {
        nameless.add(method + ": " + e.getCause());
      }
      return 0; // the dummy arguments are refused: the operation is there
    }
  }

  /** Something of each parameter's type. */
  private static Object[] arguments(Method method, NDArray array) {
    return Arrays.stream(method.getParameterTypes())
        .map(
            type ->
                type == int.class
                    ? (Object) 0
                    : type == long.class
                        ? (Object) 1L
                        : type == double.class
                            ? (Object) 1.0
                            : type == float.class
                                ? (Object) 1f
                                : type == boolean.class
                                    ? (Object) true
                                    : type == int[].class
                                        ? new int[] {0}
                                        : type == long[].class
                                            ? new long[] {1}
                                            : type == Number.class
                                                ? (Object) 1
                                                : type == Integer.class
                                                    ? (Object) 1
                                                    : type == Shape.class
                                                        ? new Shape(2, 2)
                                                        : type == DataType.class
                                                            ? DataType.FLOAT16
                                                            : type == Device.class
                                                                ? Device.gpu(0)
                                                                : type == NDManager.class
                                                                    ? (array == null
                                                                        ? null
                                                                        : array.getManager())
                                                                    : type == NDArray.class
                                                                            || type == Object.class
                                                                        ? array
                                                                        : type
                                                                                == ai.djl.ndarray
                                                                                    .index.NDIndex
                                                                                    .class
                                                                            ? new ai.djl.ndarray
                                                                                .index.NDIndex("0")
                                                                            : type
                                                                                    == java.nio
                                                                                        .Buffer
                                                                                        .class
                                                                                ? java.nio
                                                                                    .FloatBuffer
                                                                                    .allocate(4)
                                                                                : type
                                                                                        == String
                                                                                            .class
                                                                                    ? "a name"
                                                                                    : type
                                                                                            == java
                                                                                                .util
                                                                                                .function
                                                                                                .Function
                                                                                                .class
                                                                                        ? java.util
                                                                                            .function
                                                                                            .Function
                                                                                            .<NDArray>
                                                                                                identity()
                                                                                        : null)
        .toArray();
  }
}
