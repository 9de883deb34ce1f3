package io.sparsevideo.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import io.sparsevideo.ModelInfo;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.checkpoint.CheckpointException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

class InfoCommandTest {
  private final FakeLibrary library = new FakeLibrary();

  @Test
  void showsMachineLibrariesAndModel() {
    CommandRun run =
        CommandRun.of(library, "info", "--model", "dir", "--height", "720", "--device", "cpu");
    assertEquals(0, run.status(), run.err());
    for (String part :
        List.of(
            "java       " + Runtime.version(),
            Runtime.getRuntime().availableProcessors() + " processors",
            "kernels: fake HOST",
            "cuda       not available: " + FakeLibrary.DRIVER + ": there is no such file",
            "kernels: fake CUDA",
            "device     cpu (no GPU: none was made)",
            "model      made up, FakePipeline",
            "1,234,567",
            "4.9 MB",
            "steps: 20",
            "weights: 5.0 GB")) {
      assertTrue(run.out().contains(part), run.out());
    }
    assertTrue(
        run.out().lines().anyMatch(l -> l.matches(" +tokenizer +FakeTokenizer +- +-")), run.out());
    assertEquals(Optional.of(Path.of("dir")), library.opened.getFirst().model());
    assertEquals(Optional.of(Device.cpu()), library.opened.getFirst().device());
    assertEquals(OptionalInt.of(720), library.requests.getFirst().height());
  }

  @Test
  void saysMachineAndLibrariesWithoutAModel() {
    FakeLibrary without =
        new FakeLibrary() {
          @Override
          public ModelInfo describe(
              Optional<Path> model, Optional<Device> device, VideoRequest request) {
            throw new CheckpointException("there is no checkpoint");
          }
        };
    CommandRun run = CommandRun.of(without, "info");
    assertEquals(0, run.status(), run.err());
    assertTrue(run.out().contains("kernels: fake CUDA"), run.out());
    assertTrue(run.out().contains("model      none: there is no checkpoint"), run.out());
    assertEquals(1, CommandRun.of(without, "info", "--model", "dir").status());
  }
}
