package io.sparsevideo.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Streams, events, memory and copies: on the fake driver, and on the machine's where it has one.
 */
@ParameterizedClass
@EnumSource(TestDriver.class)
class CudaStreamTest {

  private static final int[] VALUES = IntStream.range(0, 100_003).map(i -> i * 31).toArray();

  @Parameter TestDriver kind;

  private final Arena arena = Arena.ofConfined();
  private CudaContext context;
  private CudaStream stream;

  @BeforeEach
  void open() {
    context = kind.open().device(0).retainContext();
    stream = context.newStream();
  }

  @AfterEach
  void close() {
    if (context != null) {
      stream.close();
      assertEquals(List.of(), context.openResources());
      context.close();
    }
    arena.close();
  }

  @Test
  void copiesInTheOrderOfTheStream() {
    try (DeviceMemory from = stream.allocate(4L * VALUES.length);
        DeviceMemory to = stream.allocate(4L * VALUES.length);
        PinnedMemory source = context.allocatePinned(4L * VALUES.length);
        PinnedMemory target = context.allocatePinned(4L * VALUES.length)) {
      source.segment().copyFrom(MemorySegment.ofArray(VALUES));
      stream.copyToDevice(from.segment(), source.segment());
      stream.copyOnDevice(to.segment(), from.segment());
      stream.copyToHost(target.segment(), to.segment());
      stream.synchronize();
      assertArrayEquals(VALUES, target.segment().toArray(ValueLayout.JAVA_INT));
      assertTrue(stream.isDone());
      assertTrue(context.memoryPool().usedBytes() >= 8L * VALUES.length);
      assertTrue(context.memoryPool().reservedBytes() >= context.memoryPool().usedBytes());
    }
  }

  @Test
  void copiesAndWaits() {
    try (DeviceMemory from = context.allocate(4L * VALUES.length);
        DeviceMemory to = context.allocate(4L * VALUES.length)) {
      context.copyToDevice(from.segment(), arena.allocateFrom(ValueLayout.JAVA_INT, VALUES));
      context.copyOnDevice(to.segment(), from.segment());
      MemorySegment back = arena.allocate(ValueLayout.JAVA_INT, VALUES.length);
      context.copyToHost(back, to.segment());
      assertArrayEquals(VALUES, back.toArray(ValueLayout.JAVA_INT));
      assertEquals(4L * VALUES.length, from.byteSize());
      assertTrue(context.freeMemory() <= context.device().totalMemory() - 8L * VALUES.length);
    }
  }

  @Test
  void fillsAndCopiesSlices() {
    try (DeviceMemory memory = stream.allocate(16)) {
      stream.fillInts(memory.segment(), 0x01020304);
      stream.fill(memory.segment().asSlice(5, 2), (byte) 9);
      MemorySegment back = arena.allocate(12);
      stream.copyToHost(back, memory.segment().asSlice(4));
      stream.synchronize();
      byte[] expected = {4, 9, 9, 1, 4, 3, 2, 1, 4, 3, 2, 1};
      assertArrayEquals(expected, back.toArray(ValueLayout.JAVA_BYTE));
    }
  }

  @Test
  void eventsKeepTimeAndOrder() {
    try (CudaEvent start = context.newEvent();
        CudaEvent end = context.newEvent();
        CudaEvent order = context.newUntimedEvent();
        CudaStream other = context.newStream();
        DeviceMemory memory = stream.allocate(1 << 20);
        DeviceMemory copy = stream.allocate(1 << 20)) {
      stream.record(start);
      stream.fill(memory.segment(), (byte) 7);
      stream.record(order);
      other.waitFor(order);
      other.copyOnDevice(copy.segment(), memory.segment());
      other.record(order);
      stream.waitFor(order);
      stream.record(end);
      end.synchronize();
      assertTrue(end.isDone());
      assertTrue(end.millisecondsSince(start) > 0);
      MemorySegment back = arena.allocate(1 << 20);
      context.copyToHost(back, copy.segment());
      assertEquals(7, back.get(ValueLayout.JAVA_BYTE, (1 << 20) - 1));
      CudaException e = assertThrows(CudaException.class, () -> order.millisecondsSince(start));
      assertTrue(e.getMessage().startsWith("cuEventElapsedTime(start 0x"), e.getMessage());
    }
  }

  @Test
  void capturedWorkRunsWhenLaunched() {
    try (DeviceMemory from = stream.allocate(1 << 10);
        DeviceMemory to = stream.allocate(1 << 10)) {
      stream.fill(from.segment(), (byte) 1);
      stream.fill(to.segment(), (byte) 2);
      CudaGraph graph =
          stream.capture(
              () -> {
                stream.copyOnDevice(to.segment(), from.segment());
                stream.fill(from.segment(), (byte) 3);
              });
      assertEquals(2, lastByte(to));
      try (graph) {
        stream.launch(graph);
        assertEquals(1, lastByte(to));
        stream.launch(graph);
        assertEquals(3, lastByte(to));
      }
      assertThrows(IllegalStateException.class, () -> stream.launch(graph));
    }
  }

  @Test
  void aFailedCaptureLeavesTheStreamUsable() {
    RuntimeException failure = new RuntimeException("of the work");
    RuntimeException e =
        assertThrows(
            RuntimeException.class,
            () ->
                stream.capture(
                    () -> {
                      throw failure;
                    }));
    assertEquals(failure, e);
    try (DeviceMemory memory = stream.allocate(8)) {
      stream.fill(memory.segment(), (byte) 5);
      assertEquals(5, lastByte(memory));
    }
  }

  @Test
  void aCaptureThatCannotEndIsNotEndedAgain() {
    assumeTrue(kind == TestDriver.FAKE, "the work ends the capture itself");
    CudaException e =
        assertThrows(
            CudaException.class,
            () -> stream.capture(() -> context.driver().destroyGraph(endCapture())));
    assertEquals(0, e.getSuppressed().length);
  }

  private long endCapture() {
    return context.driver().endCapture(stream.address());
  }

  private byte lastByte(DeviceMemory memory) {
    MemorySegment back = arena.allocate(memory.byteSize());
    stream.copyToHost(back, memory.segment());
    stream.synchronize();
    return back.get(ValueLayout.JAVA_BYTE, memory.byteSize() - 1);
  }

  @Test
  void thePoolKeepsWhatItIsToldTo() {
    CudaMemoryPool pool = context.memoryPool();
    pool.setReleaseThreshold(Long.MAX_VALUE);
    stream.allocate(1 << 20).close();
    stream.synchronize();
    assertEquals(0, pool.usedBytes());
    pool.trim(0);
    pool.setReleaseThreshold(0);
    assertEquals(0, pool.reservedBytes());
  }

  @Test
  void badCopiesAreRefused() {
    try (DeviceMemory memory = context.allocate(8)) {
      MemorySegment device = memory.segment();
      MemorySegment twelve = arena.allocate(12);
      assertRefused(
          "the target has 8 bytes, the source 12", () -> stream.copyToDevice(device, twelve));
      assertRefused(
          "the target has 12 bytes, the source 8", () -> context.copyToHost(twelve, device));
      MemorySegment heap = MemorySegment.ofArray(new byte[8]);
      assertRefused("the source must be native", () -> stream.copyToDevice(device, heap));
      assertRefused("the target must be native", () -> stream.copyToHost(heap, device));
      MemorySegment readOnly = arena.allocate(8).asReadOnly();
      assertRefused("the target is read-only", () -> context.copyToHost(readOnly, device));
      assertRefused("whole 32-bit values", () -> stream.fillInts(device.asSlice(0, 6), 1));
      assertRefused("whole 32-bit values", () -> stream.fillInts(device.asSlice(2, 4), 1));
    }
  }

  private static void assertRefused(String reason, Runnable call) {
    IllegalArgumentException e = assertThrows(IllegalArgumentException.class, call::run);
    assertTrue(e.getMessage().contains(reason), e.getMessage());
  }
}
