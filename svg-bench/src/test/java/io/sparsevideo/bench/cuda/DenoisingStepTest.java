package io.sparsevideo.bench.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.bench.cuda.DenoisingStep.Measured;
import io.sparsevideo.bench.cuda.StageClock.Stage;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.TestEngine;
import io.sparsevideo.models.wan.WanTransformerConfig;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** That steps run, are timed by stages and leave nothing behind. */
class DenoisingStepTest {
  private static final WanTransformerConfig TINY =
      new WanTransformerConfig(2, 32, 1, 48, 4, 4, 16, 32, 1, 2, 2, true, 1e-6, 1024);

  @ParameterizedTest
  @EnumSource(TestEngine.class)
  void everyModeIsTimedByStages(TestEngine engine) {
    try (CudaTensorOps ops = engine.openOps(DataType.BFLOAT16)) {
      try (DenoisingStep step = new DenoisingStep(ops, TINY, new Shape(4, 5, 16, 16), 1.8)) {
        Measured dense = step.measure(AttentionMode.dense(), 1);
        long arrays = ops.manager().statistics().arrays();
        assertEquals(1, dense.density());
        assertEquals(
            Set.of(Stage.STEP, Stage.BLOCKS, Stage.GEMM, Stage.ATTENTION, Stage.NORMS),
            dense.stages().keySet());
        Measured sparse = step.measure(AttentionMode.svg2().optFirstTimes(0).optFirstLayers(0), 2);
        assertTrue(sparse.stages().containsKey(Stage.KMEANS), sparse::toString);
        assertTrue(sparse.density() > 0 && sparse.density() < 0.9, sparse::toString);
        assertEquals(arrays, ops.manager().statistics().arrays());
      }
      assertEquals(0, ops.manager().statistics().arrays());
    }
  }
}
