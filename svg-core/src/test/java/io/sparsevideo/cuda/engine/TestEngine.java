package io.sparsevideo.cuda.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDManager;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.kernels.KernelLibrary;
import io.sparsevideo.kernels.KernelLoadException;
import io.sparsevideo.kernels.SvgKernels;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** The engines that tests run on. */
enum TestEngine {
  /**
   * The driver of svg-kernels-native's tests, whose device memory is host memory, with the host
   * kernels. It has two devices of 1 GiB.
   */
  FAKE {
    @Override
    CudaEngine open() {
      Path driver = fakeDriver();
      return new CudaEngine(() -> CudaDriver.load(driver), stream -> SvgKernels.host());
    }

    @Override
    NDManager newReference() {
      assumePyTorch();
      return Engine.getEngine("PyTorch").newBaseManager(Device.cpu());
    }
  },
  /** The machine's own; tests are skipped, with the reason, where there is none. */
  NVIDIA {
    @Override
    CudaEngine open() {
      try {
        CudaDriver.load();
        KernelLibrary.load(KernelLibrary.Kind.CUDA);
      } catch (CudaUnavailableException | KernelLoadException e) {
        assumeTrue(false, "no CUDA here: " + e.getMessage());
      }
      return (CudaEngine) new CudaEngineProvider().getEngine();
    }

    @Override
    NDManager newReference() {
      return FAKE.open().newBaseManager();
    }
  };

  /** Where the fake driver's source lies; another folder than the module's is the tests' own. */
  private static final Path SOURCE =
      Path.of(
          System.getProperty(
              "svg.test.fakeDriver", "../svg-kernels-native/src/test/native/fake_cuda.cpp"));

  private static Path fakeDriver;

  /** Opens the engine, or ends the test as skipped. */
  abstract CudaEngine open();

  /** An engine that computes the same on the host, with what this one is built of left out. */
  abstract NDManager newReference();

  /** Ends the test as skipped where DJL's PyTorch engine would try to download its natives. */
  static void assumePyTorch() {
    assumeTrue(
        TestEngine.class.getResource("/native/lib/pytorch.properties") != null,
        "needs the natives of DJL's PyTorch engine");
  }

  static synchronized Path fakeDriver() {
    if (fakeDriver == null) {
      try {
        Path folder = Files.createTempDirectory("svg-fake-cuda");
        Path library = folder.resolve("libfake_cuda.so");
        folder.toFile().deleteOnExit(); // after the file: deleted in reverse order
        library.toFile().deleteOnExit();
        Process compiler =
            new ProcessBuilder(
                    "g++", "-std=c++17", "-shared", "-fPIC", "-o", library + "", SOURCE + "")
                .redirectErrorStream(true)
                .start();
        String output = new String(compiler.getInputStream().readAllBytes());
        assertEquals(0, compiler.waitFor(), output);
        fakeDriver = library;
      } catch (IOException e) {
        throw new IllegalStateException("the fake driver could not be compiled", e);
      } catch (InterruptedException e) {
        Thread.currentThread().interrupt();
        throw new IllegalStateException(e);
      }
    }
    return fakeDriver;
  }
}
