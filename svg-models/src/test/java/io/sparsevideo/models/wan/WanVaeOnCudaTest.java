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
import io.sparsevideo.checkpoint.EmbeddingTable;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.checkpoint.SafeTensors;
import io.sparsevideo.checkpoint.TensorInfo;
import io.sparsevideo.checkpoint.WeightFiles;
import io.sparsevideo.cuda.engine.CudaOutOfMemoryException;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.FakeGpus;
import io.sparsevideo.cuda.engine.MemoryStatistics;
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

/** The recorded tiny VAE on CUDA against the CPU, on what was recorded with it. */
@ParameterizedClass
@EnumSource(TestEngine.class)
class WanVaeOnCudaTest {
  private static final Shape LATENTS = new Shape(16, 3, 5, 3);

  @Parameter TestEngine kind;

  /** What a backend makes of the same latents and the same video. */
  private record Outcome(float[] video, float[] latents, List<byte[]> frames) {}

  /** The CUDA kernels have no attention of 32 bits; the fake driver's are the host's. */
  @Test
  void float32() {
    assumeTrue(kind == TestEngine.FAKE, "needs attention in FLOAT32");
    assertLikeCpu(DataType.FLOAT32, 1e-5);
  }

  @Test
  void float16() {
    assertLikeCpu(DataType.BFLOAT16, 4e-3);
  }

  /** The sum of a residual and a projection beyond the largest number of FLOAT16. */
  @Test
  void attentionSaturates() {
    float largest = 65504;
    try (CudaTensorOps ops = kind.openOps(DataType.BFLOAT16);
        NDManager scope = ops.manager().newSubManager();
        WanVaeCache cache = new WanVaeCache(scope)) {
      WanVaeAttention attention = new WanVaeAttention(constants(ops, scope, 48), ops, 64);
      NDArray x = scope.full(new Shape(2, 3, 2, 64), largest, ops.preciseType());
      float[] found = attention.forward(x, cache).toType(DataType.FLOAT32, false).toFloatArray();
      for (float value : found) {
        assertEquals(largest, value);
      }
    }
  }

  /** Weights of zero and biases of one value. */
  private static Parameters constants(CudaTensorOps ops, NDManager manager, float bias) {
    return new Parameters() {
      @Override
      public NDArray get(String name, long... shape) {
        float value = name.endsWith("bias") ? bias : 0;
        return manager.full(new Shape(shape), value, ops.preciseType());
      }

      @Override
      public NDArray getFloat32(String name, long... shape) {
        throw new UnsupportedOperationException(name);
      }

      @Override
      public EmbeddingTable embedding(String name, long rows, long width) {
        throw new UnsupportedOperationException(name);
      }
    };
  }

  /** Memory runs out at many places of a decoding and of an encoding. */
  @Test
  void anOutOfMemoryLeavesNothing() {
    assumeTrue(kind == TestEngine.FAKE, "needs a driver that refuses memory when told to");
    try (CudaTensorOps ops = kind.openOps(DataType.BFLOAT16);
        NDManager weights = ops.manager().newSubManager();
        NDManager scope = ops.manager().newSubManager()) {
      WanVae vae = load(ops, weights);
      NDArray latents = scope.create(TorchRandom.normal(1, (int) LATENTS.size()), LATENTS);
      assertFailuresFree(ops, () -> vae.decode(latents, done -> {}, frames -> {}));
      NDArray video = recorded(ops, scope, "vae.encode_input");
      assertFailuresFree(ops, () -> vae.encode(video).close());
    } finally {
      FakeGpus.refuse(Long.MAX_VALUE, 0);
    }
  }

  private static void assertFailuresFree(CudaTensorOps ops, Runnable pass) {
    MemoryStatistics before = ops.manager().statistics();
    long first = FakeGpus.allocations();
    pass.run();
    long allocations = FakeGpus.allocations() - first;
    for (long n = 0; n < allocations; n += 1 + allocations / 25) {
      String place = "at allocation %d of %d".formatted(n, allocations);
      FakeGpus.refuse(n, 2);
      assertThrows(CudaOutOfMemoryException.class, pass::run, place);
      FakeGpus.refuse(Long.MAX_VALUE, 0);
      MemoryStatistics after = ops.manager().statistics();
      assertEquals(before.liveBytes(), after.liveBytes(), place);
      assertEquals(before.arrays(), after.arrays(), place);
    }
  }

  /** What a listener throws between two chunks stops the decoding. */
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

  private void assertLikeCpu(DataType type, double tolerance) {
    Outcome expected;
    try (TensorOps reference = kind.openReferenceOps()) {
      expected = run(reference);
    }
    try (CudaTensorOps ops = kind.openOps(type)) {
      Outcome found = run(ops);
      assertEquals(0, ops.manager().statistics().arrays());
      assertClose(expected.video, found.video, tolerance);
      assertClose(expected.latents, found.latents, tolerance);
      assertAreColors(found);
    }
  }

  /** The frames (H, W, 3) are the bytes of the video (3, T, H, W) that the same backend gave. */
  private static void assertAreColors(Outcome outcome) {
    int frames = outcome.frames.size();
    int pixels = outcome.frames.getFirst().length / 3;
    assertEquals(outcome.video.length, 3 * frames * pixels);
    for (int f = 0; f < frames; f++) {
      for (int i = 0; i < 3 * pixels; i++) {
        float value = outcome.video[(i % 3 * frames + f) * pixels + i / 3];
        int color = Byte.toUnsignedInt(outcome.frames.get(f)[i]);
        assertEquals((value + 1) * 127.5, color, 0.501);
      }
    }
  }

  private static Outcome run(TensorOps ops) {
    try (NDManager weights = ops.manager().newSubManager();
        NDManager scope = ops.manager().newSubManager()) {
      WanVae vae = load(ops, weights);
      NDArray latents = recorded(ops, scope, "vae.decode_input");
      NDArray video = recorded(ops, scope, "vae.encode_input");
      int before = scope.getManagedArrays().size();
      List<byte[]> frames = new ArrayList<>();
      vae.decode(
          latents,
          done -> {},
          chunk -> {
            assertEquals(ops.preciseType(), chunk.getDataType());
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
      assertEquals(before + 2, scope.getManagedArrays().size());
      return new Outcome(decoded.toFloatArray(), encoded.toFloatArray(), frames);
    }
  }

  private static WanVae load(TensorOps ops, NDManager weights) {
    WanVaeConfig config =
        WanVaeConfig.from(ConfigReader.read(golden("checkpoint/vae/config.json")));
    try (WeightFiles files = WeightFiles.open(golden("checkpoint/vae"))) {
      CheckpointParameters parameters =
          new CheckpointParameters(files, ops, weights).optComputeType(ops.preciseType());
      WanVae vae = new WanVae(config, parameters, ops);
      parameters.finish();
      return vae;
    }
  }

  /** A tensor of the recorded run without its batch dimension. */
  private static NDArray recorded(TensorOps ops, NDManager scope, String name) {
    try (SafeTensors trace = SafeTensors.open(golden("trace.safetensors"))) {
      TensorInfo tensor = trace.tensors().get(name);
      DataType stored = tensor.type().dataType().orElseThrow();
      NDArray batch = ops.upload(scope, tensor.data(), stored, tensor.shape(), DataType.FLOAT32);
      return batch.squeeze(0);
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
