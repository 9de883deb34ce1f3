package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.attention.AttentionSession;
import io.sparsevideo.attention.TokenLayout;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.models.ForwardListener;
import io.sparsevideo.tensor.TensorOps;
import io.sparsevideo.tensor.TensorScope;
import java.util.ArrayList;
import java.util.List;

/**
 * The diffusion transformer of Wan 2.1 text-to-video. Weights carry the names of diffusers' {@code
 * WanTransformer3DModel}.
 *
 * <p>Sizes: C = H · D channels of the token stream; a latent is (c, F, Y, X); S = F/pf · Y/ph ·
 * X/pw tokens, frame by frame.
 *
 * <p>Source: "Wan: Open and Advanced Large-Scale Video Generative Models", section 4.2; diffusers'
 * transformer_wan.py.
 */
public final class WanTransformer {
  private final TensorOps ops;
  private final WanTransformerConfig config;

  private final NDArray patchWeight; // (C, c · pf · ph · pw)
  private final NDArray patchBias; // (C)
  private final NDArray time1Weight; // (C, freq)
  private final NDArray time1Bias; // (C)
  private final NDArray time2Weight; // (C, C)
  private final NDArray time2Bias; // (C)
  private final NDArray timeProjWeight; // (6C, C)
  private final NDArray timeProjBias; // (6C)
  private final NDArray text1Weight; // (C, text)
  private final NDArray text1Bias; // (C)
  private final NDArray text2Weight; // (C, C)
  private final NDArray text2Bias; // (C)
  private final List<WanBlock> blocks = new ArrayList<>();
  private final NDArray outModulation; // (1, 2, C)
  private final NDArray outWeight; // (c · pf · ph · pw, C)
  private final NDArray outBias; // (c · pf · ph · pw)
  private boolean roundedRotary;

  /**
   * @param parameters the component's weights; a listing source makes a model that only lists them
   */
  public WanTransformer(WanTransformerConfig config, Parameters parameters, TensorOps ops) {
    this.ops = ops;
    this.config = config;
    int dim = config.dim();
    // The kernel of the public 3-D convolution is as large as its stride: a linear layer on
    // patches.
    NDArray kernel =
        parameters.get(
            "patch_embedding.weight",
            dim,
            config.inChannels(),
            config.patchFrames(),
            config.patchHeight(),
            config.patchWidth());
    patchWeight =
        kernel == null ? null : kernel.reshape(dim, config.patchSize(config.inChannels()));
    patchBias = parameters.get("patch_embedding.bias", dim);

    Parameters p = parameters.sub("condition_embedder");
    time1Weight = p.getFloat32("time_embedder.linear_1.weight", dim, config.freqDim());
    time1Bias = p.getFloat32("time_embedder.linear_1.bias", dim);
    time2Weight = p.getFloat32("time_embedder.linear_2.weight", dim, dim);
    time2Bias = p.getFloat32("time_embedder.linear_2.bias", dim);
    timeProjWeight = p.get("time_proj.weight", 6 * dim, dim);
    timeProjBias = p.get("time_proj.bias", 6 * dim);
    text1Weight = p.get("text_embedder.linear_1.weight", dim, config.textDim());
    text1Bias = p.get("text_embedder.linear_1.bias", dim);
    text2Weight = p.get("text_embedder.linear_2.weight", dim, dim);
    text2Bias = p.get("text_embedder.linear_2.bias", dim);

    for (int i = 0; i < config.layers(); i++) {
      blocks.add(new WanBlock(config, parameters.sub("blocks." + i), ops, i));
    }
    outModulation = parameters.getFloat32("scale_shift_table", 1, 2, dim);
    outWeight = parameters.get("proj_out.weight", config.patchSize(config.outChannels()), dim);
    outBias = parameters.get("proj_out.bias", config.patchSize(config.outChannels()));
  }

  public WanTransformerConfig config() {
    return config;
  }

  /**
   * Rounds the rotary tables to BFLOAT16, as the public model does after a cast of the whole
   * module. Loaded the usual way it keeps them in float, and so does this; a recording may have
   * been made either way.
   */
  void roundRotary(boolean rounded) {
    roundedRotary = rounded;
  }

  /** The tokens of a latent of F frames, Y rows and X columns. */
  public TokenLayout tokens(int frames, int rows, int columns) {
    return TokenLayout.video(
        frames / config.patchFrames(),
        rows / config.patchHeight() * (columns / config.patchWidth()));
  }

  /**
   * Projects a text encoder's output into the token stream, once for all steps.
   *
   * @param text (L, textDim)
   * @return (L, C)
   */
  public NDArray embedText(NDArray text) {
    try (TensorScope scope = TensorScope.over(text)) {
      NDArray h = ops.geluTanh(ops.linear(text, text1Weight, text1Bias));
      return scope.keep(ops.linear(h, text2Weight, text2Bias));
    }
  }

  /**
   * Predicts the flow velocity of a latent.
   *
   * @param latent (c, F, Y, X)
   * @param timestep in [0, 1000]
   * @param text (L, C), what {@link #embedText} gave
   * @param attention the generation's self-attention
   * @return (c, F, Y, X), owned by the latent's manager
   */
  public NDArray forward(
      NDArray latent,
      float timestep,
      NDArray text,
      AttentionSession attention,
      ForwardListener listener) {
    try (TensorScope scope = TensorScope.over(latent, text)) {
      Shape grid = grid(latent.getShape()); // patches: (F', Y', X')

      // 1. Patches and their positions
      NDArray x = ops.linear(patchify(latent, grid), patchWeight, patchBias); // (S, C)
      listener.tensor("patch_embedding", x);
      WanRotary rotary = rotary(scope, grid);

      // 2. Time
      NDArray time = embedTime(sinusoid(scope, timestep)); // (1, C)
      listener.tensor("condition_embedder", time);
      NDArray modulation =
          ops.linear(ops.silu(time), timeProjWeight, timeProjBias).reshape(6, config.dim());

      // 3. Blocks
      for (int i = 0; i < blocks.size(); i++) {
        listener.beforeBlock(i);
        try (NDArray in = x) {
          x = blocks.get(i).forward(in, text, modulation, rotary, attention, listener);
        }
        listener.tensor("block" + i, x);
      }

      // 4. Norm, projection, and back to a latent
      NDArray m = time.add(outModulation).squeeze(0); // (2, C): shift, scale
      NDArray h = ops.modulate(ops.layerNorm(x, null, null, config.eps()), m.get("1"), m.get("0"));
      return scope.keep(unpatchify(ops.linear(h, outWeight, outBias), grid));
    }
  }

  private Shape grid(Shape latent) {
    long frames = latent.get(1) / config.patchFrames();
    long rows = latent.get(2) / config.patchHeight();
    long columns = latent.get(3) / config.patchWidth();
    if (latent.get(0) != config.inChannels()
        || frames * config.patchFrames() != latent.get(1)
        || rows * config.patchHeight() != latent.get(2)
        || columns * config.patchWidth() != latent.get(3)) {
      throw new IllegalArgumentException(
          "a latent " + latent + " does not divide into the patches of " + config);
    }
    if (Math.max(frames, Math.max(rows, columns)) > config.maxPositions()) {
      throw new IllegalArgumentException(
          "a latent "
              + latent
              + " has more than "
              + config.maxPositions()
              + " patches along an axis");
    }
    return new Shape(frames, rows, columns);
  }

  /** (c, F, Y, X) to (S, c · pf · ph · pw). */
  private NDArray patchify(NDArray latent, Shape grid) {
    return latent
        .reshape(
            config.inChannels(),
            grid.get(0),
            config.patchFrames(),
            grid.get(1),
            config.patchHeight(),
            grid.get(2),
            config.patchWidth())
        .transpose(1, 3, 5, 0, 2, 4, 6)
        .reshape(grid.size(), config.patchSize(config.inChannels()));
  }

  /** (S, pf · ph · pw · c) to (c, F, Y, X). */
  private NDArray unpatchify(NDArray x, Shape grid) {
    return x.reshape(
            grid.get(0),
            grid.get(1),
            grid.get(2),
            config.patchFrames(),
            config.patchHeight(),
            config.patchWidth(),
            config.outChannels())
        .transpose(6, 0, 3, 1, 4, 2, 5)
        .reshape(
            config.outChannels(),
            grid.get(0) * config.patchFrames(),
            grid.get(1) * config.patchHeight(),
            grid.get(2) * config.patchWidth());
  }

  private WanRotary rotary(TensorScope scope, Shape grid) {
    return WanRotary.of(
        scope.manager(),
        config.headDim(),
        (int) grid.get(0),
        (int) grid.get(1),
        (int) grid.get(2),
        roundedRotary);
  }

  private NDArray embedTime(NDArray sinusoid) {
    NDArray h = ops.silu(ops.linear(sinusoid, time1Weight, time1Bias));
    return ops.linear(h, time2Weight, time2Bias);
  }

  /** (1, freq): cosines, then sines, of the timestep at geometrically falling frequencies. */
  private NDArray sinusoid(TensorScope scope, float timestep) {
    int half = config.freqDim() / 2;
    // The public implementation's order of float operations: at timestep 999 the last bit of a
    // frequency turns an
    // angle by 6e-5.
    NDArray exponents =
        scope.manager().arange(0f, half, 1f).muli((float) -Math.log(10_000)).divi(half);
    NDArray angles = exponents.exp().muli(timestep);
    return angles.cos().concat(angles.sin()).expandDims(0);
  }
}
