package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.index.NDIndex;
import io.sparsevideo.bench.cuda.StageClock.Stage;
import io.sparsevideo.cuda.engine.CudaNDArray;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.kernels.SvgKernels;
import io.sparsevideo.tensor.TensorOps;
import java.lang.reflect.Method;
import java.util.Map;
import java.util.function.Supplier;

/**
 * The CUDA backend with a clock around its operations, and with drawn queries and keys in the place
 * of those that random weights give: their attention would be spread over all keys evenly, which is
 * no load for a sparse mode.
 */
final class StagedOps {

  private static final Map<String, Stage> OPERATIONS =
      Map.of(
          "linear", Stage.GEMM,
          "feedForward", Stage.GEMM,
          "attention", Stage.ATTENTION,
          "rmsNorm", Stage.NORMS,
          "layerNorm", Stage.NORMS,
          "modulatedNorm", Stage.NORMS,
          "normRotary", Stage.NORMS);

  private static final Map<String, Stage> FUNCTIONS =
      Map.of(
          "svg_attention_dense", Stage.ATTENTION,
          "svg_attention_band", Stage.ATTENTION,
          "svg_attention_blocks", Stage.ATTENTION,
          "svg_kmeans", Stage.KMEANS,
          "svg_block_map", Stage.MAP,
          "svg_block_density", Stage.MAP,
          "svg_profile_heads", Stage.PROFILING,
          "svg_sort_labels", Stage.PERMUTATION,
          "svg_permute_rows", Stage.PERMUTATION,
          "svg_video_layout", Stage.PERMUTATION);

  private final CudaTensorOps ops;
  private final StageClock clock;
  private final SvgKernels kernels;
  private ClusteredHeads drawn;

  StagedOps(CudaTensorOps ops, StageClock clock) {
    this.ops = ops;
    this.clock = clock;
    kernels = ops.kernels().observedBy((function, call) -> time(FUNCTIONS.get(function), call));
  }

  private void time(Stage stage, Runnable call) {
    if (stage == null) {
      call.run();
    } else {
      clock.time(
          stage,
          () -> {
            call.run();
            return null;
          });
    }
  }

  TensorOps proxy() {
    return Interception.of(ops, this::invoke);
  }

  /** The queries and keys of the next calls. */
  void use(ClusteredHeads drawn) {
    this.drawn = drawn;
  }

  private Object invoke(Method method, Object[] arguments, Supplier<Object> call) {
    if (method.getName().equals("kernels")) {
      return kernels;
    }
    Stage stage = OPERATIONS.get(method.getName());
    Object result = stage == null ? call.get() : clock.time(stage, call);
    return method.getName().equals("normRotary")
        ? replaced((NDArray) result, ((NDArray) arguments[1]).getName())
        : result;
  }

  /** The drawn tensor, which stays open, in the place of a computed one. */
  private NDArray replaced(NDArray computed, String weight) {
    try (computed) {
      CudaNDArray instead = weight.endsWith("norm_q.weight") ? drawn.queries() : drawn.keys();
      return instead.get(computed.getManager(), new NDIndex().addAllDim());
    }
  }
}
