package io.sparsevideo.text;

import java.util.Arrays;
import java.util.Optional;

/** A tokenized prompt, without padding. */
public final class PromptTokens {
  private final int[] ids;
  private final int padId;
  private final String cutText;

  PromptTokens(int[] ids, int padId, String cutText) {
    this.ids = ids;
    this.padId = padId;
    this.cutText = cutText;
  }

  /** The token ids, with those that the tokenizer adds at the start or end. */
  public int[] ids() {
    return ids.clone();
  }

  /** Number of tokens. */
  public int count() {
    return ids.length;
  }

  /** The end of the prompt that was longer than allowed, as it was written. */
  public Optional<String> cutText() {
    return Optional.ofNullable(cutText);
  }

  /**
   * The ids, padded at the end.
   *
   * @param length at least {@link #count()}
   */
  public int[] pad(int length) {
    if (length < ids.length) {
      throw new IllegalArgumentException(
          "cannot pad %d tokens to %d".formatted(ids.length, length));
    }
    int[] padded = Arrays.copyOf(ids, length);
    Arrays.fill(padded, ids.length, length, padId);
    return padded;
  }
}
