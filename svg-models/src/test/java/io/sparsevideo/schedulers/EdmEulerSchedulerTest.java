package io.sparsevideo.schedulers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import java.net.URISyntaxException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class EdmEulerSchedulerTest {
  private static final EdmEulerScheduler.Config COSMOS =
      new EdmEulerScheduler.Config(0.002, 80, 0.5, 7, false);

  @ParameterizedTest
  @ValueSource(ints = {4, 30, 50})
  void followsTheRecordedRun(int steps) throws URISyntaxException {
    try (Recording recording = new Recording("cosmos_edm." + steps)) {
      recording.assertFollowedBy(COSMOS, steps);
    }
  }

  @Test
  void startsAtTheLargestNoiseLevel() {
    try (NDManager manager = NDManager.newBaseManager();
        Scheduler scheduler = COSMOS.newScheduler(1, manager)) {
      assertEquals(80, scheduler.initialScale());
      assertArrayEquals(new float[] {80, 80}, scheduler.sigmas());
    }
  }

  /** A step to noise level 0 gives the clean sample: c_skip · x + c_out · output. */
  @Test
  void endsAtTheCleanSampleWhereTheLastLevelIsZero() {
    try (NDManager manager = NDManager.newBaseManager();
        Scheduler scheduler =
            new EdmEulerScheduler.Config(1, 3, 4, 7, true).newScheduler(1, manager)) {
      NDArray after =
          scheduler.step(
              manager.create(new float[] {2, -1}), 0, manager.create(new float[] {5, 10}));
      float skip = 16f / 25;
      float out = 12f / 5;
      assertArrayEquals(
          new float[] {skip * 5 + out * 2, skip * 10 - out}, after.toFloatArray(), 1e-5f);
    }
  }

  @Test
  void hasNoFlowShift() {
    assertTrue(COSMOS.flowShift().isEmpty());
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> COSMOS.withFlowShift(2.5));
    assertTrue(e.getMessage().contains("2.5"), e.getMessage());
  }

  @Test
  void refusesLevelsOutOfOrder() {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> new EdmEulerScheduler.Config(90, 80, 0.5, 7, true));
    assertTrue(e.getMessage().contains("90.0 and 80.0"), e.getMessage());
  }
}
