package io.sparsevideo.schedulers;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import io.sparsevideo.checkpoint.ConfigReader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * UniPC (Zhao et al., "UniPC: A Unified Predictor-Corrector Framework for Fast Sampling of
 * Diffusion Models", 2023) on clean-sample predictions of a flow model, as diffusers' {@code
 * UniPCMultistepScheduler} with {@code use_flow_sigmas}.
 *
 * <p>At noise level σ a sample is x = (1 − σ)·clean + σ·noise; λ = log((1 − σ) / σ). An update goes
 * from λₛ to λₜ = λₛ + h: the clean sample m is extrapolated from its value m₀ at s and from older
 * values; the corrector repeats the last update with the value at t too, once the model has given
 * it. The order is low while there is no history, and at the end.
 */
public final class UniPcFlowScheduler extends SigmaScheduler {
  private final Config config;
  private final NDManager memory;

  /** Clean samples that the model predicted at earlier steps, newest first. */
  private final List<NDArray> history = new ArrayList<>();

  /** The sample before the last update, and that update's order. */
  private NDArray lastSample;

  private int lastOrder;

  private UniPcFlowScheduler(Config config, NDManager parent, float[] timesteps, float[] sigmas) {
    super(timesteps, sigmas);
    this.config = config;
    memory = parent.newSubManager();
  }

  @Override
  NDArray advance(NDArray velocity, int step, NDArray sample) {
    NDArray clean = weightedSum(memory, new Term(1, sample), new Term(-sigma(step), velocity));
    boolean corrects = step > 0 && !config.uncorrectedSteps.contains(step - 1);
    NDArray corrected =
        corrects
            ? update(memory, lastSample, step - 1, lastOrder, clean)
            : weightedSum(memory, new Term(1, sample));
    remember(clean, corrected);
    lastOrder = Math.min(history.size(), steps() - step);
    return update(sample.getManager(), corrected, step, lastOrder, null);
  }

  private void remember(NDArray clean, NDArray corrected) {
    history.addFirst(clean);
    if (history.size() > config.solverOrder) {
      history.removeLast().close();
    }
    if (lastSample != null) {
      lastSample.close();
    }
    lastSample = corrected;
  }

  /**
   * The sample at level {@code from + 1}, given the sample x at level {@code from}:
   *
   * <pre>
   * x σₜ/σₛ − αₜ (e⁻ʰ − 1) m₀ − αₜ B(h) Σ ρᵢ (mᵢ − m₀) / rᵢ,   rᵢ = (λᵢ − λₛ) / h
   * </pre>
   *
   * @param order number of remembered clean samples that it uses
   * @param cleanAtTarget the corrector's clean sample at level {@code from + 1}; the predictor has
   *     none
   */
  private NDArray update(NDManager owner, NDArray x, int from, int order, NDArray cleanAtTarget) {
    double h = lambda(from + 1) - lambda(from);
    List<Node> nodes = new ArrayList<>();
    for (int i = 1; i < order; i++) {
      nodes.add(new Node((lambda(from - i) - lambda(from)) / h, history.get(i)));
    }
    if (cleanAtTarget != null) {
      nodes.add(new Node(1, cleanAtTarget));
    }
    double alpha = 1 - sigma(from + 1);
    double[] rho = shares(nodes, h);
    double weightOfNewest = -alpha * Math.expm1(-h);
    List<Term> terms = new ArrayList<>();
    terms.add(new Term(sigma(from + 1) / sigma(from), x));
    for (int i = 0; i < nodes.size(); i++) {
      Node node = nodes.get(i);
      double weight = -alpha * config.solverType.b(h) * rho[i] / node.distance;
      terms.add(new Term(weight, node.clean));
      weightOfNewest -= weight;
    }
    terms.add(new Term(weightOfNewest, history.getFirst()));
    return weightedSum(owner, terms.toArray(Term[]::new));
  }

  /** A clean sample, and how far in λ it lies from the level that the update starts at, over h. */
  private record Node(double distance, NDArray clean) {}

  /**
   * The shares ρ that make the update exact for polynomials in λ: for k from 0,
   *
   * <pre>
   * Σ ρᵢ rᵢᵏ = (k + 1)! · (−h) φₖ₊₂(−h) / B(h),   φ₁(z) = (eᶻ − 1) / z,   φₖ₊₁(z) = (φₖ(z) − 1/k!) / z
   * </pre>
   *
   * A single node takes one half, as the method's authors do.
   */
  private double[] shares(List<Node> nodes, double h) {
    int n = nodes.size();
    if (n == 1) {
      return new double[] {0.5};
    }
    double[][] matrix = new double[n][n];
    double[] moments = new double[n];
    double phi = Math.expm1(-h) / -h - 1; // (−h) φ₂(−h), then the next φ each round
    double factorial = 1;
    for (int k = 0; k < n; k++) {
      for (int i = 0; i < n; i++) {
        matrix[k][i] = Math.pow(nodes.get(i).distance, k);
      }
      moments[k] = phi * factorial / config.solverType.b(h);
      factorial *= k + 2;
      phi = phi / -h - 1 / factorial;
    }
    return solve(matrix, moments);
  }

  /** Solves a small linear system in place, by elimination with row pivoting. */
  private static double[] solve(double[][] a, double[] b) {
    int n = b.length;
    for (int col = 0; col < n; col++) {
      int pivot = col;
      for (int row = col + 1; row < n; row++) {
        if (Math.abs(a[row][col]) > Math.abs(a[pivot][col])) {
          pivot = row;
        }
      }
      double[] swappedRow = a[col];
      a[col] = a[pivot];
      a[pivot] = swappedRow;
      double swapped = b[col];
      b[col] = b[pivot];
      b[pivot] = swapped;
      for (int row = 0; row < n; row++) {
        if (row != col) {
          double factor = a[row][col] / a[col][col];
          for (int k = col; k < n; k++) {
            a[row][k] -= factor * a[col][k];
          }
          b[row] -= factor * b[col];
        }
      }
    }
    for (int row = 0; row < n; row++) {
      b[row] /= a[row][row];
    }
    return b;
  }

  private double lambda(int level) {
    return Math.log((1 - sigma(level)) / sigma(level));
  }

  /** Owns what is kept between steps: the history and the last sample. */
  NDManager memory() {
    return memory;
  }

  @Override
  public void close() {
    memory.close();
  }

  /** The two choices of B(h) in the paper. */
  public enum SolverType {
    BH1 {
      @Override
      double b(double h) {
        return -h;
      }
    },
    BH2 {
      @Override
      double b(double h) {
        return Math.expm1(-h);
      }
    };

    abstract double b(double h);
  }

  /**
   * Settings of a {@link UniPcFlowScheduler}.
   *
   * @param trainTimesteps timestep of noise level 1
   * @param shift shift s of the noise levels: σ becomes s·σ / (1 + (s − 1)·σ)
   * @param solverOrder order of the predictor, 1 to 3
   * @param solverType B(h)
   * @param uncorrectedSteps steps whose result is not corrected
   */
  public record Config(
      int trainTimesteps,
      double shift,
      int solverOrder,
      SolverType solverType,
      Set<Integer> uncorrectedSteps)
      implements SchedulerConfig {

    /** Where the first level is 1, it is lowered by this much, to keep λ finite. */
    private static final double MARGIN = 1e-6;

    public Config {
      requirePositive("num_train_timesteps", trainTimesteps);
      requirePositive("flow_shift", shift);
      if (solverOrder < 1 || solverOrder > 3) {
        throw new IllegalArgumentException(
            "solver_order is " + solverOrder + "; supported: 1 to 3");
      }
      uncorrectedSteps = Set.copyOf(uncorrectedSteps);
    }

    /**
     * The last step leads to noise level 0, where λ is infinite: only order 1 is defined there, so
     * {@code lower_order_final} must be on.
     */
    static Config of(ConfigReader config) {
      config.oneOf("prediction_type", "flow_prediction");
      oneOf(config, "final_sigmas_type", "zero");
      requireFlag(config, "use_flow_sigmas", true, false);
      requireFlag(config, "predict_x0", true, true);
      requireFlag(config, "lower_order_final", true, true);
      requireFlag(config, "thresholding", false, false);
      requireFlag(config, "use_karras_sigmas", false, false);
      requireFlag(config, "use_exponential_sigmas", false, false);
      requireFlag(config, "use_beta_sigmas", false, false);
      requireFlag(config, "use_dynamic_shifting", false, false);
      requireNull(config, "shift_terminal");
      requireNull(config, "solver_p");
      return new Config(
          config.positiveInt("num_train_timesteps", 1000),
          config.doubleValue("flow_shift", 1),
          config.intValue("solver_order", 2),
          SolverType.valueOf(oneOf(config, "solver_type", "bh2", "bh1").toUpperCase(Locale.ROOT)),
          config.isNull("disable_corrector")
              ? Set.of()
              : Arrays.stream(config.ints("disable_corrector"))
                  .boxed()
                  .collect(Collectors.toSet()));
    }

    @Override
    public OptionalDouble flowShift() {
      return OptionalDouble.of(shift);
    }

    @Override
    public Config withFlowShift(double flowShift) {
      return new Config(trainTimesteps, flowShift, solverOrder, solverType, uncorrectedSteps);
    }

    @Override
    public Scheduler newScheduler(int steps, NDManager manager) {
      float[] timesteps = new float[requireSteps(steps)];
      float[] sigmas = new float[steps + 1];
      // Timesteps are truncated, so the order of these operations is the public one.
      double stride = (1.0 / trainTimesteps - 1) / steps;
      for (int i = 0; i < steps; i++) {
        double sigma = i * stride + 1;
        sigma = shift * sigma / (1 + (shift - 1) * sigma);
        if (i == 0) {
          sigma -= MARGIN;
        }
        timesteps[i] = (long) (sigma * trainTimesteps);
        sigmas[i] = (float) sigma;
      }
      return new UniPcFlowScheduler(this, manager, timesteps, sigmas);
    }
  }
}
