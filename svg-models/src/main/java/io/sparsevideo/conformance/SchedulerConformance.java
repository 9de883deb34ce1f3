package io.sparsevideo.conformance;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparsevideo.schedulers.EdmEulerScheduler;
import io.sparsevideo.schedulers.FlowMatchEulerScheduler;
import io.sparsevideo.schedulers.Scheduler;
import io.sparsevideo.schedulers.SchedulerConfig;
import io.sparsevideo.schedulers.UniPcFlowScheduler;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Traces of schedulers on the stand-in model v = tanh(0.7 · x + 0.1 · i): tensors are named by
 * scheduler and number of steps, "wan_shift5.30.sigmas".
 */
final class SchedulerConformance {
  private static final double TOLERANCE = 1e-5;
  private static final Pattern STAGE =
      Pattern.compile("((?:wan|hunyuan)_shift[0-9.]+|cosmos_edm)\\.(\\d+)\\.x0");

  private SchedulerConformance() {}

  static boolean recognises(Trace trace) {
    return trace.names().stream().anyMatch(name -> STAGE.matcher(name).matches());
  }

  static void run(Trace trace, NDManager manager) {
    Set<String> runs = new TreeSet<>(trace.names());
    for (String name : runs) {
      Matcher stage = STAGE.matcher(name);
      if (stage.matches()) {
        try (NDManager scope = manager.newSubManager()) {
          run(trace, stage.group(1), Integer.parseInt(stage.group(2)), scope);
        }
      }
    }
  }

  private static void run(Trace trace, String name, int steps, NDManager manager) {
    String prefix = name + "." + steps + ".";
    try (Scheduler scheduler = config(name).newScheduler(steps, manager)) {
      trace.compare(prefix + "timesteps", scheduler.timesteps(), TOLERANCE);
      trace.compare(prefix + "sigmas", scheduler.sigmas(), TOLERANCE);
      NDArray x = trace.tensor(prefix + "x0", manager);
      for (int i = 0; i < steps; i++) {
        x = scheduler.step(velocity(scheduler.scaleModelInput(x, i), i), i, x);
        trace.compare(prefix + "x_after." + i, x, TOLERANCE);
      }
    }
  }

  /** What stands for a transformer in the recordings: tanh(0.7 x + 0.1 i). */
  private static NDArray velocity(NDArray x, int step) {
    float[] values = x.mul(0.7f).add(0.1f * step).toFloatArray();
    for (int j = 0; j < values.length; j++) {
      values[j] = (float) Math.tanh(values[j]);
    }
    return x.getManager().create(values, x.getShape());
  }

  /**
   * The settings that a recording's name stands for, otherwise those of the published checkpoints.
   */
  private static SchedulerConfig config(String name) {
    if (name.startsWith("cosmos")) {
      return new EdmEulerScheduler.Config(.002, 80, .5, 7, false);
    }
    double shift = Double.parseDouble(name.replaceFirst(".*_shift", ""));
    return name.startsWith("wan")
        ? new UniPcFlowScheduler.Config(1000, shift, 2, UniPcFlowScheduler.SolverType.BH2, Set.of())
        : new FlowMatchEulerScheduler.Config(1000, shift);
  }
}
