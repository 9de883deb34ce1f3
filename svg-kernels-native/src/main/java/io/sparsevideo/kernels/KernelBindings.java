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
    BLOCK_DENSITY("svg_block_density"),
    SORT_LABELS("svg_sort_labels"),
    PERMUTE_ROWS("svg_permute_rows"),
    RMS_NORM("svg_rms_norm"),
    CHANNEL_NORM("svg_channel_norm"),
    LAYER_NORM("svg_layer_norm"),
    GATED_RESIDUAL("svg_gated_residual"),
    ROPE("svg_rope"),
    NORM_ROPE("svg_norm_rope"),
    ACTIVATION("svg_activation"),
    SOFTMAX("svg_softmax"),
    GATHER_ROWS("svg_gather_rows"),
    TIMESTEP_EMBEDDING("svg_timestep_embedding"),
    PATCHIFY("svg_patchify"),
    CONVOLUTION("svg_convolution"),
    COLOR_BYTES("svg_color_bytes"),
    COPY("svg_copy"),
    ELEMENTWISE("svg_elementwise");

    private final String symbol;

    Function(String symbol) {
      this.symbol = symbol;
    }

    String symbol() {
      return symbol;
    }
  }

  // Handles take the function's address: constants that the compiler turns into direct calls.
  private static final MethodHandle KERNEL =
      signature(FunctionDescriptor.of(JAVA_INT, ADDRESS, ADDRESS));
  private static final MethodHandle VERSION = signature(FunctionDescriptor.of(JAVA_INT));
  private static final MethodHandle TEXT = signature(FunctionDescriptor.of(ADDRESS));

  private final MemorySegment abiVersion;
  private final MemorySegment buildInfo;
  private final MemorySegment lastError;
  private final Map<Function, MemorySegment> kernels = new EnumMap<>(Function.class);

  /**
   * @throws java.util.NoSuchElementException when the library lacks a function
   */
  KernelBindings(SymbolLookup library) {
    abiVersion = library.findOrThrow("svg_abi_version");
    buildInfo = library.findOrThrow("svg_build_info");
    lastError = library.findOrThrow("svg_last_error");
    for (Function f : Function.values()) {
      kernels.put(f, library.findOrThrow(f.symbol()));
    }
  }

  private static MethodHandle signature(FunctionDescriptor descriptor) {
    return Linker.nativeLinker().downcallHandle(descriptor);
  }

  int abiVersion() {
    try {
      return (int) VERSION.invokeExact(abiVersion);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  String buildInfo() {
    return text(buildInfo);
  }

  /** The message of this thread's last failed call. */
  String lastError() {
    return text(lastError);
  }

  /** Calls a kernel and returns its {@code svg_status}. */
  int call(Function function, MemorySegment params, MemorySegment stream) {
    try {
      return (int) KERNEL.invokeExact(kernels.get(function), params, stream);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  private static String text(MemorySegment function) {
    try {
      return ((MemorySegment) TEXT.invokeExact(function)).reinterpret(Long.MAX_VALUE).getString(0);
    } catch (Throwable t) {
      throw unexpected(t);
    }
  }

  /** Native functions throw nothing; what comes out of a handle is the JVM's own. */
  private static RuntimeException unexpected(Throwable t) {
    if (t instanceof Error e) {
      throw e;
    }
    return t instanceof RuntimeException e ? e : new IllegalStateException(t);
  }
}
