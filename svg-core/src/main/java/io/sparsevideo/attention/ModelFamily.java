package io.sparsevideo.attention;

/** What the sparse modes need to know of a model family. */
public enum ModelFamily {
  /** Wan 2.1: no text among the tokens; the first frame's keys are seen by every query. */
  WAN(true, 2.0),
  /** HunyuanVideo: video, prompt and padding tokens in one sequence. */
  HUNYUAN(false, 1.5),
  /** Cosmos 1.0: as Wan. */
  COSMOS(true, 2.0);

  private final boolean firstFrameSink;
  private final double profileFrames;

  ModelFamily(boolean firstFrameSink, double profileFrames) {
    this.firstFrameSink = firstFrameSink;
    this.profileFrames = profileFrames;
  }

  /** Whether every query sees the keys of the first frame under SVG1's masks. */
  public boolean firstFrameSink() {
    return firstFrameSink;
  }

  /** Half width of SVG1's profiling masks, in latent frames. */
  public double profileFrames() {
    return profileFrames;
  }
}
