package io.sparsevideo.cuda.blas;

import io.sparsevideo.kernels.KernelLibrary;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Stream;

/** NVIDIA's cuBLASLt, loaded. It stays loaded until the process ends. */
public final class CublasLt {

  /** System property that names the library's file or its folder; nothing else is then tried. */
  public static final String PATH_PROPERTY = "svg.cublaslt.path";

  /** The versions whose functions are called here, newest first. */
  private static final List<String> NAMES = List.of("libcublasLt.so.13", "libcublasLt.so.12");

  private static CublasLt loaded;

  private final String origin;
  private final CublasBindings bindings;

  private CublasLt(String origin, CublasBindings bindings) {
    this.origin = origin;
    this.bindings = bindings;
  }

  /**
   * The process's cuBLASLt, loaded by the first call that succeeds: from where the system property
   * {@value #PATH_PROPERTY} points, else from a jar on the class path (JavaCPP's presets for CUDA:
   * org.bytedeco:cuda-redist-cublas, classifier linux-x86_64), else from the system's library path,
   * else from the toolkit that {@code CUDA_HOME} or {@code CUDA_PATH} names or that is in {@code
   * /usr/local/cuda}.
   *
   * @throws CublasUnavailableException when there is none, or none that works
   */
  public static synchronized CublasLt load() {
    if (loaded == null) {
      String chosen = System.getProperty(PATH_PROPERTY);
      loaded =
          chosen != null
              ? load(Path.of(chosen))
              : search(CublasLt.class.getClassLoader(), KernelLibrary.cacheFolder(), toolkits());
    }
    return loaded;
  }

  /**
   * Loads a file, or the newest version in a folder. It does not become the process's cuBLASLt.
   *
   * @throws CublasUnavailableException when there is no such file, or it is no cuBLASLt
   */
  public static CublasLt load(Path path) {
    List<String> attempts = new ArrayList<>();
    return open(path, attempts).orElseThrow(() -> new CublasUnavailableException(attempts));
  }

  static CublasLt search(ClassLoader loader, Path cache, Set<Path> toolkits) {
    List<String> attempts = new ArrayList<>();
    return Stream.of(
            NAMES.stream().map(name -> openJar(loader, name, cache, attempts)),
            NAMES.stream().map(name -> open(name, attempts)),
            toolkits.stream().map(home -> open(home.resolve("lib64"), attempts)))
        .flatMap(Function.identity())
        .flatMap(Optional::stream)
        .findFirst()
        .orElseThrow(() -> new CublasUnavailableException(attempts));
  }

  private static Optional<CublasLt> openJar(
      ClassLoader loader, String name, Path cache, List<String> attempts) {
    try {
      Optional<Path> file = CublasJar.extract(loader, name, cache);
      if (file.isEmpty()) {
        attempts.add("the class path: no %s; %s has it".formatted(name, CublasJar.COORDINATES));
      }
      return file.flatMap(f -> open(f, attempts));
    } catch (IOException e) {
      attempts.add("the class path: %s cannot be extracted to %s: %s".formatted(name, cache, e));
      return Optional.empty();
    }
  }

  private static Set<Path> toolkits() {
    Set<Path> homes = new LinkedHashSet<>();
    for (String variable : List.of("CUDA_HOME", "CUDA_PATH")) {
      String home = System.getenv(variable);
      if (home != null && !home.isBlank()) {
        homes.add(Path.of(home));
      }
    }
    homes.add(Path.of("/usr/local/cuda"));
    return homes;
  }

  private static Optional<CublasLt> open(Path path, List<String> attempts) {
    List<Path> files =
        Files.isDirectory(path) ? NAMES.stream().map(path::resolve).toList() : List.of(path);
    for (Path file : files) {
      Path absolute = file.toAbsolutePath();
      if (Files.isRegularFile(absolute)) {
        return open(absolute.toString(), attempts);
      }
      attempts.add(absolute + ": there is no such file");
    }
    return Optional.empty();
  }

  /** Opens a file or a name on the system's library path. */
  private static Optional<CublasLt> open(String library, List<String> attempts) {
    try {
      SymbolLookup symbols =
          library.contains("/")
              ? SymbolLookup.libraryLookup(Path.of(library), Arena.global())
              : SymbolLookup.libraryLookup(library, Arena.global());
      return Optional.of(new CublasLt(library, new CublasBindings(symbols)));
    } catch (NoSuchElementException e) {
      attempts.add(library + ": not a cuBLASLt of version 12 or later: " + e.getMessage());
    } catch (IllegalArgumentException e) {
      attempts.add(
          library
              + (library.contains("/")
                  ? ": it cannot be loaded as a library"
                  : ": not on the system's library path"));
    }
    return Optional.empty();
  }

  /** The library: a file, or its bare name on the system's library path. */
  public String origin() {
    return origin;
  }

  /** For example "13.1.1". */
  public String version() {
    long version = bindings.version();
    return version / 10000 + "." + version / 100 % 100 + "." + version % 100;
  }

  CublasBindings bindings() {
    return bindings;
  }

  @Override
  public String toString() {
    return "cuBLASLt " + version() + " from " + origin;
  }
}
