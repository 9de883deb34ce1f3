package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.databind.JsonNode;
import io.sparsevideo.Cancellation;
import io.sparsevideo.ProgressListener;
import io.sparsevideo.attention.AttentionMode;
import io.sparsevideo.attention.AttentionSession;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.DiffusersFolder;
import io.sparsevideo.conformance.Tolerances;
import io.sparsevideo.conformance.Trace;
import io.sparsevideo.models.ForwardListener;
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

/**
 * Runs a recorded Wan text-to-video call and compares every stage. Values come from the trace and
 * the checkpoint's configs only, never from presets or {@code generation_config.json}.
 */
public final class WanConformance {
  private final Trace trace;
  private final WanCheckpoint checkpoint;
  private final TensorOps ops;
  private final AttentionMode mode;
  private final Tolerances tolerances;

  private WanConformance(Trace trace, WanCheckpoint checkpoint, TensorOps ops, AttentionMode mode) {
    this.trace = trace;
    this.checkpoint = checkpoint;
    this.ops = ops;
    this.mode = mode;
    tolerances = Tolerances.of(ops);
  }

  /** Compares; results go to the trace's consumer. The backend stays open. */
  public static void run(Trace trace, DiffusersFolder folder, TensorOps ops, AttentionMode mode) {
    try (WanCheckpoint checkpoint = new WanCheckpoint(folder);
        NDManager scope = ops.manager().newSubManager()) {
      new WanConformance(trace, checkpoint, ops, mode).run(scope);
    }
  }

  private void run(NDManager scope) {
    GenerationSettings settings = settings();
    WanRequests.requireAttention(checkpoint, settings, mode, ops);
    NDArray[] texts = text(scope, settings);
    NDArray start = start(scope, settings);
    denoise(start, texts[0], settings.guided() ? texts[1] : null, settings);
    autoencoder(scope);
  }

  private GenerationSettings settings() {
    JsonNode call = trace.json().path("call");
    return new GenerationSettings(
        call.path("prompt").asText(),
        call.path("negative_prompt").asText(""),
        trace.count("call", "height"),
        trace.count("call", "width"),
        trace.count("call", "num_frames"),
        call.path("fps").asDouble(16),
        trace.count("call", "num_inference_steps"),
        trace.number("call", "guidance_scale"),
        checkpoint.scheduler().flowShift().orElseThrow(),
        call.path("max_sequence_length").asInt(512),
        trace.json().path("latents_seed").asLong());
  }

  /** Token ids, encoder outputs over all rows, and the padded text states of both prompts. */
  private NDArray[] text(NDManager scope, GenerationSettings settings) {
    String[] prompts = {settings.prompt(), settings.negativePrompt()};
    NDArray[] states = new NDArray[prompts.length];
    int length = settings.maxPromptTokens();
    try (Loaded<Umt5Encoder> encoder = checkpoint.loadTextEncoder(ops, () -> {})) {
      for (int i = 0; i < prompts.length; i++) {
        PromptTokens tokens =
            checkpoint.tokenizer().encode(PromptCleaner.clean(prompts[i]), length);
        trace.compare("text_encoder.input." + i, tokens.pad(length));
        NDArray hidden = encoder.model().encode(scope, tokens.pad(length), tokens.count());
        trace.compare("text_encoder.last_hidden_state." + i, hidden, tolerances.encoder());
        states[i] =
            WanPipeline.padText(
                encoder.model().encode(scope, tokens.ids(), tokens.count()), length);
      }
    }
    trace.compare("transformer_input.encoder_hidden_states.0", states[0], tolerances.encoder());
    return states;
  }

  /** The noise that the seed gives is a stage of its own; the run starts from the recorded one. */
  private NDArray start(NDManager scope, GenerationSettings settings) {
    Shape shape = WanRequests.latentShape(checkpoint, settings);
    NDArray recorded = trace.tensor("latents_init", scope);
    if (recorded.size() != shape.size()) {
      throw new CheckpointException(
          "%s: latents_init is %s, but %d frames of %dx%d have latents of %s"
              .formatted(
                  trace.folder(),
                  recorded.getShape(),
                  settings.frames(),
                  settings.width(),
                  settings.height(),
                  shape));
    }
    float[] noise = TorchRandom.normal(settings.seed(), Math.toIntExact(shape.size()));
    trace.compare("latents_init", noise, tolerances.noise());
    NDArray start = recorded.reshape(shape);
    trace.compare("transformer_input.hidden_states.0", start, tolerances.noise());
    return start;
  }

  private void denoise(NDArray start, NDArray text, NDArray negative, GenerationSettings settings) {
    Comparisons comparisons = new Comparisons();
    try (WanPipeline pipeline = new WanPipeline(checkpoint, ops, mode);
        AttentionSession attention =
            pipeline.attention(pipeline.transformer(comparisons), settings, start.getShape());
        Scheduler scheduler = checkpoint.scheduler().newScheduler(settings.steps(), ops.manager());
        TensorScope scope = TensorScope.over(start, text)) {
      WanTransformer model = pipeline.transformer(comparisons);
      boolean rounded =
          recordedWithRoundedRotary(
              pipeline, model, start, text, scheduler.timesteps()[0], settings);
      model.roundRotary(rounded);
      if (rounded) {
        trace.note(
            "first_forward.block0.attn1",
            "the recording's rotary tables are rounded to bf16, so this run's are too");
      }
      trace.compareListed("timesteps", scheduler.timesteps(), tolerances.scheduler());
      trace.compare("sigmas", scheduler.sigmas(), tolerances.scheduler());
      trace.compare("transformer_input.timestep.0", new int[] {(int) scheduler.timesteps()[0]});
      NDArray latents = pipeline.denoise(start, text, negative, settings, attention, comparisons);

      WanVae vae = pipeline.vae(comparisons);
      NDArray input = vae.fromNormalized(latents);
      NDArray video = vae.decode(input).transpose(1, 0, 2, 3).mul(.5f).add(.5f); // (T, 3, H, W)
      trace.compare("video", video, tolerances.latents());
    }
  }

  /**
   * A recorder that casts the public model to bf16 and back rounds its rotary tables for good;
   * nothing in the trace says so, but the first self-attention shows it.
   */
  private boolean recordedWithRoundedRotary(
      WanPipeline pipeline,
      WanTransformer model,
      NDArray start,
      NDArray text,
      float timestep,
      GenerationSettings settings) {
    double[] errors = new double[2];
    for (int i = 0; i < errors.length; i++) {
      int rounded = i;
      ForwardListener listener =
          new ForwardListener() {
            @Override
            public void tensor(String name, NDArray value) {
              if (name.equals("block0.attn1")) {
                errors[rounded] = trace.error("first_forward." + name, value);
              }
            }
          };
      model.roundRotary(rounded == 1);
      try (TensorScope scope = TensorScope.over(start, text);
          AttentionSession attention = pipeline.attention(model, settings, start.getShape())) {
        NDArray latents = start.toType(ops.computeType(), false);
        model.forward(latents, timestep, model.embedText(text), attention, listener);
      }
    }
    return errors[1] < errors[0];
  }

  /**
   * Compares what a denoising run passes by; the trace holds the first forward pass' inner tensors
   * only.
   */
  private final class Comparisons extends GenerationProgress {
    private boolean first = true;

    Comparisons() {
      super(ProgressListener.NONE, new Cancellation());
    }

    @Override
    public void tensor(String name, NDArray value) {
      if (name.startsWith("noise_pred.")) {
        first = false;
        trace.compare(name, value, tolerances.noisePrediction());
      } else if (name.startsWith("latents_step.")) {
        trace.compare(name, value, tolerances.latents());
      } else if (first) {
        // The public embedding is (C, F, Y, X), ours (S, C).
        NDArray found = name.equals("patch_embedding") ? value.transpose() : value;
        trace.compare("first_forward." + name, found, tolerances.block());
      }
    }
  }

  /** Raw calls of the VAE, from recorded inputs. */
  private void autoencoder(NDManager scope) {
    try (Loaded<WanVae> vae = checkpoint.loadVae(ops, () -> {})) {
      if (trace.has("vae.decode_output")) {
        NDArray latents = trace.tensor("vae.decode_input", scope).squeeze(0);
        trace.compare("vae.decode_output", vae.model().decode(latents), tolerances.vae());
      }
      if (trace.has("vae.encode_mode")) {
        NDArray video = trace.tensor("vae.encode_input", scope).squeeze(0);
        trace.compare("vae.encode_mode", vae.model().encode(video), tolerances.vae());
      }
    }
  }
}
