package io.sparsevideo.models.wan;

import ai.djl.ndarray.types.Shape;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionSettings;
import io.sparsevideo.attention.ModelFamily;
import io.sparsevideo.models.GenerationDefaults;
import io.sparsevideo.models.GenerationSettings;
import io.sparsevideo.tensor.TensorOps;

/** What a Wan text-to-video checkpoint can be asked for, and what it takes. */
final class WanRequests {
  private WanRequests() {}

  /**
   * Fills in and checks a request; touches no weight.
   *
   * @throws InvalidRequestException naming what cannot be met
   */
  static GenerationSettings settings(
      WanCheckpoint checkpoint, AttentionMode mode, VideoRequest request) {
    if (request.image().isPresent()) {
      throw new InvalidRequestException(
          "this checkpoint is text-to-video and takes no image; an image-to-video checkpoint does");
    }
    GenerationDefaults own =
        new GenerationDefaults(
            480, 832, 81, 16.0, 50, 5.0, checkpoint.scheduler().flowShift().orElseThrow(), 512, "");
    GenerationSettings settings =
        GenerationSettings.resolve(
            request, checkpoint.defaults(), mode, ModelFamily.WAN, false, own);
    WanTransformerConfig patches = checkpoint.transformerConfig();
    WanVaeConfig scale = checkpoint.vaeConfig();
    requireMultiple("height", settings.height(), scale.spatialFactor() * patches.patchHeight());
    requireMultiple("width", settings.width(), scale.spatialFactor() * patches.patchWidth());
    int perLatent = scale.temporalFactor();
    if (settings.frames() % perLatent != 1 % perLatent) {
      int below = (settings.frames() - 1) / perLatent * perLatent + 1;
      throw new InvalidRequestException(
          "frames must be "
              + perLatent
              + "k + 1, is "
              + settings.frames()
              + "; nearest are "
              + below
              + " and "
              + (below + perLatent));
    }
    long latentFrames = latentShape(checkpoint, settings).get(1);
    if (latentFrames % patches.patchFrames() != 0) {
      throw new InvalidRequestException(
          "%d frames are %d latent frames, which do not divide into this checkpoint's patches of %d"
              .formatted(settings.frames(), latentFrames, patches.patchFrames()));
    }
    int longest =
        Math.max(
            settings.height() / patches.patchHeight(), settings.width() / patches.patchWidth());
    if (longest / scale.spatialFactor() > patches.maxPositions()
        || latentShape(checkpoint, settings).get(1) / patches.patchFrames()
            > patches.maxPositions()) {
      throw new InvalidRequestException(
          settings.width()
              + "x"
              + settings.height()
              + ", "
              + settings.frames()
              + " frames: this checkpoint has positions for at most "
              + patches.maxPositions()
              + " patches along an axis");
    }
    requireAddressable(checkpoint, settings);
    return settings;
  }

  /** Refuses what the backend's attention does not take: heads of some sizes, many clusters. */
  static void requireAttention(
      WanCheckpoint checkpoint, GenerationSettings settings, AttentionMode mode, TensorOps ops) {
    int headDim = checkpoint.transformerConfig().headDim();
    ops.unsupportedHeadDim(headDim)
        .ifPresent(
            taken -> {
              throw new InvalidRequestException(
                  "this checkpoint's heads have %d channels, attention on %s takes %s"
                      .formatted(headDim, ops.device(), taken));
            });
    int tokens = Math.toIntExact(tokens(checkpoint, settings));
    AttentionSettings attention = AttentionSettings.resolve(mode, ModelFamily.WAN, false, tokens);
    int clusters = Math.max(attention.queryClusters(), attention.keyClusters());
    if (mode.kind() == AttentionMode.Kind.SVG2 && clusters > ops.maxClusters()) {
      throw new InvalidRequestException(
          "svg2 attention of %d tokens would have %d query and %d key clusters, %s takes at most %d"
              .formatted(
                  tokens,
                  attention.queryClusters(),
                  attention.keyClusters(),
                  ops.device(),
                  ops.maxClusters()));
    }
  }

  /** Latents, rotary angles and decoded frames pass through Java arrays on their way. */
  private static void requireAddressable(WanCheckpoint checkpoint, GenerationSettings settings) {
    WanTransformerConfig t = checkpoint.transformerConfig();
    double pixels = (double) settings.height() * settings.width();
    double latents = latentShape(checkpoint, settings).size();
    double angles = (double) tokens(checkpoint, settings) * t.headDim() / 2;
    double chunk = 3 * pixels * checkpoint.vaeConfig().temporalFactor();
    if (Math.max(latents, Math.max(angles, chunk)) > Integer.MAX_VALUE) {
      throw new InvalidRequestException(
          "%dx%d, %d frames are too large: %.0f latent values, %.0f rotary angles and %.0f values in a chunk of frames, each at most %d"
              .formatted(
                  settings.width(),
                  settings.height(),
                  settings.frames(),
                  latents,
                  angles,
                  chunk,
                  Integer.MAX_VALUE));
    }
  }

  private static void requireMultiple(String what, int value, int of) {
    if (value % of != 0) {
      int below = Math.max(of, value / of * of);
      throw new InvalidRequestException(
          what
              + " must be a multiple of "
              + of
              + ", is "
              + value
              + "; nearest are "
              + below
              + " and "
              + (below + of));
    }
  }

  /** (c, F, Y, X) of the latent of a request. */
  static Shape latentShape(WanCheckpoint checkpoint, GenerationSettings settings) {
    WanVaeConfig scale = checkpoint.vaeConfig();
    return new Shape(
        checkpoint.transformerConfig().inChannels(),
        (settings.frames() - 1) / scale.temporalFactor() + 1,
        settings.height() / scale.spatialFactor(),
        settings.width() / scale.spatialFactor());
  }

  /** Video tokens of a request. */
  static long tokens(WanCheckpoint checkpoint, GenerationSettings settings) {
    WanTransformerConfig t = checkpoint.transformerConfig();
    Shape latent = latentShape(checkpoint, settings);
    return latent.size() / t.patchSize(t.inChannels());
  }
}
