package io.sparsevideo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Contexts of several devices and threads: on the fake driver, which has two devices. */
class CudaContextTest {

  private final CudaDriver driver = FakeCuda.driver();
  private CudaContext first;
  private CudaContext second;

  @BeforeEach
  void retain() {
    first = driver.device(0).retainContext();
    second = driver.device(1).retainContext();
  }

  @AfterEach
  void release() {
    first.close();
    second.close();
  }

  @Test
  void workGoesToTheDeviceThatItIsAskedOf() {
    first.setCurrent();
    long freeBefore = second.freeMemory();
    try (DeviceMemory memory = second.allocate(1000)) {
      assertEquals(freeBefore - 1000, second.freeMemory());
      assertEquals(1 << 30, first.freeMemory());
      assertEquals("1000 bytes of cuda:1 Fake device B", memory.toString());
    }
    assertEquals(freeBefore, second.freeMemory());
    assertEquals(first.address(), first.driver().currentContext());
  }

  @Test
  void enteringIsUndone() {
    try (CudaContext.Scope outer = first.enter()) {
      try (CudaContext.Scope inner = second.enter();
          CudaContext.Scope again = second.enter()) {
        assertEquals(second.address(), first.driver().currentContext());
      }
      assertEquals(first.address(), first.driver().currentContext());
    }
    assertEquals(0, first.driver().currentContext());
  }

  @Test
  void everyThreadMayCall() throws Exception {
    try (ExecutorService threads = Executors.newFixedThreadPool(4);
        CudaStream stream = first.newStream()) {
      List<Future<Boolean>> done =
          threads.invokeAll(
              IntStream.range(0, 100)
                  .<java.util.concurrent.Callable<Boolean>>mapToObj(
                      i ->
                          () -> {
                            try (DeviceMemory memory = stream.allocate(64 + i)) {
                              stream.fill(memory.segment(), (byte) i);
                            }
                            return stream.isDone();
                          })
                  .toList());
      for (Future<Boolean> result : done) {
        assertTrue(result.get());
      }
    }
    assertEquals(0, first.memoryPool().usedBytes());
  }

  @Test
  void whatIsOpenIsNamedAndKeepsTheContextOpen() {
    CudaStream stream = first.newStream();
    CudaEvent event = first.newEvent();
    DeviceMemory memory = first.allocate(12);
    PinnedMemory pinned = first.allocatePinned(34);
    List<String> open =
        List.of(
            "12 bytes of cuda:0 Fake device A",
            "34 bytes of pinned memory",
            "event of cuda:0 Fake device A",
            "stream of cuda:0 Fake device A");
    assertEquals(open, first.openResources());
    IllegalStateException e = assertThrows(IllegalStateException.class, first::close);
    assertTrue(e.getMessage().contains(String.join(", ", open)), e.getMessage());
    for (AutoCloseable resource : List.of(stream, event, memory, pinned)) {
      assertClosesTwice(resource);
    }
    assertEquals(List.of(), first.openResources());
    assertClosesTwice(first);
    assertThrows(IllegalStateException.class, first::newStream);
    assertThrows(IllegalStateException.class, first::setCurrent);
  }

  @Test
  void aClosedContextIsNotCurrent() {
    CudaContext context = driver.device(0).retainContext();
    context.setCurrent();
    context.close();
    assertEquals(0, first.driver().currentContext());
  }

  @Test
  void whatIsClosedIsRefused() {
    CudaStream stream = first.newStream();
    CudaEvent event = first.newEvent();
    DeviceMemory memory = first.allocate(4);
    PinnedMemory pinned = first.allocatePinned(4);
    MemorySegment host = pinned.segment();
    stream.close();
    event.close();
    memory.close();
    pinned.close();
    assertThrows(IllegalStateException.class, stream::synchronize);
    assertThrows(IllegalStateException.class, event::synchronize);
    assertThrows(IllegalStateException.class, memory::segment);
    assertThrows(IllegalStateException.class, pinned::segment);
    assertThrows(
        IllegalStateException.class, () -> host.get(java.lang.foreign.ValueLayout.JAVA_INT, 0));
  }

  @Test
  void poolMemoryMayOutliveItsStream() {
    CudaStream stream = first.newStream();
    DeviceMemory memory = stream.allocate(100);
    stream.close();
    assertEquals(100, first.memoryPool().usedBytes());
    memory.close();
    assertEquals(0, first.memoryPool().usedBytes());
  }

  @Test
  void sizesBelowOneAreRefused() {
    try (CudaStream stream = first.newStream()) {
      for (Runnable wrong :
          List.<Runnable>of(
              () -> first.allocate(0), () -> first.allocatePinned(0), () -> stream.allocate(0))) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, wrong::run);
        assertEquals("bytes must be at least 1, is 0", e.getMessage());
      }
      IllegalArgumentException e =
          assertThrows(
              IllegalArgumentException.class, () -> first.memoryPool().setReleaseThreshold(-1));
      assertEquals("bytes must be at least 0, is -1", e.getMessage());
    }
  }

  private static void assertClosesTwice(AutoCloseable resource) {
    try {
      resource.close();
      resource.close();
    } catch (Exception e) {
      throw new AssertionError(resource + " does not close twice", e);
    }
  }
}
