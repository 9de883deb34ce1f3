package io.sparsevideo.models;

import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.ModelFamily;
import io.sparsevideo.attention.PresetTable;
import java.util.Optional;

/**
 * A request with every value filled in and the ranges checked that hold for all models.
 *
 * @param prompt as the user gave it
 * @param negativePrompt what to steer away from
 * @param height pixels
 * @param width pixels
 * @param frames frames of the video
 * @param fps frames per second
 * @param steps denoising steps, at least 1
 * @param guidance scale of classifier-free guidance
 * @param flowShift the scheduler's flow shift
 * @param maxPromptTokens tokens a prompt is padded or cut to
 * @param seed of the first latent and of every random draw
 */
public record GenerationSettings(
    String prompt,
    String negativePrompt,
    int height,
    int width,
    int frames,
    double fps,
    int steps,
    double guidance,
    double flowShift,
    int maxPromptTokens,
    long seed) {

  /**
   * @throws InvalidRequestException naming the value that is out of range
   */
  public GenerationSettings {
    require(height >= 1, "height must be positive", height);
    require(width >= 1, "width must be positive", width);
    require(frames >= 1, "frames must be positive", frames);
    require(steps >= 1, "steps must be at least 1", steps);
    require(fps > 0 && fps <= 1000, "fps must be above 0 and at most 1000", fps);
    require(guidance >= 0 && Double.isFinite(guidance), "guidance must be at least 0", guidance);
    require(flowShift > 0 && Double.isFinite(flowShift), "flow shift must be positive", flowShift);
    require(maxPromptTokens >= 1, "max_sequence_length must be positive", maxPromptTokens);
  }

  private static void require(boolean condition, String what, Object found) {
    if (!condition) {
      throw new InvalidRequestException(what + ", is " + found);
    }
  }

  /**
   * Fills in a request. Precedence: the request; the checkpoint's file; the preset, when it is
   * named or has an entry for the size; the component's own values.
   *
   * @param file the checkpoint's {@code generation_config.json}
   * @param own the component's own values, complete
   */
  public static GenerationSettings resolve(
      VideoRequest request,
      GenerationDefaults file,
      AttentionMode mode,
      ModelFamily family,
      boolean imageToVideo,
      GenerationDefaults own) {
    GenerationDefaults asked = GenerationDefaults.of(request).orElse(file);
    GenerationDefaults named =
        mode.presetNamed()
            ? GenerationDefaults.of(PresetTable.main(mode.preset(), family, imageToVideo))
            : GenerationDefaults.NONE;
    GenerationDefaults sized = asked.orElse(named).orElse(own);
    Optional<PresetTable.Entry> entry =
        PresetTable.ofSize(mode.preset(), family, imageToVideo, sized.height(), sized.width());
    GenerationDefaults v =
        asked.orElse(entry.map(GenerationDefaults::of).orElse(named)).orElse(own);
    return new GenerationSettings(
        request.prompt(),
        v.negativePrompt(),
        v.height(),
        v.width(),
        v.frames(),
        v.fps(),
        v.steps(),
        v.guidance(),
        v.flowShift(),
        v.maxPromptTokens(),
        request.seed());
  }

  /** Whether an unconditional pass runs beside the conditional one. */
  public boolean guided() {
    return guidance > 1;
  }
}
