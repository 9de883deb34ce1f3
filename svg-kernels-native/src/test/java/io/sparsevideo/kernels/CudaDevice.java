package io.sparsevideo.kernels;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The first CUDA device's memory, through the driver's own API: its primary context, which the CUDA
 * runtime inside the kernel library uses as well. Belongs to the thread that opens it.
 */
final class CudaDevice implements AutoCloseable {

  /** There is no driver or no device; the message says which. */
  static final class Unavailable extends Exception {
    private static final long serialVersionUID = 1;

    Unavailable(String message) {
      super(message);
    }
  }

  private final SymbolLookup driver;
  private final int device;
  private final List<MemorySegment> allocated = new ArrayList<>();

  private CudaDevice(SymbolLookup driver, int device) {
    this.driver = driver;
    this.device = device;
  }

  static CudaDevice open() throws Unavailable {
    SymbolLookup driver;
    try {
      driver = SymbolLookup.libraryLookup("libcuda.so.1", Arena.global());
    } catch (IllegalArgumentException e) {
      throw new Unavailable("there is no libcuda.so.1");
    }
    int status = call(driver, "cuInit", 0);
    if (status != 0) {
      throw new Unavailable("cuInit returned " + status);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment number = arena.allocate(JAVA_INT);
      check("cuDeviceGetCount", call(driver, "cuDeviceGetCount", number));
      if (number.get(JAVA_INT, 0) == 0) {
        throw new Unavailable("the driver has no device");
      }
      check("cuDeviceGet", call(driver, "cuDeviceGet", number, 0));
      CudaDevice device = new CudaDevice(driver, number.get(JAVA_INT, 0));
      MemorySegment context = arena.allocate(ADDRESS);
      device.run("cuDevicePrimaryCtxRetain", context, device.device);
      device.run("cuCtxSetCurrent", context.get(ADDRESS, 0));
      return device;
    }
  }

  /** A copy of memory. */
  MemorySegment upload(MemorySegment host) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment address = arena.allocate(JAVA_LONG);
      run("cuMemAlloc_v2", address, host.byteSize());
      MemorySegment memory =
          MemorySegment.ofAddress(address.get(JAVA_LONG, 0)).reinterpret(host.byteSize());
      allocated.add(memory);
      run("cuMemcpyHtoD_v2", memory.address(), host, host.byteSize());
      return memory;
    }
  }

  /** A copy of a tensor, gaps between its rows included. */
  Heads upload(Heads host) {
    return over(host, upload(host.data()));
  }

  /** The tensor's memory back on the host, once all that was launched has ended. */
  Heads download(Arena arena, Heads onDevice) {
    MemorySegment host = arena.allocate(onDevice.data().byteSize(), 64);
    run("cuCtxSynchronize");
    run("cuMemcpyDtoH_v2", host, onDevice.data().address(), host.byteSize());
    return over(onDevice, host);
  }

  /** Frees what was uploaded. */
  void free() {
    for (MemorySegment memory : allocated) {
      run("cuMemFree_v2", memory.address());
    }
    allocated.clear();
  }

  @Override
  public void close() {
    free();
    run("cuCtxSetCurrent", MemorySegment.NULL);
    run("cuDevicePrimaryCtxRelease_v2", device);
  }

  private static Heads over(Heads t, MemorySegment data) {
    return new Heads(
        data, t.type(), t.heads(), t.rows(), t.headDim(), t.headStride(), t.rowStride());
  }

  private void run(String function, Object... arguments) {
    check(function, call(driver, function, arguments));
  }

  private static void check(String function, int status) {
    if (status != 0) {
      throw new IllegalStateException(function + " returned " + status);
    }
  }

  /** Calls a function of the driver: ints, device pointers and sizes (longs), host pointers. */
  private static int call(SymbolLookup driver, String function, Object... arguments) {
    MemoryLayout[] layouts = new MemoryLayout[arguments.length];
    for (int i = 0; i < arguments.length; i++) {
      layouts[i] =
          switch (arguments[i]) {
            case Integer n -> JAVA_INT;
            case Long n -> JAVA_LONG;
            case MemorySegment s -> ADDRESS;
            default -> throw new IllegalArgumentException(function + ": " + arguments[i]);
          };
    }
    Optional<MemorySegment> symbol = driver.find(function);
    MethodHandle handle =
        Linker.nativeLinker()
            .downcallHandle(symbol.orElseThrow(), FunctionDescriptor.of(JAVA_INT, layouts));
    try {
      return (int) handle.invokeWithArguments(arguments);
    } catch (Throwable t) {
      throw new IllegalStateException(function, t);
    }
  }
}
