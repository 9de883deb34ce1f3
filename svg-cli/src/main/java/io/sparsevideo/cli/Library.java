package io.sparsevideo.cli;

import ai.djl.Device;
import io.sparsevideo.ModelInfo;
import io.sparsevideo.VideoPipeline;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.conformance.Conformance;
import io.sparsevideo.conformance.ConformanceReport;
import io.sparsevideo.conformance.StageResult;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.kernels.KernelLibrary;
import java.nio.file.Path;
import java.util.Optional;
import java.util.function.Consumer;

/** Everything that the command asks of the library; tests put their own in its place. */
interface Library {

  /**
   * @param model the checkpoint; empty for the embedded default
   * @param device where to run; empty for the best available
   */
  VideoPipeline open(Optional<Path> model, Optional<Device> device, AttentionMode attention);

  ConformanceReport conform(
      Path folder,
      Optional<Device> device,
      AttentionMode attention,
      Consumer<StageResult> listener);

  /**
   * @param model the checkpoint; empty for the embedded default
   * @param device where it would run; empty for the best available
   * @param request the sizes it would run at
   */
  ModelInfo describe(Optional<Path> model, Optional<Device> device, VideoRequest request);

  /** Where a kernel library came from and how it was built; throws when it does not load. */
  String kernels(KernelLibrary.Kind kind);

  /** The CUDA driver; throws when there is none. */
  CudaDriver driver();

  /** The library itself. */
  Library REAL =
      new Library() {
        @Override
        public VideoPipeline open(
            Optional<Path> model, Optional<Device> device, AttentionMode attention) {
          VideoPipeline.Builder builder = VideoPipeline.builder().optAttention(attention);
          model.ifPresent(builder::optCheckpoint);
          device.ifPresent(builder::optDevice);
          return builder.build();
        }

        @Override
        public ConformanceReport conform(
            Path folder,
            Optional<Device> device,
            AttentionMode attention,
            Consumer<StageResult> listener) {
          return Conformance.run(folder, device.orElse(null), attention, listener);
        }

        @Override
        public ModelInfo describe(
            Optional<Path> model, Optional<Device> device, VideoRequest request) {
          return ModelInfo.read(model.orElse(null), device.orElse(null), request);
        }

        @Override
        public String kernels(KernelLibrary.Kind kind) {
          KernelLibrary library = KernelLibrary.load(kind);
          return library.buildInfo() + ", from " + library.origin();
        }

        @Override
        public CudaDriver driver() {
          return CudaDriver.load();
        }
      };
}
