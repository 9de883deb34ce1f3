package io.sparsevideo.schedulers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import ai.djl.ndarray.NDManager;
import java.net.URISyntaxException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FlowMatchEulerSchedulerTest {

  @ParameterizedTest
  @ValueSource(ints = {4, 30, 50})
  void followsTheRecordedRun(int steps) throws URISyntaxException {
    try (Recording recording = new Recording("hunyuan_shift7." + steps)) {
      recording.assertFollowedBy(new FlowMatchEulerScheduler.Config(1000, 7), steps);
    }
  }

  @Test
  void stepsEvenlyWithoutAShift() {
    try (NDManager manager = NDManager.newBaseManager();
        Scheduler scheduler = new FlowMatchEulerScheduler.Config(200, 1).newScheduler(5, manager)) {
      assertArrayEquals(new float[] {1, .8f, .6f, .4f, .2f, 0}, scheduler.sigmas(), 1e-7f);
      assertArrayEquals(new float[] {200, 160, 120, 80, 40}, scheduler.timesteps(), 1e-4f);
    }
  }
}
