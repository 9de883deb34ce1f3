package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.checkpoint.CheckpointParameters;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.ParameterList;
import io.sparsevideo.checkpoint.SafeTensors;
import io.sparsevideo.checkpoint.TensorInfo;
import io.sparsevideo.checkpoint.WeightFiles;
import io.sparsevideo.tensor.DjlTensorOps;
import io.sparsevideo.tensor.TensorOps;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CancellationException;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** On the recorded tiny checkpoint: 16 latent channels, 8 × 8 pixels and 4 frames to a latent. */
class WanVaeTest {
  private static TensorOps ops;
  private static NDManager weights;
  private static WanVaeConfig config;
  private static WanVae vae;

  private NDManager manager;

  @BeforeAll
  static void load() {
    ops = new DjlTensorOps();
    weights = ops.manager().newSubManager();
    config = WanVaeConfig.from(ConfigReader.read(golden("checkpoint/vae/config.json")));
    try (WeightFiles files = WeightFiles.open(golden("checkpoint/vae"))) {
      CheckpointParameters parameters = new CheckpointParameters(files, ops, weights);
      vae = new WanVae(config, parameters, ops);
      parameters.finish();
    }
  }

  @AfterAll
  static void unload() {
    ops.close();
  }

  @BeforeEach
  void open() {
    manager = ops.manager().newSubManager();
  }

  @AfterEach
  void close() {
    manager.close();
  }

  @Test
  void decodesAsThePublicImplementation() {
    NDArray latents = recorded("vae.decode_input");
    NDArray expected = recorded("vae.decode_output");
    assertClose(expected, vae.decode(latents), 1e-4);
  }

  @Test
  void encodesAsThePublicImplementation() {
    NDArray video = recorded("vae.encode_input");
    NDArray expected = recorded("vae.encode_mode");
    assertClose(expected, vae.encode(video), 1e-4);
  }

  @Test
  void hasTheParametersOfThePublishedModel() {
    ParameterList list = new ParameterList();
    new WanVae(WanVaeConfigTest.published(), list, null);
    assertEquals(126_892_531, list.parameterCount());
  }

  @Test
  void handsFramesOutChunkByChunk() {
    NDArray latents = normal(16, 3, 5, 3);
    NDArray whole = vae.decode(latents);
    assertEquals(new Shape(3, 9, 40, 24), whole.getShape());
    assertSame(manager, whole.getManager());

    List<Integer> progress = new ArrayList<>();
    NDList chunks = new NDList();
    vae.decode(
        latents,
        progress::add,
        frames -> {
          NDArray copy = frames.clip(-1, 1);
          copy.attach(manager);
          chunks.add(copy);
        });
    assertEquals(List.of(0, 1, 2, 3), progress);
    assertEquals(
        List.of(new Shape(1, 40, 24, 3), new Shape(4, 40, 24, 3), new Shape(4, 40, 24, 3)),
        chunks.stream().map(NDArray::getShape).toList());
    assertClose(whole, NDArrays.concat(chunks).transpose(3, 0, 1, 2), 1e-6);
  }

  @Test
  void laterLatentsDoNotChangeEarlierFrames() {
    NDArray latents = normal(16, 4, 3, 5);
    NDArray whole = vae.decode(latents);
    for (int frames = 1; frames < 4; frames++) {
      NDArray start = vae.decode(latents.get(":, 0:{}", frames));
      assertEquals(new Shape(3, 4 * frames - 3, 24, 40), start.getShape());
      assertClose(whole.get(":, 0:{}", 4 * frames - 3), start, 1e-6);
    }
  }

  @Test
  void laterFramesDoNotChangeEarlierLatents() {
    NDArray video = normal(3, 13, 24, 40);
    List<Integer> progress = new ArrayList<>();
    NDArray whole = vae.encode(video, progress::add);
    assertEquals(List.of(0, 1, 2, 3, 4), progress);
    assertEquals(new Shape(16, 4, 3, 5), whole.getShape());
    assertSame(manager, whole.getManager());
    for (int frames = 1; frames < 4; frames++) {
      NDArray start = vae.encode(video.get(":, 0:{}", 4 * frames - 3));
      assertEquals(new Shape(16, frames, 3, 5), start.getShape());
      assertClose(whole.get(":, 0:{}", frames), start, 1e-6);
    }
  }

  @Test
  void pixelsStayWithinTheirRange() {
    NDArray loud = vae.decode(normal(16, 2, 2, 3).mul(100));
    assertEquals(1f, loud.max().getFloat());
    assertEquals(-1f, loud.min().getFloat());
  }

  @Test
  void normalizesWithTheStatisticsOfTheConfig() {
    NDArray latents = normal(16, 2, 3, 1);
    NDArray raw = vae.fromNormalized(latents);
    for (int c = 0; c < 16; c++) {
      double expected =
          latents.getFloat(c, 1, 2, 0) * config.latentsStd().get(c) + config.latentsMean().get(c);
      assertEquals(expected, raw.getFloat(c, 1, 2, 0), 1e-5);
    }
    assertClose(latents, vae.toNormalized(raw), 1e-6);
  }

  @Test
  void leavesNothingButTheResult() {
    NDArray latents = normal(16, 2, 3, 3);
    NDArray video = normal(3, 5, 16, 8);
    int weightsBefore = weights.getManagedArrays().size();
    int before = manager.getManagedArrays().size();
    vae.decode(latents);
    vae.encode(video);
    vae.fromNormalized(latents);
    vae.toNormalized(latents);
    assertEquals(before + 4, manager.getManagedArrays().size());
    vae.decode(latents, done -> {}, frames -> {});
    assertEquals(before + 4, manager.getManagedArrays().size());
    assertEquals(weightsBefore, weights.getManagedArrays().size());
  }

  @Test
  void stoppingFreesItsMemory() {
    NDArray latents = normal(16, 3, 3, 3);
    NDArray video = normal(3, 9, 16, 8);
    int weightsBefore = weights.getManagedArrays().size();
    int before = manager.getManagedArrays().size();
    List<Shape> chunks = new ArrayList<>();
    assertThrows(
        CancellationException.class,
        () -> vae.decode(latents, WanVaeTest::stopAtTwo, f -> chunks.add(f.getShape())));
    assertEquals(2, chunks.size());
    assertThrows(CancellationException.class, () -> vae.encode(video, WanVaeTest::stopAtTwo));
    assertThrows(
        IllegalStateException.class,
        () ->
            vae.decode(
                latents,
                done -> {},
                frames -> {
                  throw new IllegalStateException("disk full");
                }));
    assertEquals(before, manager.getManagedArrays().size());
    assertEquals(weightsBefore, weights.getManagedArrays().size());
  }

  @Test
  void refusesVideosThatDoNotDivide() {
    refuses(InvalidRequestException.class, () -> vae.encode(zeros(3, 4, 16, 16)), "4 frames");
    refuses(InvalidRequestException.class, () -> vae.encode(zeros(3, 5, 12, 16)), "height 12");
    refuses(InvalidRequestException.class, () -> vae.encode(zeros(3, 5, 16, 20)), "width 20");
  }

  @Test
  void refusesOtherShapes() {
    Class<IllegalArgumentException> type = IllegalArgumentException.class;
    refuses(type, () -> vae.encode(zeros(4, 5, 16, 16)), "(4, 5, 16, 16)");
    refuses(type, () -> vae.encode(zeros(1, 3, 5, 16, 16)), "(3, frames, height, width)");
    refuses(type, () -> vae.decode(zeros(4, 5, 6, 6)), "(16, frames, height, width)");
    refuses(type, () -> vae.decode(zeros(16, 0, 6, 6)), "(16, 0, 6, 6)");
    refuses(type, () -> vae.decode(zeros(16, 6, 6)), "(16, 6, 6)");
    refuses(type, () -> vae.fromNormalized(zeros(4, 1, 6, 6)), "(4, 1, 6, 6)");
  }

  private static void refuses(Class<? extends Exception> type, Runnable call, String because) {
    String message = assertThrows(type, call::run).getMessage();
    assertTrue(message.contains(because), message);
  }

  private static void stopAtTwo(int done) {
    if (done == 2) {
      throw new CancellationException();
    }
  }

  private static Path golden(String file) {
    try {
      return Path.of(WanVaeTest.class.getResource("/golden/wan-t2v/" + file).toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A tensor of the recorded run without its batch dimension. */
  private NDArray recorded(String name) {
    try (SafeTensors trace = SafeTensors.open(golden("trace.safetensors"))) {
      TensorInfo tensor = trace.tensors().get(name);
      DataType stored = tensor.type().dataType().orElseThrow();
      return ops.upload(manager, tensor.data(), stored, tensor.shape(), DataType.FLOAT32)
          .squeeze(0);
    }
  }

  private NDArray normal(long... shape) {
    return manager.randomNormal(new Shape(shape));
  }

  private NDArray zeros(long... shape) {
    return manager.zeros(new Shape(shape));
  }

  private static void assertClose(NDArray expected, NDArray found, double tolerance) {
    assertEquals(expected.getShape(), found.getShape());
    double error = found.sub(expected).norm().getFloat() / expected.norm().getFloat();
    assertTrue(error <= tolerance, "relative error " + error);
  }
}
