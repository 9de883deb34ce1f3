package io.sparsevideo.cli;

import ai.djl.Device;
import io.sparsevideo.GenerationCancelledException;
import io.sparsevideo.GenerationReport;
import io.sparsevideo.ModelInfo;
import io.sparsevideo.ProgressListener.Stage;
import io.sparsevideo.Video;
import io.sparsevideo.VideoPipeline;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionMode.Kind;
import io.sparsevideo.attention.LayerDensity;
import io.sparsevideo.conformance.ConformanceReport;
import io.sparsevideo.conformance.StageResult;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.kernels.KernelLibrary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/** A library that makes up its videos, and remembers what it was asked for. */
class FakeLibrary implements Library {
  static final int LAYERS = 3;
  static final Path DRIVER = Path.of("/no/such/libcuda.so.1");

  /** What a pipeline was opened with. */
  record Opened(Optional<Path> model, Optional<Device> device, AttentionMode attention) {}

  final List<Opened> opened = new ArrayList<>();
  final List<VideoRequest> requests = new ArrayList<>();
  final List<StageResult> stages = new ArrayList<>();
  int closed;
  Duration stepTime = Duration.ZERO;
  int frames = 5;
  Runnable onGenerate = () -> {};
  Runnable onClose = () -> {};
  String warning;

  @Override
  public VideoPipeline open(
      Optional<Path> model, Optional<Device> device, AttentionMode attention) {
    opened.add(new Opened(model, device, attention));
    return new VideoPipeline() {
      @Override
      public Video generate(VideoRequest request) {
        requests.add(request);
        onGenerate.run();
        if (warning != null) {
          request.listener().warning(warning);
        }
        return FakeLibrary.this.generate(request, attention);
      }

      @Override
      public void close() {
        closed++;
        onClose.run();
      }
    };
  }

  private Video generate(VideoRequest request, AttentionMode attention) {
    int steps = request.steps().orElse(4);
    int width = request.width().orElse(64);
    int height = request.height().orElse(48);
    List<LayerDensity> densities = new ArrayList<>();
    Map<Stage, Duration> times = new EnumMap<>(Stage.class);
    request.listener().started("cpu (no GPU: none was made)");
    for (Stage stage : Stage.values()) {
      int units = stage == Stage.DENOISING ? steps : 1;
      request.listener().progress(stage, 0, units);
      for (int done = 1; done <= units; done++) {
        rest(request);
        request.listener().progress(stage, done, units);
      }
      times.put(stage, Duration.ofMillis(1500));
    }
    for (int step = 0; step < steps; step++) {
      for (int layer = 0; layer < LAYERS; layer++) {
        boolean sparse = attention.kind() != Kind.DENSE && step > 0 && layer > 0;
        Kind kind = sparse ? attention.kind() : Kind.DENSE;
        densities.add(new LayerDensity(step, 0, layer, kind, sparse ? 0.25 * layer : 1));
      }
    }
    // One array for all frames: a long video costs no memory.
    byte[] rgb = new byte[width * height * 3];
    for (int i = 0; i < rgb.length; i++) {
      rgb[i] = (byte) (i / 3 % width + attention.kind().ordinal() * (i % 3));
    }
    GenerationReport report =
        new GenerationReport(
            "made up",
            "cpu (no GPU: none was made)",
            attention,
            height,
            width,
            frames,
            steps,
            5,
            3,
            request.seed(),
            densities,
            times);
    List<byte[]> pictures = new ArrayList<>(Collections.nCopies(frames, rgb));
    return new Video(width, height, request.fps().orElse(16), pictures, report);
  }

  /** As the contract says: within a block, by cancellation or by interrupt. */
  private void rest(VideoRequest request) {
    try {
      Thread.sleep(stepTime);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    if (request.cancellation().isCancelled() || Thread.currentThread().isInterrupted()) {
      throw new GenerationCancelledException("cancelled");
    }
  }

  @Override
  public ConformanceReport conform(
      Path folder,
      Optional<Device> device,
      AttentionMode attention,
      Consumer<StageResult> listener) {
    opened.add(new Opened(Optional.of(folder), device, attention));
    stages.forEach(listener);
    return new ConformanceReport(stages);
  }

  @Override
  public CudaDriver driver() {
    return CudaDriver.load(DRIVER);
  }

  @Override
  public ModelInfo describe(Optional<Path> model, Optional<Device> device, VideoRequest request) {
    opened.add(new Opened(model, device, AttentionMode.dense()));
    requests.add(request);
    return new ModelInfo(
        "made up",
        "FakePipeline",
        List.of(
            new ModelInfo.Component("tokenizer", "FakeTokenizer", 0, 0),
            new ModelInfo.Component("transformer", "FakeTransformer", 1_234_567, 4_938_268)),
        Map.of("steps", "20"),
        Map.of("weights", 5_000_000_000L));
  }

  @Override
  public String kernels(KernelLibrary.Kind kind) {
    return "fake " + kind;
  }
}
