package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.checkpoint.CheckpointParameters;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.WeightFiles;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.TestEngine;
import io.sparsevideo.tensor.TensorOps;
import io.sparsevideo.tensor.TorchRandom;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** The recorded tiny VAE on CUDA against the CPU. */
@ParameterizedClass
@EnumSource(TestEngine.class)
class WanVaeOnCudaTest {
  private static final Shape LATENTS = new Shape(16, 3, 5, 3);
  private static final Shape VIDEO = new Shape(3, 9, 40, 24);

  @Parameter TestEngine kind;

  /** What a backend makes of the same latents and the same video. */
  private record Outcome(float[] video, float[] latents, List<byte[]> frames) {}

  /** The CUDA kernels have no attention of 32 bits; the fake driver's are the host's. */
  @Test
  void float32() {
    assumeTrue(kind == TestEngine.FAKE, "needs attention in FLOAT32");
    assertLikeCpu(DataType.FLOAT32, 1e-5, 1);
  }

  @Test
  void bfloat16() {
    assertLikeCpu(DataType.BFLOAT16, 2e-2, 12);
  }

  /** Each failing call leaves what there was before. */
  @Test
  void stoppingFreesItsMemory() {
    try (CudaTensorOps ops = kind.openOps(DataType.BFLOAT16);
        NDManager weights = ops.manager().newSubManager();
        NDManager scope = ops.manager().newSubManager()) {
      WanVae vae = load(ops, weights);
      NDArray latents = scope.create(TorchRandom.normal(1, (int) LATENTS.size()), LATENTS);
      long before = ops.manager().statistics().liveBytes();
      assertThrows(
          IllegalStateException.class,
          () ->
              vae.decode(
                  latents,
                  done -> {
                    if (done == 2) {
                      throw new IllegalStateException("stopped");
                    }
                  },
                  frames -> {}));
      assertEquals(before, ops.manager().statistics().liveBytes());
    }
  }

  private void assertLikeCpu(DataType type, double tolerance, int colors) {
    Outcome expected;
    try (TensorOps reference = kind.openReferenceOps()) {
      expected = run(reference);
    }
    try (CudaTensorOps ops = kind.openOps(type)) {
      Outcome found = run(ops);
      assertEquals(0, ops.manager().statistics().arrays());
      assertClose(expected.video, found.video, tolerance);
      assertClose(expected.latents, found.latents, tolerance);
      assertEquals(expected.frames.size(), found.frames.size());
      for (int f = 0; f < expected.frames.size(); f++) {
        for (int i = 0; i < expected.frames.get(f).length; i++) {
          int color = Byte.toUnsignedInt(expected.frames.get(f)[i]);
          assertEquals(color, Byte.toUnsignedInt(found.frames.get(f)[i]), colors);
        }
      }
    }
  }

  private static Outcome run(TensorOps ops) {
    try (NDManager weights = ops.manager().newSubManager();
        NDManager scope = ops.manager().newSubManager()) {
      WanVae vae = load(ops, weights);
      NDArray latents = scope.create(TorchRandom.normal(1, (int) LATENTS.size()), LATENTS);
      NDArray video = scope.create(TorchRandom.normal(2, (int) VIDEO.size()), VIDEO);
      int before = scope.getManagedArrays().size();
      List<byte[]> frames = new ArrayList<>();
      vae.decode(
          latents,
          done -> {},
          chunk -> {
            assertEquals(ops.computeType(), chunk.getDataType());
            try (NDList bytes = ops.colorBytes(chunk)) {
              for (long t = 0; t < chunk.getShape().get(0); t++) {
                try (NDArray frame = bytes.head().get(t)) {
                  frames.add(frame.toByteArray());
                }
              }
            }
          });
      NDArray decoded = vae.decode(latents);
      NDArray encoded = vae.encode(video);
      assertEquals(new Shape(3, 9, 40, 24), decoded.getShape());
      assertEquals(new Shape(16, 3, 5, 3), encoded.getShape());
      assertEquals(before + 2, scope.getManagedArrays().size());
      return new Outcome(decoded.toFloatArray(), encoded.toFloatArray(), frames);
    }
  }

  private static WanVae load(TensorOps ops, NDManager weights) {
    WanVaeConfig config =
        WanVaeConfig.from(ConfigReader.read(golden("checkpoint/vae/config.json")));
    try (WeightFiles files = WeightFiles.open(golden("checkpoint/vae"))) {
      CheckpointParameters parameters = new CheckpointParameters(files, ops, weights);
      WanVae vae = new WanVae(config, parameters, ops);
      parameters.finish();
      return vae;
    }
  }

  private static Path golden(String name) {
    try {
      return Path.of(WanVaeOnCudaTest.class.getResource("/golden/wan-t2v/" + name).toURI());
    } catch (URISyntaxException e) {
      throw new AssertionError(e);
    }
  }

  private static void assertClose(float[] expected, float[] found, double tolerance) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow(found[i] - expected[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    double error = Math.sqrt(difference / norm);
    assertTrue(error < tolerance, "relative error " + error);
  }
}
