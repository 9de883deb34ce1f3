package io.sparsevideo.kernels;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_INT;

import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.EnumMap;
import java.util.Map;

/**
 * The functions of svg_kernels.h in one loaded library. The host and the CUDA library export the
 * same names, so handles belong to a library and not to a class.
 */
final class KernelBindings {

  /** The kernels: each is {@code int32_t name(const name_params*, svg_stream)}. */
  enum Function {
    ATTENTION_DENSE("svg_attention_dense"),
    ATTENTION_BAND("svg_attention_band"),
    ATTENTION_BLOCKS("svg_attention_blocks"),
    PROFILE_HEADS("svg_profile_heads"),
    VIDEO_LAYOUT("svg_video_layout"),
    KMEANS("svg_kmeans"),
    BLOCK_MAP("svg_block_map"),
    SORT_LABELS("svg_sort_labels"),
    PERMUTE_ROWS("svg_permute_rows"),
    RMS_NORM("svg_rms_norm"),
    LAYER_NORM("svg_layer_norm"),
    GATED_RESIDUAL("svg_gated_residual"),
    ROPE("svg_rope"),
    NORM_ROPE("svg_norm_rope"),
    ACTIVATION("svg_activation"),
    TIMESTEP_EMBEDDING("svg_timestep_embedding"),
    PATCHIFY("svg_patchify");

    private final String symbol;

    Function(String symbol) {
      this.symbol = symbol;
    }

    String symbol() {
      return symbol;
    }
  }

  private static final FunctionDescriptor KERNEL =
      FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS);
  private static final FunctionDescriptor VERSION = FunctionDescriptor.of(JAVA_INT);
  private static final FunctionDescriptor TEXT = FunctionDescriptor.of(ADDRESS);

  private final MethodHandle abiVersion;
  private final MethodHandle buildInfo;
  private final MethodHandle lastError;
  private final Map<Function, MethodHandle> kernels = new EnumMap<>(Function.class);

  /**
   * @throws java.util.NoSuchElementException when the library lacks a function
   */
  KernelBindings(SymbolLookup library) {
    Linker linker = Linker.nativeLinker();
    abiVersion = linker.downcallHandle(library.findOrThrow("svg_abi_version"), VERSION);
    buildInfo = linker.downcallHandle(library.findOrThrow("svg_build_info"), TEXT);
    lastError = linker.downcallHandle(library.findOrThrow("svg_last_error"), TEXT);
    for (Function f : Function.values()) {
      kernels.put(f, linker.downcallHandle(library.findOrThrow(f.symbol()), KERNEL));
    }
  }

  int abiVersion() {
    try {
      return (int) abiVersion.invokeExact();
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  String buildInfo() {
    try {
      return text((MemorySegment) buildInfo.invokeExact());
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  /** The message of this thread's last failed call. */
  String lastError() {
    try {
      return text((MemorySegment) lastError.invokeExact());
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  /** Calls a kernel and returns its {@code svg_status}. */
  int call(Function function, MemorySegment params, MemorySegment stream) {
    try {
      return (int) kernels.get(function).invokeExact(params, stream);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private static String text(MemorySegment address) {
    return address.reinterpret(Long.MAX_VALUE).getString(0);
  }

  /** Native functions throw nothing; what comes out of a handle is the JVM's own. */
  private static RuntimeException unexpected(Throwable t) {
    if (t instanceof Error e) {
      throw e;
    }
    return t instanceof RuntimeException e ? e : new IllegalStateException(t);
  }
}
