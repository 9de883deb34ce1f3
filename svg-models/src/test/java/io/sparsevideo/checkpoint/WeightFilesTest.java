package io.sparsevideo.checkpoint;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.sparsevideo.tensor.DjlTensorOps;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class WeightFilesTest {
  private static final ValueLayout.OfFloat FLOAT =
      ValueLayout.JAVA_FLOAT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  @TempDir Path folder;

  @ParameterizedTest
  @ValueSource(strings = {"diffusion_pytorch_model", "model"})
  void opensASingleFile(String stem) {
    write(stem + ".safetensors", "a", 1);
    write(stem + ".fp16.safetensors", "variant", 1);
    SafeTensorsWriter.writeText(folder.resolve(stem + ".bin"), "PK");
    try (WeightFiles files = WeightFiles.open(folder)) {
      assertEquals(folder.resolve(stem + ".safetensors"), files.source());
      assertEquals(Set.of("a"), files.tensors().keySet());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"diffusion_pytorch_model", "model"})
  void opensShards(String stem) {
    write(stem + "-00001-of-00002.safetensors", "a", 1);
    write(stem + "-00002-of-00002.safetensors", "b", 2);
    index(
        stem,
        """
        {"metadata": {"total_size": 12},
         "weight_map": {"b": "%1$s-00002-of-00002.safetensors",
                        "a": "%1$s-00001-of-00002.safetensors"}}"""
            .formatted(stem));
    MemorySegment b;
    try (WeightFiles files = WeightFiles.open(folder)) {
      assertEquals(Set.of("a", "b"), files.tensors().keySet());
      b = files.tensors().get("b").data();
      assertArrayEquals(new float[] {0, 1}, b.toArray(FLOAT));
      assertEquals(
          folder.resolve(stem + "-00002-of-00002.safetensors"), files.tensors().get("b").file());
    }
    assertTrue(!b.scope().isAlive());
  }

  /** Two shards of more than 4 GiB each, by sparse files, loaded as a component's weights are. */
  @Test
  void loadsWeightsFromShardsBeyondFourGibibytes() throws IOException {
    long padding = (4L << 30) + 8;
    for (int shard = 1; shard <= 2; shard++) {
      String header =
          """
          {"padding.%1$d":{"dtype":"BF16","shape":[%2$d],"data_offsets":[0,%3$d]},
           "far.%1$d":{"dtype":"BF16","shape":[2],"data_offsets":[%3$d,%4$d]}}"""
              .formatted(shard, padding / 2, padding, padding + 4);
      Path path = folder.resolve("big-" + shard + ".safetensors");
      SafeTensorsWriter.write(path, header, new byte[0]);
      long start = Files.size(path);
      try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
        file.setLength(start + padding + 4);
        file.seek(start + padding);
        file.write(
            new byte[] {(byte) 0x80, 0x3f, (byte) (shard * 0x40), (byte) 0xc0}); // 1, -3 or -4
      }
    }
    index(
        "model",
        """
        {"weight_map": {"padding.1": "big-1.safetensors", "far.1": "big-1.safetensors",
                        "padding.2": "big-2.safetensors", "far.2": "big-2.safetensors"}}""");
    try (DjlTensorOps ops = new DjlTensorOps();
        WeightFiles files = WeightFiles.open(folder)) {
      CheckpointParameters parameters =
          new CheckpointParameters(files, ops, ops.manager())
              .optIgnored(name -> name.startsWith("padding"));
      assertArrayEquals(new float[] {1, -3}, parameters.get("far.1", 2).toFloatArray());
      assertArrayEquals(new float[] {1, -4}, parameters.get("far.2", 2).toFloatArray());
      parameters.finish();
    }
  }

  /** What the index does not list is kept, to be used or reported as surplus. */
  @Test
  void keepsTensorsThatTheIndexLacks() {
    new SafeTensorsWriter()
        .floats("a", new long[] {1})
        .floats("unlisted", new long[] {1})
        .write(folder.resolve("s1.safetensors"));
    index("model", "{\"weight_map\": {\"a\": \"s1.safetensors\"}}");
    try (WeightFiles files = WeightFiles.open(folder)) {
      assertEquals(Set.of("a", "unlisted"), files.tensors().keySet());
    }
  }

  @Test
  void followsTheIndexWhereShardsRepeatATensor() {
    write("s1.safetensors", "a", 1);
    new SafeTensorsWriter()
        .floats("a", new long[] {3})
        .floats("b", new long[] {1})
        .write(folder.resolve("s2.safetensors"));
    index("model", "{\"weight_map\": {\"a\": \"s2.safetensors\", \"c\": \"s1.safetensors\"}}");
    assertRefused("'c' (s1.safetensors)");
    index("model", "{\"weight_map\": {\"a\": \"s2.safetensors\"}}");
    try (WeightFiles files = WeightFiles.open(folder)) {
      assertEquals(3, files.tensors().get("a").shape().size());
    }
  }

  @Test
  void refusesAnUnlistedTensorInTwoShards() {
    for (String shard : new String[] {"s1", "s2"}) {
      new SafeTensorsWriter()
          .floats(shard, new long[] {1})
          .floats("twice", new long[] {1})
          .write(folder.resolve(shard + ".safetensors"));
    }
    index("model", "{\"weight_map\": {\"s1\": \"s1.safetensors\", \"s2\": \"s2.safetensors\"}}");
    assertRefused("tensor 'twice' is in both", "s1.safetensors", "s2.safetensors");
  }

  @Test
  void namesAllMissingShards() throws IOException {
    write("s2.safetensors", "b", 1);
    index(
        "model",
        """
        {"weight_map": {"a": "s1.safetensors", "b": "s2.safetensors", "c": "s3.safetensors"}}""");
    Files.createSymbolicLink(folder.resolve("s3.safetensors"), Path.of("../../blobs/00ff"));
    assertRefused("lists 3 files, of which 2 are missing: s1.safetensors, s3.safetensors");
  }

  @Test
  void namesTensorsThatTheirShardsLack() {
    write("s1.safetensors", "a", 1);
    String entries =
        IntStream.range(0, 9)
            .mapToObj("\"t%d\": \"s1.safetensors\""::formatted)
            .collect(Collectors.joining(", "));
    index("model", "{\"weight_map\": {\"a\": \"s1.safetensors\", " + entries + "}}");
    assertRefused("lists 9 tensors that are not in their files: 't0' (s1", "'t4'", "and 4 more");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "\"../s1.safetensors\"",
        "\"/tmp/s1.safetensors\"",
        "\"a\\\\s1.safetensors\"",
        "\"s1.bin\"",
        "\"..\"",
        "7",
        "null"
      })
  void refusesShardNamesThatAreNoNames(String name) {
    index("model", "{\"weight_map\": {\"a\": " + name + "}}");
    assertRefused("puts 'a' into " + name, "the name of a file beside the index");
  }

  @ParameterizedTest
  @ValueSource(strings = {"{}", "{\"weight_map\": {}}", "{\"weight_map\": [1]}"})
  void refusesAnIndexWithoutAMap(String index) {
    index("model", index);
    assertRefused("has no weight_map");
  }

  @Test
  void refusesABrokenShard() {
    SafeTensorsWriter.writeText(folder.resolve("s1.safetensors"), "version https://git-lfs.git");
    index("model", "{\"weight_map\": {\"a\": \"s1.safetensors\"}}");
    assertRefused("s1.safetensors is a git-LFS pointer");
  }

  @Test
  void refusesABrokenLink() throws IOException {
    Files.createSymbolicLink(folder.resolve("model.safetensors"), Path.of("../blobs/00ff"));
    assertRefused("model.safetensors is a link to ../blobs/00ff, which does not exist");
  }

  @Test
  void saysWhatIsThereInstead() {
    assertRefused("holds no weights, expected diffusion_pytorch_model.safetensors or");
    SafeTensorsWriter.writeText(folder.resolve("pytorch_model.bin"), "PK");
    SafeTensorsWriter.writeText(folder.resolve("config.json"), "{}");
    assertRefused("holds pytorch_model.bin, expected", "convert the files to safetensors");
    write("model.fp16.safetensors", "a", 1);
    assertRefused("holds model.fp16.safetensors, pytorch_model.bin, expected", "rename the files");
  }

  @Test
  void refusesWhatIsNoFolder() {
    Path file = SafeTensorsWriter.writeText(folder.resolve("f"), "");
    String message =
        assertThrows(CheckpointException.class, () -> WeightFiles.open(file)).getMessage();
    assertTrue(message.contains("is a file, expected a folder"), message);
  }

  private void write(String file, String tensor, long size) {
    new SafeTensorsWriter().floats(tensor, new long[] {size}).write(folder.resolve(file));
  }

  private void index(String stem, String json) {
    SafeTensorsWriter.writeText(folder.resolve(stem + ".safetensors.index.json"), json);
  }

  private void assertRefused(String... parts) {
    String message =
        assertThrows(CheckpointException.class, () -> WeightFiles.open(folder)).getMessage();
    for (String part : parts) {
      assertTrue(message.contains(part), message);
    }
    assertTrue(message.contains(folder.toString()), message);
  }
}
