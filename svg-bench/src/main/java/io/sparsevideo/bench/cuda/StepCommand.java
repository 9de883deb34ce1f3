package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.types.Shape;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.models.wan.WanTransformerConfig;
import java.io.IOException;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Times one denoising step of a model, whole and by stages. */
@Command(
    name = "step",
    sortOptions = false,
    description =
        "Times a denoising step of a Wan transformer with random weights: two passes, guidance and"
            + " the scheduler's update; every layer in the attention mode. Queries and keys of"
            + " self-attention are drawn in clusters, as trained models have them.")
final class StepCommand extends DeviceCommand {

  private static final Map<String, WanTransformerConfig> CONFIGS =
      Map.of("wan-1.3b", wan(12, 30, 8960), "wan-14b", wan(40, 40, 13_824));

  /** Pixels and frames to one value of Wan's latents, but for the first frame. */
  private static final int SPATIAL = 8;

  private static final int TEMPORAL = 4;

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

  StepCommand() {
    super(3);
  }

  private static WanTransformerConfig wan(int heads, int layers, int ffn) {
    return new WanTransformerConfig(
        heads, 128, layers, ffn, 16, 16, 4096, 256, 1, 2, 2, true, 1e-6, 1024);
  }

  @Override
  public Integer call() throws IOException {
    WanTransformerConfig whole = config();
    WanTransformerConfig run = layers == 0 ? whole : withLayers(whole, layers);
    Shape latent = latent(whole);
    return onDevice(
        (ops, rows) -> {
          StepReport report = new StepReport(shape(), whole.layers(), run.layers(), rows);
          try (DenoisingStep step = new DenoisingStep(ops, run, latent, spread)) {
            for (AttentionMode.Kind kind : kinds) {
              report.add(kind, step.measure(mode(kind), repeats));
            }
          }
          System.out.printf(
              "%nmemory: %.1f GB at most, the kernels' working memory included%n",
              1e-9 * ops.manager().statistics().reservedBytes());
        });
  }

  /** What peers' lines are compared by. */
  private Map<String, Object> shape() {
    Map<String, Object> shape = new LinkedHashMap<>();
    shape.put("config", config);
    shape.put("height", height);
    shape.put("width", width);
    shape.put("frames", frames);
    return shape;
  }

  private WanTransformerConfig config() {
    WanTransformerConfig named = CONFIGS.get(config);
    try {
      return named == null ? WanTransformerConfig.from(ConfigReader.read(Path.of(config))) : named;
    } catch (CheckpointException e) {
      throw refusal(
          "--config is wan-1.3b, wan-14b or a file, not '%s': %s".formatted(config, e.getMessage()),
          e);
    }
  }

  private WanTransformerConfig withLayers(WanTransformerConfig c, int layers) {
    require(
        layers >= 1 && layers <= c.layers(),
        "--layers must be 1 to %d, is %d".formatted(c.layers(), layers));
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
    require(repeats >= 1, "--repeats must be at least 1, is " + repeats);
    require(spread > 0, "--spread must be above 0, is " + spread);
    requireMultiple("--height", height, SPATIAL * c.patchHeight());
    requireMultiple("--width", width, SPATIAL * c.patchWidth());
    int latents = (frames - 1) / TEMPORAL + 1;
    require(
        frames >= 1 && (frames - 1) % TEMPORAL == 0 && latents % c.patchFrames() == 0,
        "--frames must be one more than a multiple of %d%s, is %d"
            .formatted(
                TEMPORAL,
                c.patchFrames() == 1 ? "" : ", with latent frames in patches of " + c.patchFrames(),
                frames));
    return new Shape(c.inChannels(), latents, height / SPATIAL, width / SPATIAL);
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
}
