package io.sparsevideo.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A checkpoint in diffusers' layout: {@code model_index.json} names the pipeline's class and, for
 * each component, the class that its folder holds. Only what that file names is ever read;
 * published folders contain a good deal more.
 */
public final class DiffusersFolder {
  private static final String INDEX = "model_index.json";

  private final Path folder;
  private final ConfigReader index;

  private DiffusersFolder(Path folder, ConfigReader index) {
    this.folder = folder;
    this.index = index;
  }

  /**
   * Opens a folder; its components are read when they are asked for.
   *
   * @throws CheckpointException when it is not a checkpoint in this layout; the message says what
   *     it seems to be and which one to get
   */
  public static DiffusersFolder open(Path folder) {
    CheckpointFiles.requireFolder(folder);
    Path file = folder.resolve(INDEX);
    if (!Files.exists(file) && !Files.isSymbolicLink(file)) {
      throw new CheckpointException(
          "%s has no %s. %s".formatted(folder, INDEX, whatInstead(folder)));
    }
    ConfigReader index = ConfigReader.read(file);
    index.string("_class_name");
    return new DiffusersFolder(folder, index);
  }

  public Path path() {
    return folder;
  }

  /** {@code model_index.json}, for its plain values. */
  public ConfigReader index() {
    return index;
  }

  /** The pipeline's class name, {@code WanPipeline} for example. */
  public String pipelineClass() {
    return index.string("_class_name");
  }

  /**
   * The pipeline's class name, which must be one that the caller can run.
   *
   * @throws CheckpointException listing what is supported
   */
  public String requirePipeline(Collection<String> supported) {
    String found = pipelineClass();
    if (!supported.contains(found)) {
      throw new CheckpointException(
          "%s is a checkpoint for %s, which is not supported. Supported: %s"
              .formatted(folder, found, String.join(", ", supported)));
    }
    return found;
  }

  /** Whether the checkpoint has this component; {@code [null, null]} and {@code null} mean no. */
  public boolean has(String component) {
    JsonNode entry = index.json().path(component);
    return entry.isArray() && entry.size() == 2 && entry.get(1).isTextual();
  }

  /**
   * The class name of a component.
   *
   * @throws CheckpointException when the checkpoint has no such component
   */
  public String componentClass(String component) {
    if (!has(component)) {
      throw index.invalid(component, "[library, class]");
    }
    return index.json().path(component).get(1).textValue();
  }

  /**
   * The class name of a component, which must be one that the caller can load.
   *
   * @throws CheckpointException when it is absent, or listing what is supported
   */
  public String requireComponent(String component, Collection<String> supported) {
    String found = componentClass(component);
    if (!supported.contains(found)) {
      throw new CheckpointException(
          "%s: component '%s' is of class %s, which is not supported. Supported: %s"
              .formatted(index.file(), component, found, String.join(", ", supported)));
    }
    return found;
  }

  /**
   * The folder of a component.
   *
   * @throws CheckpointException when the checkpoint has no such component or its folder is missing
   */
  public Path folder(String component) {
    componentClass(component);
    return CheckpointFiles.requireFolder(folder.resolve(component));
  }

  /** A component's {@code config.json}. */
  public ConfigReader config(String component) {
    return config(component, "config.json");
  }

  /**
   * Another config of a component: schedulers have {@code scheduler_config.json}, image processors
   * {@code preprocessor_config.json}.
   */
  public ConfigReader config(String component, String fileName) {
    return ConfigReader.read(folder(component).resolve(fileName));
  }

  /** A component's weights, which the caller closes. */
  public WeightFiles weights(String component) {
    return WeightFiles.open(folder(component));
  }

  /** {@code generation_config.json}: defaults of a request, where a checkpoint brings them. */
  public Optional<ConfigReader> generationConfig() {
    Path file = folder.resolve("generation_config.json");
    return Files.exists(file) ? Optional.of(ConfigReader.read(file)) : Optional.empty();
  }

  /** What a folder without an index seems to be, and what to do about it. */
  private static String whatInstead(Path folder) {
    Path snapshots = folder.resolve("snapshots");
    if (Files.isDirectory(snapshots)) {
      return "It is a hub cache: give a folder inside %s".formatted(snapshots);
    }
    Path config = folder.resolve("config.json");
    if (Files.isRegularFile(config)) {
      String className = ConfigReader.read(config).string("_class_name", "");
      if (className.equals("WanModel")) {
        String name = folder.toAbsolutePath().normalize().getFileName().toString();
        return "It is in Wan's original format: get the checkpoint %s, or convert this one"
            .formatted(
                name.startsWith("Wan2.")
                    ? "named " + name + "-Diffusers"
                    : "whose name ends in -Diffusers");
      }
      if (!className.isEmpty()) {
        return "It is a single component, a %s: give the folder around it".formatted(className);
      }
    }
    if (Stream.of("transformer", "vae", "text_encoder")
        .allMatch(component -> Files.isDirectory(folder.resolve(component)))) {
      return "The components are there: download %s too".formatted(INDEX);
    }
    return "Expected a checkpoint in diffusers' layout, such as Wan2.1-T2V-1.3B-Diffusers";
  }
}
