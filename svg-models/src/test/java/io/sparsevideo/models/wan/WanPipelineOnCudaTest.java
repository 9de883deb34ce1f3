package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.Cancellation;
import io.sparsevideo.GenerationCancelledException;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.ProgressListener;
import io.sparsevideo.Video;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.LayerDensity;
import io.sparsevideo.checkpoint.DiffusersFolder;
import io.sparsevideo.cuda.engine.CudaOutOfMemoryException;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.FakeGpus;
import io.sparsevideo.cuda.engine.MemoryStatistics;
import io.sparsevideo.cuda.engine.TestEngine;
import io.sparsevideo.models.GenerationProgress;
import io.sparsevideo.tensor.DjlTensorOps;
import io.sparsevideo.video.VideoMetrics;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The whole of a generation on the CUDA engine over the fake driver, with the host kernels. */
class WanPipelineOnCudaTest {
  private CudaTensorOps ops;
  private WanCheckpoint checkpoint;

  @BeforeEach
  void open() throws URISyntaxException {
    Path folder = Path.of(getClass().getResource("/golden/wan-t2v/checkpoint").toURI());
    checkpoint = new WanCheckpoint(DiffusersFolder.open(folder));
    ops = TestEngine.FAKE.openOps(DataType.BFLOAT16);
  }

  @AfterEach
  void close() {
    FakeGpus.refuse(Long.MAX_VALUE, 0);
    checkpoint.close();
    ops.close();
    assertEquals(0, statistics().tensors());
  }

  private MemoryStatistics statistics() {
    return ops.manager().statistics();
  }

  private static VideoRequest.Builder small() {
    return VideoRequest.builder()
        .setPrompt("a cat")
        .optHeight(32)
        .optWidth(48)
        .optFrames(5)
        .optSteps(2)
        .optSeed(3);
  }

  private static AttentionMode mode(AttentionMode.Kind kind) {
    AttentionMode mode =
        switch (kind) {
          case DENSE -> AttentionMode.dense();
          case SVG1 -> AttentionMode.svg1();
          case SVG2 -> AttentionMode.svg2().optTopP(.5);
        };
    return kind == AttentionMode.Kind.DENSE ? mode : mode.optFirstTimes(0).optFirstLayers(0);
  }

  @ParameterizedTest
  @EnumSource
  void drawsWhatTheCpuDraws(AttentionMode.Kind kind) {
    TestEngine.assumePyTorch();
    try (DjlTensorOps cpu = new DjlTensorOps();
        WanPipeline there = new WanPipeline(checkpoint, cpu, mode(kind));
        WanPipeline here = new WanPipeline(checkpoint, ops, mode(kind))) {
      Video expected = there.generate(small().build());
      Video found = here.generate(small().build());
      assertEquals(expected.frames().size(), found.frames().size());
      double psnr = VideoMetrics.psnr(expected, found);
      // In 16 bits near ties fall otherwise: rows in other clusters, clusters in or out of the map.
      assertTrue(psnr > (kind == AttentionMode.Kind.SVG2 ? 25 : 35), "PSNR " + psnr);
      assertEquals("cuda:0 Fake device A", found.report().device());
      List<LayerDensity> densities = found.report().densities();
      for (int i = 0; i < densities.size(); i++) {
        LayerDensity other = expected.report().densities().get(i);
        assertEquals(other.kind(), densities.get(i).kind());
        assertEquals(other.density(), densities.get(i).density(), .02, other.toString());
      }
    }
  }

  @Test
  void theSameRequestGivesTheSameFrames() {
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode(AttentionMode.Kind.SVG2))) {
      Video first = pipeline.generate(small().build());
      Video second = pipeline.generate(small().build());
      for (int i = 0; i < first.frames().size(); i++) {
        assertArrayEquals(first.frames().get(i), second.frames().get(i));
      }
    }
  }

  @ParameterizedTest
  @EnumSource
  void aDenoisingStepDoesNotWaitForTheDevice(AttentionMode.Kind kind) {
    List<Long> waits = new ArrayList<>();
    ProgressListener listener =
        new ProgressListener() {
          @Override
          public void progress(Stage stage, int done, int total) {
            if (stage == Stage.DENOISING) {
              waits.add(FakeGpus.waits());
            }
          }
        };
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode(kind))) {
      pipeline.generate(small().optSteps(4).optListener(listener).build());
    }
    assertEquals(5, waits.size());
    assertEquals(1, new TreeSet<>(waits).size(), "waits before and after each step: " + waits);
  }

  @Test
  void memoryDoesNotGrow() {
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode(AttentionMode.Kind.SVG2))) {
      VideoRequest.Builder image = small().optFrames(1);
      pipeline.generate(image.build());
      MemoryStatistics first = statistics();
      for (int i = 0; i < 19; i++) {
        pipeline.generate(image.optSeed(i).build());
        MemoryStatistics now = statistics();
        assertEquals(first.arrays(), now.arrays());
        assertEquals(first.tensors(), now.tensors());
        assertEquals(first.liveBytes(), now.liveBytes());
        assertEquals(first.reservedBytes(), now.reservedBytes());
      }
    }
  }

  @Test
  void aRequestThatCannotFitIsRefusedBeforeAnythingIsLoaded() {
    MemoryStatistics empty = statistics();
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode(AttentionMode.Kind.DENSE));
        NDArray others = fillUpTo(100_000)) {
      long before = FakeGpus.allocations();
      String message =
          assertThrows(InvalidRequestException.class, () -> pipeline.generate(small().build()))
              .getMessage();
      assertTrue(message.contains("of cuda:0 Fake device A, 0.0 GB are free"), message);
      assertEquals(before, FakeGpus.allocations());
    }
    assertEquals(empty.liveBytes(), statistics().liveBytes());
  }

  /** The CPU has no such limit. */
  @Test
  void moreClustersThanTheKernelsTakeAreRefusedBeforeAnythingIsLoaded() {
    long before = FakeGpus.allocations();
    AttentionMode mode = AttentionMode.svg2().optKeyClusters(4097);
    VideoRequest large = small().optHeight(512).optWidth(512).optFrames(29).build(); // 8,192 tokens
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode)) {
      String message =
          assertThrows(InvalidRequestException.class, () -> pipeline.generate(large)).getMessage();
      assertTrue(
          message.contains("4097 key clusters, cuda:0 Fake device A takes at most 4096"), message);
    }
    assertEquals(before, FakeGpus.allocations());
  }

  @Test
  void aRefusedRequestLeavesWhatIsLoaded() {
    List<String> started = new ArrayList<>();
    ProgressListener listener =
        new ProgressListener() {
          @Override
          public void started(String device) {
            started.add(device);
          }
        };
    VideoRequest large =
        small().optHeight(256).optWidth(256).optFrames(81).optListener(listener).build();
    GenerationProgress none = new GenerationProgress(ProgressListener.NONE, new Cancellation());
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode(AttentionMode.Kind.DENSE))) {
      WanTransformer loaded = pipeline.transformer(none);
      try (NDArray others = fillUpTo(100_000)) {
        assertThrows(InvalidRequestException.class, () -> pipeline.generate(large));
      }
      assertSame(loaded, pipeline.transformer(none));
      assertEquals(List.of(), started);
    }
  }

  /** The text encoder fits, but not beside the transformer: that is loaded anew. */
  @Test
  void theTransformerMakesRoomForTheTextEncoder() {
    VideoRequest image = small().optFrames(1).optHeight(16).optWidth(16).optSteps(1).build();
    AttentionMode dense = AttentionMode.dense();
    WanMemory need =
        WanMemory.of(
            checkpoint, WanRequests.settings(checkpoint, dense, image), dense, ops.computeType());
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, dense)) {
      Video expected = pipeline.generate(image);
      GenerationProgress none = new GenerationProgress(ProgressListener.NONE, new Cancellation());
      WanTransformer first = pipeline.transformer(none);
      try (NDArray others = fillUpTo(need.encoderWeights() + need.encoding() - 1)) {
        Video found = pipeline.generate(image);
        assertArrayEquals(expected.frames().getFirst(), found.frames().getFirst());
        assertNotSame(first, pipeline.transformer(none));
      }
    }
  }

  /** Takes the device's memory but so many bytes. */
  private NDArray fillUpTo(long left) {
    long bytes = ops.freeMemory().orElseThrow() - left;
    return ops.manager().create(new Shape(bytes), DataType.UINT8);
  }

  /** Memory runs out at many places of a generation, among them some of every stage. */
  @Test
  void anOutOfMemoryLeavesThePipelineUsable() {
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode(AttentionMode.Kind.SVG2))) {
      pipeline.generate(small().build()); // loads what stays
      long before = FakeGpus.allocations();
      pipeline.generate(small().build());
      long allocations = FakeGpus.allocations() - before;
      MemoryStatistics resident = statistics();
      for (long n = 0; n < allocations; n += 1 + allocations / 25) {
        long place = n;
        FakeGpus.refuse(n, 2);
        assertThrows(
            CudaOutOfMemoryException.class,
            () -> pipeline.generate(small().build()),
            () -> "at allocation " + place + " of " + allocations);
        FakeGpus.refuse(Long.MAX_VALUE, 0);
      }
      pipeline.generate(small().optFrames(1).build());
      pipeline.generate(small().build());
      assertEquals(resident.liveBytes(), statistics().liveBytes());
      assertEquals(resident.arrays(), statistics().arrays());
    }
  }

  @Test
  void anOutOfMemoryWhileLoadingLeavesNothing() {
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode(AttentionMode.Kind.DENSE))) {
      MemoryStatistics empty = statistics();
      for (ProgressListener.Stage stage :
          List.of(ProgressListener.Stage.TEXT, ProgressListener.Stage.LOADING)) {
        VideoRequest request =
            small()
                .optListener(
                    new ProgressListener() {
                      @Override
                      public void progress(Stage at, int done, int total) {
                        if (at == stage && done == 0) {
                          FakeGpus.refuse(5, 2);
                        }
                      }
                    })
                .build();
        assertThrows(CudaOutOfMemoryException.class, () -> pipeline.generate(request));
        FakeGpus.refuse(Long.MAX_VALUE, 0);
        assertEquals(empty.liveBytes(), statistics().liveBytes(), stage.label());
      }
      pipeline.generate(small().build());
    }
  }

  @Test
  void cancellationFrees() {
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode(AttentionMode.Kind.SVG2))) {
      pipeline.generate(small().build());
      MemoryStatistics resident = statistics();
      for (ProgressListener.Stage stage : ProgressListener.Stage.values()) {
        Cancellation cancellation = new Cancellation();
        VideoRequest request =
            small()
                .optCancellation(cancellation)
                .optListener(
                    new ProgressListener() {
                      @Override
                      public void progress(Stage at, int done, int total) {
                        if (at == stage) {
                          cancellation.cancel();
                        }
                      }
                    })
                .build();
        assertThrows(GenerationCancelledException.class, () -> pipeline.generate(request));
        assertEquals(resident.liveBytes(), statistics().liveBytes(), stage.label());
        assertEquals(resident.arrays(), statistics().arrays(), stage.label());
      }
    }
  }
}
