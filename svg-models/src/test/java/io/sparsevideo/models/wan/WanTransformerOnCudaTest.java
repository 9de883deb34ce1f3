package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionSession;
import io.sparsevideo.attention.AttentionSettings;
import io.sparsevideo.attention.LayerDensity;
import io.sparsevideo.attention.ModelFamily;
import io.sparsevideo.attention.TokenLayout;
import io.sparsevideo.checkpoint.CheckpointParameters;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.WeightFiles;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.TestEngine;
import io.sparsevideo.models.ForwardListener;
import io.sparsevideo.tensor.TensorOps;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The recorded tiny transformer on CUDA against the CPU. */
@ParameterizedClass
@EnumSource(TestEngine.class)
class WanTransformerOnCudaTest {
  private static final int[] LATENT = {16, 5, 12, 8}; // channels, frames, rows, columns
  private static final int STEPS = 2;

  @Parameter TestEngine kind;

  private static Path golden(String name) {
    try {
      return Path.of(WanTransformerOnCudaTest.class.getResource("/golden/wan-t2v/" + name).toURI());
    } catch (URISyntaxException e) {
      throw new AssertionError(e);
    }
  }

  private static WanTransformer load(TensorOps ops, NDManager weights) {
    WanTransformerConfig config =
        WanTransformerConfig.from(ConfigReader.read(golden("checkpoint/transformer/config.json")));
    try (WeightFiles files = WeightFiles.open(golden("checkpoint/transformer"))) {
      CheckpointParameters parameters = new CheckpointParameters(files, ops, weights);
      WanTransformer model = new WanTransformer(config, parameters, ops);
      parameters.finish();
      return model;
    }
  }

  private static float[] random(int size, long seed) {
    Random random = new Random(seed);
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return values;
  }

  /** Velocities of two calls, the second of which finds what the first has kept. */
  private record Outcome(List<float[]> velocities, List<LayerDensity> densities) {}

  private static Outcome run(TensorOps ops, AttentionMode mode) {
    List<float[]> velocities = new ArrayList<>();
    try (NDManager weights = ops.manager().newSubManager();
        NDManager scope = ops.manager().newSubManager()) {
      WanTransformer model = load(ops, weights);
      WanTransformerConfig config = model.config();
      TokenLayout layout = model.tokens(LATENT[1], LATENT[2], LATENT[3]);
      AttentionSettings settings =
          AttentionSettings.resolve(mode, ModelFamily.WAN, false, layout.videoTokens());
      Shape shape = new Shape(LATENT[0], LATENT[1], LATENT[2], LATENT[3]);
      NDArray latent =
          scope.create(random((int) shape.size(), 1), shape).toType(ops.computeType(), false);
      NDArray prompt =
          scope
              .create(random(7 * config.textDim(), 2), new Shape(7, config.textDim()))
              .toType(ops.computeType(), false);
      NDArray text = model.embedText(prompt);
      try (AttentionSession attention =
          new AttentionSession(ops, settings, layout, config.layers(), STEPS, 3)) {
        int before = scope.getManagedArrays().size();
        for (int step = 0; step < STEPS; step++) {
          attention.beginPass(step, 0);
          try (NDArray velocity =
                  model.forward(latent, 900 - 100 * step, text, attention, ForwardListener.NONE);
              NDArray wide = velocity.toType(DataType.FLOAT32, true)) {
            assertEquals(ops.computeType(), velocity.getDataType());
            assertEquals(shape, velocity.getShape());
            velocities.add(wide.toFloatArray());
          }
        }
        assertEquals(before, scope.getManagedArrays().size());
        return new Outcome(velocities, attention.densities());
      }
    }
  }

  private static double error(float[] expected, float[] found) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow(found[i] - expected[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    return Math.sqrt(difference / norm);
  }

  private void assertLikeCpu(AttentionMode mode, DataType type, double tolerance) {
    Outcome expected;
    try (TensorOps reference = kind.openReferenceOps()) {
      expected = run(reference, mode);
    }
    try (CudaTensorOps ops = kind.openOps(type)) {
      Outcome found = run(ops, mode);
      assertEquals(0, ops.manager().statistics().arrays());
      for (int i = 0; i < STEPS; i++) {
        double error = error(expected.velocities.get(i), found.velocities.get(i));
        assertTrue(error < tolerance, mode + ": relative error " + error);
      }
      assertEquals(expected.densities.size(), found.densities.size());
    }
  }

  private static AttentionMode mode(AttentionMode.Kind kind) {
    return switch (kind) {
      case DENSE -> AttentionMode.dense();
      case SVG1 -> AttentionMode.svg1().optDensity(.5).optFirstTimes(0).optFirstLayers(0);
      case SVG2 -> AttentionMode.svg2().optFirstTimes(0).optFirstLayers(0);
    };
  }

  /** The CUDA kernels have no attention of 32 bits; the fake driver's are the host's. */
  @ParameterizedTest
  @EnumSource(AttentionMode.Kind.class)
  void float32(AttentionMode.Kind attention) {
    assumeTrue(kind == TestEngine.FAKE, "needs attention in FLOAT32");
    assertLikeCpu(mode(attention), DataType.FLOAT32, 2e-6);
  }

  @ParameterizedTest
  @EnumSource(AttentionMode.Kind.class)
  void bfloat16(AttentionMode.Kind attention) {
    assertLikeCpu(mode(attention), DataType.BFLOAT16, 1.5e-2);
  }
}
