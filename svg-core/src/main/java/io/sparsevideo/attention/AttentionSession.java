package io.sparsevideo.attention;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.tensor.TensorOps;
import java.util.ArrayList;
import java.util.List;
import java.util.function.DoubleSupplier;

/**
 * The self-attention of one generation: decides call by call between dense and sparse, keeps what
 * the sparse mode carries from call to call, and records densities. Models only see {@link
 * #attend}; a new mode touches no model.
 */
public final class AttentionSession implements AutoCloseable {
  private final AttentionSettings settings;
  private final TokenLayout layout;
  private final int layers;
  private final int steps;
  private final long seed;
  private final Attention dense;
  private final Attention chosen;
  private final List<Call> calls = new ArrayList<>();
  private int step;
  private int pass;

  /** A call so far; its density may still be on its way. */
  private record Call(
      int step, int pass, int layer, AttentionMode.Kind kind, DoubleSupplier density) {}

  /**
   * @param layers self-attention layers of the model
   * @param steps denoising steps of the generation
   * @param seed keys every random draw
   */
  public AttentionSession(
      TensorOps ops,
      AttentionSettings settings,
      TokenLayout layout,
      int layers,
      int steps,
      long seed) {
    this.settings = settings;
    this.layout = layout;
    this.layers = layers;
    this.steps = steps;
    this.seed = seed;
    dense = new DenseAttention(ops, layout);
    chosen =
        switch (settings.kind()) {
          case DENSE -> dense;
          case SVG1 -> new Svg1Attention(ops, settings, layout);
          case SVG2 -> new Svg2Attention(ops, settings, layout);
        };
  }

  /**
   * Says where the following calls belong.
   *
   * @param step denoising step, from 0
   * @param pass 0 conditional, 1 unconditional
   */
  public void beginPass(int step, int pass) {
    this.step = step;
    this.pass = pass;
  }

  /**
   * Self-attention with scale 1/√D.
   *
   * @param q (S, H, D) after norm and rotary embedding, contiguous
   * @param k (S, H, D), likewise
   * @param v (S, H, D)
   * @param layer transformer layer, from 0
   * @return (S, H, D), owned by q's manager
   */
  public NDArray attend(NDArray q, NDArray k, NDArray v, int layer) {
    if (q.getShape().get(0) != layout.tokens()) {
      throw new IllegalArgumentException(
          "self-attention over "
              + q.getShape().get(0)
              + " tokens, the session was made for "
              + layout);
    }
    Attention.CallSite site = new Attention.CallSite(seed, step, pass, layer);
    Attention attention = settings.isDense(step, steps, layer, layers) ? dense : chosen;
    if (attention == dense && !settings.isDenseLayer(layer, layers)) {
      chosen.observe(q, k, site);
    }
    NDArray out = q.getManager().create(q.getShape(), q.getDataType());
    DoubleSupplier density = attention.attend(q, k, v, out, site);
    calls.add(new Call(step, pass, layer, attention.kind(), density));
    return out;
  }

  /**
   * What each call so far computed, in order; waits for what the device still computes. To be asked
   * before {@link #close}.
   */
  public List<LayerDensity> densities() {
    return calls.stream()
        .map(c -> new LayerDensity(c.step, c.pass, c.layer, c.kind, c.density.getAsDouble()))
        .toList();
  }

  @Override
  public void close() {
    chosen.close();
  }
}
