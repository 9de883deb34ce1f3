package io.sparsevideo.cuda.engine;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.NDScope;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.tensor.DjlSettings;
import io.sparsevideo.tensor.TensorScope;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Who owns arrays and when their memory is freed; every test must leave nothing behind. */
@ParameterizedClass
@EnumSource(TestEngine.class)
class CudaNDManagerTest {

  private static final Shape SHAPE = new Shape(3, 5);
  private static final long BYTES = 60;

  @Parameter TestEngine kind;

  private CudaEngine engine;
  private CudaNDManager manager;

  @BeforeEach
  void open() {
    DjlSettings.apply();
    engine = kind.open();
    manager = engine.newBaseManager();
    assertLive(0, 0);
  }

  @AfterEach
  void nothingIsLeft() {
    if (manager != null) {
      manager.close();
      assertLive(0, 0);
    }
  }

  private void assertLive(int arrays, int tensors) {
    MemoryStatistics now = engine.statistics(Device.gpu(0));
    assertEquals(arrays, now.arrays(), "open arrays");
    assertEquals(tensors, now.tensors(), "pieces of memory");
    if (tensors == 0) {
      assertEquals(0, now.liveBytes());
    }
  }

  @Test
  void closingAManagerFreesItsArraysAndItsChildrens() {
    NDArray outer = manager.zeros(SHAPE);
    NDManager child = manager.newSubManager();
    NDArray inner = child.newSubManager().zeros(SHAPE);
    assertLive(2, 2);
    assertEquals(2 * BYTES, manager.statistics().liveBytes());
    child.close();
    child.close();
    assertTrue(inner.isReleased());
    assertFalse(outer.isReleased());
    assertLive(1, 1);
    outer.close();
    outer.close();
    assertLive(0, 0);
    manager.close();
    manager.close();
    assertFalse(manager.isOpen());
  }

  @Test
  void whatIsClosedSaysSo() {
    NDArray array = manager.zeros(SHAPE);
    array.setName("weights");
    array.close();
    for (Runnable use :
        List.<Runnable>of(
            array::getShape,
            array::getDataType,
            array::toFloatArray,
            () -> array.add(1),
            () -> array.reshape(15),
            () -> array.set(new float[15]),
            () -> array.attach(manager))) {
      IllegalStateException e = assertThrows(IllegalStateException.class, use::run);
      assertEquals("the array weights (3, 5) float32 is closed", e.getMessage());
    }
    NDManager child = manager.newSubManager();
    child.close();
    assertThrows(IllegalStateException.class, () -> child.zeros(SHAPE));
    assertThrows(IllegalStateException.class, child::newSubManager);
  }

  @Test
  void aViewKeepsTheMemory() {
    NDArray array = manager.create(new float[] {1, 2, 3, 4}, new Shape(2, 2));
    NDArray view = array.get(1);
    assertLive(2, 1);
    array.close();
    assertLive(1, 1);
    assertArrayEquals(new float[] {3, 4}, view.toFloatArray());
    view.close();
    assertLive(0, 0);
  }

  @Test
  void attachedArraysOutliveTheirFormerManager() {
    NDManager child = manager.newSubManager();
    NDArray array = child.ones(SHAPE);
    array.attach(manager);
    array.attach(manager);
    assertSame(manager, array.getManager());
    child.close();
    assertEquals(1, array.getFloat(0, 0));
    NDManager closed = manager.newSubManager();
    closed.close();
    assertThrows(IllegalStateException.class, () -> array.attach(closed));
    assertSame(manager, array.getManager());
  }

  @Test
  void lentArraysReturn() {
    NDArray array = manager.ones(SHAPE);
    NDManager borrower = manager.newSubManager();
    array.tempAttach(manager);
    array.tempAttach(borrower);
    array.tempAttach(borrower);
    assertSame(borrower, array.getManager());
    NDArray sum = array.add(1);
    manager.cap(); // which does not keep what is its own away
    borrower.close();
    assertTrue(sum.isReleased());
    assertSame(manager, array.getManager());
    assertFalse(array.isReleased());
  }

  @Test
  void scopesFreeWhatIsNotKept() {
    NDArray x = manager.ones(SHAPE);
    NDArray kept;
    try (TensorScope scope = TensorScope.over(x)) {
      kept = scope.keep(x.mul(2).add(1));
    }
    assertLive(2, 2);
    assertEquals(3, kept.getFloat(2, 4));
    try (NDScope scope = new NDScope()) {
      x.add(1);
      assertLive(3, 3);
    }
    assertLive(2, 2);
  }

  @Test
  void detachedArraysBelongToNobody() {
    NDArray array = manager.ones(SHAPE);
    array.detach();
    manager.close();
    assertLive(1, 1);
    NDArray sum = array.add(1);
    assertEquals(2, sum.getFloat(0, 0));
    CudaNDManager other = engine.newBaseManager();
    sum.attach(other);
    other.close();
    assertTrue(sum.isReleased());
    array.close();
    assertLive(0, 0);
    CudaNDManager system = manager.system();
    assertThrows(IllegalStateException.class, system::close);
    try (CudaNDManager third = engine.newBaseManager()) {
      NDArray owned = third.ones(SHAPE);
      IllegalStateException e =
          assertThrows(IllegalStateException.class, () -> owned.tempAttach(system));
      assertTrue(e.getMessage().contains("borrows none"), e.getMessage());
      assertSame(third, owned.getManager());
    }
  }

  @Test
  void aCappedManagerRefusesArraysAndKeepsNoMemory() {
    manager.cap();
    IllegalStateException e = assertThrows(IllegalStateException.class, () -> manager.zeros(SHAPE));
    assertTrue(e.getMessage().contains("capped"), e.getMessage());
    assertLive(0, 0);
    try (NDManager child = manager.newSubManager()) {
      child.zeros(SHAPE);
      assertLive(1, 1);
    }
  }

  /** A tree's stream is closed once, after the arrays that are freed on it. */
  @Test
  void threadsMayCloseAManagerAtOnce() throws Exception {
    try (ExecutorService threads = Executors.newFixedThreadPool(2)) {
      for (int i = 0; i < 50; i++) {
        CudaNDManager tree = engine.newBaseManager();
        for (int j = 0; j < 50; j++) {
          tree.zeros(SHAPE);
        }
        CyclicBarrier together = new CyclicBarrier(2);
        Callable<Void> close =
            () -> {
              together.await();
              tree.close();
              return null;
            };
        for (Future<Void> closed : threads.invokeAll(List.of(close, close))) {
          closed.get();
        }
        assertFalse(tree.isOpen());
        assertLive(0, 0);
      }
    }
  }

  @Test
  void whatFailsIsFreed() {
    NDArray whole = manager.zeros(SHAPE);
    for (Runnable wrong :
        List.<Runnable>of(
            () -> manager.create(FloatBuffer.allocate(14), SHAPE),
            () -> manager.create(FloatBuffer.allocate(15), SHAPE, DataType.FLOAT16),
            () -> manager.zeros(SHAPE, DataType.FLOAT64),
            () -> manager.zeros(new Shape(-1, 2)),
            () -> manager.zeros(new Shape(1L << 40, 1L << 40)),
            () -> whole.concat(manager.zeros(new Shape(3, 5), DataType.INT32)),
            () -> whole.concat(manager.zeros(new Shape(4, 4))),
            () -> whole.add(manager.zeros(new Shape(4, 5))),
            () -> whole.broadcast(new Shape(1, 1, 1, 1, 1, 1, 1, 2, 3, 5)),
            () -> whole.broadcast(new Shape(2, 5)))) {
      try (NDScope scope = new NDScope()) {
        RuntimeException e = assertThrows(RuntimeException.class, wrong::run);
        assertTrue(
            e instanceof IllegalArgumentException || e instanceof UnsupportedOperationException,
            e.toString());
      }
    }
    assertLive(1, 1);
  }

  /** Each tree has its own stream; what is used in another is waited for. */
  @Test
  void treesUseEachOthersArrays() {
    CudaNDManager other = engine.newBaseManager();
    assertFalse(manager.stream().address() == other.stream().address());
    NDArray mine = manager.ones(SHAPE);
    NDArray sum = other.ones(SHAPE).add(mine);
    assertSame(other, sum.getManager());
    mine.attach(other);
    sum.attach(manager);
    NDArray view = sum.get(other, new NDIndex("1"));
    manager.close();
    assertArrayEquals(new float[] {2, 2, 2, 2, 2}, view.toFloatArray());
    assertEquals(1, mine.getFloat(2, 4));
    other.close();
    assertLive(0, 0);
  }

  @Test
  void arraysGoToTheCpuAndBack() {
    TestEngine.assumePyTorch();
    float[] values = {1, -2, 3.5f};
    NDArray onCpu = manager.create(values).toDevice(Device.cpu(), true);
    assertEquals("PyTorch", onCpu.getManager().getEngine().getEngineName());
    assertArrayEquals(values, onCpu.toFloatArray());
    NDArray back = manager.from(onCpu);
    assertArrayEquals(values, back.toFloatArray());
    assertSame(back, manager.from(back));
    NDManager cpuOfChild;
    try (NDManager child = manager.newSubManager()) {
      cpuOfChild = child.ones(SHAPE, DataType.FLOAT16).toDevice(Device.cpu(), false).getManager();
      NDArray brief = child.ones(SHAPE, DataType.BFLOAT16);
      assertThrows(UnsupportedOperationException.class, () -> brief.toDevice(Device.cpu(), true));
    }
    assertFalse(cpuOfChild.isOpen());
  }

  @Test
  void managersOfTheCpuAreClosedWithTheirParent() {
    TestEngine.assumePyTorch();
    CudaNDManager parent = manager.newSubManager();
    NDManager first = parent.newSubManager(Device.cpu());
    NDManager second = parent.newSubManager(Device.cpu());
    first.close();
    assertTrue(second.isOpen());
    assertEquals(Device.cpu(), second.ones(SHAPE).getDevice());
    parent.close();
    assertFalse(second.isOpen());
    assertThrows(IllegalStateException.class, () -> parent.newSubManager(Device.cpu()));
  }

  @Test
  void devicesAreIndependent() {
    assumeTrue(engine.getGpuCount() > 1, "needs two devices");
    NDArray here = manager.create(new float[] {1, 2, 3});
    NDArray there = here.toDevice(Device.gpu(1), true);
    assertEquals(Device.gpu(1), there.getDevice());
    assertEquals(1, engine.statistics(Device.gpu(1)).tensors());
    assertLive(1, 1);
    assertArrayEquals(new float[] {2, 3, 4}, there.add(1).toFloatArray());
    try (NDArray back = manager.from(there)) {
      assertEquals(Device.gpu(0), back.getDevice());
      assertEquals(here, back);
    }
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> here.add(there));
    assertTrue(e.getMessage().contains("add of an array of cuda:0"), e.getMessage());
    assertThrows(IllegalArgumentException.class, () -> there.attach(manager));
    manager.close();
    assertEquals(0, engine.statistics(Device.gpu(1)).tensors());
  }

  @Test
  void threadsMayShareAManager() throws Exception {
    try (ExecutorService threads = Executors.newFixedThreadPool(4)) {
      List<Future<Float>> sums =
          threads.invokeAll(
              IntStream.range(0, 40)
                  .<Callable<Float>>mapToObj(
                      i ->
                          () -> {
                            try (NDManager child = manager.newSubManager()) {
                              return child.full(SHAPE, (float) i).add(1).get(2).getFloat(3);
                            }
                          })
                  .toList());
      for (int i = 0; i < sums.size(); i++) {
        assertEquals(i + 1, sums.get(i).get());
      }
    }
    assertLive(0, 0);
  }
}
