package io.sparsevideo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The driver of {@code src/test/native/fake_cuda.cpp} and the other libraries there, compiled by
 * the first test that asks.
 */
public final class FakeCuda {

  private static final Map<String, Path> LIBRARIES = new HashMap<>();

  private FakeCuda() {}

  public static CudaDriver driver() {
    return CudaDriver.load(library());
  }

  static Path library() {
    return library("fake_cuda");
  }

  /** The library of {@code src/test/native/NAME.cpp}. */
  public static synchronized Path library(String name) {
    return LIBRARIES.computeIfAbsent(name, FakeCuda::compile);
  }

  private static Path compile(String name) {
    try {
      Path folder = Files.createTempDirectory(name);
      Path target = folder.resolve("lib" + name + ".so");
      folder.toFile().deleteOnExit(); // after the file: deleted in reverse order
      target.toFile().deleteOnExit();
      String source = "src/test/native/" + name + ".cpp";
      Process compiler =
          new ProcessBuilder(
                  List.of("g++", "-std=c++17", "-shared", "-fPIC", "-o", target + "", source))
              .redirectErrorStream(true)
              .start();
      String output = new String(compiler.getInputStream().readAllBytes());
      assertEquals(0, compiler.waitFor(), output);
      return target;
    } catch (IOException e) {
      throw new IllegalStateException(name + " could not be compiled", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }
}
