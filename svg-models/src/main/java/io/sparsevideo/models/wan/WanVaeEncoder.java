package io.sparsevideo.models.wan;

import static io.sparsevideo.models.wan.WanVaeLayer.replace;
import static io.sparsevideo.models.wan.WanVaeLayer.through;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;
import java.util.ArrayList;
import java.util.List;

/** Turns a chunk of frames into the moments of its latent frames. */
final class WanVaeEncoder implements WanVaeLayer {
  private final WanVaeCausalConv convIn;
  private final List<WanVaeLayer> down = new ArrayList<>();
  private final List<WanVaeLayer> middle;
  private final WanVaeHead head;

  WanVaeEncoder(WanVaeConfig config, Parameters parameters, TensorOps ops) {
    List<Integer> multipliers = config.channelMultipliers();
    int channels = config.baseChannels();
    convIn = WanVaeCausalConv.cube(parameters.sub("conv_in"), ops, config.inChannels(), channels);
    for (int level = 0; level < multipliers.size(); level++) {
      int out = config.baseChannels() * multipliers.get(level);
      for (int block = 0; block < config.residualBlocks(); block++) {
        down.add(new WanVaeResidualBlock(nextDown(parameters), ops, channels, out));
        channels = out;
      }
      if (level < multipliers.size() - 1) {
        boolean temporal = config.temporalDownsample().get(level);
        down.add(new WanVaeDownsample(nextDown(parameters), ops, channels, temporal));
      }
    }
    middle = WanVaeMiddle.layers(parameters.sub("mid_block"), ops, channels);
    head = new WanVaeHead(parameters, ops, channels, 2 * config.latentChannels());
  }

  /** Checkpoints number residual blocks and downsamplers in one sequence. */
  private Parameters nextDown(Parameters parameters) {
    return parameters.sub("down_blocks." + down.size());
  }

  /** (T, H, W, 3) to mean and log variance (T', Y, X, 2Z). */
  @Override
  public NDArray forward(NDArray x, WanVaeCache cache) {
    NDArray h = convIn.forward(x, cache); // (T, H, W, base)
    h = through(down, h, cache); // (T', Y, X, C)
    h = through(middle, h, cache);
    return replace(h, head.forward(h, cache));
  }
}
