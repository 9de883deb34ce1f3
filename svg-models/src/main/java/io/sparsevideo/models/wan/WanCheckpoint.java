package io.sparsevideo.models.wan;

import ai.djl.Device;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import io.sparsevideo.ModelInfo;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.CheckpointParameters;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.DiffusersFolder;
import io.sparsevideo.checkpoint.ParameterList;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.checkpoint.WeightFiles;
import io.sparsevideo.models.GenerationDefaults;
import io.sparsevideo.models.GenerationSettings;
import io.sparsevideo.models.Loaded;
import io.sparsevideo.models.umt5.Umt5Config;
import io.sparsevideo.models.umt5.Umt5Encoder;
import io.sparsevideo.schedulers.SchedulerConfig;
import io.sparsevideo.tensor.TensorOps;
import io.sparsevideo.text.PromptTokenizer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * A Wan 2.1 text-to-video checkpoint in diffusers' layout. Opening reads and checks everything but
 * the weights' values: configs, tokenizer, and the names, shapes and types of all weights.
 */
public final class WanCheckpoint implements AutoCloseable {
  /** The pipeline class that this loads. */
  public static final String PIPELINE = "WanPipeline";

  static final String TEXT_ENCODER = "text_encoder";
  static final String TRANSFORMER = "transformer";
  static final String VAE = "vae";

  private final DiffusersFolder folder;
  private final GenerationDefaults defaults;
  private final Umt5Config textConfig;
  private final WanTransformerConfig transformerConfig;
  private final WanVaeConfig vaeConfig;
  private final SchedulerConfig scheduler;
  private final PromptTokenizer tokenizer;
  private final Map<String, WeightFiles> weights = new HashMap<>();
  private final Map<String, ParameterList> parameters = new HashMap<>();
  private final List<ModelInfo.Component> components = new ArrayList<>();

  /**
   * Takes the folder over.
   *
   * @throws CheckpointException when a component is missing, of another class, or its weights do
   *     not fit its config
   */
  public WanCheckpoint(DiffusersFolder folder) {
    this.folder = folder;
    folder.requirePipeline(List.of(PIPELINE));
    if (folder.has("transformer_2") || folder.index().bool("expand_timesteps", false)) {
      throw new CheckpointException(
          folder.path()
              + " is a Wan 2.2 checkpoint (transformer_2 or expand_timesteps), which is not supported; Wan 2.1 is");
    }
    folder.requireComponent(TEXT_ENCODER, List.of("UMT5EncoderModel"));
    folder.requireComponent(TRANSFORMER, List.of("WanTransformer3DModel"));
    folder.requireComponent(VAE, List.of("AutoencoderKLWan"));
    folder.requireComponent("scheduler", List.of("UniPCMultistepScheduler"));
    defaults =
        folder.generationConfig().map(GenerationDefaults::of).orElse(GenerationDefaults.NONE);
    textConfig = Umt5Config.from(folder.config(TEXT_ENCODER));
    transformerConfig = WanTransformerConfig.from(folder.config(TRANSFORMER));
    vaeConfig = WanVaeConfig.from(folder.config(VAE));
    ConfigReader schedulerFile = folder.config("scheduler", "scheduler_config.json");
    scheduler = SchedulerConfig.of(schedulerFile);
    requireEqual(
        "transformer text_dim",
        transformerConfig.textDim(),
        "text encoder d_model",
        textConfig.dim());
    requireEqual(
        "transformer in_channels",
        transformerConfig.inChannels(),
        "vae z_dim",
        vaeConfig.latentChannels());
    requireEqual(
        "transformer out_channels",
        transformerConfig.outChannels(),
        "vae z_dim",
        vaeConfig.latentChannels());
    requireEqual("vae out_channels", vaeConfig.outChannels(), "the number of colours", 3);
    if (scheduler.flowShift().isEmpty()) {
      throw schedulerFile.invalid("_class_name", "\"UniPCMultistepScheduler\"");
    }
    try {
      openWeights(TEXT_ENCODER, p -> new Umt5Encoder(textConfig, p, null));
      openWeights(TRANSFORMER, p -> new WanTransformer(transformerConfig, p, null));
      openWeights(VAE, p -> new WanVae(vaeConfig, p, null));
      tokenizer = PromptTokenizer.open(folder.folder("tokenizer"));
    } catch (RuntimeException | Error e) { // of a tokenizer whose natives do not load, for example
      weights.values().forEach(WeightFiles::close);
      throw e;
    }
  }

  private void requireEqual(String what, int value, String other, int otherValue) {
    if (value != otherValue) {
      throw new CheckpointException(
          folder.path() + ": " + what + " is " + value + ", but " + other + " is " + otherValue);
    }
  }

  private void openWeights(String component, Function<Parameters, ?> model) {
    ParameterList list = new ParameterList();
    model.apply(list);
    WeightFiles files = folder.weights(component);
    weights.put(component, files);
    parameters.put(component, list);
    parameters(files, null, null).verify(list);
    components.add(
        new ModelInfo.Component(
            component,
            folder.componentClass(component),
            list.parameterCount(),
            files.tensors().values().stream().mapToLong(t -> t.data().byteSize()).sum()));
  }

  /** Where the checkpoint came from. */
  public String name() {
    return folder.path().toString();
  }

  /** The components with weights. */
  public List<ModelInfo.Component> components() {
    return List.copyOf(components);
  }

  /** Bytes of a component's weights on a device that computes in a type. */
  long weightBytes(String component, DataType computeType) {
    return parameters.get(component).bytes(computeType);
  }

  /**
   * What this checkpoint is and what a request takes.
   *
   * @param device where it would run
   * @param deviceText the same for people
   * @throws io.sparsevideo.InvalidRequestException when the request cannot be met
   */
  public ModelInfo info(VideoRequest request, Device device, String deviceText) {
    AttentionMode mode = AttentionMode.svg2(); // which needs most
    GenerationSettings settings = WanRequests.settings(this, mode, request);
    Map<String, Long> memory =
        device.isGpu()
            ? WanMemory.of(this, settings, mode, DataType.BFLOAT16).byPurpose()
            : WanMemory.ofCpu(this, settings);
    Map<String, String> values = new LinkedHashMap<>();
    values.put("size", settings.width() + "x" + settings.height());
    values.put("frames", settings.frames() + " at " + settings.fps() + " fps");
    values.put("steps", String.valueOf(settings.steps()));
    values.put("guidance", String.valueOf(settings.guidance()));
    values.put("flow shift", String.valueOf(settings.flowShift()));
    values.put("prompt", "at most " + settings.maxPromptTokens() + " tokens");
    return new ModelInfo(name(), deviceText, PIPELINE, components, values, memory);
  }

  /** {@code generation_config.json}. */
  public GenerationDefaults defaults() {
    return defaults;
  }

  public WanTransformerConfig transformerConfig() {
    return transformerConfig;
  }

  public WanVaeConfig vaeConfig() {
    return vaeConfig;
  }

  public Umt5Config textConfig() {
    return textConfig;
  }

  public SchedulerConfig scheduler() {
    return scheduler;
  }

  public PromptTokenizer tokenizer() {
    return tokenizer;
  }

  /**
   * Loads the text encoder.
   *
   * @param beforeEach called before each weight; what it throws ends the loading and frees what was
   *     loaded
   */
  Loaded<Umt5Encoder> loadTextEncoder(TensorOps ops, Runnable beforeEach) {
    return load(
        TEXT_ENCODER, ops, ops.computeType(), beforeEach, p -> new Umt5Encoder(textConfig, p, ops));
  }

  /** As {@link #loadTextEncoder}. */
  Loaded<WanTransformer> loadTransformer(TensorOps ops, Runnable beforeEach) {
    return load(
        TRANSFORMER,
        ops,
        ops.computeType(),
        beforeEach,
        p -> new WanTransformer(transformerConfig, p, ops));
  }

  /** As {@link #loadTextEncoder}. */
  Loaded<WanVae> loadVae(TensorOps ops, Runnable beforeEach) {
    return load(VAE, ops, ops.preciseType(), beforeEach, p -> new WanVae(vaeConfig, p, ops));
  }

  private <T> Loaded<T> load(
      String component,
      TensorOps ops,
      DataType type,
      Runnable beforeEach,
      Function<Parameters, T> model) {
    NDManager manager = ops.manager().newSubManager();
    try {
      CheckpointParameters source =
          parameters(weights.get(component), ops, manager)
              .optComputeType(type)
              .optBeforeEach(beforeEach);
      T loaded = model.apply(source);
      source.finish();
      return new Loaded<>(loaded, manager);
    } catch (RuntimeException | Error e) { // of a file that is cut short, for example
      manager.close();
      throw e;
    }
  }

  private static CheckpointParameters parameters(
      WeightFiles files, TensorOps ops, NDManager manager) {
    // Re-saved text encoders name their embedding either way, or hold it twice.
    return new CheckpointParameters(files, ops, manager)
        .optAlternative("shared.weight", "encoder.embed_tokens.weight");
  }

  @Override
  public void close() {
    tokenizer.close();
    weights.values().forEach(WeightFiles::close);
  }
}
