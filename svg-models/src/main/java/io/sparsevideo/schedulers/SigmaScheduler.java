package io.sparsevideo.schedulers;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import io.sparsevideo.checkpoint.ConfigReader;

/** What all schedulers share: the tables, the checks of a step, and weighted sums of tensors. */
abstract class SigmaScheduler implements Scheduler {
  private final float[] timesteps;
  private final float[] sigmas;
  private int next;

  /**
   * @param sigmas one more than the timesteps
   */
  SigmaScheduler(float[] timesteps, float[] sigmas) {
    this.timesteps = timesteps;
    this.sigmas = sigmas;
  }

  @Override
  public final int steps() {
    return timesteps.length;
  }

  @Override
  public final float[] timesteps() {
    return timesteps.clone();
  }

  @Override
  public final float[] sigmas() {
    return sigmas.clone();
  }

  /** Noise level before step {@code index}; after the last step for {@link #steps()}. */
  final double sigma(int index) {
    return sigmas[index];
  }

  @Override
  public final NDArray step(NDArray modelOutput, int step, NDArray sample) {
    if (step != next || step >= steps()) {
      throw new IllegalArgumentException(
          "step "
              + step
              + " is out of turn: "
              + (next < steps() ? "the next step is " + next : "the run is over")
              + " (of "
              + steps()
              + ")");
    }
    if (sample.getDataType() != DataType.FLOAT32
        || !sample.getShape().equals(modelOutput.getShape())) {
      throw new IllegalArgumentException(
          "the sample must be FLOAT32 and of the model output's shape "
              + modelOutput.getShape()
              + ", is "
              + sample.getDataType()
              + " "
              + sample.getShape());
    }
    next++;
    NDArray output = modelOutput.toType(DataType.FLOAT32, false);
    try {
      return advance(output, step, sample);
    } finally {
      if (output != modelOutput) {
        output.close();
      }
    }
  }

  /** The checked step: all tensors FLOAT32 and of one shape. */
  abstract NDArray advance(NDArray modelOutput, int step, NDArray sample);

  @Override
  public void close() {}

  /** {@code Σ weight · tensor}, a new tensor of {@code manager}. */
  static NDArray weightedSum(NDManager manager, Term... terms) {
    NDArray sum = terms[0].tensor.mul((float) terms[0].weight);
    sum.attach(manager);
    for (int i = 1; i < terms.length; i++) {
      try (NDArray product = terms[i].tensor.mul((float) terms[i].weight)) {
        sum.addi(product);
      }
    }
    return sum;
  }

  /** A summand of {@link #weightedSum}. */
  record Term(double weight, NDArray tensor) {}

  /** A text of which only some values are supported; the first is also the public default. */
  static String oneOf(ConfigReader config, String key, String... supported) {
    return config.isNull(key) ? supported[0] : config.oneOf(key, supported);
  }

  /** Refuses every value of a flag but one. */
  static void requireFlag(ConfigReader config, String key, boolean supported, boolean absent) {
    if (config.bool(key, absent) != supported) {
      throw config.invalid(key, String.valueOf(supported));
    }
  }

  /** Refuses a key that is set. */
  static void requireNull(ConfigReader config, String key) {
    if (!config.isNull(key)) {
      throw config.invalid(key, "null");
    }
  }

  static int requireSteps(int steps) {
    if (steps < 1) {
      throw new IllegalArgumentException("the number of steps must be at least 1, is " + steps);
    }
    return steps;
  }

  static double requirePositive(String name, double value) {
    if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(name + " must be positive and finite, is " + value);
    }
    return value;
  }
}
