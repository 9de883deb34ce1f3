package io.sparsevideo.models.wan;

import static io.sparsevideo.models.wan.WanVaeLayer.through;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrays;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntConsumer;

/**
 * The causal video VAE of Wan 2.1 (diffusers class AutoencoderKLWan): frames to latents and back.
 * It computes in the backend's precise type.
 *
 * <p>Both directions work chunk by chunk and hold one chunk of activations at a time. The first
 * latent frame stands for the first frame alone, every later one for {@link
 * WanVaeConfig#temporalFactor()} frames; the convolutions are causal, so the chunks' results are
 * final. Shapes below are those of the published config, where F latent frames of Y × X are 1 + 4
 * (F − 1) frames of 8Y × 8X.
 */
public final class WanVae {
  private final WanVaeConfig config;
  private final TensorOps ops;
  private final List<WanVaeLayer> encoder;
  private final List<WanVaeLayer> decoder;

  /**
   * Asks for all weights of the encoder and the decoder; they stay owned by the component's
   * manager, which must outlive the VAE.
   *
   * @param parameters give weights of the backend's precise type
   */
  public WanVae(WanVaeConfig config, Parameters parameters, TensorOps ops) {
    this.config = config;
    this.ops = ops;
    int latent = config.latentChannels();
    encoder =
        List.of(
            new WanVaeEncoder(config, parameters.sub("encoder"), ops),
            WanVaePointwise.ofClips(parameters.sub("quant_conv"), ops, 2 * latent, 2 * latent));
    decoder =
        List.of(
            WanVaePointwise.ofClips(parameters.sub("post_quant_conv"), ops, latent, latent),
            new WanVaeDecoder(config, parameters.sub("decoder"), ops));
  }

  public WanVaeConfig config() {
    return config;
  }

  /**
   * Decodes latents and hands the frames out chunk by chunk.
   *
   * @param latents (Z, F, Y, X) in the VAE's own scale, see {@link #fromNormalized}
   * @param progress told the number of latent frames that are done: 0 first, F last, before every
   *     latent frame in between; whatever it throws stops the decoding and frees its memory
   * @param frames given each chunk of frames (T, 8Y, 8X, 3) in order, in the backend's precise
   *     type, from −1 to 1 but for what is to be clipped; a chunk is closed when the call returns
   * @throws IllegalArgumentException when the latents have another shape
   */
  public void decode(NDArray latents, IntConsumer progress, Consumer<NDArray> frames) {
    Shape shape = latents.getShape();
    requireLatents(shape);
    int total = Math.toIntExact(shape.get(1));
    try (NDManager scope = latents.getManager().newSubManager();
        WanVaeCache cache = new WanVaeCache(scope)) {
      for (int f = 0; f < total; f++) {
        progress.accept(f);
        try (NDManager chunk = scope.newSubManager()) {
          NDArray z = channelsLast(latents, f, f + 1, chunk); // (1, Y, X, Z)
          frames.accept(through(decoder, z, cache)); // (T, H, W, 3)
        }
        cache.nextChunk();
      }
      progress.accept(total);
    }
  }

  /**
   * Decodes latents into a whole video.
   *
   * @param latents (Z, F, Y, X) in the VAE's own scale
   * @return (3, 1 + 4 (F − 1), 8Y, 8X), FLOAT32 from −1 to 1, owned by the manager of the latents
   */
  public NDArray decode(NDArray latents) {
    try (NDManager scope = latents.getManager().newSubManager()) {
      NDList chunks = new NDList();
      decode(
          latents,
          done -> {},
          frames -> {
            NDArray clipped = frames.toType(DataType.FLOAT32, false).clip(-1, 1);
            NDArray chunk = clipped.transpose(3, 0, 1, 2); // (3, T, H, W)
            chunk.attach(scope);
            chunks.add(chunk);
          });
      return joined(chunks, latents.getManager());
    }
  }

  /**
   * Encodes a video into the mode of its latents' distribution, which is its mean.
   *
   * @param video (3, T, H, W) from −1 to 1, with T = 4k + 1 and H and W multiples of 8
   * @param progress told the number of latent frames that are done, as in {@link #decode(NDArray,
   *     IntConsumer, Consumer)}
   * @return (Z, k + 1, H / 8, W / 8) in the VAE's own scale, FLOAT32, owned by the manager of the
   *     video; see {@link #toNormalized}
   * @throws InvalidRequestException when the frames or the sizes do not divide
   * @throws IllegalArgumentException when it is not a tensor of that many dimensions and colours
   */
  public NDArray encode(NDArray video, IntConsumer progress) {
    Shape shape = video.getShape();
    requireVideo(shape);
    int factor = config.temporalFactor();
    int total = Math.toIntExact((shape.get(1) - 1) / factor + 1);
    try (NDManager scope = video.getManager().newSubManager();
        WanVaeCache cache = new WanVaeCache(scope)) {
      NDList means = new NDList();
      for (int f = 0; f < total; f++) {
        progress.accept(f);
        try (NDManager chunk = scope.newSubManager()) {
          long end = 1 + (long) f * factor;
          NDArray frames = channelsLast(video, f == 0 ? 0 : end - factor, end, chunk);
          NDArray moments = through(encoder, frames, cache).transpose(3, 0, 1, 2); // (2Z, 1, Y, X)
          NDArray mean = moments.get(new NDIndex().addSliceDim(0, config.latentChannels()));
          mean = mean.toType(DataType.FLOAT32, true); // (Z, 1, Y, X)
          mean.attach(scope);
          means.add(mean);
        }
        cache.nextChunk();
      }
      progress.accept(total);
      return joined(means, video.getManager());
    }
  }

  /** {@link #encode(NDArray, IntConsumer)} without progress. */
  public NDArray encode(NDArray video) {
    return encode(video, done -> {});
  }

  /**
   * Latents as the transformer and the scheduler see them, each channel with mean 0 and variance 1,
   * in the VAE's own scale: what {@link #decode} takes.
   *
   * @param latents (Z, F, Y, X)
   * @return a new tensor of the manager of the latents
   */
  public NDArray fromNormalized(NDArray latents) {
    requireLatents(latents.getShape());
    try (NDArray mean = perChannel(latents, config.latentsMean());
        NDArray std = perChannel(latents, config.latentsStd())) {
      return latents.mul(std).addi(mean);
    }
  }

  /** The inverse of {@link #fromNormalized}, for what {@link #encode} gives. */
  public NDArray toNormalized(NDArray latents) {
    requireLatents(latents.getShape());
    try (NDArray mean = perChannel(latents, config.latentsMean());
        NDArray std = perChannel(latents, config.latentsStd())) {
      return latents.sub(mean).divi(std);
    }
  }

  /** Frames {@code from} to {@code to} of (C, T, H, W) as (to − from, H, W, C). */
  private NDArray channelsLast(NDArray video, long from, long to, NDManager chunk) {
    NDArray frames = video.get(new NDIndex().addAllDim().addSliceDim(from, to));
    frames.attach(chunk);
    return frames.transpose(1, 2, 3, 0).toType(ops.preciseType(), false);
  }

  /** Joins (C, t, H, W) along the frames. */
  private static NDArray joined(NDList chunks, NDManager owner) {
    NDArray whole = NDArrays.concat(chunks, 1);
    whole.attach(owner);
    return whole;
  }

  private static NDArray perChannel(NDArray latents, List<Double> values) {
    float[] floats = new float[values.size()];
    for (int i = 0; i < floats.length; i++) {
      floats[i] = values.get(i).floatValue();
    }
    return latents.getManager().create(floats, new Shape(floats.length, 1, 1, 1));
  }

  private void requireLatents(Shape shape) {
    if (shape.dimension() != 4 || shape.get(0) != config.latentChannels() || shape.size() == 0) {
      throw new IllegalArgumentException(
          "the Wan VAE needs latents of shape (%d, frames, height, width); found %s"
              .formatted(config.latentChannels(), shape));
    }
  }

  private void requireVideo(Shape shape) {
    if (shape.dimension() != 4 || shape.get(0) != config.inChannels() || shape.size() == 0) {
      throw new IllegalArgumentException(
          "the Wan VAE needs a video of shape (%d, frames, height, width); found %s"
              .formatted(config.inChannels(), shape));
    }
    int temporal = config.temporalFactor();
    if (shape.get(1) % temporal != 1 % temporal) {
      throw new InvalidRequestException(
          "a video of %d frames cannot be encoded: the Wan VAE takes 1, %d, %d, … frames (%dk + 1)"
              .formatted(shape.get(1), 1 + temporal, 1 + 2 * temporal, temporal));
    }
    int spatial = config.spatialFactor();
    if (shape.get(2) % spatial != 0 || shape.get(3) % spatial != 0) {
      throw new InvalidRequestException(
          "a video of height %d and width %d cannot be encoded: the Wan VAE takes multiples of %d"
              .formatted(shape.get(2), shape.get(3), spatial));
    }
  }
}
