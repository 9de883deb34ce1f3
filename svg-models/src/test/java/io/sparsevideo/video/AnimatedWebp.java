package io.sparsevideo.video;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * What a browser sees in an animated WebP file. ffmpeg decodes single WebP images only, so this
 * reads the container (RFC 9649) and composes the frames.
 *
 * @param loops 0 for ever
 * @param milliseconds duration of each frame
 * @param rgb composed frames
 */
record AnimatedWebp(
    int width, int height, int loops, List<Integer> milliseconds, List<byte[]> rgb) {

  static AnimatedWebp of(Path file, Path scratch) throws IOException {
    ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
    expect("RIFF", tag(in));
    expect("size " + (in.capacity() - 8), "size " + in.getInt());
    expect("WEBP", tag(in));
    int width = 0;
    int height = 0;
    int loops = -1;
    List<Integer> milliseconds = new ArrayList<>();
    List<byte[]> rgb = new ArrayList<>();
    byte[] canvas = null;
    while (in.hasRemaining()) {
      String name = tag(in);
      int size = in.getInt();
      ByteBuffer chunk = in.slice(in.position(), size).order(ByteOrder.LITTLE_ENDIAN);
      in.position(in.position() + size + size % 2);
      switch (name) {
        case "VP8X" -> {
          chunk.position(4);
          width = 1 + int24(chunk);
          height = 1 + int24(chunk);
          canvas = new byte[width * height * 4];
        }
        case "ANIM" -> loops = chunk.getShort(4);
        case "ANMF" -> {
          int left = 2 * int24(chunk);
          int top = 2 * int24(chunk);
          int frameWidth = 1 + int24(chunk);
          int frameHeight = 1 + int24(chunk);
          milliseconds.add(int24(chunk));
          int flags = chunk.get();
          byte[] picture = decode(chunk.slice(), frameWidth, frameHeight, scratch);
          boolean blend = (flags & 2) == 0;
          boolean dispose = (flags & 1) != 0;
          paste(picture, frameWidth, frameHeight, canvas, width, left, top, blend);
          rgb.add(DecodedVideo.withoutAlpha(canvas));
          if (dispose) {
            paste(
                new byte[picture.length], frameWidth, frameHeight, canvas, width, left, top, false);
          }
        }
        default -> throw new AssertionError("unexpected chunk " + name);
      }
    }
    return new AnimatedWebp(width, height, loops, milliseconds, rgb);
  }

  private static void paste(
      byte[] from,
      int width,
      int height,
      byte[] to,
      int toWidth,
      int left,
      int top,
      boolean blend) {
    for (int y = 0; y < height; y++) {
      for (int x = 0; x < width; x++) {
        int source = (y * width + x) * 4;
        int target = ((top + y) * toWidth + left + x) * 4;
        int alpha = blend ? from[source + 3] & 255 : 255;
        for (int c = 0; c < 4; c++) {
          int mixed = (from[source + c] & 255) * alpha + (to[target + c] & 255) * (255 - alpha);
          to[target + c] = (byte) Math.round(mixed / 255f);
        }
      }
    }
  }

  /** A frame's bitstream as a file of its own, which ffmpeg can decode. */
  private static byte[] decode(ByteBuffer bitstream, int width, int height, Path scratch)
      throws IOException {
    byte[] data = new byte[bitstream.remaining()];
    bitstream.get(data);
    ByteArrayOutputStream body = new ByteArrayOutputStream();
    body.writeBytes("WEBP".getBytes(StandardCharsets.US_ASCII));
    if (new String(data, 0, 4, StandardCharsets.US_ASCII).equals("ALPH")) {
      ByteBuffer header = ByteBuffer.allocate(18).order(ByteOrder.LITTLE_ENDIAN);
      header.put("VP8X".getBytes(StandardCharsets.US_ASCII)).putInt(10).putInt(0x10);
      header.putShort((short) (width - 1)).put((byte) 0).putShort((short) (height - 1));
      body.writeBytes(header.array());
    }
    body.writeBytes(data);
    ByteBuffer file =
        ByteBuffer.allocate(8 + body.size())
            .order(ByteOrder.LITTLE_ENDIAN)
            .put("RIFF".getBytes(StandardCharsets.US_ASCII))
            .putInt(body.size())
            .put(body.toByteArray());
    Files.write(scratch, file.array());
    return DecodedVideo.of(scratch).rgba().getFirst();
  }

  private static String tag(ByteBuffer in) {
    byte[] name = new byte[4];
    in.get(name);
    return new String(name, StandardCharsets.US_ASCII);
  }

  private static int int24(ByteBuffer in) {
    return (in.get() & 255) | (in.get() & 255) << 8 | (in.get() & 255) << 16;
  }

  private static void expect(String expected, String found) {
    if (!expected.equals(found)) {
      throw new AssertionError("expected " + expected + ", found " + found);
    }
  }
}
