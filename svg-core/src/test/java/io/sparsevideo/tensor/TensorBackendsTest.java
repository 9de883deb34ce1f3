package io.sparsevideo.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.Device;
import io.sparsevideo.cuda.CudaDevice;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.blas.CublasLt;
import io.sparsevideo.cuda.engine.FakeGpus;
import java.io.IOException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class TensorBackendsTest {
  private static final Path NOWHERE = Path.of("no/such/folder");
  private static final Supplier<List<CudaDevice>> NO_DRIVER =
      () -> CudaDriver.load(NOWHERE).devices();
  private static final Runnable LOADED = () -> {};

  private final URLClassLoader noNatives = new URLClassLoader(new URL[0], null);

  @AfterEach
  void close() throws IOException {
    noNatives.close();
  }

  @Test
  void theCpuIsThere() {
    assertEquals(Device.cpu(), TensorBackends.requireAvailable(Device.cpu()));
    Device best = TensorBackends.requireAvailable(null);
    assertTrue(best.isGpu() || best.equals(Device.cpu()), best.toString());
  }

  @Test
  void aGpuThatHasAllItNeedsIsTakenFirst() {
    TensorBackends backends = backends(FakeGpus.devices(), LOADED, LOADED);
    assertEquals(Device.gpu(0), backends.choose(null).device());
    assertEquals("cuda:0 Fake device A", backends.choose(null).text());
    assertEquals("cuda:1 Fake device B", backends.choose(Device.gpu(1)).text());
    assertEquals("cpu", backends.choose(Device.cpu()).text());
  }

  @Test
  void theCpuIsTakenWithTheReasonWhereNoGpuWillDo() {
    assertTaken("cpu (no GPU: ", "there is no such file", backends(NO_DRIVER, LOADED, LOADED));
    assertTaken("cpu (the driver finds no GPU", "", backends(List::of, LOADED, LOADED));
    assertTaken(
        "cpu (cuda:0 Fake device A is not used: no usable cuBLASLt",
        "svg.cublaslt.path",
        backends(FakeGpus.devices(), LOADED, () -> CublasLt.load(NOWHERE)));
  }

  @Test
  void aGpuThatCannotBeOpenedIsPassedOver() {
    TensorBackends backends = backends(FakeGpus.devices(), LOADED, LOADED);
    Function<TensorBackends.Choice, String> full =
        choice -> {
          if (choice.device().isGpu()) {
            throw FakeGpus.outOfMemory();
          }
          return choice.text();
        };
    Function<TensorBackends.Choice, String> firstIsFull =
        choice -> choice.device().equals(Device.gpu(1)) ? choice.text() : full.apply(choice);
    String second = backends.use(null, firstIsFull);
    assertTrue(
        second.startsWith("cuda:1 Fake device B (cuda:0 Fake device A cannot be opened: "), second);
    String cpu = backends.use(null, full);
    assertTrue(cpu.startsWith("cpu (cuda:0") && cpu.contains("; cuda:1 Fake device B"), cpu);
    assertRefused("device cuda:1: ", () -> backends.use(Device.gpu(1), full));
  }

  private static void assertTaken(String start, String part, TensorBackends backends) {
    TensorBackends.Choice choice = backends.choose(null);
    assertEquals(Device.cpu(), choice.device());
    assertTrue(choice.text().startsWith(start) && choice.text().contains(part), choice.text());
  }

  @Test
  void aGpuThatWasAskedForIsNeverReplaced() {
    assertRefused(
        "device cuda:1: no usable CUDA driver",
        () -> backends(NO_DRIVER, LOADED, LOADED).choose(Device.gpu(1)));
    assertRefused(
        "device cuda:2: there is no such GPU; there are: [cuda:0 Fake device A, cuda:1",
        () -> backends(FakeGpus.devices(), LOADED, LOADED).choose(Device.gpu(2)));
    assertRefused(
        "device cuda:0: the driver finds no GPU",
        () -> backends(List::of, LOADED, LOADED).choose(Device.gpu(0)));
    assertRefused(
        "device cuda:0: no usable cuBLASLt",
        () ->
            backends(FakeGpus.devices(), LOADED, () -> CublasLt.load(NOWHERE))
                .choose(Device.gpu(0)));
  }

  @Test
  void aDescriptionIsOneLine() {
    assertEquals("cpu", TensorBackends.describe(Device.cpu()));
    String absent = TensorBackends.describe(Device.gpu(99));
    assertTrue(absent.startsWith("device cuda:99: ") && absent.lines().count() == 1, absent);
  }

  @Test
  void whatIsKnownNeedNotBeThere() {
    assertEquals(Device.gpu(7), TensorBackends.requireKnown(Device.gpu(7)));
    assertEquals(Device.cpu(), TensorBackends.requireKnown(Device.cpu()));
    assertRefused(
        "there are: cpu, cuda and cuda:N",
        () -> TensorBackends.requireKnown(Device.of("abacus", 0)));
    assertRefused(
        "there are: cpu, cuda and cuda:N",
        () -> TensorBackends.requireAvailable(Device.of("abacus", 0)));
  }

  @Test
  void missingNativesAreNamedWithTheRemedy() {
    TensorBackends none = new TensorBackends(NO_DRIVER, LOADED, LOADED, noNatives, Map.of());
    assertRefused("pytorch-native-cpu", () -> none.choose(Device.cpu()));
    assertRefused("no device can be used. no GPU: ", () -> none.choose(null));
    TensorBackends elsewhere =
        new TensorBackends(
            NO_DRIVER, LOADED, LOADED, noNatives, Map.of("PYTORCH_LIBRARY_PATH", "/opt/libtorch"));
    assertEquals("cpu", elsewhere.choose(Device.cpu()).text());
    TensorBackends gpuOnly =
        new TensorBackends(FakeGpus.devices(), LOADED, LOADED, noNatives, Map.of());
    assertEquals(Device.gpu(0), gpuOnly.choose(null).device());
  }

  private static TensorBackends backends(
      Supplier<List<CudaDevice>> gpus, Runnable kernels, Runnable cublas) {
    return new TensorBackends(
        gpus, kernels, cublas, TensorBackends.class.getClassLoader(), Map.of());
  }

  private static void assertRefused(String reason, Runnable call) {
    DeviceUnavailableException e = assertThrows(DeviceUnavailableException.class, call::run);
    assertTrue(e.getMessage().contains(reason), e.getMessage());
  }
}
