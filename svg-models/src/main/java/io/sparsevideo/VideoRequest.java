package io.sparsevideo;

import java.awt.image.BufferedImage;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/**
 * What to generate. Only the prompt is required; everything else defaults to the checkpoint's
 * {@code generation_config.json}, a named preset, or the component's own config, in that order.
 * Values are checked by {@link VideoPipeline#generate}, which knows what the checkpoint can do.
 */
public final class VideoRequest {
  private final Builder b;

  private VideoRequest(Builder b) {
    this.b = b;
  }

  public static Builder builder() {
    return new Builder();
  }

  public String prompt() {
    return b.prompt;
  }

  public Optional<String> negativePrompt() {
    return Optional.ofNullable(b.negativePrompt);
  }

  /** The first frame, for image-to-video checkpoints. */
  public Optional<BufferedImage> image() {
    return Optional.ofNullable(b.image);
  }

  /** In pixels. */
  public OptionalInt height() {
    return optional(b.height);
  }

  /** In pixels. */
  public OptionalInt width() {
    return optional(b.width);
  }

  public OptionalInt frames() {
    return optional(b.frames);
  }

  public OptionalInt steps() {
    return optional(b.steps);
  }

  public OptionalDouble guidance() {
    return optional(b.guidance);
  }

  public OptionalDouble flowShift() {
    return optional(b.flowShift);
  }

  /** Frames per second of the written file. */
  public OptionalDouble fps() {
    return optional(b.fps);
  }

  public long seed() {
    return b.seed;
  }

  /**
   * The start of the denoising instead of the seed's noise, flattened (C, F, Y, X), for exact
   * comparisons.
   */
  public Optional<float[]> initialLatents() {
    return Optional.ofNullable(b.initialLatents).map(float[]::clone);
  }

  public ProgressListener listener() {
    return b.listener;
  }

  public Cancellation cancellation() {
    return b.cancellation;
  }

  private static OptionalInt optional(Integer value) {
    return value == null ? OptionalInt.empty() : OptionalInt.of(value);
  }

  private static OptionalDouble optional(Double value) {
    return value == null ? OptionalDouble.empty() : OptionalDouble.of(value);
  }

  /** Builds a {@link VideoRequest}. */
  public static final class Builder implements Cloneable {
    private String prompt;
    private String negativePrompt;
    private BufferedImage image;
    private Integer height;
    private Integer width;
    private Integer frames;
    private Integer steps;
    private Double guidance;
    private Double flowShift;
    private Double fps;
    private long seed;
    private float[] initialLatents;
    private ProgressListener listener = ProgressListener.NONE;
    private Cancellation cancellation = new Cancellation();

    private Builder() {}

    /** Required; may be empty. */
    public Builder setPrompt(String value) {
      prompt = Objects.requireNonNull(value, "prompt");
      return this;
    }

    /** What to steer away from; used with guidance above 1. */
    public Builder optNegativePrompt(String value) {
      negativePrompt = Objects.requireNonNull(value, "negative prompt");
      return this;
    }

    /** The first frame, for image-to-video checkpoints; others refuse it. */
    public Builder optImage(BufferedImage value) {
      image = Objects.requireNonNull(value, "image");
      return this;
    }

    /** Pixels, a multiple of 16. */
    public Builder optHeight(int value) {
      height = value;
      return this;
    }

    /** Pixels, a multiple of 16. */
    public Builder optWidth(int value) {
      width = value;
      return this;
    }

    /** Frames of the video: 4k + 1 for Wan. */
    public Builder optFrames(int value) {
      frames = value;
      return this;
    }

    /** Denoising steps, at least 1. */
    public Builder optSteps(int value) {
      steps = value;
      return this;
    }

    /** Scale of classifier-free guidance, at least 0; 1 or less runs without it. */
    public Builder optGuidance(double value) {
      guidance = value;
      return this;
    }

    /** The scheduler's flow shift, above 0. */
    public Builder optFlowShift(double value) {
      flowShift = value;
      return this;
    }

    /** Frames per second of the written file, above 0 and at most 1000. */
    public Builder optFps(double value) {
      fps = value;
      return this;
    }

    /**
     * Default 0. The same seed gives the same start as PyTorch's CPU generator does, on every
     * device.
     */
    public Builder optSeed(long value) {
      seed = value;
      return this;
    }

    /** Flattened (C, F, Y, X); used instead of the seed's noise. */
    public Builder optInitialLatents(float[] value) {
      initialLatents = value.clone();
      return this;
    }

    /** Told how the generation proceeds, on the thread that generates. */
    public Builder optListener(ProgressListener value) {
      listener = Objects.requireNonNull(value, "listener");
      return this;
    }

    /** Cancelling it from any thread ends the generation. */
    public Builder optCancellation(Cancellation value) {
      cancellation = Objects.requireNonNull(value, "cancellation");
      return this;
    }

    /**
     * @throws IllegalStateException without a prompt
     */
    public VideoRequest build() {
      if (prompt == null) {
        throw new IllegalStateException(
            "a request needs a prompt: call setPrompt (it may be empty)");
      }
      return new VideoRequest(clone());
    }

    @Override
    public Builder clone() {
      try {
        return (Builder) super.clone();
      } catch (CloneNotSupportedException e) {
        throw new AssertionError(e);
      }
    }
  }
}
