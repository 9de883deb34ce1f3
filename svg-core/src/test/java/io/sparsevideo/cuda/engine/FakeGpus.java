package io.sparsevideo.cuda.engine;

import io.sparsevideo.cuda.CudaDevice;
import io.sparsevideo.cuda.CudaDriver;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.function.Supplier;

/** The devices of {@link TestEngine#FAKE}, and what its driver can be asked and told. */
public final class FakeGpus {
  private FakeGpus() {}

  public static Supplier<List<CudaDevice>> devices() {
    return () -> CudaDriver.load(TestEngine.fakeDriver()).devices();
  }

  /** How often the host has waited for a device. */
  static long waits() {
    try {
      return (long)
          Linker.nativeLinker()
              .downcallHandle(
                  SymbolLookup.libraryLookup(TestEngine.fakeDriver(), Arena.global())
                      .findOrThrow("fake_cuda_waits"),
                  FunctionDescriptor.of(ValueLayout.JAVA_LONG))
              .invokeExact();
    } catch (Throwable e) {
      throw new AssertionError(e);
    }
  }
}
