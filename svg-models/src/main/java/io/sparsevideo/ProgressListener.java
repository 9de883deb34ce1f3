package io.sparsevideo;

/** Told how a generation proceeds, on the generating thread; keep it short. */
public interface ProgressListener {

  /** The stages of a generation, in order. */
  enum Stage {
    TEXT("encoding the prompt"),
    LOADING("loading"),
    DENOISING("denoising"),
    DECODING("decoding");

    private final String label;

    Stage(String label) {
      this.label = label;
    }

    /** What a person reads. */
    public String label() {
      return label;
    }
  }

  /** A listener that does nothing. */
  ProgressListener NONE = new ProgressListener() {};

  /**
   * A request was checked, and its generation begins.
   *
   * @param device what computes; for a CPU that was taken in place of a GPU also the reason
   */
  default void started(String device) {}

  /**
   * {@code done} of {@code total} units of a stage are finished: components loaded, prompts
   * encoded, denoising steps, latent frames decoded. Called with 0 when the stage starts.
   */
  default void progress(Stage stage, int done, int total) {}

  /** Something the user should know, such as the part of a prompt that was cut. */
  default void warning(String message) {}
}
