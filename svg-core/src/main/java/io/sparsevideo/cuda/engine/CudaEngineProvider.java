package io.sparsevideo.cuda.engine;

import ai.djl.engine.Engine;
import ai.djl.engine.EngineProvider;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.kernels.KernelLibrary;
import io.sparsevideo.kernels.SvgKernels;

/** Tells DJL of the {@link CudaEngine}; nothing of CUDA is loaded before the engine is used. */
public final class CudaEngineProvider implements EngineProvider {

  @Override
  public String getEngineName() {
    return CudaEngine.NAME;
  }

  @Override
  public int getEngineRank() {
    return CudaEngine.RANK;
  }

  @Override
  public Engine getEngine() {
    return Holder.ENGINE;
  }

  private static final class Holder {
    static final CudaEngine ENGINE =
        new CudaEngine(
            CudaDriver::load,
            stream -> SvgKernels.on(KernelLibrary.load(KernelLibrary.Kind.CUDA), stream));
  }
}
