package io.sparsevideo.models;

import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.PresetTable;
import io.sparsevideo.checkpoint.ConfigReader;

/**
 * Values of a generation from one source, each present or null. Sources are layered with {@link
 * #orElse}: the request, the checkpoint's {@code generation_config.json}, a preset, the component's
 * own values.
 *
 * @param height pixels
 * @param width pixels
 * @param frames frames of the video
 * @param fps frames per second
 * @param steps denoising steps
 * @param guidance scale of classifier-free guidance
 * @param flowShift the scheduler's flow shift
 * @param maxPromptTokens tokens a prompt is padded or cut to
 * @param negativePrompt what to steer away from
 */
public record GenerationDefaults(
    Integer height,
    Integer width,
    Integer frames,
    Double fps,
    Integer steps,
    Double guidance,
    Double flowShift,
    Integer maxPromptTokens,
    String negativePrompt) {

  public static final GenerationDefaults NONE =
      new GenerationDefaults(null, null, null, null, null, null, null, null, null);

  public static GenerationDefaults of(VideoRequest request) {
    return new GenerationDefaults(
        boxed(request.height()),
        boxed(request.width()),
        boxed(request.frames()),
        boxed(request.fps()),
        boxed(request.steps()),
        boxed(request.guidance()),
        boxed(request.flowShift()),
        null,
        request.negativePrompt().orElse(null));
  }

  public static GenerationDefaults of(PresetTable.Entry entry) {
    return new GenerationDefaults(
        entry.height(),
        entry.width(),
        entry.frames(),
        entry.fps(),
        entry.steps(),
        entry.guidance(),
        Double.isNaN(entry.flowShift()) ? null : entry.flowShift(),
        null,
        null);
  }

  /** Reads a {@code generation_config.json}; every key is optional. */
  public static GenerationDefaults of(ConfigReader config) {
    return new GenerationDefaults(
        config.isNull("height") ? null : config.intValue("height"),
        config.isNull("width") ? null : config.intValue("width"),
        config.isNull("num_frames") ? null : config.intValue("num_frames"),
        config.isNull("fps") ? null : config.doubleValue("fps"),
        config.isNull("num_inference_steps") ? null : config.intValue("num_inference_steps"),
        config.isNull("guidance_scale") ? null : config.doubleValue("guidance_scale"),
        config.isNull("flow_shift") ? null : config.doubleValue("flow_shift"),
        config.isNull("max_sequence_length") ? null : config.intValue("max_sequence_length"),
        config.isNull("negative_prompt") ? null : config.string("negative_prompt"));
  }

  /** These values, and where there is none the other's. */
  public GenerationDefaults orElse(GenerationDefaults other) {
    return new GenerationDefaults(
        height != null ? height : other.height,
        width != null ? width : other.width,
        frames != null ? frames : other.frames,
        fps != null ? fps : other.fps,
        steps != null ? steps : other.steps,
        guidance != null ? guidance : other.guidance,
        flowShift != null ? flowShift : other.flowShift,
        maxPromptTokens != null ? maxPromptTokens : other.maxPromptTokens,
        negativePrompt != null ? negativePrompt : other.negativePrompt);
  }

  private static Integer boxed(java.util.OptionalInt value) {
    return value.isPresent() ? value.getAsInt() : null;
  }

  private static Double boxed(java.util.OptionalDouble value) {
    return value.isPresent() ? value.getAsDouble() : null;
  }
}
