package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionSession;
import io.sparsevideo.attention.AttentionSettings;
import io.sparsevideo.attention.LayerDensity;
import io.sparsevideo.attention.ModelFamily;
import io.sparsevideo.attention.TokenLayout;
import io.sparsevideo.bench.cuda.StageClock.Stage;
import io.sparsevideo.cuda.CudaEvent;
import io.sparsevideo.cuda.engine.CudaNDManager;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.models.ForwardListener;
import io.sparsevideo.models.wan.WanTransformer;
import io.sparsevideo.models.wan.WanTransformerConfig;
import io.sparsevideo.schedulers.Scheduler;
import io.sparsevideo.schedulers.UniPcFlowScheduler;
import io.sparsevideo.tensor.TensorScope;
import io.sparsevideo.tensor.TorchRandom;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Denoising steps of a Wan transformer with random weights, as a pipeline takes them: a conditional
 * and an unconditional pass, guidance, the scheduler's update. Queries and keys of self-attention
 * are drawn, see {@link ClusteredHeads}; the passes have different ones, as in a real run, so that
 * k-means finds centroids that have moved.
 */
final class DenoisingStep implements AutoCloseable {
  /** Steps before those that are timed. */
  private static final int WARM_UP = 2;

  private static final float GUIDANCE = 5;
  private static final int PROMPT_TOKENS = 512;
  private static final int PASSES = 2;

  private final CudaTensorOps ops;
  private final CudaNDManager weights;
  private final StageClock clock;
  private final StagedOps staged;
  private final WanTransformer model;
  private final Shape latentShape;
  private final ClusteredHeads[] drawn = new ClusteredHeads[PASSES];
  private final NDArray[] prompts = new NDArray[PASSES];
  private boolean detailed;

  /**
   * @param ops stays the caller's
   * @param latentShape (c, F, Y, X)
   * @param deviation of the scaled scores between clusters
   */
  DenoisingStep(
      CudaTensorOps ops, WanTransformerConfig config, Shape latentShape, double deviation) {
    this.ops = ops;
    this.latentShape = latentShape;
    weights = ops.manager().newSubManager();
    clock = new StageClock(weights.stream());
    staged = new StagedOps(ops, clock);
    try (RandomWeights random = RandomWeights.small(weights, ops.computeType())) {
      model = new WanTransformer(config, random, staged.proxy());
      int tokens = layout().videoTokens();
      for (int pass = 0; pass < PASSES; pass++) {
        drawn[pass] =
            ClusteredHeads.draw(weights, tokens, config.heads(), config.headDim(), deviation, pass);
        Shape text = new Shape(PROMPT_TOKENS, config.textDim());
        NDArray states = weights.create(TorchRandom.normal(pass, (int) text.size()), text);
        prompts[pass] = model.embedText(states.toType(ops.computeType(), false));
      }
    } catch (RuntimeException e) {
      weights.close();
      throw e;
    }
  }

  TokenLayout layout() {
    return model.tokens(
        (int) latentShape.get(1), (int) latentShape.get(2), (int) latentShape.get(3));
  }

  /**
   * What a mode takes.
   *
   * @param stepMs a whole step, median
   * @param layerMs a block in one pass, median
   * @param stages milliseconds of the stages of all blocks of a step, from one step more
   * @param density of the sparse calls, mean
   */
  record Measured(double stepMs, double layerMs, Map<Stage, Double> stages, double density) {}

  /**
   * Times steps after two that warm up: the first of them starts k-means.
   *
   * @param mode with no layer or step kept dense
   * @param repeats steps that are timed
   */
  Measured measure(AttentionMode mode, int repeats) {
    AttentionSettings settings =
        AttentionSettings.resolve(mode, ModelFamily.WAN, false, layout().videoTokens());
    int layers = model.config().layers();
    int allSteps = WARM_UP + repeats + 1;
    UniPcFlowScheduler.Config config =
        new UniPcFlowScheduler.Config(1000, 5, 2, UniPcFlowScheduler.SolverType.BH2, Set.of());
    try (NDManager scope = ops.manager().newSubManager();
        AttentionSession attention =
            new AttentionSession(staged.proxy(), settings, layout(), layers, allSteps, 0);
        Scheduler scheduler = config.newScheduler(allSteps, scope)) {
      NDArray latents = scope.create(TorchRandom.normal(0, (int) latentShape.size()), latentShape);
      double[] steps = new double[repeats];
      double[] blocks = new double[repeats];
      int step = 0;
      for (; step < WARM_UP; step++) {
        latents = run(latents, step, scheduler, attention);
      }
      clock.read();
      for (int i = 0; i < repeats; i++) {
        latents = run(latents, step++, scheduler, attention);
        Map<Stage, Double> times = clock.read();
        steps[i] = times.get(Stage.STEP);
        blocks[i] = times.get(Stage.BLOCKS) / (PASSES * layers);
      }
      detailed = true;
      run(latents, step, scheduler, attention);
      return new Measured(
          Median.of(steps), Median.of(blocks), clock.read(), density(attention.densities()));
    } finally {
      detailed = false;
      clock.close();
    }
  }

  private NDArray run(NDArray latents, int step, Scheduler scheduler, AttentionSession attention) {
    return clock.time(
        Stage.STEP,
        () -> {
          try (latents;
              TensorScope scope = TensorScope.over(latents)) {
            float timestep = scheduler.timesteps()[step];
            NDArray input =
                scheduler.scaleModelInput(latents, step).toType(ops.computeType(), false);
            NDArray with = forward(input, timestep, step, 0, attention);
            NDArray without = forward(input, timestep, step, 1, attention);
            NDArray base = without.toType(DataType.FLOAT32, false);
            NDArray towards = with.toType(DataType.FLOAT32, false).sub(base);
            NDArray velocity = towards.muli(GUIDANCE).addi(base);
            return scope.keep(scheduler.step(velocity, step, latents));
          }
        });
  }

  private NDArray forward(
      NDArray input, float timestep, int step, int pass, AttentionSession attention) {
    attention.beginPass(step, pass);
    staged.use(drawn[pass]);
    return model.forward(input, timestep, prompts[pass], attention, new Blocks());
  }

  /** Times the blocks of a pass together, and their stages where that is asked for. */
  private final class Blocks implements ForwardListener {
    private CudaEvent start;

    @Override
    public void beforeBlock(int block) {
      if (block == 0) {
        start = clock.mark();
        clock.setDetailed(detailed);
      }
    }

    @Override
    public void tensor(String name, NDArray value) {
      if (name.equals("block" + (model.config().layers() - 1))) {
        clock.setDetailed(false);
        clock.add(Stage.BLOCKS, start);
      }
    }
  }

  private static double density(List<LayerDensity> calls) {
    return calls.stream().mapToDouble(LayerDensity::density).average().orElseThrow();
  }

  @Override
  public void close() {
    weights.close();
  }
}
