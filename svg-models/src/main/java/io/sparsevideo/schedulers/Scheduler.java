package io.sparsevideo.schedulers;

import ai.djl.ndarray.NDArray;

/**
 * One denoising run of a fixed number of steps, from noise to a clean sample. It belongs to one
 * generation and is made by {@link SchedulerConfig#newScheduler}.
 *
 * <p>Coefficients are computed on the host; tensors stay where the sample lives. Not safe for use
 * by several threads.
 */
public interface Scheduler extends AutoCloseable {

  /** Number of denoising steps. */
  default int steps() {
    return timesteps().length;
  }

  /** What the transformer is told at each step, a copy: {@link #steps()} values. */
  float[] timesteps();

  /** Noise levels, a copy: {@code steps() + 1} values, from the noisiest to the end. */
  float[] sigmas();

  /** What standard normal noise is multiplied by to become the first sample. */
  default double initialScale() {
    return 1;
  }

  /**
   * The sample as the transformer expects it at this step; the sample itself where the method does
   * not scale. Any other result belongs to the sample's manager.
   */
  default NDArray scaleModelInput(NDArray sample, int step) {
    return sample;
  }

  /**
   * The sample after this step. Arguments are not changed.
   *
   * @param modelOutput what the transformer gave, after guidance; any floating type
   * @param step from 0; every step is taken once, in order
   * @param sample the sample before this step, FLOAT32, of the same shape
   * @return a new FLOAT32 tensor of the sample's manager
   * @throws IllegalArgumentException if the step is out of turn, or a shape or type does not fit
   */
  NDArray step(NDArray modelOutput, int step, NDArray sample);

  /** Frees what is kept from earlier steps. */
  @Override
  void close();
}
