package io.sparsevideo.conformance;

import ai.djl.Device;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.CheckpointFiles;
import io.sparsevideo.checkpoint.DiffusersFolder;
import io.sparsevideo.models.wan.WanCheckpoint;
import io.sparsevideo.models.wan.WanConformance;
import io.sparsevideo.tensor.TensorBackends;
import io.sparsevideo.tensor.TensorOps;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Compares this library, stage by stage, with recorded runs of the public implementations. A folder
 * is recognised by its content: the pipeline's class in {@code checkpoint/model_index.json}, or the
 * names of the recorded tensors.
 */
public final class Conformance {
  private Conformance() {}

  /**
   * Runs every stage that a folder records.
   *
   * @param folder holds {@code trace.json}, {@code trace.safetensors} and, for pipelines, {@code
   *     checkpoint/}
   * @param device where to run; null for the best available
   * @param mode self-attention of pipelines: dense, or sparse to see how far it is from the
   *     recording
   * @param listener told each stage's result as soon as there is one
   * @throws CheckpointException when a file is missing or broken
   */
  public static ConformanceReport run(
      Path folder, Device device, AttentionMode mode, Consumer<StageResult> listener) {
    CheckpointFiles.requireFolder(folder);
    try (TensorOps ops = TensorBackends.open(device)) {
      return run(folder, ops, mode, listener);
    }
  }

  static ConformanceReport run(
      Path folder, TensorOps ops, AttentionMode mode, Consumer<StageResult> listener) {
    List<StageResult> results = new ArrayList<>();
    Consumer<StageResult> all =
        result -> {
          results.add(result);
          listener.accept(result);
        };
    try (Trace trace = new Trace(folder, all)) {
      Path checkpoint = folder.resolve("checkpoint");
      if (Files.isDirectory(checkpoint)) {
        DiffusersFolder files = DiffusersFolder.open(checkpoint);
        if (files.pipelineClass().equals(WanCheckpoint.PIPELINE)) {
          WanConformance.run(trace, files, ops, mode);
        }
      } else if (SchedulerConformance.recognises(trace)) {
        SchedulerConformance.run(trace, ops.manager());
      } else if (SvgConformance.recognises(trace)) {
        SvgConformance.run(trace, ops);
      }
      // What nothing above knows is reported as not supported.
      trace.reportUntouched();
    }
    return new ConformanceReport(results);
  }
}
