package io.sparsevideo.kernels;

import io.sparsevideo.kernels.ffi.svg_kernels_h;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Objects;

/**
 * One loaded library of svg_kernels.h. A library stays loaded until the process ends: its OpenMP
 * threads live in it, and unloading would pull the code from under them.
 */
public final class KernelLibrary {

  /** System property that names a library file, or a folder that holds the libraries. */
  public static final String PATH_PROPERTY = "svg.kernels.path";

  /**
   * System property that names the folder which libraries from the class path are extracted to.
   * Default: {@code sparse-videogen/native} in {@code $XDG_CACHE_HOME}, or in {@code ~/.cache}.
   */
  public static final String CACHE_PROPERTY = "svg.kernels.cache";

  /** Which library: the same functions on host memory or on device memory. */
  public enum Kind {
    /** Built with g++ and OpenMP; pointers are host memory. */
    HOST("svg_kernels_host", "libgomp.so.1"),
    /** Built with nvcc; pointers are device memory. */
    CUDA("svg_kernels_cuda");

    private final String fileName;
    private final List<String> bundle;

    Kind(String name, String... companions) {
      fileName = System.mapLibraryName(name);
      List<String> files = new ArrayList<>(List.of(companions));
      files.add(fileName);
      bundle = List.copyOf(files);
    }

    /** The library's file name on this platform, for example {@code libsvg_kernels_host.so}. */
    public String fileName() {
      return fileName;
    }

    /** The library and what must lie beside it, where its run path finds it. */
    List<String> bundle() {
      return bundle;
    }
  }

  private static final Map<Kind, KernelLibrary> LOADED = new EnumMap<>(Kind.class);

  private final Kind kind;
  private final String origin;
  private final KernelBindings bindings;

  private KernelLibrary(Kind kind, String origin, KernelBindings bindings) {
    this.kind = kind;
    this.origin = origin;
    this.bindings = bindings;
  }

  /** The folder that native libraries from the class path are extracted to. */
  public static Path cacheFolder() {
    return NativeBundle.defaultCache();
  }

  /**
   * The process's library of a kind, loaded by the first call that succeeds. It is looked for in
   * this order:
   *
   * <ol>
   *   <li>where the system property {@value #PATH_PROPERTY} points; when that is set nothing else
   *       is tried, so that a wrong choice cannot pass unnoticed;
   *   <li>on the class path, where this module's {@code linux-x86_64} jar holds it;
   *   <li>on the system's library path.
   * </ol>
   *
   * @throws KernelLoadException when no place has a library that loads and fits; the message lists
   *     every place tried and why it failed
   */
  public static synchronized KernelLibrary load(Kind kind) {
    KernelLibrary library = LOADED.get(Objects.requireNonNull(kind, "kind"));
    if (library == null) {
      String chosen = System.getProperty(PATH_PROPERTY);
      library =
          chosen != null
              ? load(kind, Path.of(chosen))
              : search(
                  kind,
                  new NativeBundle(
                      KernelLibrary.class.getClassLoader(), NativeBundle.defaultCache()));
      LOADED.put(kind, library);
    }
    return library;
  }

  /**
   * Loads a library from a file, or from a folder that holds it under its own name. It does not
   * become the process's library of that kind.
   *
   * @throws KernelLoadException when the file is missing, does not load, or has another ABI version
   */
  public static KernelLibrary load(Kind kind, Path path) {
    Path file = Files.isDirectory(path) ? path.resolve(kind.fileName()) : path;
    try {
      return openFile(kind, file);
    } catch (Refusal e) {
      throw new KernelLoadException(kind, List.of(e.getMessage()));
    }
  }

  /** The class path, then the system's library path. */
  static KernelLibrary search(Kind kind, NativeBundle bundle) {
    List<String> attempts = new ArrayList<>();
    try {
      return openFile(kind, bundle.extract(kind.bundle()).resolve(kind.fileName()));
    } catch (NoSuchFileException e) {
      attempts.add("class path: there is no resource " + e.getFile());
    } catch (IOException e) {
      attempts.add(
          "class path: the library could not be extracted ("
              + e
              + "); the system property "
              + CACHE_PROPERTY
              + " names another folder");
    } catch (Refusal e) {
      attempts.add("class path: " + e.getMessage());
    }
    try {
      String name = kind.fileName();
      return bind(kind, name, SymbolLookup.libraryLookup(name, Arena.global()));
    } catch (IllegalArgumentException e) {
      attempts.add("system library path: there is no " + kind.fileName());
    } catch (Refusal e) {
      attempts.add("system library path: " + e.getMessage());
    }
    throw new KernelLoadException(kind, attempts);
  }

  public Kind kind() {
    return kind;
  }

  /** Where the library came from: a file, or its bare name on the system's library path. */
  public String origin() {
    return origin;
  }

  /** What the library says of its build, for example "host, openmp, 2 threads, x86-64-v4". */
  public String buildInfo() {
    return bindings.buildInfo();
  }

  KernelBindings bindings() {
    return bindings;
  }

  @Override
  public String toString() {
    return "%s kernels from %s (%s)".formatted(kind, origin, buildInfo());
  }

  private static KernelLibrary openFile(Kind kind, Path file) throws Refusal {
    Path absolute = file.toAbsolutePath();
    if (!Files.isRegularFile(absolute)) {
      throw new Refusal(absolute + ": there is no such file");
    }
    SymbolLookup symbols;
    try {
      symbols = SymbolLookup.libraryLookup(absolute, Arena.global());
    } catch (IllegalArgumentException e) {
      throw new Refusal(linkerMessage(absolute));
    }
    return bind(kind, absolute.toString(), symbols);
  }

  /**
   * Why the system's loader refuses a file, in its own words; the lookup that failed drops them.
   */
  private static String linkerMessage(Path file) {
    try {
      System.load(file.toString());
      return "the first attempt to load it failed, a second did not";
    } catch (UnsatisfiedLinkError e) {
      return e.getMessage();
    }
  }

  private static KernelLibrary bind(Kind kind, String origin, SymbolLookup symbols) throws Refusal {
    KernelBindings bindings;
    try {
      bindings = new KernelBindings(symbols);
    } catch (NoSuchElementException e) {
      throw new Refusal(origin + ": it is not a library of svg_kernels.h: " + e.getMessage());
    }
    int expected = svg_kernels_h.SVG_ABI_VERSION();
    int found = bindings.abiVersion();
    if (found != expected) {
      throw new Refusal(
          "%s: it has version %d of svg_kernels.h, these classes need version %d"
              .formatted(origin, found, expected));
    }
    return new KernelLibrary(kind, origin, bindings);
  }

  /** One place that has no usable library. */
  private static final class Refusal extends Exception {
    private static final long serialVersionUID = 1;

    Refusal(String message) {
      super(message);
    }
  }
}
