package io.sparsevideo.models.wan;

import static io.sparsevideo.models.wan.WanVaeLayer.replace;
import static io.sparsevideo.models.wan.WanVaeLayer.through;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;
import java.util.ArrayList;
import java.util.List;

/** Turns a latent frame into its frames. */
final class WanVaeDecoder implements WanVaeLayer {
  private final WanVaeCausalConv convIn;
  private final List<WanVaeLayer> middle;
  private final List<WanVaeLayer> up = new ArrayList<>();
  private final WanVaeHead head;

  WanVaeDecoder(WanVaeConfig config, Parameters parameters, TensorOps ops) {
    List<Integer> multipliers = config.channelMultipliers().reversed(); // coarsest first
    List<Boolean> temporalUpsample = config.temporalDownsample().reversed();
    int base = config.decoderBaseChannels();
    int channels = base * multipliers.getFirst();
    convIn =
        WanVaeCausalConv.cube(parameters.sub("conv_in"), ops, config.latentChannels(), channels);
    middle = WanVaeMiddle.layers(parameters.sub("mid_block"), ops, channels);
    for (int level = 0; level < multipliers.size(); level++) {
      Parameters block = parameters.sub("up_blocks." + level);
      int out = base * multipliers.get(level);
      for (int i = 0; i <= config.residualBlocks(); i++) {
        up.add(new WanVaeResidualBlock(block.sub("resnets." + i), ops, channels, out));
        channels = out;
      }
      if (level < multipliers.size() - 1) {
        boolean temporal = temporalUpsample.get(level);
        up.add(new WanVaeUpsample(block.sub("upsamplers.0"), ops, channels, temporal));
        channels /= 2;
      }
    }
    head = new WanVaeHead(parameters, ops, channels, config.outChannels());
  }

  /** (1, Y, X, Z) to (T, H, W, 3): one frame for the video's first latent frame, then four. */
  @Override
  public NDArray forward(NDArray z, WanVaeCache cache) {
    NDArray h = convIn.forward(z, cache); // (1, Y, X, C)
    h = through(middle, h, cache);
    h = through(up, h, cache); // (T, H, W, base)
    return replace(h, head.forward(h, cache));
  }
}
