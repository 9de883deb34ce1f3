package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.GenerationReport;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.ProgressListener.Stage;
import io.sparsevideo.SparseVideoException;
import io.sparsevideo.Video;
import io.sparsevideo.VideoPipeline;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionSession;
import io.sparsevideo.attention.AttentionSettings;
import io.sparsevideo.attention.LayerDensity;
import io.sparsevideo.attention.ModelFamily;
import io.sparsevideo.attention.TokenLayout;
import io.sparsevideo.models.GenerationProgress;
import io.sparsevideo.models.GenerationSettings;
import io.sparsevideo.models.Loaded;
import io.sparsevideo.models.umt5.Umt5Encoder;
import io.sparsevideo.schedulers.Scheduler;
import io.sparsevideo.tensor.TensorOps;
import io.sparsevideo.tensor.TensorScope;
import io.sparsevideo.tensor.TorchRandom;
import io.sparsevideo.text.PromptCleaner;
import io.sparsevideo.text.PromptTokens;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Wan 2.1 text-to-video: prompt, denoising with classifier-free guidance, decoding. Behaves as
 * diffusers' {@code WanPipeline}.
 *
 * <p>Weights are loaded when first needed, after a request has been checked. The text encoder,
 * which a generation needs only once, is freed again; the transformer and the VAE stay until {@link
 * #close}.
 */
public final class WanPipeline implements VideoPipeline {
  /** Characters that a warning shows of what was cut from a prompt. */
  private static final int MOST_CUT_TEXT = 200;

  private final WanCheckpoint checkpoint;
  private final TensorOps ops;
  private final AttentionMode mode;
  private final ReentrantLock lock = new ReentrantLock();
  private Loaded<WanTransformer> transformer;
  private Loaded<WanVae> vae;
  private boolean closed;

  /** The checkpoint and the backend stay the caller's, to be closed after this. */
  public WanPipeline(WanCheckpoint checkpoint, TensorOps ops, AttentionMode mode) {
    this.checkpoint = checkpoint;
    this.ops = ops;
    this.mode = mode;
  }

  @Override
  public Video generate(VideoRequest request) {
    enter();
    try {
      if (closed) {
        throw new IllegalStateException("this pipeline is closed");
      }
      GenerationSettings settings = WanRequests.settings(checkpoint, mode, request);
      GenerationProgress progress =
          new GenerationProgress(request.listener(), request.cancellation());
      WanRequests.requireAttention(checkpoint, settings, mode, ops);
      float[] noise = initialLatents(settings, request);
      Optional<String> warning = makeRoom(settings);
      progress.started(ops.device());
      warning.ifPresent(progress::warning);
      try (NDManager scope = ops.manager().newSubManager()) {
        Shape shape = WanRequests.latentShape(checkpoint, settings);
        return generate(scope, settings, scope.create(noise, shape), progress);
      }
    } finally {
      lock.unlock();
    }
  }

  /**
   * Compares what a request needs with what the device has, before anything is loaded for it. The
   * transformer and the VAE are freed where the text encoder would not fit beside them.
   *
   * @return what to warn of, if anything
   * @throws InvalidRequestException when it cannot fit; weights that are loaded stay
   */
  private Optional<String> makeRoom(GenerationSettings settings) {
    OptionalLong free = ops.freeMemory();
    if (free.isEmpty()) {
      return Optional.empty();
    }
    WanMemory need = WanMemory.of(checkpoint, settings, mode, ops.computeType());
    long available = free.getAsLong();
    if (transformer != null) {
      available += checkpoint.weightBytes(WanCheckpoint.TRANSFORMER, ops.computeType());
    }
    if (vae != null) {
      available += checkpoint.weightBytes(WanCheckpoint.VAE, ops.computeType());
    }
    Optional<String> warning = need.check(available, ops.device());
    if (need.besideModels() > available) {
      release();
    }
    return warning;
  }

  private Video generate(
      NDManager scope, GenerationSettings settings, NDArray noise, GenerationProgress progress) {
    // 1. Prompt, and the prompt to steer away from
    progress.start(Stage.TEXT, settings.guided() ? 2 : 1);
    NDArray conditional;
    NDArray unconditional = null;
    try (Loaded<Umt5Encoder> encoder = checkpoint.loadTextEncoder(ops, progress::checkCancelled)) {
      PromptTokens prompt = tokens("prompt", settings.prompt(), settings, progress);
      conditional = encode(scope, encoder.model(), prompt, settings);
      progress.done(1);
      if (settings.guided()) {
        PromptTokens negative =
            tokens("negative prompt", settings.negativePrompt(), settings, progress);
        unconditional = encode(scope, encoder.model(), negative, settings);
        progress.done(2);
      }
    }

    // 2. Weights, kept for the next request
    progress.start(Stage.LOADING, 2);
    WanTransformer model = transformer(progress);
    progress.done(1);
    WanVae decoder = vae(progress);
    progress.done(2);

    // 3. Denoising; what sparse attention keeps from step to step is freed with its session
    progress.start(Stage.DENOISING, settings.steps());
    NDArray latents;
    List<LayerDensity> densities;
    try (AttentionSession attention = attention(model, settings, noise.getShape())) {
      latents = denoise(noise, conditional, unconditional, settings, attention, progress);
      densities = attention.densities();
    }

    // 4. Decoding
    progress.start(Stage.DECODING, (int) latents.getShape().get(1));
    List<byte[]> frames = decode(decoder, latents, progress);
    return new Video(
        settings.width(),
        settings.height(),
        settings.fps(),
        frames,
        report(settings, densities, progress));
  }

  /** Values of the noise to start from. */
  private float[] initialLatents(GenerationSettings settings, VideoRequest request) {
    Shape shape = WanRequests.latentShape(checkpoint, settings);
    int size = Math.toIntExact(shape.size());
    float[] values =
        request.initialLatents().orElseGet(() -> TorchRandom.normal(settings.seed(), size));
    if (values.length != size) {
      throw new InvalidRequestException(
          "initial latents must hold " + size + " values, " + shape + ", got " + values.length);
    }
    return values;
  }

  /**
   * A prompt's tokens.
   *
   * @param what which prompt it is, for the warning where it is cut
   */
  private PromptTokens tokens(
      String what, String prompt, GenerationSettings settings, GenerationProgress progress) {
    int most = settings.maxPromptTokens();
    PromptTokens tokens = checkpoint.tokenizer().encode(PromptCleaner.clean(prompt), most);
    tokens
        .cutText()
        .ifPresent(
            cut ->
                progress.warning(
                    "the %s has more than %d tokens; this was cut: \"%s\""
                        .formatted(what, most, shortened(cut))));
    return tokens;
  }

  /** The ends of a text that is too long for a message. */
  private static String shortened(String text) {
    int[] letters = text.codePoints().toArray();
    int half = MOST_CUT_TEXT / 2;
    return letters.length <= MOST_CUT_TEXT
        ? text
        : new String(letters, 0, half) + " … " + new String(letters, letters.length - half, half);
  }

  /**
   * The text states that the transformer attends to: those of the prompt's tokens, then zeros.
   *
   * @return (maxPromptTokens, textDim)
   */
  private static NDArray encode(
      NDManager scope, Umt5Encoder encoder, PromptTokens tokens, GenerationSettings settings) {
    // Padding is masked and then replaced by zeros, so only the prompt's own tokens need computing.
    return padText(encoder.encode(scope, tokens.ids(), tokens.count()), settings.maxPromptTokens());
  }

  /** Appends zero rows to (L, C) up to {@code rows}. */
  static NDArray padText(NDArray text, int rows) {
    long missing = rows - text.getShape().get(0);
    if (missing == 0) {
      return text;
    }
    try (NDArray states = text;
        NDArray zeros =
            text.getManager()
                .zeros(new Shape(missing, text.getShape().get(1)), text.getDataType())) {
      return states.concat(zeros);
    }
  }

  /** The generation's self-attention. */
  AttentionSession attention(WanTransformer model, GenerationSettings settings, Shape latent) {
    TokenLayout tokens =
        model.tokens((int) latent.get(1), (int) latent.get(2), (int) latent.get(3));
    AttentionSettings resolved =
        AttentionSettings.resolve(mode, ModelFamily.WAN, false, tokens.videoTokens());
    return new AttentionSession(
        ops, resolved, tokens, model.config().layers(), settings.steps(), settings.seed());
  }

  /**
   * From noise to a clean latent.
   *
   * @param noise (c, F, Y, X), FLOAT32
   * @param conditional (L, textDim)
   * @param unconditional (L, textDim), or null without guidance
   * @return (c, F, Y, X), FLOAT32, owned by the noise's manager
   */
  NDArray denoise(
      NDArray noise,
      NDArray conditional,
      NDArray unconditional,
      GenerationSettings settings,
      AttentionSession attention,
      GenerationProgress progress) {
    WanTransformer model = transformer(progress);
    try (NDManager scope = noise.getManager().newSubManager();
        Scheduler scheduler =
            checkpoint
                .scheduler()
                .withFlowShift(settings.flowShift())
                .newScheduler(settings.steps(), scope)) {
      NDArray prompt = model.embedText(conditional);
      prompt.attach(scope);
      NDArray negative = unconditional == null ? null : model.embedText(unconditional);
      if (negative != null) {
        negative.attach(scope);
      }
      float[] timesteps = scheduler.timesteps();
      NDArray latents = noise;
      for (int step = 0; step < timesteps.length; step++) {
        NDArray before = latents;
        try (TensorScope stepScope = TensorScope.over(latents)) {
          NDArray input = scheduler.scaleModelInput(latents, step).toType(ops.computeType(), false);
          attention.beginPass(step, 0);
          NDArray velocity = model.forward(input, timesteps[step], prompt, attention, progress);
          progress.tensor("noise_pred." + (negative == null ? step : 2 * step), velocity);
          if (negative != null) {
            attention.beginPass(step, 1);
            NDArray without = model.forward(input, timesteps[step], negative, attention, progress);
            progress.tensor("noise_pred." + (2 * step + 1), without);
            // In float: in BFLOAT16 the scale would multiply the difference's rounding, too.
            NDArray base = without.toType(DataType.FLOAT32, false);
            NDArray towards = velocity.toType(DataType.FLOAT32, false).sub(base);
            velocity = towards.muli(settings.guidance()).addi(base);
          }
          latents = stepScope.keep(scheduler.step(velocity, step, latents));
          progress.tensor("latents_step." + step, latents);
        }
        if (before != noise) {
          before.close();
        }
        progress.done(step + 1);
      }
      return latents;
    }
  }

  /** Frames of 8-bit RGB from a denoised latent (c, F, Y, X). */
  private List<byte[]> decode(WanVae decoder, NDArray latents, GenerationProgress progress) {
    List<byte[]> frames = new ArrayList<>();
    try (TensorScope scope = TensorScope.over(latents)) {
      NDArray input = decoder.fromNormalized(latents);
      decoder.decode(
          input,
          done -> {
            progress.checkCancelled();
            progress.done(done);
          },
          chunk -> addFrames(chunk, frames));
    }
    return frames;
  }

  /** Appends the frames of a chunk (T, H, W, 3) as bytes, rows from the top, red first. */
  private void addFrames(NDArray chunk, List<byte[]> frames) {
    try (NDList result = ops.colorBytes(chunk)) {
      int[] notNumbers = result.get(1).toIntArray();
      for (int t = 0; t < notNumbers.length; t++) {
        if (notNumbers[t] > 0) {
          throw new SparseVideoException(
              "the decoded video is not a number in frame "
                  + frames.size()
                  + ": the checkpoint's weights or the request (guidance, flow shift) made it diverge");
        }
        try (NDArray frame = result.head().get(t)) { // (H, W, 3)
          frames.add(frame.toByteArray());
        }
      }
    }
  }

  private GenerationReport report(
      GenerationSettings settings, List<LayerDensity> densities, GenerationProgress progress) {
    return new GenerationReport(
        checkpoint.name(),
        ops.device(),
        mode,
        settings.height(),
        settings.width(),
        settings.frames(),
        settings.steps(),
        settings.guidance(),
        settings.flowShift(),
        settings.seed(),
        densities,
        progress.finish());
  }

  /** The transformer, loaded on the first call. */
  WanTransformer transformer(GenerationProgress progress) {
    if (transformer == null) {
      transformer = checkpoint.loadTransformer(ops, progress::checkCancelled);
    }
    return transformer.model();
  }

  /** The VAE, loaded on the first call. */
  WanVae vae(GenerationProgress progress) {
    if (vae == null) {
      vae = checkpoint.loadVae(ops, progress::checkCancelled);
    }
    return vae.model();
  }

  @Override
  public void close() {
    enter();
    try {
      closed = true;
      release();
    } finally {
      lock.unlock();
    }
  }

  private void enter() {
    refuseListener();
    lock.lock();
  }

  /**
   * @throws IllegalStateException when a listener of the generation that runs is calling
   */
  public void refuseListener() {
    if (lock.isHeldByCurrentThread()) {
      throw new IllegalStateException("a listener cannot use the pipeline that calls it");
    }
  }

  private void release() {
    if (transformer != null) {
      transformer.close();
      transformer = null;
    }
    if (vae != null) {
      vae.close();
      vae = null;
    }
  }
}
