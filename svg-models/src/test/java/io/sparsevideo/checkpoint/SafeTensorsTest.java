package io.sparsevideo.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class SafeTensorsTest {
  private static final Path GOLDEN = Path.of("src/test/resources/golden");
  private static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  @TempDir Path temp;

  @Test
  void readsNamesShapesTypesAndData() {
    Path file =
        new SafeTensorsWriter()
            .floats("b", new long[] {2, 3}, 1, 2, 3, 4, 5, 6)
            .tensor("odd", "U8", new long[] {3}, new byte[] {7, 8, 9})
            .floats("scalar", new long[] {}, 42)
            .tensor("empty", "BF16", new long[] {0, 5}, new byte[0])
            .tensor("packed", "F4", new long[] {2, 3}, new byte[] {1, 2, 3})
            .write(temp.resolve("a.safetensors"));
    try (SafeTensors tensors = SafeTensors.open(file)) {
      assertEquals(
          List.of("b", "odd", "scalar", "empty", "packed"),
          List.copyOf(tensors.tensors().keySet()));
      TensorInfo b = tensors.tensors().get("b");
      assertEquals(new Shape(2, 3), b.shape());
      assertEquals(StoredType.F32, b.type());
      assertEquals(file, b.file());
      assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, b.data().toArray(FLOAT));
      assertTrue(b.data().isReadOnly());
      assertEquals(new Shape(), tensors.tensors().get("scalar").shape());
      assertEquals(42, tensors.tensors().get("scalar").data().get(FLOAT, 0));
      assertEquals(0, tensors.tensors().get("empty").data().byteSize());
      assertFalse(tensors.tensors().get("packed").type().isFloating());
    }
  }

  @Test
  void readsMetadataAndIgnoresUnknownKeys() {
    Path file =
        SafeTensorsWriter.write(
            temp.resolve("a.safetensors"),
            """
            {"__metadata__":{"format":"pt"},
             "é":{"dtype":"F64","note":{"deep":[1]},"shape":[1],"data_offsets":[0,8]}}\s\s\s""",
            new byte[8]);
    try (SafeTensors tensors = SafeTensors.open(file)) {
      assertEquals(Map.of("format", "pt"), tensors.metadata());
      assertEquals(DataType.FLOAT64, tensors.tensors().get("é").type().dataType().orElseThrow());
    }
  }

  @Test
  void readsAFileWithoutTensors() {
    Path file = SafeTensorsWriter.write(temp.resolve("a.safetensors"), "{}", new byte[0]);
    try (SafeTensors tensors = SafeTensors.open(file)) {
      assertTrue(tensors.tensors().isEmpty());
    }
  }

  @Test
  void readsTheGoldenFiles() throws IOException {
    try (Stream<Path> files = Files.walk(GOLDEN)) {
      List<Path> found = files.filter(f -> f.toString().endsWith(".safetensors")).toList();
      assertEquals(6, found.size());
      for (Path file : found) {
        try (SafeTensors tensors = SafeTensors.open(file)) {
          assertFalse(tensors.tensors().isEmpty());
        }
      }
    }
  }

  /** A shard of 6 GiB, by a sparse file: offsets, shapes and row numbers beyond 2³¹. */
  @Test
  void readsTensorsBeyondFourGibibytes() throws IOException {
    long firstBytes = (6L << 30) - 12;
    String header =
        """
        {"big":{"dtype":"BF16","shape":[%d,2],"data_offsets":[0,%d]},
        "last":{"dtype":"F32","shape":[3],"data_offsets":[%d,%d]}}"""
            .formatted(firstBytes / 4, firstBytes, firstBytes, firstBytes + 12);
    Path path = SafeTensorsWriter.write(temp.resolve("big.safetensors"), header, new byte[0]);
    long dataStart = Files.size(path);
    int farRow = 1_500_000_001;
    try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
      file.setLength(dataStart + firstBytes + 12);
      file.seek(dataStart + 4L * farRow);
      file.write(new byte[] {(byte) 0x80, 0x3f, 0x00, (byte) 0xc0}); // 1, -2
      file.seek(dataStart + firstBytes);
      file.write(
          ByteBuffer.allocate(12)
              .order(ByteOrder.LITTLE_ENDIAN)
              .putFloat(0.5f)
              .putFloat(1.5f)
              .putFloat(2.5f)
              .array());
    }
    try (SafeTensors tensors = SafeTensors.open(path)) {
      assertArrayEquals(
          new float[] {0.5f, 1.5f, 2.5f}, tensors.tensors().get("last").data().toArray(FLOAT));
      TensorInfo big = tensors.tensors().get("big");
      assertEquals(firstBytes, big.data().byteSize());
      EmbeddingTable table = new EmbeddingTable(big);
      assertArrayEquals(new float[] {1, -2, 0, 0}, table.rows(farRow, farRow + 1));
    }
  }

  @Test
  void unmapsOnClose() {
    Path file = new SafeTensorsWriter().floats("x", new long[] {2}).write(temp.resolve("a"));
    MemorySegment data;
    try (SafeTensors tensors = SafeTensors.open(file)) {
      data = tensors.tensors().get("x").data();
    }
    assertFalse(data.scope().isAlive());
  }

  static Stream<Arguments> invalidHeaders() {
    String x = "\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";
    return Stream.of(
        Arguments.of("not JSON", "{\"x\":", "its header is not valid JSON"),
        Arguments.of("no quotes", "{x}", "its header is not valid JSON"),
        Arguments.of("an array", "[]", "not a JSON object"),
        Arguments.of("nothing", "", "not a JSON object"),
        Arguments.of("two objects", "{" + x + "}{}", "goes on after the JSON object"),
        Arguments.of("a duplicate", "{" + x + "," + x + "}", "Duplicate field 'x'"),
        Arguments.of("a number for a tensor", "{\"x\":1}", "'x' is not described by a JSON object"),
        Arguments.of("metadata", "{\"__metadata__\":1}", "__metadata__ is not a JSON object"),
        Arguments.of("a metadatum", "{\"__metadata__\":{\"a\":1}}", "'a' is not a string"),
        Arguments.of("no dtype", tensor("F32", "[2]", "[0,8]").replace("dtype", "d"), "no dtype"),
        Arguments.of("no shape", tensor("F32", "[2]", "[0,8]").replace("shape", "s"), "no shape"),
        Arguments.of(
            "no offsets",
            tensor("F32", "[2]", "[0,8]").replace("data_offsets", "o"),
            "no data_offsets"),
        Arguments.of("one offset", tensor("F32", "[2]", "[8]"), "no data_offsets [begin, end]"),
        Arguments.of(
            "unknown dtype", tensor("Q4_K", "[2]", "[0,8]"), "unknown dtype Q4_K, expected one of"),
        Arguments.of(
            "negative shape", tensor("F32", "[-2]", "[0,8]"), "shape holds -2, expected integers"),
        Arguments.of(
            "fractional shape", tensor("F32", "[2.5]", "[0,8]"), "shape holds 2.5, expected"),
        Arguments.of("nested shape", tensor("F32", "[[2]]", "[0,8]"), "shape holds [, expected"),
        Arguments.of("text shape", tensor("F32", "\"2\"", "[0,8]"), "shape is not an array"),
        Arguments.of(
            "shape beyond a long",
            tensor("F32", "[99999999999999999999]", "[0,8]"),
            "shape holds 99999999999999999999"),
        Arguments.of(
            "overflowing shape",
            tensor("F32", "[4294967296,4294967296]", "[0,8]"),
            "shape [4294967296, 4294967296], which is more than fits a file"),
        Arguments.of(
            "half a byte", tensor("F4", "[3]", "[0,8]"), "F4 of shape [3], does not fill whole"),
        Arguments.of(
            "size",
            tensor("F32", "[3]", "[0,8]"),
            "'x' takes 8 bytes by its data_offsets, but F32 of shape [3] takes 12"),
        Arguments.of(
            "backward offsets", tensor("F32", "[2]", "[8,0]"), "[8, 0], whose end lies before"),
        Arguments.of(
            "negative offset", tensor("F32", "[2]", "[-8,0]"), "data_offsets holds -8, expected"),
        Arguments.of(
            "offsets beyond the file",
            tensor("F32", "[3]", "[0,12]"),
            "'x' has data_offsets [0, 12], but the file holds 8 bytes of data"),
        Arguments.of(
            "overlap",
            "{" + x + ",\"y\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
            "tensors 'x' [0, 8] and 'y' [4, 8] overlap"),
        Arguments.of(
            "gap", tensor("F32", "[1]", "[4,8]"), "4 bytes before tensor 'x' [4, 8] belong to no"),
        Arguments.of(
            "trailing bytes",
            tensor("F32", "[1]", "[0,4]"),
            "4 bytes after the last tensor's end at 4 belong to no tensor"));
  }

  private static String tensor(String type, String shape, String offsets) {
    return "{\"x\":{\"dtype\":\"%s\",\"shape\":%s,\"data_offsets\":%s}}"
        .formatted(type, shape, offsets);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("invalidHeaders")
  void refusesInvalidHeaders(String what, String header, String message) {
    Path file = SafeTensorsWriter.write(temp.resolve("x.safetensors"), header, new byte[8]);
    assertRefused(file, message);
  }

  static Stream<Arguments> invalidFiles() {
    return Stream.of(
        Arguments.of("empty", new byte[0], "it holds 0 bytes"),
        Arguments.of("seven bytes", new byte[7], "it holds 7 bytes"),
        Arguments.of("no header", prefix(2), "should be 2 bytes long, but only 0 follow"),
        Arguments.of("100 MB header", prefix(100_000_001), "header length is 100000001 bytes"),
        Arguments.of("huge header", prefix(-1), "header length is 18446744073709551615 bytes"),
        Arguments.of("zip", ascii("PK\3\4 the rest"), "a zip archive, such as PyTorch's"),
        Arguments.of(
            "pickle", new byte[] {(byte) 0x80, 2, 'c', 0, 0, 0, 0, 0, 0}, "a Python pickle"),
        Arguments.of("gguf", ascii("GGUF\3\0\0\0 the rest"), "a GGUF file"),
        Arguments.of("html", ascii("<!DOCTYPE html><html>"), "header length is "),
        Arguments.of(
            "LFS pointer",
            ascii("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"),
            "is a git-LFS pointer, not the file itself: run 'git lfs pull'"));
  }

  /** Its length begins as a pickle does: 0x80, 2. */
  @Test
  void aHeaderMayHaveAnyLength() {
    String header = "{}" + " ".repeat(0x280 - 2);
    Path file = SafeTensorsWriter.write(temp.resolve("a.safetensors"), header, new byte[0]);
    try (SafeTensors tensors = SafeTensors.open(file)) {
      assertTrue(tensors.tensors().isEmpty());
    }
  }

  private static byte[] prefix(long length) {
    return ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN).putLong(length).array();
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.ISO_8859_1);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("invalidFiles")
  void refusesOtherFiles(String what, byte[] content, String message) {
    assertRefused(SafeTensorsWriter.writeBytes(temp.resolve("x.safetensors"), content), message);
  }

  /** Every prefix of a valid file is refused, and none crashes. */
  @Test
  void refusesEveryTruncation() throws IOException {
    Path whole =
        new SafeTensorsWriter()
            .floats("x", new long[] {2})
            .floats("y", new long[] {1})
            .write(temp.resolve("x.safetensors"));
    byte[] content = Files.readAllBytes(whole);
    for (int length = 0; length < content.length; length++) {
      byte[] cut = Arrays.copyOf(content, length);
      Path file = SafeTensorsWriter.writeBytes(temp.resolve("cut.safetensors"), cut);
      assertThrows(CheckpointException.class, () -> SafeTensors.open(file));
    }
  }

  @Test
  void refusesWhatIsNoFile() throws IOException {
    assertRefused(temp.resolve("none.safetensors"), "does not exist");
    assertRefused(temp.resolve("nowhere/none.safetensors"), "nor does the folder around it");
    assertRefused(temp, "is a folder, expected a file");
    Path link = Files.createSymbolicLink(temp.resolve("link"), Path.of("../blobs/0123abc"));
    assertRefused(link, "is a link to ../blobs/0123abc, which does not exist");
  }

  private static void assertRefused(Path file, String message) {
    String actual =
        assertThrows(CheckpointException.class, () -> SafeTensors.open(file)).getMessage();
    assertTrue(actual.contains(message), actual);
    assertTrue(actual.contains(file.toString()), actual);
  }
}
