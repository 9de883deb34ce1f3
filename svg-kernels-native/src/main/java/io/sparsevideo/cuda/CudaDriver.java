package io.sparsevideo.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.SymbolLookup;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.NoSuchElementException;
import java.util.Optional;

/** NVIDIA's CUDA driver, initialised. It stays loaded until the process ends. */
public final class CudaDriver {

  /** System property that names the driver's library; nothing else is then tried. */
  public static final String PATH_PROPERTY = "svg.cuda.driver";

  private static final String LIBRARY = "libcuda.so.1";

  private static CudaDriver loaded;

  private final String origin;
  private final DriverBindings bindings;

  private CudaDriver(String origin, DriverBindings bindings) {
    this.origin = origin;
    this.bindings = bindings;
  }

  /**
   * The process's driver, loaded by the first call that succeeds: from the file that the system
   * property {@value #PATH_PROPERTY} names, else {@code libcuda.so.1} from the system's library
   * path.
   *
   * @throws CudaUnavailableException when there is none, or none that works
   */
  public static synchronized CudaDriver load() {
    if (loaded == null) {
      String chosen = System.getProperty(PATH_PROPERTY);
      loaded = chosen != null ? load(Path.of(chosen)) : load(LIBRARY);
    }
    return loaded;
  }

  /** The process's driver; empty where {@link #load()} throws. */
  public static Optional<CudaDriver> find() {
    try {
      return Optional.of(load());
    } catch (CudaUnavailableException e) {
      return Optional.empty();
    }
  }

  /**
   * Loads the driver from a file. It does not become the process's driver.
   *
   * @throws CudaUnavailableException when the file is missing, is no driver, or has no device
   */
  public static CudaDriver load(Path file) {
    Path absolute = file.toAbsolutePath();
    if (!Files.isRegularFile(absolute)) {
      throw new CudaUnavailableException(List.of(absolute + ": there is no such file"));
    }
    try {
      return bind(absolute.toString(), SymbolLookup.libraryLookup(absolute, Arena.global()));
    } catch (IllegalArgumentException e) {
      throw new CudaUnavailableException(List.of(linkerMessage(absolute)));
    }
  }

  /**
   * Why the system's loader refuses a file, in its own words; the lookup that failed drops them.
   */
  private static String linkerMessage(Path file) {
    try {
      System.load(file.toString());
      return file + ": the first attempt to load it failed, a second did not";
    } catch (UnsatisfiedLinkError e) {
      return e.getMessage();
    }
  }

  private static CudaDriver load(String name) {
    try {
      return bind(name, SymbolLookup.libraryLookup(name, Arena.global()));
    } catch (IllegalArgumentException e) {
      throw new CudaUnavailableException(List.of(name + ": not on the system's library path"));
    }
  }

  private static CudaDriver bind(String origin, SymbolLookup symbols) {
    try {
      DriverBindings bindings = new DriverBindings(symbols);
      bindings.init();
      return new CudaDriver(origin, bindings);
    } catch (NoSuchElementException e) {
      throw new CudaUnavailableException(
          List.of(origin + ": not a CUDA driver of version 11.4 or later: " + e.getMessage()));
    } catch (CudaException e) {
      throw new CudaUnavailableException(List.of(origin + ": " + e.getMessage()));
    }
  }

  /** The library: a file, or its bare name on the system's library path. */
  public String origin() {
    return origin;
  }

  /** The newest CUDA version that the driver supports, for example "13.0". */
  public String version() {
    int version = bindings.driverVersion();
    return version / 1000 + "." + version % 1000 / 10;
  }

  /** The devices that the process may use ({@code CUDA_VISIBLE_DEVICES} chooses), by ordinal. */
  public List<CudaDevice> devices() {
    int count = bindings.deviceCount();
    List<CudaDevice> devices = new ArrayList<>();
    for (int ordinal = 0; ordinal < count; ordinal++) {
      devices.add(new CudaDevice(bindings, ordinal));
    }
    return devices;
  }

  /**
   * @throws IllegalArgumentException when there is no such device
   */
  public CudaDevice device(int ordinal) {
    int count = bindings.deviceCount();
    if (ordinal < 0 || ordinal >= count) {
      throw new IllegalArgumentException(
          "there is no device cuda:%d; the driver has %d, counted from cuda:0"
              .formatted(ordinal, count));
    }
    return new CudaDevice(bindings, ordinal);
  }

  @Override
  public String toString() {
    return "driver for CUDA " + version() + " from " + origin;
  }
}
