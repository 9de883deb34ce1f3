package io.sparsevideo;

import ai.djl.Device;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.DiffusersFolder;
import io.sparsevideo.demo.DemoModel;
import io.sparsevideo.models.wan.WanCheckpoint;
import io.sparsevideo.models.wan.WanPipeline;
import io.sparsevideo.tensor.TensorBackends;
import io.sparsevideo.tensor.TensorOps;
import java.io.UncheckedIOException;
import java.nio.file.Path;
import java.util.Objects;

/**
 * Generates videos with one checkpoint on one device.
 *
 * <pre>{@code
 * try (VideoPipeline pipe = VideoPipeline.builder().build()) {
 *   Video video = pipe.generate(VideoRequest.builder().setPrompt("a red circle").build());
 *   video.save(Path.of("circle.mp4"));
 * }
 * }</pre>
 *
 * <p>Generations in one pipeline are serialised; pipelines are independent of each other.
 */
public interface VideoPipeline extends AutoCloseable {

  static Builder builder() {
    return new Builder();
  }

  /**
   * Generates a video. The same request gives the same frames.
   *
   * @throws InvalidRequestException when the request cannot be met; nothing was computed
   * @throws GenerationCancelledException when the request's cancellation or an interrupt stopped
   *     it; the thread is not interrupted any more then
   * @throws CheckpointException when weights cannot be loaded
   * @throws SparseVideoException when the result is not a number
   * @throws io.sparsevideo.cuda.engine.CudaOutOfMemoryException when a GPU has no room; a smaller
   *     request may follow
   * @throws IllegalStateException when the pipeline is closed, or a listener of it calls
   */
  Video generate(VideoRequest request);

  /**
   * Frees everything, after the generation that runs; closing again does nothing.
   *
   * @throws IllegalStateException when a listener of that generation calls; nothing is closed
   */
  @Override
  void close();

  /** Builds a {@link VideoPipeline}. */
  final class Builder {
    private Path checkpoint;
    private Device device;
    private AttentionMode attention = AttentionMode.svg2();

    private Builder() {}

    /** A folder in diffusers' layout; default: the embedded demo model. */
    public Builder optCheckpoint(Path folder) {
      checkpoint = Objects.requireNonNull(folder, "checkpoint");
      return this;
    }

    /**
     * Default: the best that is available, which is the first GPU that has all it needs, else the
     * CPU. {@link GenerationReport#device} says which, and why.
     */
    public Builder optDevice(Device value) {
      device = Objects.requireNonNull(value, "device");
      return this;
    }

    /** Default: SVG2 with preset "reference". */
    public Builder optAttention(AttentionMode mode) {
      attention = Objects.requireNonNull(mode, "attention");
      return this;
    }

    /**
     * Opens the checkpoint: everything but the weights' values is read and checked. Weights are
     * loaded by the first generation.
     *
     * @throws CheckpointException when the checkpoint cannot be used
     * @throws io.sparsevideo.tensor.DeviceUnavailableException when the device cannot be used
     */
    public VideoPipeline build() {
      TensorBackends.requireAvailable(device);
      WanCheckpoint wan = open(checkpoint);
      try {
        TensorOps ops = TensorBackends.open(device);
        return new OwningPipeline(new WanPipeline(wan, ops, attention), ops, wan);
      } catch (RuntimeException | Error e) { // of natives that do not load, for example
        wan.close();
        throw e;
      }
    }

    /** Opens a folder, or the embedded default for null. */
    static WanCheckpoint open(Path folder) {
      return new WanCheckpoint(DiffusersFolder.open(folder == null ? demoModel() : folder));
    }

    private static Path demoModel() {
      try {
        return DemoModel.folder();
      } catch (UncheckedIOException e) {
        throw new CheckpointException(e.getMessage(), e);
      } catch (NoClassDefFoundError e) {
        throw new CheckpointException(
            "the embedded demo model is not on the class path: give a checkpoint, or add the dependency"
                + " io.sparsevideo:svg-demo-model",
            e);
      }
    }
  }
}
