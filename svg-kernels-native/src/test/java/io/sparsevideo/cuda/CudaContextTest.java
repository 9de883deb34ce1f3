package io.sparsevideo.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.util.ArrayList;
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

  /** The context is the device's: others may hold it, and it is gone when nobody does. */
  @Test
  void aContextStaysCurrentWhileOthersHoldIt() {
    CudaContext again = driver.device(0).retainContext();
    again.setCurrent();
    again.close();
    assertEquals(first.address(), first.driver().currentContext());
    first.close();
    assertEquals(0, first.driver().currentContext());
  }

  /** What another thread makes while the context is closed is given back. */
  @Test
  void nothingIsOpenedFromAClosedContext() {
    CudaContext context = driver.device(0).retainContext();
    try (CudaContext.Scope current = first.enter()) {
      long event = first.driver().newEvent(0);
      context.close();
      IllegalStateException e =
          assertThrows(
              IllegalStateException.class, () -> context.opened(new CudaEvent(context, event)));
      assertEquals("context of cuda:0 Fake device A is closed", e.getMessage());
      assertEquals(List.of(), context.openResources());
      assertThrows(CudaException.class, () -> first.driver().destroyEvent(event));
    }
  }

  /** The C library's qsort holds its argument while it calls back. */
  @Test
  void pinnedMemoryInUseStaysOpen() throws Throwable {
    PinnedMemory pinned = first.allocatePinned(8);
    Linker linker = Linker.nativeLinker();
    List<RuntimeException> refused = new ArrayList<>();
    try (Arena arena = Arena.ofConfined()) {
      MethodHandle compare =
          MethodHandles.insertArguments(
              MethodHandles.lookup()
                  .findStatic(
                      CudaContextTest.class,
                      "closeWhileComparing",
                      MethodType.methodType(
                          int.class,
                          PinnedMemory.class,
                          List.class,
                          MemorySegment.class,
                          MemorySegment.class)),
              0,
              pinned,
              refused);
      MemorySegment comparator =
          linker.upcallStub(compare, FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS), arena);
      linker
          .downcallHandle(
              linker.defaultLookup().findOrThrow("qsort"),
              FunctionDescriptor.ofVoid(ADDRESS, JAVA_LONG, JAVA_LONG, ADDRESS))
          .invokeExact(pinned.segment(), 2L, 4L, comparator);
    }
    assertFalse(refused.isEmpty());
    assertEquals(IllegalStateException.class, refused.getFirst().getClass());
    pinned.segment().fill((byte) 1);
    assertClosesTwice(pinned);
    assertEquals(List.of(), first.openResources());
  }

  private static int closeWhileComparing(
      PinnedMemory pinned, List<RuntimeException> refused, MemorySegment a, MemorySegment b) {
    try {
      pinned.close();
    } catch (RuntimeException e) { // an exception must not go through native code
      refused.add(e);
    }
    return 0;
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
    assertThrows(IllegalStateException.class, () -> host.get(JAVA_INT, 0));
  }

  /** The driver refuses to free it while what its stream still had to do may use it. */
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
