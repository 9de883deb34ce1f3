package io.sparsevideo.models.umt5;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.checkpoint.CheckpointParameters;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.WeightFiles;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.TestEngine;
import io.sparsevideo.demo.DemoModel;
import io.sparsevideo.tensor.TensorOps;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.Random;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The encoders of the recorded and of the demo checkpoint on CUDA against the CPU. */
@ParameterizedClass
@EnumSource(TestEngine.class)
class Umt5EncoderOnCudaTest {

  private enum Checkpoint {
    GOLDEN,
    DEMO;

    Path encoder() {
      try {
        Path folder =
            this == DEMO
                ? DemoModel.folder()
                : Path.of(Checkpoint.class.getResource("/golden/wan-t2v/checkpoint").toURI());
        return folder.resolve("text_encoder");
      } catch (URISyntaxException e) {
        throw new AssertionError(e);
      }
    }
  }

  @Parameter TestEngine kind;

  private static float[] encode(TensorOps ops, Path folder, int length, int count) {
    Umt5Config config = Umt5Config.from(ConfigReader.read(folder.resolve("config.json")));
    int[] ids = new Random(5).ints(length, 0, config.vocabulary()).toArray();
    try (WeightFiles files = WeightFiles.open(folder);
        NDManager weights = ops.manager().newSubManager();
        NDManager scope = ops.manager().newSubManager()) {
      Umt5Encoder encoder =
          new Umt5Encoder(config, new CheckpointParameters(files, ops, weights), ops);
      assertThrows(IllegalArgumentException.class, () -> encoder.encode(scope, ids, 0));
      assertThrows(IllegalArgumentException.class, () -> encoder.encode(scope, ids, length + 1));
      NDArray states = encoder.encode(scope, ids, count);
      assertEquals(1, scope.getManagedArrays().size());
      assertEquals(ops.computeType(), states.getDataType());
      assertEquals(new Shape(length, config.dim()), states.getShape());
      return states.toType(DataType.FLOAT32, false).toFloatArray();
    }
  }

  /** A lone token, a prompt, one with padding, and distances beyond the last bucket's. */
  @ParameterizedTest
  @CsvSource({"GOLDEN, 1, 1", "GOLDEN, 37, 37", "DEMO, 37, 37", "DEMO, 64, 9", "GOLDEN, 512, 300"})
  void likeTheCpu(Checkpoint checkpoint, int length, int count) {
    Path folder = checkpoint.encoder();
    float[] expected;
    try (TensorOps reference = kind.openReferenceOps()) {
      expected = encode(reference, folder, length, count);
    }
    assertClose(expected, folder, length, count, DataType.FLOAT32, 2e-6);
    // The recorded weights are random, so that scores are large and attention is sharp.
    double rounding = checkpoint == Checkpoint.DEMO ? 1.5e-2 : 3e-2;
    assertClose(expected, folder, length, count, DataType.BFLOAT16, rounding);
  }

  private void assertClose(
      float[] expected, Path folder, int length, int count, DataType type, double tolerance) {
    try (CudaTensorOps ops = kind.openOps(type)) {
      float[] found = encode(ops, folder, length, count);
      assertEquals(0, ops.manager().statistics().arrays());
      double difference = 0;
      double norm = 0;
      for (int i = 0; i < expected.length; i++) {
        difference += Math.pow(found[i] - expected[i], 2);
        norm += Math.pow(expected[i], 2);
      }
      double error = Math.sqrt(difference / norm);
      assertTrue(error < tolerance, type + ": relative error " + error);
    }
  }
}
