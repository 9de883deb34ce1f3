package io.sparsevideo.models.wan;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionSettings;
import io.sparsevideo.attention.ModelFamily;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.models.GenerationSettings;
import io.sparsevideo.models.umt5.Umt5Config;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * Bytes of a GPU that a generation takes, known before any weight is loaded. Weights are exact;
 * working memory is the sum of the tensors that are alive together where a stage holds most.
 *
 * <p>The text encoder is freed before the others are loaded, which stay.
 *
 * @param encoderWeights of the text encoder; its embedding stays in the file
 * @param modelWeights of transformer and VAE
 * @param encoding working memory of the text encoder
 * @param denoising working memory of a denoising step, with what is kept between steps
 * @param decoding working memory of the VAE's decoder
 */
record WanMemory(
    long encoderWeights, long modelWeights, long encoding, long denoising, long decoding) {

  /** The driver's context with the kernels' code and cuBLASLt's working memory. */
  private static final long CONTEXT = 600L << 20;

  /** Beyond this ratio of need to room nothing is tried. */
  private static final double CERTAINTY = 1.15;

  static WanMemory of(
      WanCheckpoint checkpoint, GenerationSettings settings, AttentionMode mode, DataType type) {
    long bytes = type.getNumOfBytes();
    Shape latent = WanRequests.latentShape(checkpoint, settings);
    return new WanMemory(
        checkpoint.weightBytes(WanCheckpoint.TEXT_ENCODER, type),
        checkpoint.weightBytes(WanCheckpoint.TRANSFORMER, type)
            + checkpoint.weightBytes(WanCheckpoint.VAE, type),
        encoding(checkpoint.textConfig(), settings.maxPromptTokens()),
        denoising(checkpoint.transformerConfig(), settings, mode, latent, bytes),
        decoding(checkpoint.vaeConfig(), latent, bytes) + latent.size() * Float.BYTES);
  }

  /**
   * What the device's pool holds for a byte of tensors: it rounds pieces up, and what lies between
   * them is not always of use. Measured on the 14B model at 720p: 1.02 to 1.06.
   */
  private static final double POOL = 1.04;

  /** The most that a first generation takes of a device. */
  long peak() {
    return CONTEXT + (long) (POOL * tensors());
  }

  private long tensors() {
    return Math.max(encoderWeights + encoding, modelWeights + Math.max(denoising, decoding));
  }

  /** What a later generation takes while it encodes its prompt, if the other weights stay. */
  long besideModels() {
    return modelWeights + encoderWeights + encoding;
  }

  /**
   * Compares this with what a device has.
   *
   * @param available bytes that are free or hold weights of this checkpoint
   * @param device for the message
   * @return what to warn of, if anything
   * @throws InvalidRequestException where it is certain not to fit: the weights alone are larger,
   *     or all is by more than this prediction is wrong by
   */
  Optional<String> check(long available, String device) {
    long need = tensors();
    if (need <= available) {
      return Optional.empty();
    }
    long weights = Math.max(encoderWeights, modelWeights);
    String message =
        "this request needs about %s of %s, %s are free: the text encoder has %s, transformer and VAE after it %s, and %s to denoise or %s to decode"
            .formatted(
                gigabytes(need),
                device,
                gigabytes(available),
                gigabytes(encoderWeights),
                gigabytes(modelWeights),
                gigabytes(denoising),
                gigabytes(decoding));
    if (weights > available) {
      throw new InvalidRequestException(
          message + "; it takes a smaller checkpoint, or a device with more free memory");
    }
    message += "; fewer frames or a smaller size need less";
    if (need > CERTAINTY * available) {
      throw new InvalidRequestException(message);
    }
    return Optional.of(message + ". It may run out of memory");
  }

  private static String gigabytes(long bytes) {
    return String.format(Locale.ROOT, "%.1f GB", bytes / 1e9);
  }

  /** By purpose, in the order to show. */
  Map<String, Long> byPurpose() {
    Map<String, Long> memory = new LinkedHashMap<>();
    memory.put("CUDA context", CONTEXT);
    memory.put("weights of text_encoder, until the prompt is encoded", encoderWeights);
    memory.put("encoding the prompt", encoding);
    memory.put("weights of transformer and vae", modelWeights);
    memory.put("denoising", denoising);
    memory.put("decoding", decoding);
    memory.put("most at a time", peak());
    return memory;
  }

  /**
   * What a generation takes on the CPU, in 32 bits as PyTorch computes, by purpose. Weights are
   * exact; working memory is counted from the largest tensors that are alive together.
   */
  static Map<String, Long> ofCpu(WanCheckpoint checkpoint, GenerationSettings settings) {
    long libraries = 500L << 20; // measured, before any weight is loaded
    long encoder = checkpoint.weightBytes(WanCheckpoint.TEXT_ENCODER, DataType.FLOAT32);
    long models =
        checkpoint.weightBytes(WanCheckpoint.TRANSFORMER, DataType.FLOAT32)
            + checkpoint.weightBytes(WanCheckpoint.VAE, DataType.FLOAT32);
    // A block's residual stream, q, k, v with their permuted copies, and the feed-forward's hidden
    // values.
    WanTransformerConfig t = checkpoint.transformerConfig();
    long tokens = WanRequests.tokens(checkpoint, settings);
    long denoising = tokens * (12L * t.dim() + 3L * t.ffnDim()) * Float.BYTES;
    // At full size: a chunk's frames with the three taps of a convolution side by side, and the
    // caches of its layers.
    WanVaeConfig v = checkpoint.vaeConfig();
    long pixels = (long) settings.height() * settings.width();
    long channels = (long) v.decoderBaseChannels() * v.channelMultipliers().getFirst();
    long images = 8L * v.temporalFactor() + 4L * (v.residualBlocks() + 1);
    long decoding = pixels * channels * images * Float.BYTES;
    long video = 3 * pixels * settings.frames();

    Map<String, Long> memory = new LinkedHashMap<>();
    memory.put("Java and native libraries", libraries);
    memory.put("weights of text_encoder, until the prompt is encoded", encoder);
    memory.put("weights of transformer and vae", models);
    memory.put("denoising", denoising);
    memory.put("decoding", decoding);
    memory.put("video", video);
    memory.put(
        "most at a time",
        libraries + Math.max(encoder, models + Math.max(denoising, decoding + video)));
    return memory;
  }

  /**
   * In float, a block's attention: input, normed input, queries, keys, values, result, and scores
   * (H, L, L); or its feed-forward, with all that came before it in the block and a product's
   * parts.
   */
  private static long encoding(Umt5Config c, long rows) {
    long inner = (long) c.heads() * c.headDim();
    long scores = Math.min(c.heads() * rows * rows * Float.BYTES, CudaTensorOps.SCORE_BYTES);
    long attending = rows * (2L * c.dim() + 4 * inner) * Float.BYTES + scores;
    long feeding = rows * (9L * c.dim() + 4 * inner + 5L * c.ffnDim()) * Float.BYTES;
    return Math.max(attending, feeding);
  }

  private static long denoising(
      WanTransformerConfig c,
      GenerationSettings settings,
      AttentionMode mode,
      Shape latent,
      long bytes) {
    long tokens = latent.size() / c.patchSize(c.inChannels());
    long stream = tokens * c.dim() * bytes; // one (S, C)
    AttentionSettings attention =
        AttentionSettings.resolve(mode, ModelFamily.WAN, false, Math.toIntExact(tokens));
    boolean sparse = attention.kind() != AttentionMode.Kind.DENSE;
    // Sparse attention: the block's input, queries, keys, values and their permuted copies, and the
    // result in both orders. Otherwise an attention layer's end: input, queries, keys, values,
    // result, projection, sum.
    long attending = (sparse ? 9 : 7) * stream;
    // The feed-forward: three residuals, the normed input, the result, and some hidden rows.
    long hidden = Math.min(tokens * c.ffnDim() * bytes, 1L << 31);
    long feeding = 5 * stream + hidden;
    long rotary = tokens * c.headDim() * Float.BYTES; // cosines and sines of half the channels
    // Noise, latents, what the scheduler remembers, and in fewer bits input and velocity.
    long latents = (5 * Float.BYTES + 2 * bytes) * latent.size();
    long text = 2L * settings.maxPromptTokens() * (c.textDim() + c.dim()) * bytes;
    long working = Math.max(attending, feeding) + rotary + latents + text;
    if (attention.kind() != AttentionMode.Kind.SVG2) {
      return working;
    }
    // Centroids of every layer; labels and orders of queries and keys; k-means' order and sums.
    long clusters = attention.queryClusters() + attention.keyClusters();
    long centroids = clusters * c.dim() * Float.BYTES;
    long orders = 5L * c.heads() * tokens * Integer.BYTES;
    long map = (long) c.heads() * attention.queryClusters() * attention.keyClusters();
    return working + (c.layers() + 2) * centroids + orders + map;
  }

  private static long decoding(WanVaeConfig c, Shape latent, long bytes) {
    return new Decoding(c, latent).values() * bytes;
  }

  /**
   * Follows the last chunk, which is one latent frame, through the decoder. Every causal
   * convolution keeps two frames of its input, for a moment beside those of the chunk before. The
   * first chunk, of an image the last, stays one frame.
   */
  private static final class Decoding {
    private static final int CONTEXT_FRAMES = 2;

    private long frames = 1;
    private long pixels; // of a frame
    private long kept;
    private long most;

    Decoding(WanVaeConfig c, Shape latent) {
      pixels = latent.get(2) * latent.get(3);
      boolean image = latent.get(1) == 1;
      int levels = c.channelMultipliers().size();
      int base = c.decoderBaseChannels();
      int channels = base * c.channelMultipliers().getLast();
      keep(c.latentChannels());
      residual(channels, channels);
      residual(channels, channels);
      for (int level = levels - 1; level >= 0; level--) {
        int out = base * c.channelMultipliers().get(level);
        for (int i = 0; i <= c.residualBlocks(); i++) {
          residual(channels, out);
          channels = out;
        }
        if (level > 0) {
          enlarge(channels, !image && c.temporalDownsample().get(level - 1));
          channels /= 2;
        }
      }
      keep(channels);
      // The head; the frames as bytes, beside its result, take less than its input did.
      need(frames * (2L * channels + c.outChannels()) + CONTEXT_FRAMES * (long) channels);
    }

    long values() {
      return kept + most;
    }

    private void keep(long channels) {
      kept += CONTEXT_FRAMES * channels * pixels;
    }

    /** Channels of pixels, over all frames. */
    private void need(long channels) {
      most = Math.max(most, channels * pixels);
    }

    /** Input, normed input and result of either convolution, beside the shortcut. */
    private void residual(long in, long out) {
      keep(in);
      keep(out);
      need(frames * (2 * in + out) + CONTEXT_FRAMES * in);
      long straight = in == out ? 0 : out;
      need(frames * (in + 2 * out + straight) + CONTEXT_FRAMES * out);
    }

    private void enlarge(long channels, boolean doublesFrames) {
      long before = frames * channels;
      if (doublesFrames) {
        keep(channels);
        before *= 5; // with the pairs of frames, side by side and apart
        frames *= 2;
      }
      need(before + 4 * frames * (channels + channels / 2));
      pixels *= 4;
    }
  }
}
