package io.sparsevideo.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.SafeTensors;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PromptTokenizerTest {
  private static final Path GOLDEN = Path.of("src/test/resources/golden/wan-t2v");
  private static final Path FOLDER = GOLDEN.resolve("checkpoint/tokenizer");

  @TempDir Path temp;

  /** The recorded calls, 0 with the prompt and 1 with the negative prompt. */
  @ParameterizedTest
  @CsvSource({"prompt, 0", "negative_prompt, 1"})
  void givesTheRecordedIds(String prompt, int call) {
    var request = ConfigReader.read(GOLDEN.resolve("trace.json")).json().get("call");
    int length = request.get("max_sequence_length").intValue();
    try (PromptTokenizer tokenizer = PromptTokenizer.open(FOLDER);
        SafeTensors trace = SafeTensors.open(GOLDEN.resolve("trace.safetensors"))) {
      PromptTokens tokens = tokenizer.encode(request.get(prompt).textValue(), length);
      assertArrayEquals(
          recorded(trace, "text_encoder.input." + call),
          Arrays.stream(tokens.pad(length)).asLongStream().toArray());
      assertEquals(Optional.empty(), tokens.cutText());
      assertTrue(tokens.count() < length);
    }
  }

  private static long[] recorded(SafeTensors trace, String name) {
    return trace
        .tensors()
        .get(name)
        .data()
        .toArray(ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN));
  }

  @Test
  void endsEveryPrompt() {
    try (PromptTokenizer tokenizer = PromptTokenizer.open(FOLDER)) {
      assertEquals(0, tokenizer.padId());
      assertArrayEquals(new int[] {1}, tokenizer.encode("", 512).ids());
      assertArrayEquals(new int[] {1, 0, 0}, tokenizer.encode("", 512).pad(3));
      int[] ids = tokenizer.encode("a </s> b", 512).ids();
      assertEquals(2, Arrays.stream(ids).filter(id -> id == 1).count());
      assertEquals(1, ids[ids.length - 1]);
    }
  }

  @Test
  void keepsTheEndTokenAndReportsWhatIsCut() {
    try (PromptTokenizer tokenizer = PromptTokenizer.open(FOLDER)) {
      String prompt = "the grass 😀, the cat 😀 and 東京 the end";
      int[] all = tokenizer.encode(prompt, 512).ids();
      for (int length = 1; length < all.length; length++) {
        PromptTokens cut = tokenizer.encode(prompt, length);
        int[] expected = Arrays.copyOf(all, length);
        expected[length - 1] = 1;
        assertArrayEquals(expected, cut.ids());
        assertTrue(prompt.endsWith(cut.cutText().orElseThrow()));
      }
      assertEquals(Optional.empty(), tokenizer.encode(prompt, all.length).cutText());
    }
  }

  /** The native tokenizer counts code points, Java counts chars. */
  @Test
  void reportsTheCutTextBehindEmoji() {
    try (PromptTokenizer tokenizer = PromptTokenizer.open(FOLDER)) {
      int kept = tokenizer.encode("the 😀😀 the", 512).count();
      PromptTokens cut = tokenizer.encode("the 😀😀 the grass 😀 the end", kept);
      assertEquals(Optional.of("grass 😀 the end"), cut.cutText());
    }
  }

  /** A file may ask for padding to a fixed length, or for truncation: neither is the file's. */
  @Test
  void ignoresTheFilesOwnPaddingAndTruncation() throws IOException {
    ObjectNode json = goldenJson();
    json.putObject("padding")
        .put("direction", "Left")
        .put("pad_id", 0)
        .put("pad_type_id", 0)
        .put("pad_token", "<pad>")
        .putNull("pad_to_multiple_of")
        .putObject("strategy")
        .put("Fixed", 64);
    json.putObject("truncation")
        .put("direction", "Left")
        .put("max_length", 4)
        .put("strategy", "LongestFirst")
        .put("stride", 0);
    write("tokenizer.json", json.toString());
    write("tokenizer_config.json", "{\"pad_token\": \"<pad>\"}");
    try (PromptTokenizer tokenizer = PromptTokenizer.open(temp);
        PromptTokenizer golden = PromptTokenizer.open(FOLDER)) {
      String prompt = "A cat walks on the grass, realistic";
      assertArrayEquals(golden.encode(prompt, 512).ids(), tokenizer.encode(prompt, 512).ids());
    }
  }

  /** Tokens at the start, as Llama's and CLIP's, are kept too. */
  @Test
  void keepsAStartToken() throws IOException {
    ObjectNode json = goldenJson();
    json.withArray("/post_processor/single")
        .insertObject(0)
        .putObject("SpecialToken")
        .put("id", "</s>")
        .put("type_id", 0);
    write("tokenizer.json", json.toString());
    write("tokenizer_config.json", "{\"pad_token\": \"<pad>\"}");
    try (PromptTokenizer tokenizer = PromptTokenizer.open(temp)) {
      int[] all = tokenizer.encode("the cat walks", 512).ids();
      assertArrayEquals(
          new int[] {1, all[1], all[2], 1}, tokenizer.encode("the cat walks", 4).ids());
      assertArrayEquals(new int[] {1, 1}, tokenizer.encode("the cat walks", 2).ids());
      String message =
          assertThrows(IllegalArgumentException.class, () -> tokenizer.encode("the cat", 1))
              .getMessage();
      assertEquals("a length of 1 tokens has no room for the 2 that the tokenizer adds", message);
    }
  }

  @Test
  void survivesAnyText() {
    try (PromptTokenizer tokenizer = PromptTokenizer.open(FOLDER)) {
      for (String text :
          new String[] {"\ud83d", "\ude00\ud83d", "a\0b", "\uffff", "\ud83d\ude00"}) {
        int[] ids = tokenizer.encode(text, 512).ids();
        assertEquals(1, ids[ids.length - 1]);
      }
      assertEquals(
          Optional.of("\ufffd the cat"),
          tokenizer.encode("cat \ud83d the cat", tokenizer.encode("cat", 9).count()).cutText());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "tokenizer_config.json | {'pad_token': '<pad>', 'model_max_length': 1000000000000000019884624838656} | 0",
        "tokenizer_config.json | {'pad_token': {'content': '</s>', 'lstrip': false}} | 1",
        "special_tokens_map.json | {'pad_token': {'content': '<unk>'}} | 2",
      })
  void findsThePaddingToken(String file, String config, int id) throws IOException {
    write("tokenizer.json", goldenJson().toString());
    write(file, config.replace('\'', '"'));
    try (PromptTokenizer tokenizer = PromptTokenizer.open(temp)) {
      assertEquals(id, tokenizer.padId());
      assertArrayEquals(new int[] {1, id}, tokenizer.encode("", 512).pad(2));
    }
  }

  @Test
  void refusesAFolderWithoutAUsablePaddingToken() throws IOException {
    write("tokenizer.json", goldenJson().toString());
    assertRefused("names no pad_token in tokenizer_config.json or special_tokens_map.json");
    write("tokenizer_config.json", "{\"pad_token\": null}");
    assertRefused("names no pad_token");
    write("tokenizer_config.json", "{\"pad_token\": \"<|pad|>\"}");
    assertRefused("'pad_token' should be a token of tokenizer.json, found \"<|pad|>\"");
    write("tokenizer_config.json", "{\"pad_token\": 0}");
    assertRefused("'pad_token' should be a string or an object with content, found 0");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {"", "{", "{}", "[]", "{\"version\": \"1.0\", \"model\": {\"type\": \"Nope\"}}"})
  void refusesAnInvalidTokenizer(String json) {
    write("tokenizer.json", json);
    assertRefused("tokenizer.json is not a valid tokenizer: ");
  }

  @Test
  void refusesAPointer() {
    write("tokenizer.json", "version https://git-lfs.github.com/spec/v1\n");
    assertRefused("tokenizer.json is a git-LFS pointer");
  }

  @Test
  void saysWhatToDoWithoutATokenizerFile() {
    assertRefused(temp + " has no tokenizer.json");
    write("vocab.json", "{}");
    write("merges.txt", "");
    assertRefused("only vocab.json and merges.txt: save it with");
    write("spiece.model", "");
    assertRefused("only spiece.model: save it with transformers' T5TokenizerFast");
  }

  @Test
  void refusesToPadToLess() {
    try (PromptTokenizer tokenizer = PromptTokenizer.open(FOLDER)) {
      PromptTokens tokens = tokenizer.encode("the cat", 512);
      int[] exact = tokens.pad(tokens.count());
      assertArrayEquals(tokens.ids(), exact);
      assertThrows(IllegalArgumentException.class, () -> tokens.pad(tokens.count() - 1));
    }
  }

  private static ObjectNode goldenJson() throws IOException {
    return (ObjectNode) new JsonMapper().readTree(FOLDER.resolve("tokenizer.json").toFile());
  }

  private void write(String file, String text) {
    try {
      Files.writeString(temp.resolve(file), text);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void assertRefused(String part) {
    String message =
        assertThrows(CheckpointException.class, () -> PromptTokenizer.open(temp)).getMessage();
    assertTrue(message.contains(part), message);
  }
}
