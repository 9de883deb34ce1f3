package io.sparsevideo.schedulers;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparsevideo.checkpoint.ConfigReader;
import java.util.OptionalDouble;

/**
 * Euler's method for flow matching, as HunyuanVideo's pipeline runs diffusers' {@code
 * FlowMatchEulerDiscreteScheduler}: noise levels in equal steps from 1 to 0, then shifted.
 */
public final class FlowMatchEulerScheduler extends SigmaScheduler {

  private FlowMatchEulerScheduler(float[] timesteps, float[] sigmas) {
    super(timesteps, sigmas);
  }

  /** The velocity leads straight to the next noise level: {@code x + (σ' − σ) · v}. */
  @Override
  NDArray advance(NDArray velocity, int step, NDArray sample) {
    return weightedSum(
        sample.getManager(),
        new Term(1, sample),
        new Term(sigma(step + 1) - sigma(step), velocity));
  }

  /**
   * Settings of a {@link FlowMatchEulerScheduler}.
   *
   * @param trainTimesteps timestep of noise level 1
   * @param shift shift s of the noise levels: σ becomes s·σ / (1 + (s − 1)·σ)
   */
  public record Config(int trainTimesteps, double shift) implements SchedulerConfig {

    public Config {
      requirePositive("num_train_timesteps", trainTimesteps);
      requirePositive("shift", shift);
    }

    static Config of(ConfigReader config) {
      requireFlag(config, "use_dynamic_shifting", false, false);
      requireFlag(config, "invert_sigmas", false, false);
      requireFlag(config, "use_karras_sigmas", false, false);
      requireFlag(config, "use_exponential_sigmas", false, false);
      requireFlag(config, "use_beta_sigmas", false, false);
      requireFlag(config, "stochastic_sampling", false, false);
      requireNull(config, "shift_terminal");
      return new Config(
          config.positiveInt("num_train_timesteps", 1000), config.doubleValue("shift", 1));
    }

    @Override
    public OptionalDouble flowShift() {
      return OptionalDouble.of(shift);
    }

    @Override
    public Config withFlowShift(double flowShift) {
      return new Config(trainTimesteps, flowShift);
    }

    @Override
    public Scheduler newScheduler(int steps, NDManager manager) {
      float[] timesteps = new float[requireSteps(steps)];
      float[] sigmas = new float[steps + 1];
      for (int i = 0; i < steps; i++) {
        double sigma = 1 - i / (double) steps;
        sigmas[i] = (float) (shift * sigma / (1 + (shift - 1) * sigma));
        timesteps[i] = sigmas[i] * trainTimesteps;
      }
      return new FlowMatchEulerScheduler(timesteps, sigmas);
    }
  }
}
