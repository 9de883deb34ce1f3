package io.sparsevideo.schedulers;

import ai.djl.ndarray.NDManager;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import java.util.OptionalDouble;

/** The validated settings of a {@link Scheduler}, as in a {@code scheduler_config.json}. */
public sealed interface SchedulerConfig
    permits UniPcFlowScheduler.Config, FlowMatchEulerScheduler.Config, EdmEulerScheduler.Config {

  /**
   * Reads a {@code scheduler_config.json} of diffusers, by its {@code _class_name}. Absent keys
   * take the defaults of that class; keys without influence on the result are ignored.
   *
   * @throws CheckpointException when the class, or the value of a key, is not supported
   */
  static SchedulerConfig of(ConfigReader config) {
    String name =
        config.oneOf(
            "_class_name",
            "EDMEulerScheduler",
            "FlowMatchEulerDiscreteScheduler",
            "UniPCMultistepScheduler");
    try {
      return switch (name) {
        case "EDMEulerScheduler" -> EdmEulerScheduler.Config.of(config);
        case "FlowMatchEulerDiscreteScheduler" -> FlowMatchEulerScheduler.Config.of(config);
        default -> UniPcFlowScheduler.Config.of(config);
      };
    } catch (IllegalArgumentException e) {
      throw new CheckpointException(config.file() + ": " + e.getMessage(), e);
    }
  }

  /** The shift of the noise levels towards noise; empty for a method that has none. */
  OptionalDouble flowShift();

  /**
   * These settings with another flow shift.
   *
   * @throws IllegalArgumentException if it is not positive, or the method has none
   */
  SchedulerConfig withFlowShift(double flowShift);

  /**
   * Starts a run.
   *
   * @param steps at least 1
   * @param manager parent of the manager that keeps what the run remembers
   * @throws IllegalArgumentException if {@code steps} is below 1
   */
  Scheduler newScheduler(int steps, NDManager manager);
}
