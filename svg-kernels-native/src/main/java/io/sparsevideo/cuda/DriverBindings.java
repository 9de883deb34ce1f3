package io.sparsevideo.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.sparsevideo.cuda.ffi.cuda_h;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/**
 * The functions of the CUDA driver in one loaded library. Device pointers, contexts, streams,
 * events and pools are longs; host memory is a segment.
 *
 * <p>A handle belongs to a signature and takes the function's address, so that the handles are
 * constants, which the compiler turns into direct calls, while the addresses belong to a library.
 */
final class DriverBindings {

  /** What is called, and the names of the arguments that a message shows. */
  enum Function {
    INIT("cuInit", "flags"),
    GET_ERROR_NAME("cuGetErrorName", "error"),
    GET_ERROR_STRING("cuGetErrorString", "error"),
    DRIVER_GET_VERSION("cuDriverGetVersion"),
    DEVICE_GET_COUNT("cuDeviceGetCount"),
    DEVICE_GET("cuDeviceGet", "ordinal"),
    DEVICE_GET_NAME("cuDeviceGetName", "device"),
    DEVICE_GET_ATTRIBUTE("cuDeviceGetAttribute", "attribute", "device"),
    DEVICE_TOTAL_MEM("cuDeviceTotalMem_v2", "device"),
    DEVICE_GET_DEFAULT_MEM_POOL("cuDeviceGetDefaultMemPool", "device"),
    PRIMARY_CTX_RETAIN("cuDevicePrimaryCtxRetain", "device"),
    PRIMARY_CTX_RELEASE("cuDevicePrimaryCtxRelease_v2", "device"),
    PRIMARY_CTX_GET_STATE("cuDevicePrimaryCtxGetState", "device"),
    CTX_GET_CURRENT("cuCtxGetCurrent"),
    CTX_SET_CURRENT("cuCtxSetCurrent", "context"),
    CTX_PUSH_CURRENT("cuCtxPushCurrent_v2", "context"),
    CTX_POP_CURRENT("cuCtxPopCurrent_v2"),
    CTX_SYNCHRONIZE("cuCtxSynchronize"),
    MEM_GET_INFO("cuMemGetInfo_v2"),
    MEM_ALLOC("cuMemAlloc_v2", "bytes"),
    MEM_FREE("cuMemFree_v2", "memory"),
    MEM_ALLOC_ASYNC("cuMemAllocAsync", "bytes", "stream"),
    MEM_FREE_ASYNC("cuMemFreeAsync", "memory", "stream"),
    MEM_HOST_ALLOC("cuMemHostAlloc", "bytes", "flags"),
    MEM_FREE_HOST("cuMemFreeHost", "memory"),
    MEMCPY_TO_DEVICE("cuMemcpyHtoD_v2", "target", "source", "bytes"),
    MEMCPY_TO_HOST("cuMemcpyDtoH_v2", "target", "source", "bytes"),
    MEMCPY_ON_DEVICE("cuMemcpyDtoD_v2", "target", "source", "bytes"),
    MEMCPY_TO_DEVICE_ASYNC("cuMemcpyHtoDAsync_v2", "target", "source", "bytes", "stream"),
    MEMCPY_TO_HOST_ASYNC("cuMemcpyDtoHAsync_v2", "target", "source", "bytes", "stream"),
    MEMCPY_ON_DEVICE_ASYNC("cuMemcpyDtoDAsync_v2", "target", "source", "bytes", "stream"),
    MEMSET_BYTES_ASYNC("cuMemsetD8Async", "target", "value", "count", "stream"),
    MEMSET_INTS_ASYNC("cuMemsetD32Async", "target", "value", "count", "stream"),
    MEM_POOL_GET_ATTRIBUTE("cuMemPoolGetAttribute", "pool", "attribute"),
    MEM_POOL_SET_ATTRIBUTE("cuMemPoolSetAttribute", "pool", "attribute", "value"),
    MEM_POOL_TRIM_TO("cuMemPoolTrimTo", "pool", "bytes"),
    STREAM_CREATE("cuStreamCreate", "flags"),
    STREAM_DESTROY("cuStreamDestroy_v2", "stream"),
    STREAM_SYNCHRONIZE("cuStreamSynchronize", "stream"),
    STREAM_QUERY("cuStreamQuery", "stream"),
    STREAM_WAIT_EVENT("cuStreamWaitEvent", "stream", "event", "flags"),
    STREAM_BEGIN_CAPTURE("cuStreamBeginCapture_v2", "stream", "mode"),
    STREAM_END_CAPTURE("cuStreamEndCapture", "stream"),
    GRAPH_INSTANTIATE("cuGraphInstantiateWithFlags", "graph", "flags"),
    GRAPH_DESTROY("cuGraphDestroy", "graph"),
    GRAPH_EXEC_DESTROY("cuGraphExecDestroy", "graph"),
    GRAPH_LAUNCH("cuGraphLaunch", "graph", "stream"),
    EVENT_CREATE("cuEventCreate", "flags"),
    EVENT_DESTROY("cuEventDestroy_v2", "event"),
    EVENT_RECORD("cuEventRecord", "event", "stream"),
    EVENT_SYNCHRONIZE("cuEventSynchronize", "event"),
    EVENT_QUERY("cuEventQuery", "event"),
    EVENT_ELAPSED_TIME("cuEventElapsedTime", "start", "end");

    private final String symbol;
    private final String[] parameters;

    Function(String symbol, String... parameters) {
      this.symbol = symbol;
      this.parameters = parameters;
    }

    /** For example {@code cuMemAllocAsync(bytes 1024, stream 0x7f10)}. */
    String call(Object... arguments) {
      StringBuilder text = new StringBuilder(symbol).append('(');
      for (int i = 0; i < arguments.length; i++) {
        text.append(i == 0 ? "" : ", ").append(parameters[i]).append(' ').append(arguments[i]);
      }
      return text.append(')').toString();
    }
  }

  private static final int DEVICE_NAME_BYTES = 256;

  // P: host pointer, L: 64-bit, I: 32-bit, B: 8-bit.
  private static final MethodHandle NONE = signature();
  private static final MethodHandle I = signature(JAVA_INT);
  private static final MethodHandle IP = signature(JAVA_INT, ADDRESS);
  private static final MethodHandle IPP = signature(JAVA_INT, ADDRESS, ADDRESS);
  private static final MethodHandle L = signature(JAVA_LONG);
  private static final MethodHandle LL = signature(JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LLI = signature(JAVA_LONG, JAVA_LONG, JAVA_INT);
  private static final MethodHandle LLL = signature(JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LLLL = signature(JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LBLL = signature(JAVA_LONG, JAVA_BYTE, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LILL = signature(JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LI = signature(JAVA_LONG, JAVA_INT);
  private static final MethodHandle LIP = signature(JAVA_LONG, JAVA_INT, ADDRESS);
  private static final MethodHandle LP = signature(JAVA_LONG, ADDRESS);
  private static final MethodHandle LPL = signature(JAVA_LONG, ADDRESS, JAVA_LONG);
  private static final MethodHandle LPLL = signature(JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle P = signature(ADDRESS);
  private static final MethodHandle PI = signature(ADDRESS, JAVA_INT);
  private static final MethodHandle PII = signature(ADDRESS, JAVA_INT, JAVA_INT);
  private static final MethodHandle PL = signature(ADDRESS, JAVA_LONG);
  private static final MethodHandle PLI = signature(ADDRESS, JAVA_LONG, JAVA_INT);
  private static final MethodHandle PLL = signature(ADDRESS, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle PLLL = signature(ADDRESS, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle PP = signature(ADDRESS, ADDRESS);

  /** Where functions leave their answers: two 64-bit values, for the calling thread alone. */
  private static final ThreadLocal<MemorySegment> ANSWER =
      ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(JAVA_LONG, 2));

  private final MemorySegment[] addresses;

  /**
   * @throws java.util.NoSuchElementException when the library lacks a function
   */
  DriverBindings(SymbolLookup library) {
    Function[] functions = Function.values();
    addresses = new MemorySegment[functions.length];
    for (Function f : functions) {
      addresses[f.ordinal()] = library.findOrThrow(f.symbol);
    }
  }

  private static MethodHandle signature(MemoryLayout... parameters) {
    return Linker.nativeLinker().downcallHandle(FunctionDescriptor.of(JAVA_INT, parameters));
  }

  // Errors

  /** The driver's name of an error, for example CUDA_ERROR_OUT_OF_MEMORY. */
  String errorName(int error) {
    return errorText(Function.GET_ERROR_NAME, error);
  }

  /** The driver's description of an error, for example "out of memory". */
  String errorDescription(int error) {
    return errorText(Function.GET_ERROR_STRING, error);
  }

  private String errorText(Function function, int error) {
    MemorySegment answer = ANSWER.get();
    try {
      int status = (int) IP.invokeExact(address(function), error, answer);
      return status == cuda_h.CUDA_SUCCESS()
          ? MemorySegment.ofAddress(answer.get(JAVA_LONG, 0))
              .reinterpret(Long.MAX_VALUE)
              .getString(0)
          : "unknown error";
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  // Driver and devices

  void init() {
    check(call(Function.INIT, 0), Function.INIT, 0);
  }

  int driverVersion() {
    return answerInt(Function.DRIVER_GET_VERSION);
  }

  int deviceCount() {
    return answerInt(Function.DEVICE_GET_COUNT);
  }

  int device(int ordinal) {
    MemorySegment answer = ANSWER.get();
    check(call(Function.DEVICE_GET, answer, ordinal), Function.DEVICE_GET, ordinal);
    return answer.get(JAVA_INT, 0);
  }

  String deviceName(int device) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment name = arena.allocate(DEVICE_NAME_BYTES);
      int status = call(Function.DEVICE_GET_NAME, name, DEVICE_NAME_BYTES, device);
      check(status, Function.DEVICE_GET_NAME, device);
      return name.getString(0);
    }
  }

  int deviceAttribute(int attribute, int device) {
    MemorySegment answer = ANSWER.get();
    int status = call(Function.DEVICE_GET_ATTRIBUTE, answer, attribute, device);
    check(status, Function.DEVICE_GET_ATTRIBUTE, attribute, device);
    return answer.get(JAVA_INT, 0);
  }

  long deviceTotalMemory(int device) {
    return answerLong(Function.DEVICE_TOTAL_MEM, device);
  }

  // Contexts

  long retainPrimaryContext(int device) {
    return answerLong(Function.PRIMARY_CTX_RETAIN, device);
  }

  void releasePrimaryContext(int device) {
    check(call(Function.PRIMARY_CTX_RELEASE, device), Function.PRIMARY_CTX_RELEASE, device);
  }

  /** Whether anybody holds the device's primary context. */
  boolean isPrimaryContextActive(int device) {
    MemorySegment flags = ANSWER.get();
    MemorySegment active = flags.asSlice(JAVA_LONG.byteSize());
    try {
      int status =
          (int) IPP.invokeExact(address(Function.PRIMARY_CTX_GET_STATE), device, flags, active);
      check(status, Function.PRIMARY_CTX_GET_STATE, device);
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return active.get(JAVA_INT, 0) != 0;
  }

  /** 0 when the thread has none. */
  long currentContext() {
    MemorySegment answer = ANSWER.get();
    check(call(Function.CTX_GET_CURRENT, answer), Function.CTX_GET_CURRENT);
    return answer.get(JAVA_LONG, 0);
  }

  void setCurrentContext(long context) {
    checkHandle(Function.CTX_SET_CURRENT, context);
  }

  void pushCurrentContext(long context) {
    checkHandle(Function.CTX_PUSH_CURRENT, context);
  }

  void popCurrentContext() {
    check(call(Function.CTX_POP_CURRENT, ANSWER.get()), Function.CTX_POP_CURRENT);
  }

  void synchronizeContext() {
    try {
      check((int) NONE.invokeExact(address(Function.CTX_SYNCHRONIZE)), Function.CTX_SYNCHRONIZE);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  // Memory

  /** Bytes that are free on the current context's device. */
  long freeMemory() {
    MemorySegment answer = ANSWER.get();
    try {
      int status =
          (int)
              PP.invokeExact(
                  address(Function.MEM_GET_INFO), answer, answer.asSlice(JAVA_LONG.byteSize()));
      check(status, Function.MEM_GET_INFO);
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return answer.get(JAVA_LONG, 0);
  }

  long allocate(long bytes) {
    MemorySegment answer = ANSWER.get();
    try {
      int status = (int) PL.invokeExact(address(Function.MEM_ALLOC), answer, bytes);
      check(status, Function.MEM_ALLOC, bytes);
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return answer.get(JAVA_LONG, 0);
  }

  void free(long memory) {
    checkHandle(Function.MEM_FREE, memory);
  }

  long allocate(long bytes, long stream) {
    MemorySegment answer = ANSWER.get();
    try {
      int status = (int) PLL.invokeExact(address(Function.MEM_ALLOC_ASYNC), answer, bytes, stream);
      check(status, Function.MEM_ALLOC_ASYNC, bytes, hex(stream));
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return answer.get(JAVA_LONG, 0);
  }

  void free(long memory, long stream) {
    checkHandles(Function.MEM_FREE_ASYNC, memory, stream);
  }

  long allocateHost(long bytes, int flags) {
    MemorySegment answer = ANSWER.get();
    try {
      int status = (int) PLI.invokeExact(address(Function.MEM_HOST_ALLOC), answer, bytes, flags);
      check(status, Function.MEM_HOST_ALLOC, bytes, flags);
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return answer.get(JAVA_LONG, 0);
  }

  void freeHost(long memory) {
    checkHandle(Function.MEM_FREE_HOST, memory);
  }

  void copyToDevice(long target, MemorySegment source, long bytes) {
    Function f = Function.MEMCPY_TO_DEVICE;
    try {
      int status = (int) LPL.invokeExact(address(f), target, source, bytes);
      check(status, f, hex(target), source, bytes);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void copyToHost(MemorySegment target, long source, long bytes) {
    Function f = Function.MEMCPY_TO_HOST;
    try {
      int status = (int) PLL.invokeExact(address(f), target, source, bytes);
      check(status, f, target, hex(source), bytes);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void copyOnDevice(long target, long source, long bytes) {
    Function f = Function.MEMCPY_ON_DEVICE;
    try {
      int status = (int) LLL.invokeExact(address(f), target, source, bytes);
      check(status, f, hex(target), hex(source), bytes);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void copyToDevice(long target, MemorySegment source, long bytes, long stream) {
    Function f = Function.MEMCPY_TO_DEVICE_ASYNC;
    try {
      int status = (int) LPLL.invokeExact(address(f), target, source, bytes, stream);
      check(status, f, hex(target), source, bytes, hex(stream));
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void copyToHost(MemorySegment target, long source, long bytes, long stream) {
    Function f = Function.MEMCPY_TO_HOST_ASYNC;
    try {
      int status = (int) PLLL.invokeExact(address(f), target, source, bytes, stream);
      check(status, f, target, hex(source), bytes, hex(stream));
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void copyOnDevice(long target, long source, long bytes, long stream) {
    Function f = Function.MEMCPY_ON_DEVICE_ASYNC;
    try {
      int status = (int) LLLL.invokeExact(address(f), target, source, bytes, stream);
      check(status, f, hex(target), hex(source), bytes, hex(stream));
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void fillBytes(long target, byte value, long count, long stream) {
    Function f = Function.MEMSET_BYTES_ASYNC;
    try {
      int status = (int) LBLL.invokeExact(address(f), target, value, count, stream);
      check(status, f, hex(target), value, count, hex(stream));
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void fillInts(long target, int value, long count, long stream) {
    Function f = Function.MEMSET_INTS_ASYNC;
    try {
      int status = (int) LILL.invokeExact(address(f), target, value, count, stream);
      check(status, f, hex(target), value, count, hex(stream));
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  // The pool of stream-ordered memory

  long defaultPool(int device) {
    return answerLong(Function.DEVICE_GET_DEFAULT_MEM_POOL, device);
  }

  long poolAttribute(long pool, int attribute) {
    MemorySegment answer = ANSWER.get();
    Function f = Function.MEM_POOL_GET_ATTRIBUTE;
    try {
      int status = (int) LIP.invokeExact(address(f), pool, attribute, answer);
      check(status, f, hex(pool), attribute);
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return answer.get(JAVA_LONG, 0);
  }

  void setPoolAttribute(long pool, int attribute, long value) {
    MemorySegment argument = ANSWER.get();
    argument.set(JAVA_LONG, 0, value);
    Function f = Function.MEM_POOL_SET_ATTRIBUTE;
    try {
      int status = (int) LIP.invokeExact(address(f), pool, attribute, argument);
      check(status, f, hex(pool), attribute, value);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void trimPool(long pool, long bytes) {
    Function f = Function.MEM_POOL_TRIM_TO;
    check(call(f, pool, bytes), f, hex(pool), bytes);
  }

  // Streams, graphs and events

  long newStream(int flags) {
    return answerLong(Function.STREAM_CREATE, flags);
  }

  void destroyStream(long stream) {
    checkHandle(Function.STREAM_DESTROY, stream);
  }

  void synchronizeStream(long stream) {
    checkHandle(Function.STREAM_SYNCHRONIZE, stream);
  }

  boolean isStreamDone(long stream) {
    return isDone(Function.STREAM_QUERY, stream);
  }

  void waitForEvent(long stream, long event) {
    Function f = Function.STREAM_WAIT_EVENT;
    try {
      int status = (int) LLI.invokeExact(address(f), stream, event, 0);
      check(status, f, hex(stream), hex(event), 0);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void beginCapture(long stream, int mode) {
    Function f = Function.STREAM_BEGIN_CAPTURE;
    try {
      check((int) LI.invokeExact(address(f), stream, mode), f, hex(stream), mode);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  /** The captured graph, to be destroyed. */
  long endCapture(long stream) {
    MemorySegment answer = ANSWER.get();
    Function f = Function.STREAM_END_CAPTURE;
    try {
      check((int) LP.invokeExact(address(f), stream, answer), f, hex(stream));
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return answer.get(JAVA_LONG, 0);
  }

  /** A graph that can be launched. */
  long instantiate(long graph) {
    MemorySegment answer = ANSWER.get();
    Function f = Function.GRAPH_INSTANTIATE;
    try {
      check((int) PLL.invokeExact(address(f), answer, graph, 0L), f, hex(graph), 0);
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return answer.get(JAVA_LONG, 0);
  }

  void destroyGraph(long graph) {
    checkHandle(Function.GRAPH_DESTROY, graph);
  }

  void destroyLaunchable(long graph) {
    checkHandle(Function.GRAPH_EXEC_DESTROY, graph);
  }

  void launchGraph(long graph, long stream) {
    checkHandles(Function.GRAPH_LAUNCH, graph, stream);
  }

  long newEvent(int flags) {
    return answerLong(Function.EVENT_CREATE, flags);
  }

  void destroyEvent(long event) {
    checkHandle(Function.EVENT_DESTROY, event);
  }

  void recordEvent(long event, long stream) {
    checkHandles(Function.EVENT_RECORD, event, stream);
  }

  void synchronizeEvent(long event) {
    checkHandle(Function.EVENT_SYNCHRONIZE, event);
  }

  boolean isEventDone(long event) {
    return isDone(Function.EVENT_QUERY, event);
  }

  float elapsedMilliseconds(long start, long end) {
    MemorySegment answer = ANSWER.get();
    Function f = Function.EVENT_ELAPSED_TIME;
    try {
      check((int) PLL.invokeExact(address(f), answer, start, end), f, hex(start), hex(end));
    } catch (Throwable t) {
      throw unexpected(t);
    }
    return answer.get(JAVA_FLOAT, 0);
  }

  // Calls of the signatures that several functions share

  private int answerInt(Function f) {
    MemorySegment answer = ANSWER.get();
    check(call(f, answer), f);
    return answer.get(JAVA_INT, 0);
  }

  private long answerLong(Function f, int argument) {
    MemorySegment answer = ANSWER.get();
    check(call(f, answer, argument), f, argument);
    return answer.get(JAVA_LONG, 0);
  }

  private void checkHandle(Function f, long handle) {
    check(call(f, handle), f, hex(handle));
  }

  private void checkHandles(Function f, long first, long second) {
    check(call(f, first, second), f, hex(first), hex(second));
  }

  private boolean isDone(Function f, long handle) {
    int status = call(f, handle);
    if (status == cuda_h.CUDA_ERROR_NOT_READY()) {
      return false;
    }
    check(status, f, hex(handle));
    return true;
  }

  private int call(Function f, int argument) {
    try {
      return (int) I.invokeExact(address(f), argument);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private int call(Function f, long argument) {
    try {
      return (int) L.invokeExact(address(f), argument);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private int call(Function f, long first, long second) {
    try {
      return (int) LL.invokeExact(address(f), first, second);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private int call(Function f, MemorySegment argument) {
    try {
      return (int) P.invokeExact(address(f), argument);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private int call(Function f, MemorySegment first, int second) {
    try {
      return (int) PI.invokeExact(address(f), first, second);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private int call(Function f, MemorySegment first, int second, int third) {
    try {
      return (int) PII.invokeExact(address(f), first, second, third);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private MemorySegment address(Function f) {
    return addresses[f.ordinal()];
  }

  private static Hex hex(long value) {
    return new Hex(value);
  }

  /** A pointer or handle of a message; formatted only when there is one. */
  private record Hex(long value) {
    @Override
    public String toString() {
      return "0x" + Long.toHexString(value);
    }
  }

  private void check(int status, Function function, Object... arguments) {
    if (status != cuda_h.CUDA_SUCCESS()) {
      throw new CudaException(
          function.call(arguments), status, errorName(status), errorDescription(status));
    }
  }

  /** Native functions throw nothing; what comes out of a handle is the JVM's own, or check's. */
  private static RuntimeException unexpected(Throwable t) {
    if (t instanceof Error e) {
      throw e;
    }
    return t instanceof RuntimeException e ? e : new IllegalStateException(t);
  }
}
