package io.sparsevideo.cuda.engine;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.cuda.blas.CublasLt;
import io.sparsevideo.cuda.blas.CublasUnavailableException;
import io.sparsevideo.kernels.KernelLibrary;
import io.sparsevideo.kernels.KernelLoadException;
import io.sparsevideo.kernels.SvgKernels;
import io.sparsevideo.tensor.DjlSettings;
import io.sparsevideo.tensor.DjlTensorOps;
import io.sparsevideo.tensor.TensorOps;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;

/** The engines that tests run on. */
public enum TestEngine {
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

    @Override
    public TensorOps openReferenceOps() {
      assumePyTorch();
      return new DjlTensorOps();
    }

    @Override
    CublasLt openCublas() {
      return CublasLt.load(library("fake_cublaslt"));
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

    @Override
    public TensorOps openReferenceOps() {
      return FAKE.openOps(DataType.FLOAT32);
    }

    @Override
    CublasLt openCublas() {
      try {
        return CublasLt.load();
      } catch (CublasUnavailableException e) {
        assumeTrue(false, "no cuBLASLt here: " + e.getMessage());
        throw e;
      }
    }
  };

  /**
   * Where the fake driver's source lies, beside the other libraries'; another folder than the
   * module's is the tests' own.
   */
  private static final Path SOURCE =
      Path.of(
          System.getProperty(
              "svg.test.fakeDriver", "../svg-kernels-native/src/test/native/fake_cuda.cpp"));

  private static final Map<String, Path> LIBRARIES = new HashMap<>();

  /** Opens the engine, or ends the test as skipped. */
  abstract CudaEngine open();

  /** An engine that computes the same on the host, with what this one is built of left out. */
  abstract NDManager newReference();

  /** A backend that computes the same in FLOAT32 on the host. */
  public abstract TensorOps openReferenceOps();

  /** Loads a cuBLASLt for the engine, or ends the test as skipped. */
  abstract CublasLt openCublas();

  /**
   * Opens the CUDA backend, or ends the test as skipped.
   *
   * @param computeType of weights and activations; FLOAT32 shows errors that the rounding of
   *     BFLOAT16 would hide
   */
  public CudaTensorOps openOps(DataType computeType) {
    DjlSettings.apply();
    CudaEngine engine = open();
    return CudaTensorOps.open(engine, Device.gpu(0), openCublas(), computeType, 1L << 31);
  }

  /** Ends the test as skipped where DJL's PyTorch engine would try to download its natives. */
  public static void assumePyTorch() {
    assumeTrue(
        TestEngine.class.getResource("/native/lib/pytorch.properties") != null,
        "needs the natives of DJL's PyTorch engine");
  }

  static Path fakeDriver() {
    return library("fake_cuda");
  }

  /** The library of NAME.cpp, compiled by the first test that asks. */
  private static synchronized Path library(String name) {
    return LIBRARIES.computeIfAbsent(name, TestEngine::compile);
  }

  private static Path compile(String name) {
    try {
      Path folder = Files.createTempDirectory("svg-fake-cuda");
      Path library = folder.resolve("lib" + name + ".so");
      folder.toFile().deleteOnExit(); // after the file: deleted in reverse order
      library.toFile().deleteOnExit();
      Path source = SOURCE.resolveSibling(name + ".cpp");
      Process compiler =
          new ProcessBuilder(
                  "g++", "-O2", "-std=c++17", "-shared", "-fPIC", "-o", library + "", source + "")
              .redirectErrorStream(true)
              .start();
      String output = new String(compiler.getInputStream().readAllBytes());
      assertEquals(0, compiler.waitFor(), output);
      return library;
    } catch (IOException e) {
      throw new IllegalStateException(name + " could not be compiled", e);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException(e);
    }
  }
}
