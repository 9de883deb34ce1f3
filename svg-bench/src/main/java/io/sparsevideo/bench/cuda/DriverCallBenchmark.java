package io.sparsevideo.bench.cuda;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaDevice;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaEvent;
import java.util.concurrent.TimeUnit;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUevent;
import jcuda.driver.JCudaDriver;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * What a call of the CUDA driver costs from Java: this project's FFM binding against JCuda's JNI,
 * for a call that does next to nothing, and for one that this API precedes by a look at the
 * thread's current context.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.NANOSECONDS)
@Warmup(iterations = 2, time = 300, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 5, time = 200, timeUnit = TimeUnit.MILLISECONDS)
@Fork(
    value = 1,
    jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"})
public class DriverCallBenchmark {

  private CudaContext context;
  private CudaDevice device;
  private CudaEvent event;
  private CUdevice otherDevice;
  private CUevent otherEvent;

  @Setup
  public void open() {
    device = CudaDriver.load().device(0);
    context = device.retainContext();
    context.setCurrent();
    event = context.newEvent();
    JCudaDriver.setExceptionsEnabled(true);
    JCudaDriver.cuInit(0);
    otherDevice = new CUdevice();
    JCudaDriver.cuDeviceGet(otherDevice, 0);
    otherEvent = new CUevent();
    JCudaDriver.cuEventCreate(otherEvent, 0);
  }

  @TearDown
  public void close() {
    JCudaDriver.cuEventDestroy(otherEvent);
    event.close();
    context.close();
  }

  @Benchmark
  public int cuDeviceGetAttribute() {
    return device.multiprocessors();
  }

  @Benchmark
  public int cuDeviceGetAttributeByJCuda() {
    int[] value = new int[1];
    JCudaDriver.cuDeviceGetAttribute(
        value, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, otherDevice);
    return value[0];
  }

  @Benchmark
  public boolean cuEventQuery() {
    return event.isDone();
  }

  @Benchmark
  public int cuEventQueryByJCuda() {
    return JCudaDriver.cuEventQuery(otherEvent);
  }
}
