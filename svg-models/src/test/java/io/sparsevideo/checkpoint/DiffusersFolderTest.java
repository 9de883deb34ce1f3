package io.sparsevideo.checkpoint;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

class DiffusersFolderTest {
  private static final Path GOLDEN =
      Path.of("src/test/resources/golden/wan-t2v/checkpoint").toAbsolutePath();

  @TempDir Path temp;

  @Test
  void opensARecordedCheckpoint() {
    DiffusersFolder folder = DiffusersFolder.open(GOLDEN);
    assertEquals("WanPipeline", folder.pipelineClass());
    assertEquals("WanPipeline", folder.requirePipeline(List.of("CosmosPipeline", "WanPipeline")));
    assertEquals("AutoencoderKLWan", folder.componentClass("vae"));
    assertEquals(
        "UniPCMultistepScheduler",
        folder.requireComponent("scheduler", List.of("UniPCMultistepScheduler")));
    assertTrue(folder.has("text_encoder"));
    assertFalse(folder.has("transformer_2"));
    assertFalse(folder.has("boundary_ratio"));
    assertFalse(folder.has("image_encoder"));
    assertTrue(folder.index().isNull("boundary_ratio"));
    assertFalse(folder.index().bool("expand_timesteps"));
    assertEquals(2, folder.config("transformer").positiveInt("num_layers"));
    assertEquals(
        1000,
        folder.config("scheduler", "scheduler_config.json").positiveInt("num_train_timesteps"));
    assertEquals(GOLDEN.resolve("tokenizer"), folder.folder("tokenizer"));
    assertTrue(folder.generationConfig().isEmpty());
    try (WeightFiles weights = folder.weights("vae")) {
      assertFalse(weights.tensors().isEmpty());
    }
  }

  @Test
  void readsGenerationDefaultsWhereThereAreSome() {
    index("{\"_class_name\": \"WanPipeline\"}");
    SafeTensorsWriter.writeText(temp.resolve("generation_config.json"), "{\"fps\": 12}");
    assertEquals(
        12, DiffusersFolder.open(temp).generationConfig().orElseThrow().positiveInt("fps"));
  }

  /** {@code models--org--name/snapshots/REV}, every file a link into {@code blobs}. */
  @Test
  void opensAHubCache() throws IOException {
    Path model = temp.resolve("models--org--name");
    Path snapshot = model.resolve("snapshots/0fad780a");
    Path blobs = Files.createDirectories(model.resolve("blobs"));
    try (var files = Files.walk(GOLDEN)) {
      int blob = 0;
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Path link = snapshot.resolve(GOLDEN.relativize(file).toString());
        Files.createDirectories(link.getParent());
        Path target = Files.copy(file, blobs.resolve("blob" + blob++));
        Files.createSymbolicLink(link, link.getParent().relativize(target));
      }
    }
    DiffusersFolder folder = DiffusersFolder.open(snapshot);
    assertEquals(16, folder.config("vae").positiveInt("z_dim"));
    try (WeightFiles weights = folder.weights("transformer")) {
      assertFalse(weights.tensors().isEmpty());
    }
    assertRefused(() -> DiffusersFolder.open(model), "hub cache: give a folder inside");
    Path config = snapshot.resolve("vae/config.json");
    Files.delete(config.toRealPath());
    assertRefused(() -> folder.config("vae"), config + " is a link to ", "which does not exist");
  }

  @Test
  void refusesOtherPipelinesAndClassesByName() {
    index(
        """
        {"_class_name": "WanVACEPipeline", "vae": ["diffusers", "AutoencoderKLNew"],
         "text_encoder": [null, null], "scheduler": null}""");
    DiffusersFolder folder = DiffusersFolder.open(temp);
    assertRefused(
        () -> folder.requirePipeline(List.of("WanPipeline", "CosmosPipeline")),
        "is a checkpoint for WanVACEPipeline, which is not supported."
            + " Supported: WanPipeline, CosmosPipeline");
    assertRefused(
        () -> folder.requireComponent("vae", List.of("AutoencoderKLWan")),
        "component 'vae' is of class AutoencoderKLNew, which is not supported. Supported: Autoenc");
    assertRefused(
        () -> folder.componentClass("text_encoder"),
        "'text_encoder' should be [library, class], found [null,null]");
    assertRefused(() -> folder.folder("scheduler"), "[library, class], found null");
    assertRefused(() -> folder.config("transformer"), "[library, class], found no such key");
    assertRefused(() -> folder.config("vae"), "folder " + temp.resolve("vae") + " does not exist");
  }

  @Test
  void refusesAnIndexWithoutAClass() {
    index("{}");
    assertRefused(() -> DiffusersFolder.open(temp), "'_class_name' should be a string");
    index("{");
    assertRefused(() -> DiffusersFolder.open(temp), "model_index.json is not valid JSON");
  }

  @Test
  void recognisesTheOriginalWanFormat() {
    Path original = temp.resolve("Wan2.1-T2V-14B");
    SafeTensorsWriter.writeText(
        original.resolve("config.json"), "{\"_class_name\": \"WanModel\", \"dim\": 5120}");
    assertRefused(
        () -> DiffusersFolder.open(original),
        "has no model_index.json",
        "Wan's original format: get the checkpoint named Wan2.1-T2V-14B-Diffusers");
    Path other = temp.resolve("mine");
    SafeTensorsWriter.writeText(other.resolve("config.json"), "{\"_class_name\": \"WanModel\"}");
    assertRefused(() -> DiffusersFolder.open(other), "whose name ends in -Diffusers");
  }

  @Test
  void recognisesAComponentAndAFolderWithoutIndex() throws IOException {
    assertRefused(
        () -> DiffusersFolder.open(GOLDEN.resolve("transformer")),
        "a single component, a WanTransformer3DModel: give the folder around it");
    assertRefused(() -> DiffusersFolder.open(temp), "has no model_index.json. Expected a checkp");
    for (String component : List.of("transformer", "vae", "text_encoder")) {
      Files.createDirectory(temp.resolve(component));
    }
    assertRefused(() -> DiffusersFolder.open(temp), "download model_index.json too");
  }

  @Test
  void refusesWhatIsNoFolder() throws IOException {
    Path file = SafeTensorsWriter.writeText(temp.resolve("wan.safetensors"), "");
    assertRefused(() -> DiffusersFolder.open(file), "is a file, expected a folder");
    assertRefused(() -> DiffusersFolder.open(temp.resolve("none")), "none does not exist");
    Path link = Files.createSymbolicLink(temp.resolve("link"), Path.of("gone"));
    assertRefused(() -> DiffusersFolder.open(link), "is a link to gone, which does not exist");
  }

  private void index(String json) {
    SafeTensorsWriter.writeText(temp.resolve("model_index.json"), json);
  }

  private static void assertRefused(Executable action, String... parts) {
    String message = assertThrows(CheckpointException.class, action).getMessage();
    for (String part : parts) {
      assertTrue(message.contains(part), message);
    }
  }
}
