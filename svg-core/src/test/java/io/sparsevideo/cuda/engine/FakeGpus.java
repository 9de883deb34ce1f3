package io.sparsevideo.cuda.engine;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.cuda.CudaDevice;
import io.sparsevideo.cuda.CudaDriver;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.Assertions;

/** The devices of {@link TestEngine#FAKE}, and what its driver can be asked and told. */
public final class FakeGpus {
  private FakeGpus() {}

  public static Supplier<List<CudaDevice>> devices() {
    return () -> CudaDriver.load(TestEngine.fakeDriver()).devices();
  }

  /** What an allocation that is too large throws. */
  public static CudaOutOfMemoryException outOfMemory() {
    try (CudaNDManager manager = TestEngine.FAKE.open().newBaseManager()) {
      return Assertions.assertThrows(
          CudaOutOfMemoryException.class,
          () -> manager.create(new Shape(1L << 40), DataType.UINT8));
    }
  }

  /** How often the host has waited for a device. */
  public static long waits() {
    return count("fake_cuda_waits");
  }

  /** How often memory was asked for. */
  public static long allocations() {
    return count("fake_cuda_allocations");
  }

  /**
   * Refuses memory for a while.
   *
   * @param allocations succeed before that
   * @param refusals fail then; the engine tries each of its own twice
   */
  public static void refuse(long allocations, long refusals) {
    FunctionDescriptor signature =
        FunctionDescriptor.ofVoid(ValueLayout.JAVA_LONG, ValueLayout.JAVA_LONG);
    try {
      function("fake_cuda_refuse", signature).invokeExact(allocations, refusals);
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static long count(String name) {
    try {
      return (long) function(name, FunctionDescriptor.of(ValueLayout.JAVA_LONG)).invokeExact();
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }

  private static MethodHandle function(String name, FunctionDescriptor signature) {
    SymbolLookup driver = SymbolLookup.libraryLookup(TestEngine.fakeDriver(), Arena.global());
    return Linker.nativeLinker().downcallHandle(driver.findOrThrow(name), signature);
  }
}
