package io.sparsevideo.cuda.blas;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import io.sparsevideo.cuda.blas.ffi.cublasLtMatmulHeuristicResult_t;
import io.sparsevideo.cuda.blas.ffi.cublasLt_h;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;

/**
 * The functions of cuBLASLt in one loaded library. Handles, descriptors, device pointers and
 * streams are longs; host memory is a segment. Calls that have a handle need its context current.
 */
final class CublasBindings {

  // Handles take the function's address, see DriverBindings. P: host pointer, L: 64-bit, I: 32-bit.
  private static final MethodHandle P = signature(ADDRESS);
  private static final MethodHandle L = signature(JAVA_LONG);
  private static final MethodHandle PII = signature(ADDRESS, JAVA_INT, JAVA_INT);
  private static final MethodHandle PILLL =
      signature(ADDRESS, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle LIPL = signature(JAVA_LONG, JAVA_INT, ADDRESS, JAVA_LONG);
  private static final MethodHandle HEURISTIC =
      signature(
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_INT,
          ADDRESS, ADDRESS);
  private static final MethodHandle MATMUL =
      signature(
          JAVA_LONG, JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, ADDRESS,
          JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_LONG, JAVA_LONG);
  private static final MethodHandle NAME =
      Linker.nativeLinker().downcallHandle(FunctionDescriptor.of(ADDRESS, JAVA_INT));
  private static final MethodHandle VERSION =
      Linker.nativeLinker().downcallHandle(FunctionDescriptor.of(JAVA_LONG));

  /** A descriptor's place for one attribute, or a function's for one answer; for one thread. */
  private static final ThreadLocal<MemorySegment> VALUE =
      ThreadLocal.withInitial(() -> Arena.ofAuto().allocate(JAVA_LONG));

  private final MemorySegment getVersion;
  private final MemorySegment getStatusName;
  private final MemorySegment create;
  private final MemorySegment destroy;
  private final MemorySegment descCreate;
  private final MemorySegment descSet;
  private final MemorySegment descDestroy;
  private final MemorySegment layoutCreate;
  private final MemorySegment layoutSet;
  private final MemorySegment layoutDestroy;
  private final MemorySegment preferenceCreate;
  private final MemorySegment preferenceSet;
  private final MemorySegment preferenceDestroy;
  private final MemorySegment heuristic;
  private final MemorySegment matmul;

  /**
   * @throws java.util.NoSuchElementException when the library lacks a function
   */
  CublasBindings(SymbolLookup library) {
    getVersion = library.findOrThrow("cublasLtGetVersion");
    getStatusName = library.findOrThrow("cublasLtGetStatusName");
    create = library.findOrThrow("cublasLtCreate");
    destroy = library.findOrThrow("cublasLtDestroy");
    descCreate = library.findOrThrow("cublasLtMatmulDescCreate");
    descSet = library.findOrThrow("cublasLtMatmulDescSetAttribute");
    descDestroy = library.findOrThrow("cublasLtMatmulDescDestroy");
    layoutCreate = library.findOrThrow("cublasLtMatrixLayoutCreate");
    layoutSet = library.findOrThrow("cublasLtMatrixLayoutSetAttribute");
    layoutDestroy = library.findOrThrow("cublasLtMatrixLayoutDestroy");
    preferenceCreate = library.findOrThrow("cublasLtMatmulPreferenceCreate");
    preferenceSet = library.findOrThrow("cublasLtMatmulPreferenceSetAttribute");
    preferenceDestroy = library.findOrThrow("cublasLtMatmulPreferenceDestroy");
    heuristic = library.findOrThrow("cublasLtMatmulAlgoGetHeuristic");
    matmul = library.findOrThrow("cublasLtMatmul");
  }

  private static MethodHandle signature(MemoryLayout... parameters) {
    return Linker.nativeLinker().downcallHandle(FunctionDescriptor.of(JAVA_INT, parameters));
  }

  /** 10,000 times the major, 100 times the minor version, and the patch. */
  long version() {
    try {
      return (long) VERSION.invokeExact(getVersion);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  long create() {
    return created("cublasLtCreate()", create);
  }

  void destroy(long handle) {
    destroyed("cublasLtDestroy", destroy, handle);
  }

  long createDescriptor(int computeType, int scaleType) {
    MemorySegment answer = VALUE.get();
    try {
      int status = (int) PII.invokeExact(descCreate, answer, computeType, scaleType);
      check(status, "cublasLtMatmulDescCreate()");
      return answer.get(JAVA_LONG, 0);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void setDescriptor(long descriptor, int attribute, int value) {
    MemorySegment memory = VALUE.get();
    memory.set(JAVA_INT, 0, value);
    set("cublasLtMatmulDescSetAttribute", descSet, descriptor, attribute, memory, Integer.BYTES);
  }

  void setDescriptor(long descriptor, int attribute, long value) {
    MemorySegment memory = VALUE.get();
    memory.set(JAVA_LONG, 0, value);
    set("cublasLtMatmulDescSetAttribute", descSet, descriptor, attribute, memory, Long.BYTES);
  }

  void destroyDescriptor(long descriptor) {
    destroyed("cublasLtMatmulDescDestroy", descDestroy, descriptor);
  }

  /** A column-major matrix. */
  long createLayout(int type, long rows, long columns, long leadingDimension) {
    MemorySegment answer = VALUE.get();
    try {
      int status =
          (int) PILLL.invokeExact(layoutCreate, answer, type, rows, columns, leadingDimension);
      check(status, "cublasLtMatrixLayoutCreate(rows %d, columns %d)", rows, columns);
      return answer.get(JAVA_LONG, 0);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void setLayout(long layout, int attribute, int value) {
    MemorySegment memory = VALUE.get();
    memory.set(JAVA_INT, 0, value);
    set("cublasLtMatrixLayoutSetAttribute", layoutSet, layout, attribute, memory, Integer.BYTES);
  }

  void setLayout(long layout, int attribute, long value) {
    MemorySegment memory = VALUE.get();
    memory.set(JAVA_LONG, 0, value);
    set("cublasLtMatrixLayoutSetAttribute", layoutSet, layout, attribute, memory, Long.BYTES);
  }

  void destroyLayout(long layout) {
    destroyed("cublasLtMatrixLayoutDestroy", layoutDestroy, layout);
  }

  long createPreference() {
    return created("cublasLtMatmulPreferenceCreate()", preferenceCreate);
  }

  void setPreference(long preference, int attribute, int value) {
    MemorySegment memory = VALUE.get();
    memory.set(JAVA_INT, 0, value);
    set("cublasLtMatmulPreferenceSetAttribute", preferenceSet, preference, attribute, memory, 4);
  }

  void setPreference(long preference, int attribute, long value) {
    MemorySegment memory = VALUE.get();
    memory.set(JAVA_LONG, 0, value);
    set("cublasLtMatmulPreferenceSetAttribute", preferenceSet, preference, attribute, memory, 8);
  }

  void destroyPreference(long preference) {
    destroyed("cublasLtMatmulPreferenceDestroy", preferenceDestroy, preference);
  }

  /**
   * The first algorithm that the library proposes.
   *
   * @param result a {@code cublasLtMatmulHeuristicResult_t}
   * @return the status; CUBLAS_STATUS_NOT_SUPPORTED where there is none
   */
  int heuristic(
      long handle,
      long descriptor,
      long a,
      long b,
      long c,
      long d,
      long preference,
      MemorySegment result) {
    MemorySegment count = VALUE.get();
    count.set(JAVA_INT, 0, 0);
    try {
      int status =
          (int)
              HEURISTIC.invokeExact(
                  heuristic, handle, descriptor, a, b, c, d, preference, 1, result, count);
      if (status != cublasLt_h.CUBLAS_STATUS_SUCCESS()) {
        return status;
      }
      return count.get(JAVA_INT, 0) > 0
          ? cublasLtMatmulHeuristicResult_t.state(result)
          : cublasLt_h.CUBLAS_STATUS_NOT_SUPPORTED();
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  /** D = op(A) op(B), with what the descriptor says; returns the status. */
  int matmul(
      long handle,
      long descriptor,
      MemorySegment alpha,
      long a,
      long aLayout,
      long b,
      long bLayout,
      MemorySegment beta,
      long d,
      long dLayout,
      MemorySegment algorithm,
      long workspace,
      long workspaceBytes,
      long stream) {
    try {
      return (int)
          MATMUL.invokeExact(
              matmul,
              handle,
              descriptor,
              alpha,
              a,
              aLayout,
              b,
              bLayout,
              beta,
              d,
              dLayout,
              d,
              dLayout,
              algorithm,
              workspace,
              workspaceBytes,
              stream);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  void check(int status, String call, Object... arguments) {
    if (status != cublasLt_h.CUBLAS_STATUS_SUCCESS()) {
      throw new CublasException(call.formatted(arguments), status, statusName(status));
    }
  }

  private String statusName(int status) {
    try {
      return ((MemorySegment) NAME.invokeExact(getStatusName, status))
          .reinterpret(Long.MAX_VALUE)
          .getString(0);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private long created(String call, MemorySegment function) {
    MemorySegment answer = VALUE.get();
    try {
      check((int) P.invokeExact(function, answer), call);
      return answer.get(JAVA_LONG, 0);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private void destroyed(String name, MemorySegment function, long handle) {
    try {
      check((int) L.invokeExact(function, handle), "%s(0x%x)", name, handle);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private void set(
      String name, MemorySegment function, long of, int attribute, MemorySegment value, long size) {
    try {
      int status = (int) LIPL.invokeExact(function, of, attribute, value, size);
      check(status, "%s(attribute %d, size %d)", name, attribute, size);
    } catch (Throwable t) {
      throw unexpected(t);
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
