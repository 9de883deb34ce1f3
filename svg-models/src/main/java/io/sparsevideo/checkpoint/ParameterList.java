package io.sparsevideo.checkpoint;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * Lists the weights that a model asks for, and gives it none: what a config implies, known before
 * any weight is read.
 */
public final class ParameterList implements Parameters {
  /** More than any model has; a damaged config may imply billions. */
  private static final int MOST = 1_000_000;

  private final List<Entry> entries = new ArrayList<>();
  private final Set<String> names = new HashSet<>();

  /**
   * A weight that the model asks for.
   *
   * @param use what it is held as
   */
  public record Entry(String name, Shape shape, Use use) {}

  /** What becomes of a weight. */
  public enum Use {
    /** A tensor of the backend's compute type. */
    COMPUTED,
    /** A tensor of FLOAT32. */
    FLOAT32,
    /** It stays in its file. */
    STORED
  }

  /** The weights in the order they were asked for. */
  public List<Entry> entries() {
    return Collections.unmodifiableList(entries);
  }

  /** Number of weights, each a tensor. */
  public int tensorCount() {
    return entries.size();
  }

  /** Number of values in all weights. */
  public long parameterCount() {
    return entries.stream().mapToLong(entry -> entry.shape().size()).sum();
  }

  /** Bytes of the tensors that a backend holds which computes in a type. */
  public long bytes(DataType computeType) {
    return entries.stream()
        .mapToLong(
            entry ->
                entry.shape.size()
                    * switch (entry.use) {
                      case COMPUTED -> computeType.getNumOfBytes();
                      case FLOAT32 -> Float.BYTES;
                      case STORED -> 0;
                    })
        .sum();
  }

  @Override
  public NDArray get(String name, long... shape) {
    add(name, Use.COMPUTED, shape);
    return null;
  }

  @Override
  public NDArray getFloat32(String name, long... shape) {
    add(name, Use.FLOAT32, shape);
    return null;
  }

  @Override
  public EmbeddingTable embedding(String name, long rows, long width) {
    add(name, Use.STORED, rows, width);
    return null;
  }

  private void add(String name, Use use, long... shape) {
    if (!names.add(name)) {
      throw new IllegalStateException("the weight '%s' is asked for twice".formatted(name));
    }
    if (Arrays.stream(shape).anyMatch(dimension -> dimension < 1)) {
      throw new CheckpointException(
          "the config's sizes are impossible: the weight '%s' would have the shape %s"
              .formatted(name, Arrays.toString(shape)));
    }
    if (entries.size() == MOST) {
      throw new CheckpointException(
          "the config's sizes are impossible: they make more than %d weights".formatted(MOST));
    }
    entries.add(new Entry(name, new Shape(shape), use));
  }
}
