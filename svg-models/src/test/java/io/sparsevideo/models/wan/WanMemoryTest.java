package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.Cancellation;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.ProgressListener;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionSession;
import io.sparsevideo.checkpoint.DiffusersFolder;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.TestEngine;
import io.sparsevideo.demo.DemoModel;
import io.sparsevideo.models.GenerationProgress;
import io.sparsevideo.models.GenerationSettings;
import io.sparsevideo.models.Loaded;
import io.sparsevideo.models.umt5.Umt5Encoder;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Predictions against the peak that the engine counts, on the demo model. */
class WanMemoryTest {
  private static final double TOLERANCE = .1;

  private CudaTensorOps ops;
  private WanCheckpoint checkpoint;

  @BeforeEach
  void open() {
    checkpoint = new WanCheckpoint(DiffusersFolder.open(DemoModel.folder()));
    ops = TestEngine.FAKE.openOps(DataType.BFLOAT16);
  }

  @AfterEach
  void close() {
    checkpoint.close();
    ops.close();
  }

  private GenerationSettings settings(AttentionMode mode) {
    return settings(mode, 9);
  }

  private GenerationSettings settings(AttentionMode mode, int frames) {
    return WanRequests.settings(
        checkpoint,
        mode,
        VideoRequest.builder()
            .setPrompt("x")
            .optHeight(64)
            .optWidth(96)
            .optFrames(frames)
            .optSteps(2)
            .build());
  }

  private long peak() {
    return ops.manager().statistics().peakBytes();
  }

  private static void assertClose(long expected, long found) {
    assertEquals(expected, found, TOLERANCE * expected);
  }

  @Test
  void encoding() {
    AttentionMode mode = AttentionMode.dense();
    GenerationSettings settings = settings(mode);
    try (Loaded<Umt5Encoder> encoder = checkpoint.loadTextEncoder(ops, () -> {})) {
      WanMemory memory = WanMemory.of(checkpoint, settings, mode, ops.computeType());
      assertEquals(memory.encoderWeights(), ops.manager().statistics().liveBytes());
      int[] ids = new int[settings.maxPromptTokens()];
      encoder.model().encode(ops.manager(), ids, ids.length);
      assertClose(peak(), memory.encoderWeights() + memory.encoding());
    }
  }

  @Test
  void whatCannotFitIsRefusedAndWhatMayNotIsWarnedOf() {
    long gb = 1_000_000_000;
    WanMemory need =
        new WanMemory(5 * gb, 10 * gb, gb, 4 * gb, 3 * gb); // 14 GB, 10 of them weights
    assertEquals(Optional.empty(), need.check(14 * gb, "cuda:0"));
    String warning = need.check(13 * gb, "cuda:0").orElseThrow();
    assertTrue(warning.contains("needs about 14.0 GB of cuda:0, 13.0 GB are free"), warning);
    assertRefused("4.0 GB to denoise or 3.0 GB to decode; fewer frames", need, 12 * gb);
    assertRefused("a smaller checkpoint", need, 9 * gb);
  }

  private static void assertRefused(String part, WanMemory need, long available) {
    String message =
        assertThrows(InvalidRequestException.class, () -> need.check(available, "cuda:0"))
            .getMessage();
    assertTrue(message.contains(part), message);
  }

  @ParameterizedTest
  @EnumSource
  void denoising(AttentionMode.Kind kind) {
    AttentionMode mode =
        switch (kind) {
          case DENSE -> AttentionMode.dense();
          case SVG1 -> AttentionMode.svg1();
          case SVG2 -> AttentionMode.svg2();
        };
    GenerationSettings settings = settings(mode);
    GenerationProgress progress = new GenerationProgress(ProgressListener.NONE, new Cancellation());
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode);
        NDManager scope = ops.manager().newSubManager()) {
      WanTransformer model = pipeline.transformer(progress);
      long weights = ops.manager().statistics().liveBytes();
      Shape latent = WanRequests.latentShape(checkpoint, settings);
      Shape text = new Shape(settings.maxPromptTokens(), model.config().textDim());
      NDArray noise = scope.ones(latent, DataType.FLOAT32);
      NDArray prompt = scope.ones(text, ops.computeType());
      NDArray other = scope.ones(text, ops.computeType());
      progress.start(ProgressListener.Stage.DENOISING, settings.steps());
      try (AttentionSession attention = pipeline.attention(model, settings, latent)) {
        pipeline.denoise(noise, prompt, other, settings, attention, progress);
      }
      WanMemory memory = WanMemory.of(checkpoint, settings, mode, ops.computeType());
      assertClose(peak() - weights, memory.denoising());
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 9})
  void decoding(int frames) {
    AttentionMode mode = AttentionMode.dense();
    GenerationSettings settings = settings(mode, frames);
    try (Loaded<WanVae> vae = checkpoint.loadVae(ops, () -> {});
        NDManager scope = ops.manager().newSubManager()) {
      long weights = ops.manager().statistics().liveBytes();
      NDArray latents = scope.ones(WanRequests.latentShape(checkpoint, settings), DataType.FLOAT32);
      vae.model().decode(latents, done -> {}, chunk -> {});
      WanMemory memory = WanMemory.of(checkpoint, settings, mode, ops.computeType());
      assertClose(peak() - weights, memory.decoding());
    }
  }
}
