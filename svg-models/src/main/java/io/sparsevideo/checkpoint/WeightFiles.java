package io.sparsevideo.checkpoint;

import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * The weights of one component folder, memory-mapped: a single safetensors file, or shards and the
 * index that lists them, by the names that diffusers ({@code diffusion_pytorch_model.safetensors})
 * and transformers ({@code model.safetensors}) save them under.
 */
public final class WeightFiles implements AutoCloseable {
  private static final String INDEX_SUFFIX = ".index.json";

  /** Which file is read when a folder holds several: the public implementations' order. */
  private static final List<String> CANDIDATES =
      List.of(
          "diffusion_pytorch_model.safetensors" + INDEX_SUFFIX,
          "diffusion_pytorch_model.safetensors",
          "model.safetensors",
          "model.safetensors" + INDEX_SUFFIX);

  private final Path source;
  private final List<SafeTensors> files;
  private final Map<String, TensorInfo> tensors;

  private WeightFiles(Path source, List<SafeTensors> files, Map<String, TensorInfo> tensors) {
    this.source = source;
    this.files = files;
    this.tensors = Collections.unmodifiableMap(tensors);
  }

  /**
   * Opens the weights of a component.
   *
   * @throws CheckpointException when there are none, shards are missing, or a file is not valid
   */
  public static WeightFiles open(Path folder) {
    CheckpointFiles.requireFolder(folder);
    for (String candidate : CANDIDATES) {
      Path file = folder.resolve(candidate);
      // A broken link is the wanted file too, and opening it says what is wrong with it.
      if (Files.exists(file) || Files.isSymbolicLink(file)) {
        return candidate.endsWith(INDEX_SUFFIX) ? openShards(file) : openSingle(file);
      }
    }
    throw nothingUsable(folder);
  }

  /** The file that was opened: the weights themselves, or the index of their shards. */
  public Path source() {
    return source;
  }

  /** All tensors by name. */
  public Map<String, TensorInfo> tensors() {
    return tensors;
  }

  /** Unmaps all files. */
  @Override
  public void close() {
    files.forEach(SafeTensors::close);
  }

  private static WeightFiles openSingle(Path file) {
    SafeTensors single = SafeTensors.open(file);
    return new WeightFiles(file, List.of(single), single.tensors());
  }

  private static WeightFiles openShards(Path index) {
    Map<String, String> weightMap = readIndex(index);
    requireShards(index, new TreeSet<>(weightMap.values()));
    List<SafeTensors> shards = new ArrayList<>();
    try {
      for (String name : new TreeSet<>(weightMap.values())) {
        shards.add(SafeTensors.open(index.resolveSibling(name)));
      }
      return new WeightFiles(index, shards, merge(index, weightMap, shards));
    } catch (RuntimeException e) {
      shards.forEach(SafeTensors::close);
      throw e;
    }
  }

  /** Tensor name to shard name. */
  private static Map<String, String> readIndex(Path index) {
    JsonNode weightMap = ConfigReader.read(index).json().path("weight_map");
    if (!weightMap.isObject() || weightMap.isEmpty()) {
      throw new CheckpointException(
          "%s has no weight_map, expected an object of tensor names and shard names"
              .formatted(index));
    }
    Map<String, String> shardOf = new LinkedHashMap<>();
    weightMap
        .properties()
        .forEach(
            entry -> {
              String shard = entry.getValue().textValue();
              if (shard == null || !isPlainName(shard)) {
                throw new CheckpointException(
                    "%s puts '%s' into %s, expected the name of a file beside the index"
                        .formatted(index, entry.getKey(), entry.getValue()));
              }
              shardOf.put(entry.getKey(), shard);
            });
    return shardOf;
  }

  /** An index from a stranger must not name files outside its folder. */
  private static boolean isPlainName(String name) {
    return name.indexOf('/') < 0
        && name.indexOf('\\') < 0
        && name.indexOf('\0') < 0
        && name.endsWith(".safetensors");
  }

  private static void requireShards(Path index, TreeSet<String> names) {
    List<String> missing =
        names.stream().filter(name -> !Files.exists(index.resolveSibling(name))).toList();
    if (!missing.isEmpty()) {
      throw new CheckpointException(
          "%s lists %d files, of which %d are missing: %s. Download them again"
              .formatted(index, names.size(), missing.size(), String.join(", ", missing)));
    }
  }

  /**
   * All tensors of all shards. Those that the index does not list are kept, as the public
   * implementations do, so that they are either used or reported as surplus.
   */
  private static Map<String, TensorInfo> merge(
      Path index, Map<String, String> shardOf, List<SafeTensors> shards) {
    Map<String, TensorInfo> tensors = new LinkedHashMap<>();
    for (SafeTensors shard : shards) {
      String shardName = shard.file().getFileName().toString();
      shard
          .tensors()
          .forEach(
              (name, tensor) -> {
                if (shardOf.getOrDefault(name, shardName).equals(shardName)) {
                  TensorInfo other = tensors.put(name, tensor);
                  if (other != null) {
                    throw new CheckpointException(
                        "tensor '%s' is in both %s and %s, and %s does not say which counts"
                            .formatted(name, other.file(), tensor.file(), index));
                  }
                }
              });
    }
    List<String> absent =
        shardOf.keySet().stream().filter(Predicate.not(tensors::containsKey)).toList();
    if (!absent.isEmpty()) {
      throw new CheckpointException(
          "%s lists %d tensors that are not in their files: %s"
              .formatted(
                  index,
                  absent.size(),
                  Names.list(
                      absent.stream()
                          .map(name -> "'%s' (%s)".formatted(name, shardOf.get(name))))));
    }
    return tensors;
  }

  private static CheckpointException nothingUsable(Path folder) {
    List<String> weights;
    try (Stream<Path> entries = Files.list(folder)) {
      weights =
          entries
              .map(entry -> entry.getFileName().toString())
              .filter(name -> name.matches(".*\\.(safetensors|index\\.json|bin|pth?|ckpt|gguf)"))
              .sorted()
              .toList();
    } catch (IOException e) {
      throw CheckpointFiles.unreadable(folder, e);
    }
    String expected =
        "expected diffusion_pytorch_model.safetensors or model.safetensors, or shards of these with"
            + " their .index.json";
    if (weights.isEmpty()) {
      return new CheckpointException("%s holds no weights, %s".formatted(folder, expected));
    }
    boolean safetensors = weights.stream().anyMatch(name -> name.endsWith(".safetensors"));
    return new CheckpointException(
        "%s holds %s, %s; %s"
            .formatted(
                folder,
                Names.list(weights.stream()),
                expected,
                safetensors
                    ? "download those, or rename the files if they are what you want"
                    : "download those, or convert the files to safetensors"));
  }
}
