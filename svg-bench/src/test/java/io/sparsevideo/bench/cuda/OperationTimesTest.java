package io.sparsevideo.bench.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.bench.cuda.OperationTimes.Operation;
import io.sparsevideo.cuda.engine.CudaNDManager;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.TestEngine;
import io.sparsevideo.models.wan.WanVae;
import io.sparsevideo.models.wan.WanVaeConfig;
import io.sparsevideo.tensor.TensorOps;
import io.sparsevideo.tensor.TorchRandom;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** A small VAE with random weights, timed over the fake driver. */
class OperationTimesTest {

  private static final WanVaeConfig CONFIG =
      new WanVaeConfig(
          8,
          8,
          4,
          List.of(1, 2),
          1,
          List.of(true),
          Collections.nCopies(4, 0.0),
          Collections.nCopies(4, 1.0),
          3,
          3);

  private static WanVae vae(CudaTensorOps ops, CudaNDManager scope, TensorOps backend) {
    try (RandomWeights random = RandomWeights.scaled(scope, ops.preciseType())) {
      return new WanVae(CONFIG, random, backend);
    }
  }

  @Test
  void operationsAreTimedWhileWorkRuns() {
    int[] waits = {0};
    try (CudaTensorOps ops = TestEngine.FAKE.openOps(DataType.BFLOAT16);
        CudaNDManager scope = ops.manager().newSubManager()) {
      OperationTimes times = new OperationTimes(ops, () -> waits[0]++);
      WanVae vae = vae(ops, scope, times.proxy());
      NDArray latents = scope.create(TorchRandom.normal(1, 4 * 2 * 6 * 4), new Shape(4, 2, 6, 4));
      vae.decode(latents).close();
      assertEquals(0, waits[0], "outside of timed work");

      Map<Operation, Double> single = times.of(() -> vae.decode(latents).close());
      assertTrue(
          single.containsKey(
              new Operation(
                  "channelNorm", new Shape(2, 12, 8, 8) + " to " + new Shape(2, 12, 8, 8))),
          () -> "found " + single.keySet());
      assertTrue(single.values().stream().allMatch(ms -> ms > 0));
      assertEquals(0, waits[0] % 2, "before and after each");
      assertEquals(single.keySet(), times.of(() -> vae.decode(latents).close()).keySet());
    }
  }

  /** Neither do values vanish on their way through the layers, nor do they grow. */
  @Test
  void scaledWeightsKeepTheSizeOfActivations() {
    try (CudaTensorOps ops = TestEngine.FAKE.openOps(DataType.BFLOAT16);
        CudaNDManager scope = ops.manager().newSubManager()) {
      WanVae vae = vae(ops, scope, ops);
      NDArray video = scope.create(TorchRandom.normal(1, 3 * 5 * 8 * 6), new Shape(3, 5, 8, 6));
      float[] latents = vae.encode(video).toFloatArray();
      double squares = 0;
      for (float value : latents) {
        squares += value * value;
      }
      double size = Math.sqrt(squares / latents.length);
      assertTrue(size > .1 && size < 10, "root mean square " + size);
    }
  }
}
