package io.sparsevideo.cuda.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** Statistics, and what happens when memory runs out. */
@ParameterizedClass
@EnumSource(TestEngine.class)
class DeviceHeapTest {

  private static final long MB = 1_000_000;

  @Parameter TestEngine kind;

  private CudaNDManager manager;

  @BeforeEach
  void open() {
    manager = kind.open().newBaseManager();
  }

  @AfterEach
  void close() {
    if (manager != null) {
      manager.close();
      assertEquals(0, manager.statistics().liveBytes());
    }
  }

  @Test
  void statisticsCountBytes() {
    MemoryStatistics before = manager.statistics();
    NDArray first = manager.create(new Shape(3 * MB), DataType.INT8);
    NDArray view = first.reshape(3, MB);
    NDArray second = manager.create(new Shape(MB), DataType.INT32);
    MemoryStatistics now = manager.statistics();
    assertEquals(before.arrays() + 3, now.arrays());
    assertEquals(before.tensors() + 2, now.tensors());
    assertEquals(before.liveBytes() + 7 * MB, now.liveBytes());
    assertTrue(now.peakBytes() >= now.liveBytes());
    assertTrue(now.usedBytes() >= now.liveBytes());
    assertTrue(now.reservedBytes() >= now.usedBytes());
    second.close();
    first.close();
    assertEquals(before.liveBytes() + 3 * MB, manager.statistics().liveBytes());
    view.close();
    manager.stream().synchronize();
    MemoryStatistics after = manager.statistics();
    assertEquals(now.peakBytes(), after.peakBytes());
    manager.restartPeak();
    assertEquals(after.liveBytes(), manager.statistics().peakBytes());
    assertTrue(after.reservedBytes() >= 7 * MB, "the pool keeps what is freed");
    assertTrue(after.fragmentation() > 0 && after.fragmentation() <= 1);
  }

  @Test
  void aClosedTreeGivesItsMemoryBackToTheSystem() {
    long free = manager.statistics().freeBytes();
    manager.create(new Shape(5 * MB), DataType.INT8);
    manager.close();
    assertEquals(0, manager.statistics().reservedBytes() - manager.statistics().usedBytes());
    // With what the pool, which is the process's, had kept from others before.
    assertTrue(manager.statistics().freeBytes() >= free);
  }

  @Test
  void outOfMemorySaysWhatWasAskedAndWhoHoldsIt() {
    NDArray weights = manager.create(new Shape(30, MB), DataType.INT8);
    weights.setName("blocks.3.ffn.weight");
    manager.create(new Shape(MB), DataType.BFLOAT16);
    long free = manager.statistics().freeBytes();
    Shape tooLarge = new Shape(2048, 1L << 30);
    CudaOutOfMemoryException e =
        assertThrows(
            CudaOutOfMemoryException.class, () -> manager.create(tooLarge, DataType.FLOAT32));
    assertEquals(1L << 43, e.askedBytes());
    assertTrue(e.freeBytes() >= free && e.freeBytes() < 1L << 43);
    assertTrue(
        e.getMessage().contains("has no 8796.09 GB for (2048, 1073741824) float32"),
        e.getMessage());
    assertTrue(
        e.getMessage().contains("\n  blocks.3.ffn.weight (30, 1000000) int8, 30.0 MB\n"),
        e.getMessage());
    assertTrue(e.getMessage().contains("\n  (unnamed) (1000000) bfloat16, 2.0 MB"));
    assertEquals(1, manager.ones(new Shape(1)).getFloat(0)); // and goes on
  }

  /** The pool holds enough, but not in one piece: the second attempt finds it given back. */
  @Test
  void whatThePoolKeepsIsGivenBackBeforeGivingUp() {
    long free = manager.statistics().freeBytes() + manager.statistics().reservedBytes();
    long part = free / 10 * 6;
    manager.create(new Shape(part), DataType.INT8).close();
    assertTrue(manager.statistics().reservedBytes() >= part);
    NDArray larger = manager.create(new Shape(free / 10 * 7), DataType.INT8);
    assertEquals(free / 10 * 7, larger.size());
    larger.close();
  }
}
