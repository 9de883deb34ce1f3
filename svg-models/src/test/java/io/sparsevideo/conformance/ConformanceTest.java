package io.sparsevideo.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import ai.djl.ndarray.types.DataType;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.SafeTensors;
import io.sparsevideo.checkpoint.SafeTensorsWriter;
import io.sparsevideo.conformance.StageResult.Status;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.TestEngine;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every recorded stage of the golden folders. */
class ConformanceTest {

  private static Path golden(String name) {
    try {
      return Path.of(ConformanceTest.class.getResource("/golden/" + name).toURI());
    } catch (URISyntaxException e) {
      throw new AssertionError(e);
    }
  }

  private static List<StageResult> run(Path folder, AttentionMode mode) {
    List<StageResult> told = new ArrayList<>();
    ConformanceReport report = Conformance.run(folder, Device.cpu(), mode, told::add);
    assertEquals(told, report.stages());
    return told;
  }

  private static void assertAllOk(List<StageResult> results) {
    List<StageResult> bad = results.stream().filter(r -> r.status() != Status.OK).toList();
    assertTrue(bad.isEmpty(), bad::toString);
  }

  /** In 16 bits, over the fake driver. */
  @ParameterizedTest
  @ValueSource(strings = {"wan-t2v", "schedulers", "svg"})
  void everyRecordedStageHoldsOnCuda(String name) {
    try (CudaTensorOps ops = TestEngine.FAKE.openOps(DataType.BFLOAT16)) {
      ConformanceReport report =
          Conformance.run(golden(name), ops, AttentionMode.dense(), stage -> {});
      assertAllOk(report.stages());
      assertEquals(run(golden(name), AttentionMode.dense()).size(), report.stages().size());
    }
  }

  /** Such clusters are as tight as can be. */
  @Test
  void rowsThatAreClustersOfTheirOwnHoldOnCuda(@TempDir Path folder) throws IOException {
    Files.writeString(
        folder.resolve("trace.json"),
        """
        {"wan": {"frames": 1, "frame_size": 2, "top_p": 0.9, "min_kc_ratio": 0.1}}
        """);
    long[] shape = {1, 1, 2, 16};
    SafeTensorsWriter tensors =
        new SafeTensorsWriter()
            .floats("wan.q", shape)
            .floats("wan.k", shape)
            .floats("wan.v", shape)
            .tensor("wan.sampled_rows", "U8", new long[] {1}, new byte[] {1});
    for (String side : List.of("q", "k")) {
      long[] perCluster = {1, 2};
      byte[] each = {0, 1};
      tensors
          .tensor("wan." + side + "_init_rows", "U8", perCluster, each)
          .tensor("wan.kmeans_" + side + ".1.labels", "U8", perCluster, each)
          .tensor("wan.kmeans_" + side + ".1.sizes", "U8", perCluster, new byte[] {1, 1})
          .floats("wan.kmeans_" + side + ".1.centroids", new long[] {1, 2, 16});
    }
    tensors.write(folder.resolve("trace.safetensors"));
    try (CudaTensorOps ops = TestEngine.FAKE.openOps(DataType.BFLOAT16)) {
      List<StageResult> results =
          Conformance.run(folder, ops, AttentionMode.dense(), stage -> {}).stages();
      assertEquals(6, results.size());
      assertAllOk(results);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"wan-t2v", "schedulers", "svg"})
  void everyRecordedStageHolds(String name) {
    List<StageResult> results = run(golden(name), AttentionMode.dense());
    assertAllOk(results);
    Set<String> seen = new TreeSet<>(results.stream().map(StageResult::name).toList());
    assertEquals(results.size(), seen.size(), "a stage is reported twice");
    // What is not a stage is an input.
    try (SafeTensors trace = SafeTensors.open(golden(name).resolve("trace.safetensors"))) {
      assertEquals(name.equals("wan-t2v"), seen.contains("timesteps"));
      for (String tensor : trace.tensors().keySet()) {
        boolean input =
            tensor.matches(".*\\.(q|k|v|[qk]_init_rows|sampled_rows|x0)|vae\\.(en|de)code_input");
        assertEquals(!input, seen.contains(tensor), tensor);
      }
    }
  }

  @Test
  void sparseModesThatKeepEverythingAreDense() {
    assertAllOk(
        run(golden("wan-t2v"), AttentionMode.svg2().optTopP(1).optFirstTimes(0).optFirstLayers(0)));
    assertAllOk(
        run(
            golden("wan-t2v"),
            AttentionMode.svg1().optDensity(1).optFirstTimes(0).optFirstLayers(0)));
  }

  /** The comparison can fail: a sparse run differs from the dense recording. */
  @Test
  void aSparseRunIsNoticed() {
    List<StageResult> results =
        run(
            golden("wan-t2v"),
            AttentionMode.svg2().optTopP(.2).optMinKeyRatio(0).optFirstTimes(0).optFirstLayers(0));
    assertTrue(
        results.stream().anyMatch(r -> r.status() == Status.FAILED && r.name().equals("video")));
    assertTrue(
        results.stream()
            .anyMatch(
                r ->
                    r.status() == Status.OK
                        && r.name().equals("text_encoder.last_hidden_state.0")));
  }

  @Test
  void unknownStagesAreNotSupportedYet(@TempDir Path folder) throws IOException {
    Files.copy(
        golden("schedulers").resolve("trace.safetensors"), folder.resolve("trace.safetensors"));
    Files.writeString(folder.resolve("trace.json"), "{}");
    Path checkpoint = Files.createDirectory(folder.resolve("checkpoint"));
    Files.writeString(
        checkpoint.resolve("model_index.json"), "{\"_class_name\": \"OtherPipeline\"}");
    List<StageResult> results = run(folder, AttentionMode.dense());
    assertFalse(results.isEmpty());
    assertTrue(results.stream().allMatch(r -> r.status() == Status.NOT_SUPPORTED));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "wan-t2v | \"call\": { | \"call\": [ | trace.json is not valid JSON",
        "wan-t2v | \"height\": | \"heigth\": | 'call.height' should be a number, found no such key",
        "wan-t2v | \"width\": 64 | \"width\": -64 | 'call.width' should be a whole number of at least 1",
        "wan-t2v | \"num_frames\": 9 | \"num_frames\": 13 | latents_init is (1, 16,",
        "svg | \"top_p\": | \"topp\": | 'hunyuan.top_p' should be a number, found no such key",
        "svg | \"frames\": 3 | \"frames\": 3.5 | 'hunyuan.frames' should be a whole number of at least 1",
      })
  void brokenRecordingsAreNamed(
      String name, String found, String broken, String expected, @TempDir Path folder)
      throws IOException {
    copy(name, folder);
    replace(folder.resolve("trace.json"), found, broken);
    String message =
        assertThrows(CheckpointException.class, () -> run(folder, AttentionMode.dense()))
            .getMessage();
    assertTrue(message.contains(expected), message);
    assertEquals(1, message.lines().count(), message);
  }

  /** The CPU takes them. */
  @Test
  void headsThatCudaDoesNotTakeAreNamedBeforeAnythingIsCompared(@TempDir Path folder)
      throws IOException {
    copy("wan-t2v", folder);
    Path config = folder.resolve("checkpoint/transformer/config.json");
    replace(config, "\"attention_head_dim\": 64", "\"attention_head_dim\": 8");
    replace(config, "\"num_attention_heads\": 2", "\"num_attention_heads\": 16");
    List<StageResult> told = new ArrayList<>();
    try (CudaTensorOps ops = TestEngine.FAKE.openOps(DataType.BFLOAT16)) {
      String message =
          assertThrows(
                  InvalidRequestException.class,
                  () -> Conformance.run(folder, ops, AttentionMode.dense(), told::add))
              .getMessage();
      assertTrue(message.contains("heads have 8 channels, attention on cuda:0"), message);
    }
    assertEquals(List.of(), told);
  }

  private static void copy(String name, Path folder) throws IOException {
    try (Stream<Path> files = Files.walk(golden(name))) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Path copy = folder.resolve(golden(name).relativize(file).toString());
        Files.createDirectories(copy.getParent());
        Files.copy(file, copy);
      }
    }
  }

  private static void replace(Path file, String found, String other) throws IOException {
    String text = Files.readString(file);
    assertTrue(text.contains(found), text);
    Files.writeString(file, text.replace(found, other));
  }

  @Test
  void missingFilesAreNamed(@TempDir Path folder) {
    String message =
        assertThrows(CheckpointException.class, () -> run(folder, AttentionMode.dense()))
            .getMessage();
    assertTrue(message.contains("trace.json"), message);
  }
}
