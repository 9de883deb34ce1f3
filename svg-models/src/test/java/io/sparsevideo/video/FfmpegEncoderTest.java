package io.sparsevideo.video;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sparsevideo.Video;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SegmentAllocator;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class FfmpegEncoderTest {
  @TempDir Path folder;

  @BeforeAll
  static void quiet() {
    FfmpegEncoder.load();
  }

  private static VideoFormat.Recipe recipe(VideoFormat format) {
    return format.recipe(VideoFileOptions.DEFAULT);
  }

  @ParameterizedTest
  @EnumSource(value = VideoFormat.class, names = "PNG", mode = EnumSource.Mode.EXCLUDE)
  void aFullDiskIsReported(VideoFormat format) {
    Path full = Path.of("/dev/full");
    assumeTrue(full.toFile().exists(), "needs /dev/full");
    Video video = TestVideos.moving(320, 240, 24, 5);
    FfmpegException e =
        assertThrows(
            FfmpegException.class,
            () -> {
              try (FfmpegEncoder encoder = new FfmpegEncoder(full, recipe(format), 320, 240, 24)) {
                video.frames().forEach(encoder::write);
                encoder.finish();
              }
            });
    assertTrue(e.getMessage().contains("No space left on device"), e.getMessage());
  }

  @Test
  void aMisspeltOptionIsRefused() {
    VideoFormat.Recipe good = recipe(VideoFormat.GIF);
    VideoFormat.Recipe bad =
        new VideoFormat.Recipe(
            good.muxer(),
            good.muxerOptions(),
            good.encoder(),
            Map.of("trheads", "1"),
            "format=rgb8",
            1);
    FfmpegException e =
        assertThrows(
            FfmpegException.class,
            () -> new FfmpegEncoder(folder.resolve("a.gif"), bad, 32, 32, 24).close());
    assertTrue(e.getMessage().contains("trheads"), e.getMessage());
  }

  /**
   * By the C library's own count of bytes in use. The JVM allocates there too, but not in every
   * window; a leak is.
   */
  @ParameterizedTest
  @EnumSource(value = VideoFormat.class, names = "PNG", mode = EnumSource.Mode.EXCLUDE)
  void freesNativeMemoryOnEveryPath(VideoFormat format) throws Throwable {
    Video video = TestVideos.moving(640, 480, 24, 3);
    int frameBytes = 640 * 480 * 3;
    int windows = 4;
    int filesPerWindow = 5;
    for (boolean finish : new boolean[] {false, true}) {
      for (int frames : finish ? new int[] {3} : new int[] {0, 1, 3}) {
        long leastGrowth = Long.MAX_VALUE;
        for (int window = 0; window < windows; window++) {
          long before = nativeBytesInUse();
          for (int i = 0; i < filesPerWindow; i++) {
            writeSome(format, video, frames, finish);
          }
          leastGrowth = Math.min(leastGrowth, nativeBytesInUse() - before);
        }
        assertTrue(
            leastGrowth < filesPerWindow * frameBytes / 4,
            "after " + frames + " frames " + leastGrowth + " bytes are left");
      }
    }
  }

  private void writeSome(VideoFormat format, Video video, int frames, boolean finish) {
    Path file = folder.resolve("file");
    try (FfmpegEncoder encoder =
        new FfmpegEncoder(file, recipe(format), video.width(), video.height(), video.fps())) {
      video.frames().subList(0, frames).forEach(encoder::write);
      if (finish) {
        encoder.finish();
      }
    }
  }

  /** glibc's mallinfo2: the fields hblkhd (large blocks) and uordblks (the others). */
  private static long nativeBytesInUse() throws Throwable {
    Linker linker = Linker.nativeLinker();
    var symbol = linker.defaultLookup().find("mallinfo2");
    assumeTrue(symbol.isPresent(), "needs glibc 2.33 or newer for mallinfo2");
    MemoryLayout fields =
        MemoryLayout.structLayout(
            MemoryLayout.sequenceLayout(10, ValueLayout.JAVA_LONG).withName("fields"));
    MethodHandle mallinfo2 = linker.downcallHandle(symbol.get(), FunctionDescriptor.of(fields));
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment info = (MemorySegment) mallinfo2.invokeExact((SegmentAllocator) arena);
      return info.getAtIndex(ValueLayout.JAVA_LONG, 4) + info.getAtIndex(ValueLayout.JAVA_LONG, 7);
    }
  }

  @Test
  void theCountSeesALeak() throws Throwable {
    long before = nativeBytesInUse();
    try (Arena arena = Arena.ofConfined()) {
      arena.allocate(64L << 20).fill((byte) 1);
      assertEquals(64, nativeBytesInUse() - before >> 20, 2);
    }
  }
}
