package io.sparsevideo.schedulers;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparsevideo.checkpoint.ConfigReader;
import java.util.OptionalDouble;

/**
 * Euler's method in the EDM formulation (Karras et al., "Elucidating the Design Space of
 * Diffusion-Based Generative Models", 2022), without churn, as Cosmos runs diffusers' {@code
 * EDMEulerScheduler}.
 *
 * <p>Guidance on model outputs equals the public pipeline's guidance on clean samples, because both
 * passes share the sample and the clean sample is affine in the model output.
 */
public final class EdmEulerScheduler extends SigmaScheduler {
  private final Config config;

  private EdmEulerScheduler(Config config, float[] timesteps, float[] sigmas) {
    super(timesteps, sigmas);
    this.config = config;
  }

  /** Like its public pipeline, Cosmos starts at the largest noise level itself. */
  @Override
  public double initialScale() {
    return config.sigmaMax;
  }

  @Override
  public NDArray scaleModelInput(NDArray sample, int step) {
    return sample.mul((float) (1 / Math.hypot(sigma(step), config.sigmaData)));
  }

  /**
   * The clean sample is {@code x₀ = c_skip · x + c_out · output} with c_skip = σd² / (σ² + σd²) and
   * c_out = σ·σd / √(σ² + σd²); the step is {@code x + (x − x₀) / σ · (σ' − σ)}.
   */
  @Override
  NDArray advance(NDArray modelOutput, int step, NDArray sample) {
    double sigma = sigma(step);
    double norm = Math.hypot(sigma, config.sigmaData);
    double skip = Math.pow(config.sigmaData / norm, 2);
    double out = sigma * config.sigmaData / norm;
    double slope = (sigma(step + 1) - sigma) / sigma;
    return weightedSum(
        sample.getManager(),
        new Term(1 + (1 - skip) * slope, sample),
        new Term(-out * slope, modelOutput));
  }

  /**
   * Settings of an {@link EdmEulerScheduler}.
   *
   * @param sigmaMin smallest noise level of the schedule
   * @param sigmaMax first noise level
   * @param sigmaData standard deviation of the data
   * @param rho curvature of the schedule
   * @param endsAtZero whether the last step leads to noise level 0; if not, to the smallest
   */
  public record Config(
      double sigmaMin, double sigmaMax, double sigmaData, double rho, boolean endsAtZero)
      implements SchedulerConfig {

    public Config {
      requirePositive("sigma_min", sigmaMin);
      requirePositive("sigma_max", sigmaMax);
      requirePositive("sigma_data", sigmaData);
      requirePositive("rho", rho);
      if (sigmaMin >= sigmaMax) {
        throw new IllegalArgumentException(
            "sigma_min must be below sigma_max, they are " + sigmaMin + " and " + sigmaMax);
      }
    }

    static Config of(ConfigReader config) {
      oneOf(config, "sigma_schedule", "karras");
      oneOf(config, "prediction_type", "epsilon");
      String end = oneOf(config, "final_sigmas_type", "zero", "sigma_min");
      return new Config(
          config.doubleValue("sigma_min", 0.002),
          config.doubleValue("sigma_max", 80),
          config.doubleValue("sigma_data", 0.5),
          config.doubleValue("rho", 7),
          end.equals("zero"));
    }

    @Override
    public OptionalDouble flowShift() {
      return OptionalDouble.empty();
    }

    @Override
    public Config withFlowShift(double flowShift) {
      throw new IllegalArgumentException(
          "the EDM scheduler of this checkpoint has no flow shift; leave it unset (given "
              + flowShift
              + ")");
    }

    @Override
    public Scheduler newScheduler(int steps, NDManager manager) {
      float[] timesteps = new float[requireSteps(steps)];
      float[] sigmas = new float[steps + 1];
      double first = Math.pow(sigmaMax, 1 / rho);
      double last = Math.pow(sigmaMin, 1 / rho);
      for (int i = 0; i < steps; i++) {
        double ramp = steps == 1 ? 0 : i / (double) (steps - 1);
        sigmas[i] = (float) Math.pow(first + ramp * (last - first), rho);
        timesteps[i] = (float) (0.25 * Math.log(sigmas[i]));
      }
      sigmas[steps] = endsAtZero ? 0 : sigmas[steps - 1];
      return new EdmEulerScheduler(this, timesteps, sigmas);
    }
  }
}
