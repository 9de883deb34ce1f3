package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.Cancellation;
import io.sparsevideo.GenerationCancelledException;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.ProgressListener;
import io.sparsevideo.ProgressListener.Stage;
import io.sparsevideo.SparseVideoException;
import io.sparsevideo.Video;
import io.sparsevideo.VideoPipeline;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.checkpoint.DiffusersFolder;
import io.sparsevideo.tensor.DeviceUnavailableException;
import io.sparsevideo.tensor.DjlTensorOps;
import io.sparsevideo.tensor.TorchRandom;
import java.awt.image.BufferedImage;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;

class WanPipelineTest {
  private static DjlTensorOps ops;
  private static WanCheckpoint checkpoint;

  @BeforeAll
  static void open() throws URISyntaxException {
    ops = new DjlTensorOps();
    checkpoint = new WanCheckpoint(DiffusersFolder.open(folder()));
  }

  @AfterAll
  static void close() {
    checkpoint.close();
    ops.close();
  }

  private static Path folder() throws URISyntaxException {
    return Path.of(WanPipelineTest.class.getResource("/golden/wan-t2v/checkpoint").toURI());
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

  private static WanPipeline pipeline(AttentionMode mode) {
    return new WanPipeline(checkpoint, ops, mode);
  }

  @Test
  void theSameRequestGivesTheSameFrames() {
    AttentionMode mode = AttentionMode.svg2().optFirstTimes(0).optFirstLayers(0).optTopP(.5);
    try (WanPipeline first = pipeline(mode);
        WanPipeline second = pipeline(mode)) {
      Video a = first.generate(small().build());
      assertEquals(48, a.width());
      assertEquals(32, a.height());
      assertEquals(5, a.frames().size());
      assertSame(a, first.generate(small().build()));
      assertSame(a, second.generate(small().build()));
      assertFalse(same(a, first.generate(small().optSeed(4).build())));
      assertFalse(same(a, first.generate(small().setPrompt("a dog").build())));
    }
  }

  private static boolean same(Video a, Video b) {
    for (int i = 0; i < a.frames().size(); i++) {
      if (!Arrays.equals(a.frames().get(i), b.frames().get(i))) {
        return false;
      }
    }
    return true;
  }

  private static void assertSame(Video a, Video b) {
    for (int i = 0; i < a.frames().size(); i++) {
      assertArrayEquals(a.frames().get(i), b.frames().get(i));
    }
  }

  @Test
  void initialLatentsReplaceTheSeed() {
    float[] noise = TorchRandom.normal(3, 16 * 2 * 4 * 6);
    try (WanPipeline pipeline = pipeline(AttentionMode.dense())) {
      assertSame(
          pipeline.generate(small().build()),
          pipeline.generate(small().optSeed(99).optInitialLatents(noise).build()));
      refused(pipeline, "768", small().optInitialLatents(new float[7]));
    }
  }

  @Test
  void aVideoThatIsNotANumberIsAnError() {
    float[] noise = TorchRandom.normal(3, 16 * 2 * 4 * 6);
    noise[100] = Float.NaN;
    try (WanPipeline pipeline = pipeline(AttentionMode.dense())) {
      VideoRequest request = small().optInitialLatents(noise).build();
      SparseVideoException e =
          assertThrows(SparseVideoException.class, () -> pipeline.generate(request));
      assertTrue(e.getMessage().contains("not a number in frame 0"), e.getMessage());
    }
  }

  @Test
  void theReportSaysWhatRan() {
    AttentionMode mode = AttentionMode.svg1().optFirstTimes(.5).optFirstLayers(0);
    try (WanPipeline pipeline = pipeline(mode)) {
      Video video = pipeline.generate(small().build());
      // 2 steps of 2 passes through 2 layers; the first step is dense.
      assertEquals(8, video.report().densities().size());
      assertEquals(
          4,
          video.report().densities().stream()
              .filter(d -> d.kind() == AttentionMode.Kind.SVG1)
              .count());
      assertEquals(2, video.report().steps());
      assertEquals(3, video.report().seed());
      assertTrue(video.report().times().keySet().containsAll(List.of(Stage.values())));
    }
  }

  @Test
  void withoutGuidanceOnePassRuns() {
    try (WanPipeline pipeline = pipeline(AttentionMode.dense())) {
      assertEquals(
          4, pipeline.generate(small().optGuidance(1).build()).report().densities().size());
    }
  }

  @Test
  void oddRequestsWork() {
    try (WanPipeline pipeline = pipeline(AttentionMode.svg2().optFirstTimes(0).optFirstLayers(0))) {
      Video one =
          pipeline.generate(small().optFrames(1).optHeight(16).optWidth(16).optSteps(1).build());
      assertEquals(1, one.frames().size());
      assertEquals(
          1, pipeline.generate(small().setPrompt("").optFrames(1).build()).frames().size());
      Video wide = pipeline.generate(small().optHeight(16).optWidth(112).optFrames(9).build());
      assertEquals(9, wide.frames().size());
    }
  }

  @Test
  void requestsThatCannotBeMetAreRefusedBeforeWeightsAreLoaded() {
    try (WanPipeline pipeline = pipeline(AttentionMode.dense())) {
      int before = ops.manager().getManagedArrays().size();
      refused(
          pipeline,
          "height must be a multiple of 16, is 33; nearest are 32 and 48",
          small().optHeight(33));
      refused(
          pipeline,
          "width must be a multiple of 16, is 8; nearest are 16 and 32",
          small().optWidth(8));
      refused(pipeline, "frames must be 4k + 1, is 6; nearest are 5 and 9", small().optFrames(6));
      refused(pipeline, "steps must be at least 1, is 0", small().optSteps(0));
      refused(pipeline, "1024", small().optWidth(16 * 1025));
      refused(
          pipeline,
          "16384x16384, 4001 frames are too large: 67175972864 latent values",
          small().optWidth(16384).optHeight(16384).optFrames(4001));
      refused(
          pipeline, "image", small().optImage(new BufferedImage(4, 4, BufferedImage.TYPE_INT_RGB)));
      assertEquals(before, ops.manager().getManagedArrays().size());
      assertEquals(
          5, pipeline.generate(small().build()).frames().size(), "the pipeline stays usable");
    }
  }

  private static void refused(WanPipeline pipeline, String what, VideoRequest.Builder request) {
    String message =
        assertThrows(InvalidRequestException.class, () -> pipeline.generate(request.build()))
            .getMessage();
    assertTrue(message.contains(what), message);
  }

  @Test
  void aLongPromptIsCutWithAWarning() {
    List<String> warnings = new ArrayList<>();
    ProgressListener listener =
        new ProgressListener() {
          @Override
          public void warning(String message) {
            warnings.add(message);
          }
        };
    String prompt = "a cat walks on the grass ".repeat(60) + "zebra";
    try (WanPipeline pipeline = pipeline(AttentionMode.dense())) {
      pipeline.generate(
          small()
              .setPrompt(prompt)
              .optNegativePrompt("x".repeat(50) + " very blurred".repeat(1000))
              .optSteps(1)
              .optListener(listener)
              .build());
    }
    assertEquals(2, warnings.size());
    String warning = warnings.getFirst();
    assertTrue(warning.startsWith("the prompt has more than 512 tokens"), warning);
    assertTrue(warning.endsWith("zebra\""), warning);
    warning = warnings.getLast();
    assertTrue(warning.startsWith("the negative prompt has more than 512 tokens"), warning);
    assertTrue(warning.length() < 300 && warning.endsWith("very blurred\""), warning);
  }

  @Test
  void progressIsToldStageByStage() {
    List<String> told = new ArrayList<>();
    ProgressListener listener =
        new ProgressListener() {
          @Override
          public void progress(Stage stage, int done, int total) {
            told.add(stage + " " + done + "/" + total);
          }
        };
    try (WanPipeline pipeline = pipeline(AttentionMode.dense())) {
      pipeline.generate(small().optListener(listener).build());
    }
    assertTrue(
        told.containsAll(
            List.of(
                "TEXT 0/2",
                "TEXT 2/2",
                "LOADING 2/2",
                "DENOISING 0/2",
                "DENOISING 2/2",
                "DECODING 2/2")),
        told::toString);
  }

  @Test
  void cancellingStopsInEveryStageAndFreesMemory() {
    try (WanPipeline pipeline = pipeline(AttentionMode.svg2().optFirstTimes(0).optFirstLayers(0))) {
      pipeline.generate(small().build());
      long before = live(ops.manager());
      for (Stage stage : Stage.values()) {
        Cancellation cancellation = new Cancellation();
        ProgressListener listener =
            new ProgressListener() {
              @Override
              public void progress(Stage at, int done, int total) {
                if (at == stage) {
                  cancellation.cancel();
                }
              }
            };
        VideoRequest request = small().optListener(listener).optCancellation(cancellation).build();
        assertThrows(
            GenerationCancelledException.class, () -> pipeline.generate(request), stage.label());
        assertEquals(before, live(ops.manager()), stage.label());
      }
      assertEquals(5, pipeline.generate(small().build()).frames().size());
      assertEquals(before, live(ops.manager()));
    }
  }

  @Test
  void cancellingStopsTheLoadingOfWeights() {
    long before = live(ops.manager());
    List<String> told = new ArrayList<>();
    try (WanPipeline pipeline = pipeline(AttentionMode.dense())) {
      Cancellation cancellation = new Cancellation();
      ProgressListener listener =
          new ProgressListener() {
            @Override
            public void progress(Stage stage, int done, int total) {
              told.add(stage + " " + done);
              if (stage == Stage.LOADING) {
                cancellation.cancel();
              }
            }
          };
      VideoRequest request = small().optListener(listener).optCancellation(cancellation).build();
      assertThrows(GenerationCancelledException.class, () -> pipeline.generate(request));
      assertEquals("LOADING 0", told.getLast());
      assertEquals(before, live(ops.manager()));
      assertEquals(5, pipeline.generate(small().build()).frames().size());
    }
  }

  @Test
  void anInterruptStopsWithinABlock() {
    try (WanPipeline pipeline = pipeline(AttentionMode.dense())) {
      pipeline.generate(small().build());
      Thread.currentThread().interrupt();
      assertThrows(GenerationCancelledException.class, () -> pipeline.generate(small().build()));
      assertFalse(Thread.currentThread().isInterrupted());
      assertEquals(5, pipeline.generate(small().build()).frames().size());
    }
  }

  @Test
  void nothingGrowsOverManyGenerations() {
    try (WanPipeline pipeline = pipeline(AttentionMode.svg1().optFirstTimes(0).optFirstLayers(0))) {
      pipeline.generate(small().build());
      long before = live(ops.manager());
      for (int i = 0; i < 5; i++) {
        pipeline.generate(small().optSeed(i).build());
      }
      assertEquals(before, live(ops.manager()));
    }
    assertEquals(0, live(ops.manager()), "a closed pipeline keeps nothing");
  }

  @Test
  void nothingGrowsOverTheSteps() {
    Set<Long> alive = new TreeSet<>();
    ProgressListener listener =
        new ProgressListener() {
          @Override
          public void progress(Stage stage, int done, int total) {
            if (stage == Stage.DENOISING && done > 2) { // the scheduler remembers two steps
              alive.add(live(ops.manager()));
            }
          }
        };
    try (WanPipeline pipeline = pipeline(AttentionMode.dense())) {
      pipeline.generate(small().optSteps(6).optListener(listener).build());
    }
    assertEquals(1, alive.size(), alive::toString);
  }

  /** Tensors alive under a manager and all its children. */
  private static long live(NDManager manager) {
    return manager.getManagedArrays().size();
  }

  @Test
  void aClosedPipelineSaysSo() {
    WanPipeline pipeline = pipeline(AttentionMode.dense());
    pipeline.close();
    pipeline.close();
    assertThrows(IllegalStateException.class, () -> pipeline.generate(small().build()));
  }

  @Test
  void builtFromAFolder() throws URISyntaxException {
    try (VideoPipeline pipeline = VideoPipeline.builder().optCheckpoint(folder()).build()) {
      Video video = pipeline.generate(small().build());
      assertEquals(AttentionMode.Kind.SVG2, video.report().attention().kind());
    }
    VideoPipeline.Builder gpu =
        VideoPipeline.builder().optCheckpoint(folder()).optDevice(Device.gpu(99));
    String message = assertThrows(DeviceUnavailableException.class, gpu::build).getMessage();
    assertTrue(message.contains("device cuda:99"), message);
  }

  @Test
  void paddedTextEndsInZeros() {
    try (NDManager scope = ops.manager().newSubManager()) {
      NDArray padded = WanPipeline.padText(scope.ones(new Shape(2, 3)), 4);
      assertArrayEquals(new float[] {1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0}, padded.toFloatArray());
      assertEquals(1, scope.getManagedArrays().size());
    }
  }
}
