package io.sparsevideo.schedulers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparsevideo.checkpoint.SafeTensors;
import java.lang.foreign.ValueLayout;
import java.net.URISyntaxException;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;

/** One recorded run of {@code golden/schedulers}, and the stand-in model that it ran. */
final class Recording implements AutoCloseable {
  private static final double TOLERANCE = 1e-5;
  private static final ValueLayout.OfFloat LITTLE_ENDIAN_FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final String prefix;
  private final SafeTensors tensors;

  /**
   * @param run name and number of steps, such as {@code wan_shift5.4}
   */
  Recording(String run) throws URISyntaxException {
    prefix = run + ".";
    tensors =
        SafeTensors.open(
            Path.of(Recording.class.getResource("/golden/schedulers/trace.safetensors").toURI()));
  }

  /** Runs all steps from the recorded start and compares everything that was recorded. */
  void assertFollowedBy(SchedulerConfig config, int steps) {
    try (NDManager manager = NDManager.newBaseManager();
        Scheduler scheduler = config.newScheduler(steps, manager)) {
      assertEquals(steps, scheduler.steps());
      assertClose("timesteps", floats("timesteps"), scheduler.timesteps());
      assertClose("sigmas", floats("sigmas"), scheduler.sigmas());
      NDArray x = manager.create(floats("x0"), tensors.tensors().get(prefix + "x0").shape());
      int compared = 0;
      for (int i = 0; i < steps; i++) {
        x = standInStep(scheduler, i, x);
        String name = "x_after." + i;
        if (tensors.tensors().containsKey(prefix + name)) {
          assertClose(name, floats(name), x.toFloatArray());
          compared++;
        }
      }
      assertEquals(4, compared, "recorded samples");
    }
  }

  /**
   * {@code x = step(tanh(0.7 · scaleModelInput(x) + 0.1 · i))}, its temporary tensors in a scope of
   * the step's own. Closes {@code x}; the result belongs to its manager.
   */
  static NDArray standInStep(Scheduler scheduler, int i, NDArray x) {
    NDManager manager = x.getManager();
    try (NDManager scope = manager.newSubManager()) {
      x.attach(scope);
      NDArray output = scheduler.scaleModelInput(x, i).mul(0.7f).add(0.1f * i).tanh();
      NDArray after = scheduler.step(output, i, x);
      after.attach(manager);
      return after;
    }
  }

  static void assertClose(String what, float[] expected, float[] actual) {
    assertEquals(expected.length, actual.length, what);
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow((double) actual[i] - expected[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    double error = Math.sqrt(difference / norm);
    assertTrue(
        error <= TOLERANCE,
        () ->
            what
                + ": relative error "
                + error
                + ", expected "
                + Arrays.toString(expected)
                + ", is "
                + Arrays.toString(actual));
  }

  private float[] floats(String name) {
    return tensors.tensors().get(prefix + name).data().toArray(LITTLE_ENDIAN_FLOAT);
  }

  @Override
  public void close() {
    tensors.close();
  }
}
