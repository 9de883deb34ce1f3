package io.sparsevideo;

import io.sparsevideo.models.wan.WanCheckpoint;
import io.sparsevideo.models.wan.WanPipeline;
import io.sparsevideo.tensor.TensorOps;

/** A pipeline together with the backend and the files that were opened for it. */
record OwningPipeline(WanPipeline pipeline, TensorOps ops, WanCheckpoint checkpoint)
    implements VideoPipeline {
  @Override
  public Video generate(VideoRequest request) {
    return pipeline.generate(request);
  }

  @Override
  public void close() {
    pipeline.refuseListener(); // before anything is closed
    // Weights may still be read from the files until the backend is closed.
    try (checkpoint;
        ops;
        pipeline) {
      // Closed in reverse order.
    }
  }
}
