package io.sparsevideo.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.cuda.ffi.cuda_h;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CudaDriverTest {

  private static final String MISSING = "no/such/libcuda.so.1";

  @TempDir Path temp;

  @Test
  void aMissingFileIsNamedWithTheRemedy() {
    Path file = temp.resolve(MISSING);
    CudaUnavailableException e =
        assertThrows(CudaUnavailableException.class, () -> CudaDriver.load(file));
    assertEquals(List.of(file + ": there is no such file"), e.attempts());
    assertTrue(e.getMessage().contains(CudaDriver.PATH_PROPERTY), e.getMessage());
    assertTrue(e.getMessage().contains("install NVIDIA's driver"), e.getMessage());
  }

  @Test
  void aLibraryOfAnotherMachineIsRefused() throws IOException {
    byte[] content = gomp();
    content[18] = (byte) 0xb7; // the ELF header's machine: AArch64
    Path file = Files.write(temp.resolve("libcuda.so.1"), content);
    CudaUnavailableException e =
        assertThrows(CudaUnavailableException.class, () -> CudaDriver.load(file));
    assertTrue(e.attempts().getFirst().startsWith(file + ": "), e.getMessage());
    assertTrue(e.attempts().getFirst().contains("AARCH64"), e.getMessage());
  }

  @Test
  void aLibraryOfSomethingElseIsRefused() throws IOException {
    Path file = Files.write(temp.resolve("libcuda.so.1"), gomp());
    CudaUnavailableException e =
        assertThrows(CudaUnavailableException.class, () -> CudaDriver.load(file));
    assertTrue(e.attempts().getFirst().contains("not a CUDA driver"), e.getMessage());
    assertTrue(e.attempts().getFirst().contains("cuInit"), e.getMessage());
  }

  /** A library that is at hand. */
  private static byte[] gomp() throws IOException {
    String resource = "/native/linux-x86_64/libgomp.so.1";
    try (InputStream in = CudaDriver.class.getResourceAsStream(resource)) {
      return in.readAllBytes();
    }
  }

  @Test
  void aDriverWithoutDevicesIsRefusedWithItsError() throws Exception {
    assertEquals(
        FakeCuda.library()
            + ": cuInit(flags 0): CUDA_ERROR_NO_DEVICE (100): no CUDA-capable device is detected",
        loadInNewProcess(FakeCuda.library(), Map.of("SVG_FAKE_CUDA_NO_DEVICE", "1")));
  }

  @Test
  void theChosenPathIsTheOnlyOneTried() throws Exception {
    Path chosen = temp.resolve(MISSING);
    assertEquals(chosen + ": there is no such file", loadInNewProcess(chosen, Map.of()));
  }

  @Test
  void theChosenDriverIsFound() throws Exception {
    assertEquals(
        "found driver for CUDA 13.2 from " + FakeCuda.library(),
        loadInNewProcess(FakeCuda.library(), Map.of()));
  }

  /** A process keeps the driver that it found, and what cuInit answered. */
  private static String loadInNewProcess(Path driver, Map<String, String> environment)
      throws Exception {
    ProcessBuilder java =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-D" + CudaDriver.PATH_PROPERTY + "=" + driver,
            "-cp",
            System.getProperty("java.class.path"),
            LoadDriver.class.getName());
    java.environment().putAll(environment);
    Process process = java.redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes()).strip();
    assertEquals(0, process.waitFor(), output);
    return output;
  }

  /** Prints the process's driver, or what was tried. */
  static final class LoadDriver {
    public static void main(String[] arguments) {
      CudaDriver.find().ifPresent(driver -> System.out.println("found " + driver));
      try {
        CudaDriver.load();
      } catch (CudaUnavailableException e) {
        System.out.println(String.join("\n", e.attempts()));
      }
    }
  }

  @Test
  void describesDriverAndDevices() {
    CudaDriver driver = FakeCuda.driver();
    assertEquals("driver for CUDA 13.2 from " + FakeCuda.library(), driver.toString());
    List<CudaDevice> devices = driver.devices();
    assertEquals(
        List.of("cuda:0 Fake device A", "cuda:1 Fake device B"),
        devices.stream().map(CudaDevice::toString).toList());
    CudaDevice second = driver.device(1);
    assertEquals(1, second.ordinal());
    assertEquals(90, second.computeCapability());
    assertEquals(8, second.multiprocessors());
    assertEquals(1 << 30, second.totalMemory());
    assertEquals(1 << 20, second.cacheSize());
  }

  @Test
  void aDeviceThatIsNotThereIsRefused() {
    CudaDriver driver = FakeCuda.driver();
    for (int ordinal : new int[] {-1, 2}) {
      IllegalArgumentException e =
          assertThrows(IllegalArgumentException.class, () -> driver.device(ordinal));
      assertEquals(
          "there is no device cuda:%d; the driver has 2, counted from cuda:0".formatted(ordinal),
          e.getMessage());
    }
  }

  @Test
  void anErrorNamesFunctionArgumentsAndResult() {
    try (CudaContext context = FakeCuda.driver().device(0).retainContext()) {
      CudaException e = assertThrows(CudaException.class, () -> context.allocate(1L << 40));
      assertEquals(
          "cuMemAlloc_v2(bytes 1099511627776): CUDA_ERROR_OUT_OF_MEMORY (2): out of memory",
          e.getMessage());
      assertEquals("CUDA_ERROR_OUT_OF_MEMORY", e.errorName());
      assertEquals(cuda_h.CUDA_ERROR_OUT_OF_MEMORY(), e.error());
      assertTrue(e.isOutOfMemory());
    }
  }
}
