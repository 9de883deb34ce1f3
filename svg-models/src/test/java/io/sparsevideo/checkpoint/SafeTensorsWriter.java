package io.sparsevideo.checkpoint;

import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** Writes small safetensors files for tests. */
public final class SafeTensorsWriter {
  private static final JsonMapper MAPPER = new JsonMapper();

  private final ObjectNode header = MAPPER.createObjectNode();
  private final ByteArrayOutputStream data = new ByteArrayOutputStream();

  /** An F32 tensor; without values it counts 0, 1, 2, …. */
  public SafeTensorsWriter floats(String name, long[] shape, float... values) {
    int count = (int) Arrays.stream(shape).reduce(1, Math::multiplyExact);
    ByteBuffer bytes = ByteBuffer.allocate(4 * count).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < count; i++) {
      bytes.putFloat(values.length == 0 ? i : values[i]);
    }
    return tensor(name, "F32", shape, bytes.array());
  }

  /** A tensor of stored values. */
  public SafeTensorsWriter tensor(String name, String type, long[] shape, byte[] bytes) {
    ObjectNode entry = header.putObject(name).put("dtype", type);
    Arrays.stream(shape).forEach(entry.putArray("shape")::add);
    entry.putArray("data_offsets").add(data.size()).add(data.size() + bytes.length);
    data.writeBytes(bytes);
    return this;
  }

  public Path write(Path file) {
    return write(file, header.toString(), data.toByteArray());
  }

  /** A file of this header, valid or not. */
  public static Path write(Path file, String header, byte[] data) {
    byte[] json = header.getBytes(StandardCharsets.UTF_8);
    ByteBuffer content =
        ByteBuffer.allocate(8 + json.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
    content.putLong(json.length).put(json).put(data);
    return writeBytes(file, content.array());
  }

  static Path writeText(Path file, String text) {
    return writeBytes(file, text.getBytes(StandardCharsets.UTF_8));
  }

  static Path writeBytes(Path file, byte[] content) {
    try {
      Files.createDirectories(file.getParent());
      return Files.write(file, content);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
