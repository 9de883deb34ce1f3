package io.sparsevideo.attention;

import io.sparsevideo.kernels.VideoLayout;

/**
 * The tokens of a self-attention call: video tokens frame by frame, then prompt tokens, then
 * padding.
 *
 * @param frames latent frames F
 * @param tokensPerFrame tokens per latent frame P
 * @param promptTokens real text tokens in the sequence; 0 for Wan and Cosmos
 * @param paddingTokens text padding in the sequence
 */
public record TokenLayout(int frames, int tokensPerFrame, int promptTokens, int paddingTokens) {

  public TokenLayout {
    if (frames < 1 || tokensPerFrame < 1 || promptTokens < 0 || paddingTokens < 0) {
      throw new IllegalArgumentException(
          "a layout needs frames and tokens: "
              + frames
              + " frames of "
              + tokensPerFrame
              + ", "
              + promptTokens
              + " prompt and "
              + paddingTokens
              + " padding tokens");
    }
  }

  /** A sequence of video tokens only. */
  public static TokenLayout video(int frames, int tokensPerFrame) {
    return new TokenLayout(frames, tokensPerFrame, 0, 0);
  }

  /** N = F · P. */
  public int videoTokens() {
    return frames * tokensPerFrame;
  }

  /** Prompt and padding. */
  public int contextTokens() {
    return promptTokens + paddingTokens;
  }

  /** Video and prompt. */
  public int realTokens() {
    return videoTokens() + promptTokens;
  }

  /** S. */
  public int tokens() {
    return videoTokens() + contextTokens();
  }

  VideoLayout toKernel() {
    return new VideoLayout(frames, tokensPerFrame, contextTokens());
  }
}
