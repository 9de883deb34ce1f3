package io.sparsevideo.text;

import ai.djl.huggingface.tokenizers.Encoding;
import ai.djl.huggingface.tokenizers.HuggingFaceTokenizer;
import com.fasterxml.jackson.databind.JsonNode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.CheckpointFiles;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.tensor.DjlSettings;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/**
 * The tokenizer of a checkpoint's tokenizer folder, by its {@code tokenizer.json}. Class names in
 * configs are no guide (one tokenizer goes by T5Tokenizer, T5TokenizerFast and TokenizersBackend),
 * so they are not looked at.
 */
public final class PromptTokenizer implements AutoCloseable {
  /** The file's own padding and truncation are off: both are the caller's, as in transformers. */
  private static final Map<String, String> OPTIONS =
      Map.of("padding", "false", "truncation", "false", "addSpecialTokens", "true");

  private final HuggingFaceTokenizer tokenizer;
  private final int padId;

  private PromptTokenizer(HuggingFaceTokenizer tokenizer, int padId) {
    this.tokenizer = tokenizer;
    this.padId = padId;
  }

  /**
   * Opens a tokenizer folder.
   *
   * @throws CheckpointException when it has no usable {@code tokenizer.json} or no padding token
   */
  public static PromptTokenizer open(Path folder) {
    CheckpointFiles.requireFolder(folder);
    Path file = folder.resolve("tokenizer.json");
    if (!Files.exists(file) && !Files.isSymbolicLink(file)) {
      throw new CheckpointException(
          "%s has no tokenizer.json%s".formatted(folder, whatInstead(folder)));
    }
    CheckpointFiles.requireFile(file);
    HuggingFaceTokenizer tokenizer = load(file);
    try {
      return new PromptTokenizer(tokenizer, padId(folder, tokenizer));
    } catch (RuntimeException e) {
      tokenizer.close();
      throw e;
    }
  }

  /** The id that {@link PromptTokens#pad} fills with. */
  public int padId() {
    return padId;
  }

  /**
   * Tokenizes a prompt.
   *
   * @param maxLength the most tokens, those included that the tokenizer adds (T5: {@code </s>} at
   *     the end). A longer prompt loses its last words, not these
   */
  public PromptTokens encode(String prompt, int maxLength) {
    String text = PromptCleaner.replaceUnpairedSurrogates(prompt);
    Encoding encoding = tokenizer.encode(text);
    long[] ids = encoding.getIds();
    long[] added = encoding.getSpecialTokenMask();
    int first = 0;
    while (first < ids.length && added[first] == 1) {
      first++;
    }
    int last = ids.length;
    while (last > first && added[last - 1] == 1) {
      last--;
    }
    int room = maxLength - first - (ids.length - last);
    if (room < 0) {
      throw new IllegalArgumentException(
          "a length of %d tokens has no room for the %d that the tokenizer adds"
              .formatted(maxLength, maxLength - room));
    }
    int cut = Math.max(0, last - first - room);
    int[] kept = new int[ids.length - cut];
    for (int i = 0; i < kept.length; i++) {
      kept[i] = Math.toIntExact(ids[i < last - cut ? i : i + cut]);
    }
    return new PromptTokens(kept, padId, cut == 0 ? null : textFrom(text, encoding, last - cut));
  }

  /** Frees the tokenizer's native memory. */
  @Override
  public void close() {
    tokenizer.close();
  }

  /** The text from a token on; the native tokenizer counts code points. */
  private static String textFrom(String text, Encoding encoding, int token) {
    int start = encoding.getCharTokenSpans()[token].getStart();
    return text.substring(text.offsetByCodePoints(0, start)).strip();
  }

  private static HuggingFaceTokenizer load(Path file) {
    DjlSettings.apply();
    try (InputStream in = Files.newInputStream(file)) {
      return HuggingFaceTokenizer.newInstance(in, OPTIONS);
    } catch (IOException e) {
      throw CheckpointFiles.unreadable(file, e);
    } catch (RuntimeException e) {
      throw new CheckpointException(
          "%s is not a valid tokenizer: %s".formatted(file, e.getMessage()), e);
    }
  }

  /** The padding token is named in a config, and is one token by itself. */
  private static int padId(Path folder, HuggingFaceTokenizer tokenizer) {
    for (String name : new String[] {"tokenizer_config.json", "special_tokens_map.json"}) {
      Path file = folder.resolve(name);
      if (!Files.exists(file)) {
        continue;
      }
      ConfigReader config = ConfigReader.read(file);
      if (config.isNull("pad_token")) {
        continue;
      }
      JsonNode token = config.json().get("pad_token");
      String text = token.isObject() ? token.path("content").textValue() : token.textValue();
      if (text == null) {
        throw config.invalid("pad_token", "a string or an object with content");
      }
      long[] ids = tokenizer.encode(text, false, false).getIds();
      if (ids.length != 1) {
        throw config.invalid("pad_token", "a token of tokenizer.json");
      }
      return Math.toIntExact(ids[0]);
    }
    throw new CheckpointException(
        "%s names no pad_token in tokenizer_config.json or special_tokens_map.json"
            .formatted(folder));
  }

  private static String whatInstead(Path folder) {
    if (Files.exists(folder.resolve("spiece.model"))) {
      return ", only spiece.model: save it with transformers' T5TokenizerFast, which writes one";
    }
    if (Files.exists(folder.resolve("vocab.json")) && Files.exists(folder.resolve("merges.txt"))) {
      return ", only vocab.json and merges.txt: save it with transformers' CLIPTokenizerFast,"
          + " which writes one";
    }
    return "";
  }
}
