package io.sparsevideo.bench.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.djl.ndarray.types.DataType;
import io.sparsevideo.bench.cuda.StageClock.Stage;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.TestEngine;
import java.util.List;
import org.junit.jupiter.api.Test;

class StageClockTest {

  @Test
  void eventsOfFailedWorkAreClosed() {
    try (CudaTensorOps ops = TestEngine.FAKE.openOps(DataType.BFLOAT16)) {
      CudaStream stream = ops.manager().stream();
      List<String> before = stream.context().openResources();
      StageClock clock = new StageClock(stream);
      assertThrows(ArithmeticException.class, () -> clock.time(Stage.STEP, () -> fail(clock)));
      clock.close();
      assertEquals(before, stream.context().openResources());
    }
  }

  /** Fails within another stretch. */
  private static Object fail(StageClock clock) {
    clock.mark();
    throw new ArithmeticException();
  }
}
