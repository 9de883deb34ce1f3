package io.sparsevideo.models.wan;

import static io.sparsevideo.kernels.PatchOrder.CHANNEL_FRAME_ROW_COLUMN;
import static io.sparsevideo.kernels.PatchOrder.FRAME_ROW_COLUMN_CHANNEL;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.attention.AttentionSession;
import io.sparsevideo.attention.TokenLayout;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.PatchGrid;
import io.sparsevideo.kernels.PatchOrder;
import io.sparsevideo.models.ForwardListener;
import io.sparsevideo.tensor.HeadViews;
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
  private WanRotary rotary;

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
    return ops.feedForward(text, text1Weight, text1Bias, text2Weight, text2Bias);
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
    PatchGrid in = grid(latent.getShape(), config.inChannels(), CHANNEL_FRAME_ROW_COLUMN);
    WanRotary positions = rotary(in);
    try (TensorScope scope = TensorScope.over(latent, text)) {
      // 1. Patches
      NDArray x = ops.linear(patchify(latent, in), patchWeight, patchBias); // (S, C)
      listener.tensor("patch_embedding", x);

      // 2. Time
      NDArray time = embedTime(sinusoid(scope, timestep)); // (1, C)
      listener.tensor("condition_embedder", time);
      NDArray modulation =
          ops.linear(ops.silu(time), timeProjWeight, timeProjBias)
              .toType(DataType.FLOAT32, false)
              .reshape(6, config.dim());

      // 3. Blocks
      for (int i = 0; i < blocks.size(); i++) {
        listener.beforeBlock(i);
        try (NDArray before = x) {
          x = blocks.get(i).forward(before, text, modulation, positions, attention, listener);
        }
        listener.tensor("block" + i, x);
      }

      // 4. Norm, projection, and back to a latent
      NDArray m =
          time.toType(DataType.FLOAT32, false)
              .add(outModulation)
              .squeeze(0); // (2, C): shift, scale
      NDArray h = ops.modulatedNorm(x, m.get("1"), m.get("0"), config.eps());
      return scope.keep(unpatchify(ops.linear(h, outWeight, outBias), latent.getShape()));
    }
  }

  private PatchGrid grid(Shape latent, int channels, PatchOrder order) {
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
    return new PatchGrid(
        channels,
        (int) latent.get(1),
        (int) latent.get(2),
        (int) latent.get(3),
        config.patchFrames(),
        config.patchHeight(),
        config.patchWidth(),
        order);
  }

  /** (c, F, Y, X) to (S, c · pf · ph · pw). */
  private NDArray patchify(NDArray latent, PatchGrid grid) {
    Shape shape = new Shape(grid.tokens(), grid.elements());
    NDArray tokens = latent.getManager().create(shape, latent.getDataType());
    ops.kernels().patchify(ops.memory(latent), HeadViews.rows(ops, tokens), grid);
    return tokens;
  }

  /** (S, pf · ph · pw · c) to (c, F, Y, X). */
  private NDArray unpatchify(NDArray tokens, Shape input) {
    PatchGrid grid = grid(input, config.outChannels(), FRAME_ROW_COLUMN_CHANNEL);
    Shape shape = new Shape(grid.channels(), grid.frames(), grid.height(), grid.width());
    NDArray latent = tokens.getManager().create(shape, tokens.getDataType());
    ops.kernels().unpatchify(HeadViews.rows(ops, tokens), ops.memory(latent), grid);
    return latent;
  }

  /** The tables of the last latent's size: a generation has one size, and they are large. */
  private WanRotary rotary(PatchGrid grid) {
    if (rotary == null || !rotary.fits(grid, roundedRotary)) {
      if (rotary != null) {
        rotary.close();
        rotary = null;
      }
      rotary = WanRotary.of(patchBias.getManager(), config.headDim(), grid, roundedRotary);
    }
    return rotary;
  }

  /** (1, freq) FLOAT32 to (1, C); as in the public implementation, only the last step rounds. */
  private NDArray embedTime(NDArray sinusoid) {
    NDArray h = ops.silu(ops.linear(sinusoid, time1Weight, time1Bias));
    return ops.linear(h, time2Weight, time2Bias).toType(ops.computeType(), false);
  }

  /**
   * (1, freq) FLOAT32: cosines, then sines, of the timestep at geometrically falling frequencies.
   */
  private NDArray sinusoid(TensorScope scope, float timestep) {
    NDArray embedding = scope.manager().create(new Shape(1, config.freqDim()), DataType.FLOAT32);
    try (NDArray timesteps = scope.manager().create(new float[] {timestep})) {
      Heads out = HeadViews.rows(ops, embedding);
      ops.kernels().timestepEmbedding(ops.memory(timesteps), out, true, 0, 1, 10_000);
    }
    return embedding;
  }
}
