package io.sparsevideo;

import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.LayerDensity;
import java.time.Duration;
import java.util.List;
import java.util.Map;

/**
 * How a video was made.
 *
 * @param model where the checkpoint came from
 * @param device what computed; for a CPU that was taken in place of a GPU also the reason
 * @param attention the mode that ran
 * @param height pixels
 * @param width pixels
 * @param frames frames of the video
 * @param steps denoising steps
 * @param guidance scale of classifier-free guidance
 * @param flowShift the scheduler's flow shift
 * @param seed the request's seed
 * @param densities what each sparse or dense self-attention call did, in order of execution
 * @param times wall time of each stage
 */
public record GenerationReport(
    String model,
    String device,
    AttentionMode attention,
    int height,
    int width,
    int frames,
    int steps,
    double guidance,
    double flowShift,
    long seed,
    List<LayerDensity> densities,
    Map<ProgressListener.Stage, Duration> times) {

  public GenerationReport {
    densities = List.copyOf(densities);
    times = Map.copyOf(times);
  }

  /** Mean density of all self-attention calls, dense ones included; 1 when there were none. */
  public double meanDensity() {
    return densities.stream().mapToDouble(LayerDensity::density).average().orElse(1);
  }

  /** Mean density of the sparse self-attention calls; 1 when there were none. */
  public double sparseDensity() {
    return densities.stream()
        .filter(d -> d.kind() != AttentionMode.Kind.DENSE)
        .mapToDouble(LayerDensity::density)
        .average()
        .orElse(1);
  }
}
