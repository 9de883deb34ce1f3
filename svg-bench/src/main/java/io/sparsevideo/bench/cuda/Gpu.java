package io.sparsevideo.bench.cuda;

import io.sparsevideo.cuda.CudaContext;
import io.sparsevideo.cuda.CudaDevice;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.blas.CublasLt;
import io.sparsevideo.cuda.blas.CublasMatmul;
import io.sparsevideo.kernels.KernelLibrary;
import io.sparsevideo.kernels.SvgKernels;

/**
 * The first CUDA device of the process, with one stream. Opened once and kept until the process
 * ends: a context takes a good part of a second.
 */
final class Gpu {

  private static Gpu opened;

  private final CudaContext context;
  private final CudaStream stream;
  private final SvgKernels kernels;
  private CublasMatmul products;

  private Gpu(CudaContext context) {
    this.context = context;
    // As the engine does: otherwise every wait would give the kernels' working memory back.
    context.memoryPool().setReleaseThreshold(Long.MAX_VALUE);
    stream = context.newStream();
    kernels = SvgKernels.on(KernelLibrary.load(KernelLibrary.Kind.CUDA), stream);
  }

  /**
   * @throws io.sparsevideo.cuda.CudaUnavailableException without a driver or a device
   * @throws io.sparsevideo.kernels.KernelLoadException without the CUDA library
   */
  static synchronized Gpu open() {
    if (opened == null) {
      opened = new Gpu(CudaDriver.load().device(0).retainContext());
    }
    return opened;
  }

  CudaDevice device() {
    return context.device();
  }

  CudaContext context() {
    return context;
  }

  CudaStream stream() {
    return stream;
  }

  SvgKernels kernels() {
    return kernels;
  }

  /**
   * @throws io.sparsevideo.cuda.blas.CublasUnavailableException without cuBLASLt
   */
  synchronized CublasMatmul products() {
    if (products == null) {
      products = CublasMatmul.on(CublasLt.load(), stream);
    }
    return products;
  }
}
