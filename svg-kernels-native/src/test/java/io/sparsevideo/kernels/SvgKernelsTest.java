package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.FakeCuda;
import io.sparsevideo.kernels.ffi.svg_kernels_h;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** What Java checks before a call; results are in the tests of the single kernels. */
class SvgKernelsTest {

  private final SvgKernels kernels = SvgKernels.host();
  private final Arena arena = Arena.ofConfined();

  @AfterEach
  void free() {
    arena.close();
  }

  @Test
  void hostIsShared() {
    assertSame(kernels, SvgKernels.host());
    assertEquals(KernelLibrary.Kind.HOST, kernels.library().kind());
  }

  @Test
  void aCudaStreamNeedsTheCudaLibrary() {
    try (CudaContext context = FakeCuda.driver().device(0).retainContext();
        CudaStream stream = context.newStream()) {
      IllegalArgumentException e =
          assertThrows(
              IllegalArgumentException.class, () -> SvgKernels.on(kernels.library(), stream));
      assertTrue(e.getMessage().contains("needs the CUDA library, not HOST"), e.getMessage());
    }
  }

  @Test
  void anObserverIsThereForEveryCall() {
    List<String> seen = new ArrayList<>();
    SvgKernels observed =
        kernels.observedBy(
            (function, call) -> {
              seen.add(function);
              call.run();
            });
    Heads x = heads(KernelType.F32, 2, 6, 8);
    observed.rmsNorm(x, x, null, null, 1e-6f);
    KernelException e =
        assertThrows(KernelException.class, () -> observed.rmsNorm(x, x, null, null, -1));
    assertTrue(e.getMessage().contains("epsilon"), e.getMessage());
    assertEquals(List.of("svg_rms_norm", "svg_rms_norm"), seen);
    assertSame(kernels.library(), observed.library());
  }

  @Test
  void tensorsOfOneCallMustAgree() {
    Heads q = heads(KernelType.F32, 2, 6, 8);
    refuses(
        "svg_attention_dense: k is a tensor of 3 heads",
        () -> dense(q, heads(KernelType.F32, 3, 6, 8), q, q));
    refuses("v is a tensor", () -> dense(q, q, heads(KernelType.F32, 2, 6, 4), q));
    refuses("of F16", () -> dense(q, q, q, heads(KernelType.F16, 2, 6, 8)));
    refuses("v.rows is 5, k.rows is 6", () -> dense(q, q, heads(KernelType.F32, 2, 5, 8), q));
    refuses("out.rows is 7, q.rows is 6", () -> dense(q, q, q, heads(KernelType.F32, 2, 7, 8)));
    refuses(
        "svg_attention_band: k.rows is 5",
        () ->
            kernels.attentionBand(
                q,
                heads(KernelType.F32, 2, 5, 8),
                heads(KernelType.F32, 2, 5, 8),
                heads(KernelType.F32, 2, 6, 8),
                1,
                new BandMask(6, 0, 0, 1)));
    refuses(
        "layout.rows is 7",
        () ->
            kernels.videoLayout(
                q, heads(KernelType.F32, 2, 6, 8), new VideoLayout(2, 3, 1), memory(8), false));
  }

  @Test
  void outputsMustNotOverlapInputs() {
    Heads q = heads(KernelType.F32, 2, 6, 8);
    refuses("out at [", () -> dense(q, q, q, q));
    refuses("svg_permute_rows: dst at [", () -> kernels.permuteRows(q, q, 0, memory(4), false));
  }

  @Test
  void arraysMustBeThereAndLongEnough() {
    refuses(
        "labels of shape [2, 5] needs 40 bytes, the memory has 36",
        () -> kernels.sortLabels(2, 5, 3, 0, 0, 0, memory(36), memory(40), memory(32)));
    refuses(
        "offsets of shape [2, 4] needs 32 bytes, the memory has 28",
        () -> kernels.sortLabels(2, 5, 3, 0, 0, 0, memory(40), memory(40), memory(28)));
    refuses(
        "order is null", () -> kernels.sortLabels(2, 5, 3, 0, 0, 0, memory(40), null, memory(32)));
    refuses(
        "larger than any memory",
        () ->
            kernels.blockMap(
                Integer.MAX_VALUE,
                Integer.MAX_VALUE,
                Integer.MAX_VALUE,
                1,
                0,
                0,
                1,
                1,
                memory(8),
                memory(8),
                memory(8),
                memory(8)));
    refuses("clusters must be at least 1, is -1", () -> sort(-1));
    Heads x = heads(KernelType.F32, 1, 4, 8);
    refuses(
        "centroids of shape [1, 2, 8] needs 64 bytes",
        () -> kernels.kmeans(x, 2, 1, 0, null, memory(60), memory(16), memory(8), null));
    refuses(
        "lse of shape [1, 4] needs 16 bytes",
        () -> kernels.attentionDense(x, x, x, heads(KernelType.F32, 1, 4, 8), 1, 0, memory(12)));
  }

  @Test
  void memoryMustBeNativeAlignedOpenAccessibleAndWritable() throws InterruptedException {
    refuses(
        "order must be native memory",
        () ->
            kernels.sortLabels(
                1, 2, 1, 0, 0, 0, memory(8), MemorySegment.ofArray(new int[2]), memory(8)));
    refuses(
        "labels must start at a multiple of 4 bytes",
        () -> kernels.sortLabels(1, 2, 1, 0, 0, 0, memory(10).asSlice(2), memory(8), memory(8)));
    refuses(
        "order is written, but its memory is read-only",
        () -> kernels.sortLabels(1, 2, 1, 0, 0, 0, memory(8), memory(8).asReadOnly(), memory(8)));

    MemorySegment gone;
    Heads goneHeads;
    try (Arena closed = Arena.ofConfined()) {
      gone = closed.allocate(8, 4);
      goneHeads = Heads.headMajor(closed.allocate(2 * 6 * 8 * 4, 4), KernelType.F32, 2, 6, 8);
    }
    refuses(
        "labels is memory of an arena that is closed",
        () -> kernels.sortLabels(1, 2, 1, 0, 0, 0, gone, memory(8), memory(8)));
    Heads q = heads(KernelType.F32, 2, 6, 8);
    refuses("v is memory of an arena that is closed", () -> dense(q, q, goneHeads, q));

    MemorySegment confined = memory(8);
    KernelException[] caught = new KernelException[1];
    Thread thread =
        new Thread(
            () ->
                caught[0] =
                    assertThrows(
                        KernelException.class,
                        () -> kernels.sortLabels(1, 2, 1, 0, 0, 0, confined, confined, confined)));
    thread.start();
    thread.join();
    assertTrue(caught[0].getMessage().contains("confined to another thread"));
  }

  @Test
  void theLibrarysOwnRefusalsAreKernelExceptions() {
    MemorySegment labels = Tensors.ints(arena, 0, 9);
    KernelException e =
        refuses(
            "svg_sort_labels: labels[0][1] is 9, expected 0 to 2",
            () -> kernels.sortLabels(1, 2, 3, 0, 0, 0, labels, memory(8), memory(16)));
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
  }

  @Test
  void aCallAfterAFailureWorks() {
    refuses("clusters", () -> sort(0));
    MemorySegment order = memory(8);
    kernels.sortLabels(1, 2, 2, 0, 0, 0, Tensors.ints(arena, 1, 0), order, memory(12));
    assertEquals(1, order.get(ValueLayout.JAVA_INT, 0));
  }

  private void sort(int clusters) {
    kernels.sortLabels(1, 2, clusters, 0, 0, 0, memory(8), memory(8), memory(16));
  }

  private void dense(Heads q, Heads k, Heads v, Heads out) {
    kernels.attentionDense(q, k, v, out, 1, 0, null);
  }

  private Heads heads(KernelType type, int heads, int rows, int dim) {
    MemorySegment data = memory((long) heads * rows * dim * type.bytes());
    return Heads.headMajor(data, type, heads, rows, dim);
  }

  private MemorySegment memory(long bytes) {
    return arena.allocate(bytes, 4);
  }

  private static KernelException refuses(String message, Executable action) {
    KernelException e = assertThrows(KernelException.class, action);
    assertTrue(e.getMessage().contains(message), e.getMessage());
    return e;
  }

  /** Kernels whose working memory has no room a number of times, and then has. */
  private static SvgKernels withoutMemory(int[] refusals) {
    KernelLibrary library = KernelLibrary.load(KernelLibrary.Kind.HOST);
    int outOfMemory = svg_kernels_h.SVG_OUT_OF_MEMORY();
    return new SvgKernels(library, (function, params) -> refusals[0]-- > 0 ? outOfMemory : 0);
  }

  @Test
  void anOutOfMemoryIsTriedOnceMore() {
    int[] calls = new int[1];
    SvgKernels.MemoryRecovery recovery =
        new SvgKernels.MemoryRecovery() {
          @Override
          public void makeRoom() {
            calls[0]++;
          }

          @Override
          public RuntimeException outOfMemory(String use, KernelException cause) {
            return new IllegalStateException(use, cause);
          }
        };
    Runnable sort =
        () ->
            withoutMemory(new int[] {1})
                .recoveringBy(recovery)
                .sortLabels(1, 1, 1, 0, 0, 0, memory(4), memory(4), memory(8));
    sort.run();
    assertEquals(1, calls[0]);
    IllegalStateException e =
        assertThrows(
            IllegalStateException.class,
            () ->
                withoutMemory(new int[] {2})
                    .recoveringBy(recovery)
                    .sortLabels(1, 1, 1, 0, 0, 0, memory(4), memory(4), memory(8)));
    assertEquals("the working memory of svg_sort_labels", e.getMessage());
    assertEquals(KernelException.Status.OUT_OF_MEMORY, ((KernelException) e.getCause()).status());
  }

  @Test
  void anObserverMustCall() {
    SvgKernels observed = SvgKernels.host().observedBy((function, call) -> {});
    assertThrows(
        IllegalStateException.class,
        () -> observed.sortLabels(1, 1, 1, 0, 0, 0, memory(4), memory(4), memory(8)));
  }
}
