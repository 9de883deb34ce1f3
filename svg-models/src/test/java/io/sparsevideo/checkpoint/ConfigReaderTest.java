package io.sparsevideo.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermission;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class ConfigReaderTest {
  private static final String CONFIG =
      """
      {"num_layers": 30, "zero": 0, "eps": 1e-06, "big": 1000000000000000019884624838656,
       "patch_size": [1, 2, 2], "latents_mean": [-0.7571, 1, 3e2], "flags": [false, true],
       "cross_attn_norm": true, "qk_norm": "rms_norm_across_heads", "image_dim": null,
       "sigma_max": Infinity, "mixed": [1, "2"], "empty": [], "half": 2.5}
      """;

  @TempDir Path temp;

  private ConfigReader config() {
    return ConfigReader.read(SafeTensorsWriter.writeText(temp.resolve("config.json"), CONFIG));
  }

  @Test
  void readsWhatIsThere() {
    ConfigReader config = config();
    assertEquals(30, config.intValue("num_layers"));
    assertEquals(30, config.positiveInt("num_layers"));
    assertEquals(30, config.positiveInt("num_layers", 2));
    assertEquals(0, config.intValue("zero", 7));
    assertEquals(1e-6, config.doubleValue("eps"));
    assertEquals(1e-6, config.positiveDouble("eps", 1));
    assertEquals(30.0, config.doubleValue("num_layers"));
    assertTrue(config.bool("cross_attn_norm"));
    assertEquals("rms_norm_across_heads", config.string("qk_norm"));
    assertEquals("rms_norm_across_heads", config.oneOf("qk_norm", "rms_norm_across_heads"));
    assertArrayEquals(new int[] {1, 2, 2}, config.ints("patch_size"));
    assertArrayEquals(new int[] {1, 2, 2}, config.positiveInts("patch_size", 3));
    assertArrayEquals(new int[0], config.ints("empty"));
    assertArrayEquals(new double[] {-0.7571, 1, 300}, config.doubles("latents_mean", 3));
    assertArrayEquals(new boolean[] {false, true}, config.bools("flags", 2));
  }

  @Test
  void defaultsWhatIsAbsentOrNull() {
    ConfigReader config = config();
    for (String key : new String[] {"image_dim", "no_such_key"}) {
      assertTrue(config.isNull(key));
      assertEquals(5, config.intValue(key, 5));
      assertEquals(5, config.positiveInt(key, 5));
      assertEquals(0.5, config.doubleValue(key, 0.5));
      assertEquals(0.5, config.positiveDouble(key, 0.5));
      assertEquals("x", config.string(key, "x"));
      assertTrue(config.bool(key, true));
    }
    assertFalse(config.isNull("num_layers"));
  }

  static Stream<Arguments> misfits() {
    return Stream.of(
        misfit(c -> c.intValue("none"), "'none' should be an integer, found no such key"),
        misfit(c -> c.intValue("image_dim"), "'image_dim' should be an integer, found null"),
        misfit(c -> c.intValue("half"), "'half' should be an integer, found 2.5"),
        misfit(c -> c.intValue("half", 3), "'half' should be an integer, found 2.5"),
        misfit(c -> c.intValue("qk_norm"), "an integer, found \"rms_norm_across_heads\""),
        misfit(c -> c.intValue("big"), "an integer, found 1000000000000000019884624838656"),
        misfit(c -> c.positiveInt("zero"), "'zero' should be an integer of at least 1, found 0"),
        misfit(c -> c.doubleValue("sigma_max"), "'sigma_max' should be a number, found"),
        misfit(c -> c.doubleValue("qk_norm"), "'qk_norm' should be a number, found"),
        misfit(c -> c.positiveDouble("zero"), "'zero' should be a number greater than 0, found 0"),
        misfit(c -> c.bool("zero"), "'zero' should be true or false, found 0"),
        misfit(c -> c.string("zero"), "'zero' should be a string, found 0"),
        misfit(c -> c.oneOf("qk_norm", "layer_norm"), "'qk_norm' should be \"layer_norm\", found"),
        misfit(c -> c.oneOf("qk_norm", "a", "b"), "should be one of [a, b], found"),
        misfit(c -> c.ints("mixed"), "'mixed' should be an array of integers, found [1,\"2\"]"),
        misfit(c -> c.ints("zero"), "'zero' should be an array of integers, found 0"),
        misfit(c -> c.positiveInts("patch_size", 2), "an array of 2 integers of at least 1"),
        misfit(c -> c.doubles("latents_mean", 16), "'latents_mean' should be an array of 16"),
        misfit(
            c -> c.doubles("none", 16), "'none' should be an array of 16 numbers, found no such"),
        misfit(c -> c.bools("patch_size", 3), "'patch_size' should be an array of 3 booleans"));
  }

  private static Arguments misfit(Consumer<ConfigReader> read, String message) {
    return Arguments.of(message, read);
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("misfits")
  void namesFileKeyExpectedAndFound(String message, Consumer<ConfigReader> read) {
    ConfigReader config = config();
    assertRefused(() -> read.accept(config), config.file() + ": '", message);
  }

  @Test
  void cutsLongValuesInMessages() {
    Path file =
        SafeTensorsWriter.writeText(
            temp.resolve("long.json"), "{\"a\": \"%s\"}".formatted("x".repeat(5000)));
    ConfigReader config = ConfigReader.read(file);
    String message =
        assertThrows(CheckpointException.class, () -> config.intValue("a")).getMessage();
    assertTrue(message.length() < 200 + file.toString().length(), message);
  }

  @Test
  void refusesWhatIsNotAJsonObject() {
    assertUnreadable("{\"a\": 1", "is not valid JSON", "[line: 1, column: 1]) (line 1)");
    assertUnreadable("{\"a\": 1,\n 'b': 2}", "is not valid JSON", "line 2");
    assertUnreadable("{} {}", "is not valid JSON");
    assertUnreadable("[1]", "does not hold a JSON object");
    assertUnreadable("", "does not hold a JSON object");
    assertUnreadable("version https://git-lfs.github.com/spec/v1\n", "git-LFS pointer");
    assertRefused(() -> ConfigReader.read(temp.resolve("none.json")), "does not exist");
    Path impossible = temp.resolve("x".repeat(300));
    assertRefused(() -> ConfigReader.read(impossible), impossible + " cannot be read: File name");
  }

  @Test
  void saysThatAFileMayNotBeRead() throws IOException {
    assumeFalse("root".equals(System.getProperty("user.name")), "root may read every file");
    Path folder = Files.createDirectory(temp.resolve("folder"));
    Path file = SafeTensorsWriter.writeText(folder.resolve("config.json"), CONFIG);
    for (Path closed : List.of(file, folder)) {
      Set<PosixFilePermission> before = Files.getPosixFilePermissions(closed);
      Files.setPosixFilePermissions(closed, Set.of());
      assertRefused(() -> ConfigReader.read(file), file + " cannot be read: permission denied");
      Files.setPosixFilePermissions(closed, before);
    }
  }

  private void assertUnreadable(String text, String... parts) {
    Path file = SafeTensorsWriter.writeText(temp.resolve("bad.json"), text);
    assertRefused(() -> ConfigReader.read(file), parts);
  }

  private static void assertRefused(Executable action, String... parts) {
    String message = assertThrows(CheckpointException.class, action).getMessage();
    for (String part : parts) {
      assertTrue(message.contains(part), message);
    }
  }
}
