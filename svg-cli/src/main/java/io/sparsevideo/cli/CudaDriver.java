package io.sparsevideo.cli;

import java.lang.foreign.AddressLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/** Asks NVIDIA's driver which devices there are. */
final class CudaDriver {
  private static final String LIBRARY = "libcuda.so.1";
  private static final AddressLayout POINTER = ValueLayout.ADDRESS;
  private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT;
  private static final int NAME_LENGTH = 256;

  private final SymbolLookup symbols;

  private CudaDriver(SymbolLookup symbols) {
    this.symbols = symbols;
  }

  /** The driver's version and devices, or why there are none. */
  static String describe() {
    return describe(LIBRARY);
  }

  static String describe(String library) {
    try (Arena arena = Arena.ofConfined()) {
      SymbolLookup symbols;
      try {
        symbols = SymbolLookup.libraryLookup(library, arena);
      } catch (IllegalArgumentException e) {
        return "not available: there is no " + library + ", which NVIDIA's driver brings";
      }
      return new CudaDriver(symbols).devices(arena);
    }
  }

  private String devices(Arena arena) {
    int status = call("cuInit", INT, 0);
    if (status != 0) {
      return "not available: the driver is there, but cuInit answers with error " + status;
    }
    MemorySegment number = arena.allocate(INT);
    call("cuDriverGetVersion", POINTER, number);
    int version = number.get(INT, 0);
    call("cuDeviceGetCount", POINTER, number);
    int count = number.get(INT, 0);
    List<String> names = new ArrayList<>();
    MemorySegment name = arena.allocate(NAME_LENGTH);
    for (int i = 0; i < count; i++) {
      call("cuDeviceGetName", List.of(POINTER, INT, INT), name, NAME_LENGTH, i);
      names.add("cuda:" + i + " " + name.getString(0));
    }
    return "driver for CUDA %d.%d: %s"
        .formatted(
            version / 1000,
            version % 1000 / 10,
            names.isEmpty() ? "no devices" : String.join(", ", names));
  }

  private int call(String function, MemoryLayout type, Object argument) {
    return call(function, List.of(type), argument);
  }

  private int call(String function, List<MemoryLayout> types, Object... arguments) {
    FunctionDescriptor descriptor = FunctionDescriptor.of(INT, types.toArray(MemoryLayout[]::new));
    try {
      return (int)
          Linker.nativeLinker()
              .downcallHandle(symbols.findOrThrow(function), descriptor)
              .invokeWithArguments(arguments);
    } catch (Throwable e) {
      throw new AssertionError(function + " of the CUDA driver does not throw", e);
    }
  }
}
