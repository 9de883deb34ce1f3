package io.sparsevideo.checkpoint;

import ai.djl.ndarray.types.Shape;
import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadFeature;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A memory-mapped safetensors file: eight bytes of header length, a JSON header, the tensors' data.
 *
 * <p>Opening validates the whole header as strictly as the public implementation does: the tensors
 * must cover the data exactly, without overlaps, gaps or trailing bytes. Nothing is read but the
 * header; the operating system pages data in when it is copied, so files may be larger than memory,
 * and must not change while they are open. The format is described in the README of
 * huggingface/safetensors.
 */
public final class SafeTensors implements AutoCloseable {
  /** The public implementation's bound. */
  private static final long MAX_HEADER = 100_000_000;

  private static final int PREFIX = Long.BYTES;
  private static final ValueLayout.OfLong LENGTH =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final JsonFactory JSON =
      JsonFactory.builder().enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION).build();

  private final Path file;
  private final Arena arena;
  private final Map<String, TensorInfo> tensors;
  private final Map<String, String> metadata;

  private SafeTensors(
      Path file, Arena arena, Map<String, TensorInfo> tensors, Map<String, String> metadata) {
    this.file = file;
    this.arena = arena;
    this.tensors = Collections.unmodifiableMap(tensors);
    this.metadata = Collections.unmodifiableMap(metadata);
  }

  /**
   * Maps a file.
   *
   * @throws CheckpointException when it is missing or not a valid safetensors file
   */
  public static SafeTensors open(Path file) {
    CheckpointFiles.requireFile(file);
    Arena arena = Arena.ofShared();
    try (FileChannel channel = FileChannel.open(file, StandardOpenOption.READ)) {
      MemorySegment content = channel.map(MapMode.READ_ONLY, 0, channel.size(), arena);
      MemorySegment header = header(file, content);
      Header entries = new Header(file, header);
      MemorySegment data = content.asSlice(PREFIX + header.byteSize());
      return new SafeTensors(file, arena, entries.resolve(data), entries.metadata);
    } catch (IOException e) {
      arena.close();
      throw CheckpointFiles.unreadable(file, e);
    } catch (RuntimeException e) {
      arena.close();
      throw e;
    }
  }

  public Path file() {
    return file;
  }

  /** The tensors by name, in the header's order. */
  public Map<String, TensorInfo> tensors() {
    return tensors;
  }

  /** The header's free-form text entries. */
  public Map<String, String> metadata() {
    return metadata;
  }

  /** Unmaps the file; its tensors' data must not be used any more. */
  @Override
  public void close() {
    if (arena.scope().isAlive()) {
      arena.close();
    }
  }

  private static MemorySegment header(Path file, MemorySegment content) {
    long room = content.byteSize() - PREFIX;
    long length = room < 0 ? -1 : content.get(LENGTH, 0);
    if (length >= 0 && length <= Math.min(room, MAX_HEADER)) {
      return content.asSlice(PREFIX, length);
    }
    // Not before: a length may begin with another format's first bytes.
    String other = otherFormat(content);
    if (other != null) {
      throw invalid(file, "it is %s: this library reads safetensors only".formatted(other));
    }
    if (room < 0) {
      throw invalid(
          file,
          "it holds %d bytes, expected at least the 8 of the header length: an incomplete download?"
              .formatted(content.byteSize()));
    }
    if (length < 0 || length > MAX_HEADER) {
      throw invalid(
          file,
          "its header length is %s bytes, expected at most %d"
              .formatted(Long.toUnsignedString(length), MAX_HEADER));
    }
    throw invalid(
        file,
        "its header should be %d bytes long, but only %d follow: an incomplete download?"
            .formatted(length, room));
  }

  /** What else goes by the names of weight files, recognised by its first bytes. */
  private static String otherFormat(MemorySegment content) {
    if (startsWith(content, 'P', 'K', 3, 4)) {
      return "a zip archive, such as PyTorch's .pt, .pth and .bin files";
    }
    if (startsWith(content, 0x80, 2)) {
      return "a Python pickle, such as PyTorch's older .pt, .pth and .bin files";
    }
    if (startsWith(content, 'G', 'G', 'U', 'F')) {
      return "a GGUF file";
    }
    return null;
  }

  private static boolean startsWith(MemorySegment content, int... bytes) {
    if (content.byteSize() < bytes.length) {
      return false;
    }
    for (int i = 0; i < bytes.length; i++) {
      if (Byte.toUnsignedInt(content.get(ValueLayout.JAVA_BYTE, i)) != bytes[i]) {
        return false;
      }
    }
    return true;
  }

  private static CheckpointException invalid(Path file, String why) {
    return new CheckpointException("%s is not a valid safetensors file: %s".formatted(file, why));
  }

  /** The parsed header. */
  private static final class Header {
    private final Path file;
    private final List<Entry> entries = new ArrayList<>();
    private final Map<String, String> metadata = new LinkedHashMap<>();

    /** A tensor whose size is checked against its shape and type; offsets are still unchecked. */
    private record Entry(String name, StoredType type, Shape shape, long begin, long end) {}

    Header(Path file, MemorySegment header) {
      this.file = file;
      try (JsonParser json = JSON.createParser(header.toArray(ValueLayout.JAVA_BYTE))) {
        expect(json.nextToken() == JsonToken.START_OBJECT, "its header is not a JSON object");
        while (json.nextToken() == JsonToken.FIELD_NAME) {
          String name = json.currentName();
          json.nextToken();
          if (name.equals("__metadata__")) {
            readMetadata(json);
          } else {
            entries.add(readEntry(json, name));
          }
        }
        expect(json.nextToken() == null, "its header goes on after the JSON object");
      } catch (JacksonException e) {
        throw invalid(file, "its header is not valid JSON: " + ConfigReader.reason(e));
      } catch (IOException e) {
        throw CheckpointFiles.unreadable(file, e);
      }
    }

    private void readMetadata(JsonParser json) throws IOException {
      expect(json.currentToken() == JsonToken.START_OBJECT, "__metadata__ is not a JSON object");
      while (json.nextToken() == JsonToken.FIELD_NAME) {
        String key = json.currentName();
        expect(
            json.nextToken() == JsonToken.VALUE_STRING, "__metadata__ '%s' is not a string", key);
        metadata.put(key, json.getText());
      }
    }

    private Entry readEntry(JsonParser json, String name) throws IOException {
      expect(
          json.currentToken() == JsonToken.START_OBJECT,
          "tensor '%s' is not described by a JSON object",
          name);
      StoredType type = null;
      long[] shape = null;
      long[] offsets = null;
      while (json.nextToken() == JsonToken.FIELD_NAME) {
        String key = json.currentName();
        json.nextToken();
        switch (key) {
          case "dtype" -> type = readType(json, name);
          case "shape" -> shape = readLongs(json, name, key);
          case "data_offsets" -> offsets = readLongs(json, name, key);
          default -> json.skipChildren();
        }
      }
      expect(type != null, "tensor '%s' has no dtype", name);
      expect(shape != null, "tensor '%s' has no shape", name);
      expect(
          offsets != null && offsets.length == 2,
          "tensor '%s' has no data_offsets [begin, end]",
          name);
      expect(
          offsets[0] <= offsets[1],
          "tensor '%s' has data_offsets %s, whose end lies before the begin",
          name,
          Arrays.toString(offsets));
      long size = byteSize(name, type, shape);
      expect(
          size == offsets[1] - offsets[0],
          "tensor '%s' takes %d bytes by its data_offsets, but %s of shape %s takes %d",
          name,
          offsets[1] - offsets[0],
          type,
          Arrays.toString(shape),
          size);
      return new Entry(name, type, new Shape(shape), offsets[0], offsets[1]);
    }

    private StoredType readType(JsonParser json, String name) throws IOException {
      String text = json.getText();
      try {
        return StoredType.valueOf(text);
      } catch (IllegalArgumentException e) {
        throw invalid(
            file,
            "tensor '%s' has the unknown dtype %s, expected one of %s"
                .formatted(name, text, Arrays.toString(StoredType.values())));
      }
    }

    private long[] readLongs(JsonParser json, String name, String key) throws IOException {
      expect(
          json.currentToken() == JsonToken.START_ARRAY,
          "tensor '%s': %s is not an array",
          name,
          key);
      List<Long> values = new ArrayList<>();
      while (json.nextToken() != JsonToken.END_ARRAY) {
        boolean valid =
            json.currentToken() == JsonToken.VALUE_NUMBER_INT
                && json.getNumberType() != JsonParser.NumberType.BIG_INTEGER
                && json.getLongValue() >= 0;
        expect(
            valid,
            "tensor '%s': %s holds %s, expected integers from 0 to 2^63 - 1",
            name,
            key,
            json.getText());
        values.add(json.getLongValue());
      }
      return values.stream().mapToLong(Long::longValue).toArray();
    }

    private long byteSize(String name, StoredType type, long[] shape) {
      try {
        long bits = type.bits();
        for (long dimension : shape) {
          bits = Math.multiplyExact(bits, dimension);
        }
        expect(
            bits % Byte.SIZE == 0,
            "tensor '%s', %s of shape %s, does not fill whole bytes",
            name,
            type,
            Arrays.toString(shape));
        return bits / Byte.SIZE;
      } catch (ArithmeticException e) {
        throw invalid(
            file,
            "tensor '%s' has shape %s, which is more than fits a file"
                .formatted(name, Arrays.toString(shape)));
      }
    }

    /** The tensors on their data, which they must cover exactly. */
    Map<String, TensorInfo> resolve(MemorySegment data) {
      List<Entry> byOffset = new ArrayList<>(entries);
      byOffset.sort(Comparator.comparingLong(Entry::begin).thenComparingLong(Entry::end));
      Entry previous = new Entry("", StoredType.U8, new Shape(0), 0, 0);
      for (Entry entry : byOffset) {
        expect(
            entry.end <= data.byteSize(),
            "tensor '%s' has data_offsets [%d, %d], but the file holds %d bytes of data:"
                + " an incomplete download?",
            entry.name,
            entry.begin,
            entry.end,
            data.byteSize());
        expect(
            entry.begin >= previous.end,
            "tensors '%s' [%d, %d] and '%s' [%d, %d] overlap",
            previous.name,
            previous.begin,
            previous.end,
            entry.name,
            entry.begin,
            entry.end);
        expect(
            entry.begin == previous.end,
            "%d bytes before tensor '%s' [%d, %d] belong to no tensor",
            entry.begin - previous.end,
            entry.name,
            entry.begin,
            entry.end);
        previous = entry;
      }
      expect(
          previous.end == data.byteSize(),
          "%d bytes after the last tensor's end at %d belong to no tensor",
          data.byteSize() - previous.end,
          previous.end);
      Map<String, TensorInfo> tensors = new LinkedHashMap<>();
      for (Entry entry : entries) {
        MemorySegment slice = data.asSlice(entry.begin, entry.end - entry.begin);
        tensors.put(entry.name, new TensorInfo(entry.name, entry.type, entry.shape, slice, file));
      }
      return tensors;
    }

    private void expect(boolean condition, String why, Object... arguments) {
      if (!condition) {
        throw invalid(file, why.formatted(arguments));
      }
    }
  }
}
