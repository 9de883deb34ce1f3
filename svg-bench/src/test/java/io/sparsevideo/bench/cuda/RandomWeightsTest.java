package io.sparsevideo.bench.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import io.sparsevideo.cuda.engine.CudaNDManager;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.TestEngine;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class RandomWeightsTest {

  @ParameterizedTest
  @EnumSource(TestEngine.class)
  void deviationsFollowTheRuleInEveryType(TestEngine engine) {
    try (CudaTensorOps ops = engine.openOps(DataType.BFLOAT16);
        CudaNDManager owner = ops.manager().newSubManager()) {
      try (RandomWeights small = RandomWeights.small(owner, DataType.BFLOAT16);
          RandomWeights scaled = RandomWeights.scaled(owner, DataType.FLOAT16)) {
        assertDeviation(0.02, DataType.BFLOAT16, small.get("ffn.weight", 301, 99));
        assertDeviation(0.02, DataType.FLOAT32, small.getFloat32("table", 6, 5001));
        assertDeviation(1.0 / 6, DataType.FLOAT16, scaled.get("conv.weight", 1001, 4, 3, 3));
        assertDeviation(0.02, DataType.FLOAT16, scaled.get("conv.bias", 30_001));
        assertArrayEquals(
            new float[] {1, 1, 1}, scaled.getFloat32("norm.gamma", 3, 1, 1).toFloatArray());
        assertArrayEquals(new float[8], small.embedding("shared", 5, 4).rows(0, 4));
      }
      assertEquals(5, ops.manager().statistics().arrays(), "the weights stay");
    }
  }

  private static void assertDeviation(double expected, DataType type, NDArray weight) {
    assertEquals(type, weight.getDataType());
    double squares = 0;
    for (float value : weight.toFloatArray()) {
      squares += value * value;
    }
    assertEquals(expected, Math.sqrt(squares / weight.size()), 0.03 * expected);
  }
}
