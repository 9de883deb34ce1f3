package io.sparsevideo.conformance;

import ai.djl.ndarray.types.DataType;
import io.sparsevideo.tensor.TensorOps;

/**
 * Relative errors that the stages of a recorded pipeline may have.
 *
 * @param noise the first latents
 * @param scheduler noise levels
 * @param encoder text and image encoders
 * @param attention outputs of attention alone
 * @param block inner tensors of a transformer's forward pass
 * @param vae raw calls of the VAE
 * @param noisePrediction outputs of the transformer during the run
 * @param latents latents during the run, and the video
 */
public record Tolerances(
    double noise,
    double scheduler,
    double encoder,
    double attention,
    double block,
    double vae,
    double noisePrediction,
    double latents) {

  /** What the arithmetic of a backend allows. */
  public static Tolerances of(TensorOps ops) {
    return ops.computeType() == DataType.FLOAT32
        ? new Tolerances(1e-5, 1e-5, 1e-4, 1e-3, 1e-4, 1e-4, 5e-4, 2e-3)
        : new Tolerances(1e-5, 1e-5, 2e-2, 1e-2, 2e-2, 2e-2, 5e-2, 5e-2);
  }
}
