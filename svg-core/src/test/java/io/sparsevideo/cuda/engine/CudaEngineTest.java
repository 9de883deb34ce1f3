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
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.internal.NDArrayEx;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.kernels.SvgKernels;
import io.sparsevideo.tensor.DjlSettings;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.nio.Buffer;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
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
    Set<CudaContext> contexts = new HashSet<>();
    CudaEngine without =
        new CudaEngine(
            () -> CudaDriver.load(TestEngine.fakeDriver()),
            stream -> {
              contexts.add(stream.context());
              throw new IllegalStateException("no kernels for " + stream);
            });
    for (int i = 0; i < 2; i++) {
      IllegalStateException e =
          assertThrows(IllegalStateException.class, () -> without.newBaseManager());
      assertEquals("no kernels for stream of cuda:0 Fake device A", e.getMessage());
    }
    assertEquals(1, contexts.size());
    contexts.forEach(context -> assertEquals(List.of(), context.openResources()));
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
      if (!(e.getCause() instanceof IllegalArgumentException
          || e.getCause() instanceof IndexOutOfBoundsException
          || e.getCause() instanceof IllegalStateException)) {
        nameless.add(method + ": " + e.getCause());
      }
      return 0; // the dummy arguments are refused: the operation is there
    }
  }

  /** Something of each parameter's type; null of others. */
  private static Object[] arguments(Method method, NDArray array) {
    Map<Class<?>, Object> values = new HashMap<>();
    values.put(int.class, 0);
    values.put(long.class, 1L);
    values.put(float.class, 1f);
    values.put(double.class, 1.0);
    values.put(boolean.class, true);
    values.put(int[].class, new int[] {0});
    values.put(long[].class, new long[] {1});
    values.put(Integer.class, 1);
    values.put(Number.class, 1);
    values.put(String.class, "a name");
    values.put(Buffer.class, FloatBuffer.allocate(4));
    values.put(Function.class, Function.<NDArray>identity());
    values.put(Shape.class, new Shape(2, 2));
    values.put(DataType.class, DataType.FLOAT16);
    values.put(Device.class, Device.gpu(0));
    values.put(NDIndex.class, new NDIndex("0"));
    values.put(NDList.class, new NDList());
    if (array != null) {
      values.put(NDManager.class, array.getManager());
      values.put(NDArray.class, array);
      values.put(Object.class, array);
    }
    return Arrays.stream(method.getParameterTypes()).map(values::get).toArray();
  }
}
