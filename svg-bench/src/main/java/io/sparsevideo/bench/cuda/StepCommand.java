package io.sparsevideo.bench.cuda;

import ai.djl.Device;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.bench.cuda.DenoisingStep.Measured;
import io.sparsevideo.bench.cuda.StageClock.Stage;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.cuda.blas.CublasUnavailableException;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.kernels.KernelLoadException;
import io.sparsevideo.models.wan.WanTransformerConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Times one denoising step of a model, whole and by stages. */
@Command(
    name = "step",
    sortOptions = false,
    description =
        "Times a denoising step of a Wan transformer with random weights: two passes, guidance and"
            + " the scheduler's update; every layer in the attention mode. Queries and keys of"
            + " self-attention are drawn in clusters, as trained models have them.")
final class StepCommand implements Callable<Integer> {

  private static final Map<String, WanTransformerConfig> CONFIGS =
      Map.of("wan-1.3b", wan(12, 30, 8960), "wan-14b", wan(40, 40, 13_824));

  /** Pixels and frames to one value of Wan's latents, but for the first frame. */
  private static final int SPATIAL = 8;

  private static final int TEMPORAL = 4;

  @Spec private CommandSpec command;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  private boolean help;

  @Option(
      names = "--config",
      paramLabel = "NAME",
      description =
          "wan-1.3b, wan-14b, or a file transformer/config.json of a checkpoint; default:"
              + " ${DEFAULT-VALUE}.",
      defaultValue = "wan-14b")
  private String config;

  @Option(names = "--height", description = "Pixels, a multiple of 16; default: ${DEFAULT-VALUE}.")
  private int height = 720;

  @Option(names = "--width", description = "Pixels, a multiple of 16; default: ${DEFAULT-VALUE}.")
  private int width = 1280;

  @Option(
      names = "--frames",
      description = "One more than a multiple of 4; default: ${DEFAULT-VALUE}.")
  private int frames = 81;

  @Option(
      names = "--layers",
      description = "Run fewer layers and extrapolate the step's time; default: all.")
  private int layers;

  @Option(names = "--repeats", description = "Steps that are timed; default: ${DEFAULT-VALUE}.")
  private int repeats = 3;

  @Option(
      names = "--attention",
      split = ",",
      description = "Any of dense, svg1, svg2; default: all.")
  private AttentionMode.Kind[] kinds = AttentionMode.Kind.values();

  @Option(
      names = "--spread",
      description =
          "Deviation of the scaled scores between clusters of queries and of keys: the more, the"
              + " sparser is SVG2. Default: ${DEFAULT-VALUE}, a density of about .30 at 720p.")
  private double spread = 1.92;

  @Option(names = "--top-p", description = "Of SVG2; default: the preset's.")
  private Double topP;

  @Option(
      names = "--peers",
      paramLabel = "FILE",
      description = "What svg-bench/peers/step.py printed on this card.")
  private Path peers;

  @Option(names = "--out", paramLabel = "FILE", description = "Write the results to FILE, as JSON.")
  private Path out;

  private static WanTransformerConfig wan(int heads, int layers, int ffn) {
    return new WanTransformerConfig(
        heads, 128, layers, ffn, 16, 16, 4096, 256, 1, 2, 2, true, 1e-6, 1024);
  }

  @Override
  public Integer call() throws IOException {
    WanTransformerConfig whole = config();
    WanTransformerConfig run = layers == 0 ? whole : withLayers(whole, layers);
    Shape latent = latent(whole);
    try (CudaTensorOps ops = CudaTensorOps.open(Device.gpu(0))) {
      String device = ops.manager().stream().context().device().name();
      System.out.println(ops.manager().stream().context().device());
      List<Result> others = peers == null ? List.of() : Results.readPeers(peers, device);
      List<Result> results = new ArrayList<>();
      try (DenoisingStep step = new DenoisingStep(ops, run, latent, spread)) {
        for (AttentionMode.Kind kind : kinds) {
          report(kind, whole, run, step.measure(mode(kind), repeats), others, results);
        }
      }
      System.out.printf(
          "%nmemory: %.1f GB at most, the kernels' working memory included%n",
          1e-9 * ops.manager().statistics().reservedBytes());
      if (out != null) {
        Results.write(out, results);
      }
      return 0;
    } catch (CudaUnavailableException | CublasUnavailableException | KernelLoadException e) {
      System.err.println("svg-bench: " + e.getMessage());
      return 1;
    }
  }

  private WanTransformerConfig config() {
    WanTransformerConfig named = CONFIGS.get(config);
    try {
      return named == null ? WanTransformerConfig.from(ConfigReader.read(Path.of(config))) : named;
    } catch (CheckpointException e) {
      throw new ParameterException(
          command.commandLine(),
          "--config is wan-1.3b, wan-14b or a file, not '%s': %s".formatted(config, e.getMessage()),
          e);
    }
  }

  private WanTransformerConfig withLayers(WanTransformerConfig c, int layers) {
    if (layers < 1 || layers > c.layers()) {
      throw new ParameterException(
          command.commandLine(), "--layers must be 1 to %d, is %d".formatted(c.layers(), layers));
    }
    return new WanTransformerConfig(
        c.heads(),
        c.headDim(),
        layers,
        c.ffnDim(),
        c.inChannels(),
        c.outChannels(),
        c.textDim(),
        c.freqDim(),
        c.patchFrames(),
        c.patchHeight(),
        c.patchWidth(),
        c.crossAttentionNorm(),
        c.eps(),
        c.maxPositions());
  }

  private Shape latent(WanTransformerConfig c) {
    if (repeats < 1) {
      throw new ParameterException(
          command.commandLine(), "--repeats must be at least 1, is " + repeats);
    }
    requireMultiple("--height", height, SPATIAL * c.patchHeight());
    requireMultiple("--width", width, SPATIAL * c.patchWidth());
    requireMultiple("--frames less 1", frames - 1, TEMPORAL);
    return new Shape(
        c.inChannels(), (frames - 1) / TEMPORAL + 1, height / SPATIAL, width / SPATIAL);
  }

  private void requireMultiple(String name, int value, int unit) {
    if (value < 0 || value % unit != 0) {
      throw new ParameterException(
          command.commandLine(), "%s must be a multiple of %d, is %d".formatted(name, unit, value));
    }
  }

  private AttentionMode mode(AttentionMode.Kind kind) {
    return switch (kind) {
      case DENSE -> AttentionMode.dense();
      case SVG1 -> AttentionMode.svg1().optFirstTimes(0).optFirstLayers(0);
      case SVG2 -> {
        AttentionMode mode = AttentionMode.svg2().optFirstTimes(0).optFirstLayers(0);
        yield topP == null ? mode : mode.optTopP(topP);
      }
    };
  }

  private void report(
      AttentionMode.Kind kind,
      WanTransformerConfig whole,
      WanTransformerConfig run,
      Measured measured,
      List<Result> others,
      List<Result> results) {
    int calls = 2 * run.layers();
    double stepMs = measured.stepMs() + 2 * (whole.layers() - run.layers()) * measured.layerMs();
    System.out.printf(
        "%n%s, density %.3f: step %.0f ms%s, layer %.2f ms%n",
        kind.label(),
        measured.density(),
        stepMs,
        run.layers() == whole.layers()
            ? ""
            : " (from %d of %d layers)".formatted(run.layers(), whole.layers()),
        measured.layerMs());
    Map<String, Double> parts = new LinkedHashMap<>();
    stages(measured.stages()).forEach((stage, ms) -> parts.put(stage, ms / calls));
    parts.forEach(
        (part, ms) ->
            System.out.printf(
                "  %-12s %8.2f ms a layer %5.1f %%%n", part, ms, 100 * ms / measured.layerMs()));
    add("step", kind, measured, stepMs, others, results);
    add("layer", kind, measured, measured.layerMs(), others, results);
    parts.forEach((part, ms) -> add(part, kind, measured, ms, others, results));
  }

  /** The stages by name, and what is left of the blocks. */
  private static Map<String, Double> stages(Map<Stage, Double> times) {
    Map<Stage, Double> stages = new EnumMap<>(times);
    double other = stages.remove(Stage.BLOCKS);
    stages.remove(Stage.STEP);
    Map<String, Double> named = new LinkedHashMap<>();
    for (Map.Entry<Stage, Double> stage : stages.entrySet()) {
      named.put(stage.getKey().label(), stage.getValue());
      other -= stage.getValue();
    }
    named.put("other", other);
    return named;
  }

  private void add(
      String part,
      AttentionMode.Kind kind,
      Measured measured,
      double ms,
      List<Result> others,
      List<Result> results) {
    Map<String, Object> shape = new LinkedHashMap<>();
    shape.put("config", Path.of(config).getFileName().toString());
    shape.put("height", height);
    shape.put("width", width);
    shape.put("frames", frames);
    shape.put("part", part);
    Map<String, Object> params = new LinkedHashMap<>(shape);
    params.put("attention", kind.label());
    params.put("density", Results.rounded(measured.density()));
    Result result = new Result("step", params, ms, null, null, null, null, null, null, null);
    List<Result> against = new ArrayList<>();
    for (Result own : results) { // the same part with dense attention
      if (kind != AttentionMode.Kind.DENSE
          && part.equals(own.params().get("part"))
          && AttentionMode.Kind.DENSE.label().equals(own.params().get("attention"))
          && (part.equals("step") || part.equals("layer"))) {
        against.add(result.against("own dense", own.ms()));
        break;
      }
    }
    for (Result peer : others) {
      if (peer.benchmark().equals("step") && peer.params().equals(shape)) {
        against.add(result.against(peer.peer(), peer.peerMs()));
      }
    }
    against.forEach(
        r ->
            System.out.printf(
                "  %s: %.3f × %s (%.2f ms)%n", part, r.ratio(), r.peer(), r.peerMs()));
    results.addAll(against.isEmpty() ? List.of(result) : against);
  }
}
