import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelLibrary;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.kernels.SvgKernels;
import java.lang.foreign.MemorySegment;
import java.util.Random;
import jcuda.Pointer;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;

/**
 * An application that has its context, stream and device memory from JCuda, and lets this project's
 * kernels work on them: nothing is copied, nothing is waited for in between.
 */
public class JCudaInterop {
  private static final int ROWS = 4099;
  private static final int WIDTH = 1536;
  private static final float EPSILON = 1e-6f;

  /** JCuda keeps addresses to itself and to subclasses. */
  private static final class DevicePointer extends CUdeviceptr {
    MemorySegment segment(long bytes) {
      return MemorySegment.ofAddress(getNativePointer() + getByteOffset()).reinterpret(bytes);
    }
  }

  private static final class Stream extends CUstream {
    MemorySegment address() {
      return MemorySegment.ofAddress(getNativePointer());
    }
  }

  public static void main(String[] args) {
    double error = run();
    System.out.printf("RMSNorm of %d x %d values on JCuda's stream: ", ROWS, WIDTH);
    System.out.printf("largest difference %.1e%n", error);
    if (!(error < 1e-5)) {
      System.exit(1);
    }
  }

  /** The largest difference between the kernel's results and the same in double precision. */
  static double run() {
    // What such an application does anyway. The context is the device's primary one, or any other
    // that is current on this thread.
    JCudaDriver.setExceptionsEnabled(true);
    JCudaDriver.cuInit(0);
    CUdevice device = new CUdevice();
    JCudaDriver.cuDeviceGet(device, 0);
    CUcontext context = new CUcontext();
    JCudaDriver.cuDevicePrimaryCtxRetain(context, device);
    JCudaDriver.cuCtxSetCurrent(context);
    Stream stream = new Stream();
    JCudaDriver.cuStreamCreate(stream, CUstream_flags.CU_STREAM_NON_BLOCKING);
    DevicePointer x = new DevicePointer();
    DevicePointer y = new DevicePointer();
    long bytes = 4L * ROWS * WIDTH;
    JCudaDriver.cuMemAlloc(x, bytes);
    JCudaDriver.cuMemAlloc(y, bytes);
    float[] values = new float[ROWS * WIDTH];
    Random random = new Random(1);
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    JCudaDriver.cuMemcpyHtoDAsync(x, Pointer.to(values), bytes, stream);

    // The kernels, on the application's stream and memory.
    KernelLibrary library = KernelLibrary.load(KernelLibrary.Kind.CUDA);
    SvgKernels kernels = SvgKernels.on(library, stream.address());
    kernels.rmsNorm(
        Heads.headMajor(x.segment(bytes), KernelType.F32, 1, ROWS, WIDTH),
        Heads.headMajor(y.segment(bytes), KernelType.F32, 1, ROWS, WIDTH),
        null,
        null,
        EPSILON);

    // And the application goes on.
    float[] normed = new float[values.length];
    JCudaDriver.cuMemcpyDtoHAsync(Pointer.to(normed), y, bytes, stream);
    JCudaDriver.cuStreamSynchronize(stream);
    JCudaDriver.cuMemFree(x);
    JCudaDriver.cuMemFree(y);
    JCudaDriver.cuStreamDestroy(stream);
    JCudaDriver.cuDevicePrimaryCtxRelease(device);
    return largestDifference(values, normed);
  }

  private static double largestDifference(float[] values, float[] normed) {
    double largest = 0;
    for (int row = 0; row < ROWS; row++) {
      double squares = 0;
      for (int i = row * WIDTH; i < (row + 1) * WIDTH; i++) {
        squares += (double) values[i] * values[i];
      }
      double factor = 1 / Math.sqrt(squares / WIDTH + EPSILON);
      for (int i = row * WIDTH; i < (row + 1) * WIDTH; i++) {
        double difference = Math.abs(values[i] * factor - normed[i]);
        largest = difference <= largest ? largest : difference; // also takes NaN
      }
    }
    return largest;
  }
}
