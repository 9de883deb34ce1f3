package io.sparsevideo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/** The driver of {@code src/test/native/fake_cuda.cpp}, compiled by the first test that asks. */
public final class FakeCuda {

  private static final Path SOURCE = Path.of("src/test/native/fake_cuda.cpp");

  private static Path library;

  private FakeCuda() {}

  public static CudaDriver driver() {
    return CudaDriver.load(library());
  }

  static synchronized Path library() {
    if (library == null) {
      try {
        library = compile();
      } catch (IOException e) {
        throw new IllegalStateException("the fake driver could not be compiled", e);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IllegalStateException(e);
      }
    }
    return library;
  }

  private static Path compile() throws IOException, InterruptedException {
    Path folder = Files.createTempDirectory("svg-fake-cuda");
    Path target = folder.resolve("libfake_cuda.so");
    folder.toFile().deleteOnExit(); // after the file: deleted in reverse order
    target.toFile().deleteOnExit();
    Process compiler =
        new ProcessBuilder(
                List.of("g++", "-std=c++17", "-shared", "-fPIC", "-o", target + "", SOURCE + ""))
            .redirectErrorStream(true)
            .start();
    String output = new String(compiler.getInputStream().readAllBytes());
    assertEquals(0, compiler.waitFor(), output);
    return target;
  }
}
