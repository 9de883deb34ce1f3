package io.sparsevideo.video;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import io.sparsevideo.GenerationCancelledException;
import io.sparsevideo.InvalidRequestException;
import io.sparsevideo.SparseVideoException;
import io.sparsevideo.Video;
import java.awt.image.BufferedImage;
import java.io.File;
import java.io.IOException;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystem;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import javax.imageio.ImageIO;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class VideoFilesTest {
  @TempDir Path folder;

  private static final int H264_HIGH = 100;

  /** Width, height, frames, frames per second, and the fraction that the file should hold. */
  @ParameterizedTest
  @CsvSource({
    "64, 48, 9, 12, 12, 1",
    "64, 48, 9, 16, 16, 1",
    "64, 48, 9, 23.976, 24000, 1001",
    "64, 48, 9, 29.97, 30000, 1001",
    "64, 48, 9, 24, 24, 1",
    "64, 48, 9, 30, 30, 1",
    "64, 48, 9, 12.5, 25, 2",
    "64, 48, 9, 0.5, 1, 2",
    "64, 48, 60, 30, 30, 1",
    "64, 48, 1, 16, 16, 1",
    "17, 33, 5, 24, 24, 1",
    "16, 16, 5, 24, 24, 1",
    "33, 18, 5, 24, 24, 1",
    "50, 34, 5, 24, 24, 1",
  })
  void mp4IsWhatPlayersExpect(
      int width, int height, int frames, double fps, int rateNumerator, int rateDenominator)
      throws IOException {
    Video video = TestVideos.moving(width, height, fps, frames);
    Path file = folder.resolve("video.mp4");
    video.save(file);

    DecodedVideo decoded = DecodedVideo.of(file);
    assertEquals(width + width % 2, decoded.width());
    assertEquals(height + height % 2, decoded.height());
    assertEquals(frames, decoded.rgba().size());
    assertEquals(rateNumerator, decoded.rateNumerator());
    assertEquals(rateDenominator, decoded.rateDenominator());
    double frameTime = (double) rateDenominator / rateNumerator;
    assertEquals(frames * frameTime, decoded.duration(), 1e-3);
    for (double duration : decoded.durations()) {
      assertEquals(frameTime, duration, 1e-4);
    }
    assertEquals("yuv420p", decoded.pixelFormat());
    assertEquals(H264_HIGH, decoded.profile());
    assertEquals(
        List.of(1, 1, 1, 1),
        List.of(decoded.matrix(), decoded.range(), decoded.primaries(), decoded.transfer()));
    double psnr = VideoMetrics.psnr(padded(video), decoded.video());
    assertTrue(psnr >= 35, "PSNR " + psnr);

    String bytes = Files.readString(file, StandardCharsets.ISO_8859_1);
    assertTrue(bytes.indexOf("moov") < bytes.indexOf("mdat"), "the index comes first");
    assertFalse(bytes.contains("Lavf"), "no library versions in the file");
    int dates = bytes.indexOf("mvhd") + 8;
    assertEquals("\0".repeat(8), bytes.substring(dates, dates + 8), "no dates in the file");
  }

  /** The picture in the file, last row and column repeated up to even sides. */
  private static Video padded(Video video) {
    int width = video.width() + video.width() % 2;
    int height = video.height() + video.height() % 2;
    List<byte[]> frames =
        video.frames().stream()
            .map(
                rgb -> {
                  byte[] wide = new byte[width * height * 3];
                  for (int i = 0; i < wide.length; i++) {
                    int x = Math.min(i / 3 % width, video.width() - 1);
                    int y = Math.min(i / 3 / width, video.height() - 1);
                    wide[i] = rgb[(y * video.width() + x) * 3 + i % 3];
                  }
                  return wide;
                })
            .toList();
    return new Video(width, height, video.fps(), frames, null);
  }

  @Test
  void flatColoursComeBack() {
    int[][] colours = {
      {255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}, {0, 0, 0}, {200, 120, 40}
    };
    for (int[] colour : colours) {
      byte[] rgb = new byte[32 * 32 * 3];
      for (int i = 0; i < rgb.length; i++) {
        rgb[i] = (byte) colour[i % 3];
      }
      Path file = folder.resolve("colour.mp4");
      new Video(32, 32, 24, List.of(rgb, rgb), null).save(file);
      byte[] back = DecodedVideo.of(file).video().frames().get(1);
      for (int c = 0; c < 3; c++) {
        assertEquals(colour[c], back[(16 * 32 + 16) * 3 + c] & 255, 3, "channel " + c);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"17, 33, 5, 12", "64, 48, 25, 23.976", "64, 48, 1, 30", "3, 2, 4, 24"})
  void gifHoldsSizeTimesAndColours(int width, int height, int frames, double fps) {
    Video video = TestVideos.moving(width, height, fps, frames);
    Path file = folder.resolve("video.GIF");
    video.save(file);
    DecodedVideo decoded = DecodedVideo.of(file);
    assertEquals(width, decoded.width());
    assertEquals(height, decoded.height());
    assertEquals(frames, decoded.rgba().size());
    double total = decoded.durations().stream().mapToDouble(d -> d).sum();
    assertEquals(frames / fps, total, 0.011, "times are hundredths of a second");
    double psnr = VideoMetrics.psnr(video, decoded.video());
    assertTrue(psnr >= 35, "PSNR " + psnr);
  }

  @ParameterizedTest
  @CsvSource({"17, 33, 5, 12", "64, 48, 25, 23.976", "64, 48, 1, 30", "19, 11, 4, 24"})
  void webpHoldsSizeTimesAndColours(int width, int height, int frames, double fps)
      throws IOException {
    Video video = TestVideos.moving(width, height, fps, frames);
    Path file = folder.resolve("video.webp");
    video.save(file);
    if (frames == 1) {
      // The encoder turns an animation of one frame into a still image.
      DecodedVideo still = DecodedVideo.of(file);
      assertTrue(VideoMetrics.psnr(video, still.video()) >= 35);
      return;
    }
    AnimatedWebp decoded = AnimatedWebp.of(file, folder.resolve("frame.webp"));
    assertEquals(width, decoded.width());
    assertEquals(height, decoded.height());
    assertEquals(0, decoded.loops());
    assertEquals(frames, decoded.rgb().size());
    int total = decoded.milliseconds().stream().mapToInt(d -> d).sum();
    assertEquals(1000 * frames / fps, total, 1);
    double psnr = VideoMetrics.psnr(video, new Video(width, height, fps, decoded.rgb(), null));
    assertTrue(psnr >= 35, "PSNR " + psnr);
  }

  @Test
  void pngFramesAreExact() throws IOException {
    Video video = TestVideos.moving(17, 33, 24, 11);
    video.save(folder);
    video.save(folder.resolve("b-%d.png"));
    video.save(folder.resolve("c-%03d.png"));
    assertEquals(33, list().size());
    for (int i = 0; i < 11; i++) {
      for (String name : List.of("%04d.png", "b-%d.png", "c-%03d.png")) {
        BufferedImage image = ImageIO.read(folder.resolve(name.formatted(i + 1)).toFile());
        assertEquals(17, image.getWidth());
        for (int y = 0; y < 33; y++) {
          for (int x = 0; x < 17; x++) {
            assertEquals(video.image(i).getRGB(x, y), image.getRGB(x, y));
          }
        }
      }
    }
  }

  @Test
  void filesAreTheSameWhereDigitsAreOthers() throws IOException {
    Locale before = Locale.getDefault();
    Locale.setDefault(Locale.of("ar", "EG"));
    try {
      TestVideos.moving(16, 16, 24, 2).save(folder.resolve("video.mp4"));
      TestVideos.moving(16, 16, 24, 2).save(folder);
    } finally {
      Locale.setDefault(before);
    }
    assertEquals(Set.of("video.mp4", "0001.png", "0002.png"), Set.copyOf(list()));
  }

  @ParameterizedTest
  @ValueSource(strings = {"video.mp4", "video.gif", "video.webp", "%04d.png"})
  void sameFramesGiveSameBytes(String name) throws IOException {
    Path first = Files.createDirectory(folder.resolve("first")).resolve(name);
    Path second = Files.createDirectory(folder.resolve("second")).resolve(name);
    TestVideos.moving(50, 34, 24, 12).save(first);
    TestVideos.moving(50, 34, 24, 12).save(second);
    try (Stream<Path> files = Files.list(first.getParent())) {
      for (Path file : files.toList()) {
        assertArrayEquals(
            Files.readAllBytes(file),
            Files.readAllBytes(second.resolveSibling(file.getFileName())));
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"mp4", "webp"})
  void higherQualityIsLargerAndCloser(String extension) throws IOException {
    Video video = TestVideos.moving(128, 96, 24, 8);
    long lastSize = 0;
    for (int quality : new int[] {0, 50, 100}) {
      Path file = folder.resolve(quality + "." + extension);
      VideoFiles.write(video, file, VideoFileOptions.DEFAULT.optQuality(quality));
      assertTrue(Files.size(file) > lastSize, "quality " + quality);
      lastSize = Files.size(file);
    }
    if (extension.equals("mp4")) {
      double worst = VideoMetrics.psnr(video, DecodedVideo.of(folder.resolve("0.mp4")).video());
      double best = VideoMetrics.psnr(video, DecodedVideo.of(folder.resolve("100.mp4")).video());
      assertTrue(best > worst + 10, worst + " and " + best);
    }
  }

  @Test
  void anExistingFileIsReplacedAndALinkFollowed() throws IOException {
    Path target = folder.resolve("target.mp4");
    Files.writeString(target, "old");
    Path link = Files.createSymbolicLink(folder.resolve("link.mp4"), target);
    TestVideos.moving(32, 32, 24, 2).save(link);
    assertTrue(Files.isSymbolicLink(link));
    assertEquals(2, DecodedVideo.of(target).rgba().size());
  }

  @Test
  void newFilesHaveOrdinaryPermissions() throws IOException {
    Path ordinary = Files.createFile(folder.resolve("ordinary"));
    Path file = folder.resolve("video.mp4");
    TestVideos.moving(32, 32, 24, 2).save(file);
    assertEquals(Files.getPosixFilePermissions(ordinary), Files.getPosixFilePermissions(file));
  }

  @ParameterizedTest
  @ValueSource(strings = {"a:b c%é.mp4", "-x.mp4", "a?b#[c].gif"})
  void unusualNamesAreJustNames(String name) {
    Path file = folder.resolve(name);
    TestVideos.moving(32, 32, 24, 2).save(file);
    assertTrue(Files.exists(file));
  }

  // What is refused, and that it leaves nothing behind.

  private String refusal(Path file) throws IOException {
    return refusal(VideoFileException.class, file);
  }

  private String refusal(Class<? extends SparseVideoException> type, Path file) throws IOException {
    Set<String> before = list();
    String message = assertThrows(type, () -> VideoFiles.checkWritable(file)).getMessage();
    Video video = TestVideos.moving(32, 32, 24, 2);
    assertEquals(message, assertThrows(type, () -> video.save(file)).getMessage());
    assertEquals(before, list());
    return message;
  }

  private Set<String> list() throws IOException {
    try (Stream<Path> files = Files.list(folder)) {
      return files.map(f -> f.getFileName().toString()).collect(Collectors.toSet());
    }
  }

  @Test
  void aUsableOutputLeavesNoTrace() throws IOException {
    VideoFiles.checkWritable(folder);
    for (String name : List.of("a.mp4", "b.gif", "c.webp", "%04d.png")) {
      VideoFiles.checkWritable(folder.resolve(name));
    }
    assertEquals(Set.of(), list());
  }

  @Test
  void unknownExtension() throws IOException {
    for (String name : List.of("video.avi", "video", "mp4")) {
      String message = refusal(InvalidRequestException.class, folder.resolve(name));
      assertTrue(message.contains(name), message);
      for (String known : List.of(".mp4", ".gif", ".webp", "frame-%04d.png", "folder")) {
        assertTrue(message.contains(known), message);
      }
    }
    refusal(InvalidRequestException.class, Path.of(""));
  }

  @Test
  void missingFolderIsNotCreated() throws IOException {
    for (String name : List.of("missing/video.mp4", "missing/%04d.png")) {
      String message = refusal(folder.resolve(name));
      assertTrue(message.contains("missing does not exist"), message);
    }
  }

  @Test
  void aFileInPlaceOfTheFolder() throws IOException {
    Files.writeString(folder.resolve("file"), "");
    String message = refusal(folder.resolve("file/video.mp4"));
    assertTrue(message.contains("is a file"), message);
  }

  @Test
  void aFolderInPlaceOfTheFile() throws IOException {
    Files.createDirectory(folder.resolve("video.mp4"));
    String message = refusal(folder.resolve("video.mp4"));
    assertTrue(message.contains("is a folder"), message);
  }

  @Test
  void aDeviceInPlaceOfTheFile() throws IOException {
    Path link = Files.createSymbolicLink(folder.resolve("video.mp4"), Path.of("/dev/null"));
    String message = refusal(link);
    Files.delete(link);
    assertTrue(message.contains("not a regular file"), message);
  }

  @Test
  void folderWithoutPermission() throws IOException {
    Path locked = Files.createDirectory(folder.resolve("locked"));
    Set<PosixFilePermission> before = Files.getPosixFilePermissions(locked);
    Files.setPosixFilePermissions(locked, PosixFilePermissions.fromString("r-x------"));
    try {
      assumeFalse(Files.isWritable(locked), "runs as root, who may write everywhere");
      String message = refusal(locked.resolve("video.mp4"));
      assertTrue(message.contains("permission denied"), message);
    } finally {
      Files.setPosixFilePermissions(locked, before);
    }
  }

  /** In a process of its own, because this one has loaded them. */
  public static final class WithoutFfmpeg {
    private WithoutFfmpeg() {}

    public static void main(String[] arguments) {
      try {
        VideoFiles.checkWritable(Path.of(arguments[0]));
      } catch (VideoFileException e) {
        System.out.print(e.getMessage());
      }
    }
  }

  private static String checkWithoutFfmpeg(Path file, String excluded) throws Exception {
    String classPath =
        Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
            .filter(entry -> !Path.of(entry).getFileName().toString().matches(excluded))
            .collect(Collectors.joining(File.pathSeparator));
    Process process =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED",
                "-cp",
                classPath,
                WithoutFfmpeg.class.getName(),
                file.toString())
            .redirectErrorStream(true)
            .start();
    String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), printed);
    return printed;
  }

  @Test
  void missingNativeLibraries() throws Exception {
    for (String excluded : List.of("ffmpeg-.*linux.*", "ffmpeg-.*")) {
      String message = checkWithoutFfmpeg(folder.resolve("a.mp4"), excluded);
      assertTrue(message.contains("org.bytedeco:ffmpeg") && message.contains("PNG"), message);
      assertEquals("", checkWithoutFfmpeg(folder, excluded));
    }
  }

  @Test
  void readOnlyFileSystem() throws IOException {
    // The kernel's own file system lets nobody create files, not even root.
    String message = refusal(Path.of("/proc/self/video.mp4"));
    assertTrue(message.contains("cannot be written"), message);
  }

  @Test
  void otherFileSystem() throws IOException {
    URI archive = URI.create("jar:" + folder.resolve("archive.zip").toUri());
    try (FileSystem zip = FileSystems.newFileSystem(archive, Map.of("create", "true"))) {
      String message =
          assertThrows(
                  VideoFileException.class,
                  () -> VideoFiles.checkWritable(zip.getPath("/video.mp4")))
              .getMessage();
      assertTrue(message.contains("default file system"), message);
    }
  }

  @Test
  void onePngCannotHoldAVideo() throws IOException {
    for (String name : List.of("video.png", "%d-%d.png")) {
      String message = refusal(InvalidRequestException.class, folder.resolve(name));
      assertTrue(message.contains("frame-%04d.png"), message);
    }
  }

  @Test
  void qualityWhereThereIsNone() {
    VideoFileOptions options = VideoFileOptions.DEFAULT.optQuality(50);
    for (String name : List.of("a.gif", "%d.png")) {
      Path file = folder.resolve(name);
      String message =
          assertThrows(InvalidRequestException.class, () -> VideoFiles.checkWritable(file, options))
              .getMessage();
      assertTrue(message.contains("no quality setting") && message.contains("50"), message);
    }
    for (int quality : new int[] {-1, 101}) {
      String message =
          assertThrows(IllegalArgumentException.class, () -> options.optQuality(quality))
              .getMessage();
      assertTrue(message.contains("0 to 100") && message.contains("" + quality), message);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "a.mp4, 14, 64, 16 to 8688",
    "a.mp4, 64, 15, 16 to 8688",
    "a.mp4, 8704, 16, 16 to 8688",
    "a.mp4, 4098, 2304, 4096x2304",
    "a.webp, 16384, 64, 1 to 16383",
  })
  void sizesThatAFormatCannotHold(String name, int width, int height, String limit)
      throws IOException {
    Path file = folder.resolve(name);
    String message =
        assertThrows(InvalidRequestException.class, () -> VideoFiles.checkSize(file, width, height))
            .getMessage();
    assertTrue(message.contains(limit) && message.contains(width + "x" + height), message);
    Video video = new Video(width, height, 24, List.of(new byte[width * height * 3]), null);
    assertEquals(
        message, assertThrows(InvalidRequestException.class, () -> video.save(file)).getMessage());
    assertEquals(Set.of(), list());
  }

  @Test
  void theLargestH264FrameFits() {
    Video video = new Video(4096, 2304, 24, List.of(new byte[4096 * 2304 * 3]), null);
    Path file = folder.resolve("a.mp4");
    video.save(file);
    assertEquals(4096, DecodedVideo.of(file).width());
  }

  @ParameterizedTest
  @CsvSource({"a.mp4, 1001, 0.01 to 1000", "a.mp4, 0.001, 0.01 to 1000", "a.gif, 60, 0.01 to 50"})
  void ratesThatAFormatCannotHold(String name, double fps, String limit) throws IOException {
    Path file = folder.resolve(name);
    String message =
        assertThrows(InvalidRequestException.class, () -> VideoFiles.checkRate(file, fps))
            .getMessage();
    assertTrue(message.contains(limit) && message.contains("" + fps), message);
    Video video = TestVideos.moving(32, 32, fps, 1);
    assertEquals(
        message, assertThrows(InvalidRequestException.class, () -> video.save(file)).getMessage());
    assertEquals(Set.of(), list());
  }

  @ParameterizedTest
  @ValueSource(strings = {"video.mp4", "video.gif", "video.webp", "%04d.png"})
  void interruptLeavesNothing(String name) throws IOException {
    Video video = TestVideos.moving(32, 32, 24, 5);
    Thread.currentThread().interrupt();
    assertThrows(GenerationCancelledException.class, () -> video.save(folder.resolve(name)));
    assertTrue(Thread.interrupted(), "the thread stays interrupted");
    assertEquals(Set.of(), list());
  }

  @Test
  void aFrameThatCannotTakeItsPlaceTakesTheOthersBack() throws IOException {
    Files.createDirectories(folder.resolve("0003.png/x"));
    Video video = TestVideos.moving(32, 32, 24, 5);
    String message = assertThrows(VideoFileException.class, () -> video.save(folder)).getMessage();
    assertTrue(message.contains("0003.png"), message);
    assertEquals(Set.of("0003.png"), list());
  }
}
