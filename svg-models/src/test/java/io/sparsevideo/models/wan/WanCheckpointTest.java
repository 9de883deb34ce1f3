package io.sparsevideo.models.wan;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.DiffusersFolder;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Folders whose components are valid one by one, but do not fit each other. */
class WanCheckpointTest {

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "transformer/config.json | \"in_channels\": 16 | \"in_channels\": 8"
            + " | transformer in_channels is 8, but vae z_dim is 16",
        "transformer/config.json | \"out_channels\": 16 | \"out_channels\": 8"
            + " | transformer out_channels is 8, but vae z_dim is 16",
        "transformer/config.json | \"text_dim\": 32 | \"text_dim\": 48"
            + " | transformer text_dim is 48, but text encoder d_model is 32",
        "vae/config.json | \"out_channels\": 3 | \"out_channels\": 4"
            + " | vae out_channels is 4, but the number of colours is 3",
        "model_index.json | \"transformer_2\": [ | \"transformer_2\": [\"a\", \"b\"], \"was\": ["
            + " | Wan 2.2",
      })
  void misfitsAreNamed(
      String file, String found, String other, String expected, @TempDir Path folder)
      throws IOException, URISyntaxException {
    copyTo(folder);
    String text = Files.readString(folder.resolve(file));
    assertTrue(text.contains(found), text);
    Files.writeString(folder.resolve(file), text.replace(found, other));
    refused(folder, expected);
  }

  @Test
  void aSchedulerWithoutFlowShiftIsRefused(@TempDir Path folder)
      throws IOException, URISyntaxException {
    copyTo(folder);
    Files.writeString(
        folder.resolve("scheduler/scheduler_config.json"),
        "{\"_class_name\": \"EDMEulerScheduler\"}");
    refused(folder, "should be \"UniPCMultistepScheduler\", found \"EDMEulerScheduler\"");
  }

  private static void refused(Path folder, String expected) {
    DiffusersFolder files = DiffusersFolder.open(folder);
    String message =
        assertThrows(CheckpointException.class, () -> new WanCheckpoint(files)).getMessage();
    assertTrue(message.contains(expected), message);
  }

  private static void copyTo(Path folder) throws IOException, URISyntaxException {
    Path golden =
        Path.of(WanCheckpointTest.class.getResource("/golden/wan-t2v/checkpoint").toURI());
    try (Stream<Path> files = Files.walk(golden)) {
      for (Path original : files.filter(Files::isRegularFile).toList()) {
        Path copy = folder.resolve(golden.relativize(original).toString());
        Files.createDirectories(copy.getParent());
        Files.copy(original, copy);
      }
    }
  }
}
