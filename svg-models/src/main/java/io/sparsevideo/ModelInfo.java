package io.sparsevideo;

import ai.djl.Device;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.models.wan.WanCheckpoint;
import io.sparsevideo.tensor.TensorBackends;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What a checkpoint is, found out without loading its weights.
 *
 * @param source its folder, or what the embedded default is called
 * @param device what would compute, or why it cannot be used here
 * @param pipelineClass as {@code model_index.json} names it
 * @param components in the order in which a generation uses them
 * @param settings the request's own values, and those it gets where it has none, by name, in the
 *     order to show
 * @param memory bytes needed, by purpose, in the order to show
 */
public record ModelInfo(
    String source,
    String device,
    String pipelineClass,
    List<Component> components,
    Map<String, String> settings,
    Map<String, Long> memory) {

  public ModelInfo {
    components = List.copyOf(components);
    settings = Collections.unmodifiableMap(new LinkedHashMap<>(settings));
    memory = Collections.unmodifiableMap(new LinkedHashMap<>(memory));
  }

  /**
   * One part of a checkpoint.
   *
   * @param name its folder
   * @param className as {@code model_index.json} names it
   * @param parameters number of stored values; 0 for a part without weights
   * @param bytes size of its weights as stored
   */
  public record Component(String name, String className, long parameters, long bytes) {}

  /**
   * Reads the configs and the headers of a checkpoint.
   *
   * @param checkpoint a diffusers folder; null for the embedded default
   * @param device where it would run, which decides the type that weights are held in; null for the
   *     best available
   * @param request its sizes decide the memory
   * @throws CheckpointException when the checkpoint cannot be used
   * @throws InvalidRequestException when it cannot meet the request
   */
  public static ModelInfo read(Path checkpoint, Device device, VideoRequest request) {
    Device known = TensorBackends.requireKnown(device);
    try (WanCheckpoint wan = VideoPipeline.Builder.open(checkpoint)) {
      return wan.info(request, known, TensorBackends.describe(device));
    }
  }
}
