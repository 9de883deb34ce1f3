package io.sparsevideo.checkpoint;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.tensor.FloatConversion;
import io.sparsevideo.tensor.TensorOps;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.stream.Stream;

/**
 * Loads a component's weights from its files, each converted and copied to the backend when the
 * model asks for it. {@link #verify} compares all names and shapes before the first copy; {@link
 * #finish} after the model is built makes sure that nothing was left over.
 */
public final class CheckpointParameters implements Parameters {
  private final WeightFiles files;
  private final TensorOps ops;
  private final NDManager manager;
  private final Map<String, String> alternatives = new HashMap<>();
  private final Set<String> used = new HashSet<>();
  private Predicate<String> ignored = name -> false;
  private Runnable beforeEach = () -> {};
  private DataType computeType;

  /**
   * @param files stay open as long as weights are loaded, and as long as an {@link EmbeddingTable}
   *     of them is in use
   * @param manager owns the loaded weights
   */
  public CheckpointParameters(WeightFiles files, TensorOps ops, NDManager manager) {
    this.files = files;
    this.ops = ops;
    this.manager = manager;
    computeType = ops == null ? null : ops.computeType();
  }

  /**
   * Another name that folders save a weight under. Where both are present they are one tied weight,
   * and {@code name} is read.
   */
  public CheckpointParameters optAlternative(String name, String alternative) {
    alternatives.put(name, alternative);
    return this;
  }

  /** The type of weights that {@link #get} loads; default: the backend's compute type. */
  public CheckpointParameters optComputeType(DataType type) {
    computeType = type;
    return this;
  }

  /** Stored tensors that may be left over, by their names. */
  public CheckpointParameters optIgnored(Predicate<String> names) {
    ignored = names;
    return this;
  }

  /** Called before each weight is loaded; an exception thrown here ends the loading. */
  public CheckpointParameters optBeforeEach(Runnable action) {
    beforeEach = action;
    return this;
  }

  /**
   * Compares what a model will ask for with what is stored.
   *
   * @throws CheckpointException with all missing, surplus, mis-shaped and mis-typed weights
   */
  public void verify(ParameterList expected) {
    List<String> missing = new ArrayList<>();
    List<String> misfits = new ArrayList<>();
    Set<String> wanted = new HashSet<>();
    for (ParameterList.Entry entry : expected.entries()) {
      addNames(wanted, entry.name());
      TensorInfo tensor = find(entry.name());
      if (tensor == null) {
        missing.add("'%s' %s".formatted(entry.name(), entry.shape()));
      } else if (!tensor.shape().equals(entry.shape()) || !tensor.type().isFloating()) {
        misfits.add(misfit(tensor, entry.shape()));
      }
    }
    report(missing, misfits, surplus(wanted));
  }

  /**
   * Ends the loading.
   *
   * @throws CheckpointException when stored tensors were not asked for
   */
  public void finish() {
    report(List.of(), List.of(), surplus(used));
  }

  @Override
  public NDArray get(String name, long... shape) {
    return load(name, new Shape(shape), computeType);
  }

  @Override
  public NDArray getFloat32(String name, long... shape) {
    return load(name, new Shape(shape), DataType.FLOAT32);
  }

  @Override
  public EmbeddingTable embedding(String name, long rows, long width) {
    return new EmbeddingTable(take(name, new Shape(rows, width)));
  }

  private NDArray load(String name, Shape shape, DataType wanted) {
    beforeEach.run();
    TensorInfo tensor = take(name, shape);
    return upload(ops, manager, tensor.data(), tensor.type(), shape, wanted);
  }

  /** As {@link TensorOps#upload}, of F64 too. */
  static NDArray upload(
      TensorOps ops,
      NDManager manager,
      MemorySegment data,
      StoredType type,
      Shape shape,
      DataType wanted) {
    DataType stored = type.dataType().orElseThrow();
    if (stored != DataType.FLOAT64) {
      return ops.upload(manager, data, stored, shape, wanted);
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment narrowed = arena.allocate(data.byteSize() / 2, Float.BYTES);
      FloatConversion.toFloat32(data, stored, narrowed);
      return ops.upload(manager, narrowed, DataType.FLOAT32, shape, wanted);
    }
  }

  private TensorInfo take(String name, Shape shape) {
    if (used.contains(name)) {
      throw new IllegalStateException("the weight '%s' is asked for twice".formatted(name));
    }
    TensorInfo tensor = find(name);
    if (tensor == null) {
      throw new CheckpointException(
          "%s has no weight '%s' of shape %s%s"
              .formatted(files.source(), name, shape, similar(name)));
    }
    if (!tensor.shape().equals(shape) || !tensor.type().isFloating()) {
      throw new CheckpointException("%s: %s".formatted(tensor.file(), misfit(tensor, shape)));
    }
    addNames(used, name);
    return tensor;
  }

  /** The stored tensor of this or its alternative name, or null. */
  private TensorInfo find(String name) {
    TensorInfo tensor = files.tensors().get(name);
    return tensor == null ? files.tensors().get(alternatives.get(name)) : tensor;
  }

  private void addNames(Set<String> names, String name) {
    names.add(name);
    if (alternatives.containsKey(name)) {
      names.add(alternatives.get(name));
    }
  }

  private List<String> surplus(Set<String> wanted) {
    return files.tensors().values().stream()
        .filter(tensor -> !wanted.contains(tensor.name()) && !ignored.test(tensor.name()))
        .map(tensor -> "'%s' %s".formatted(tensor.name(), tensor.shape()))
        .toList();
  }

  private static String misfit(TensorInfo tensor, Shape expected) {
    return tensor.shape().equals(expected)
        ? "'%s' is stored as %s, expected F32, F16, BF16 or F64"
            .formatted(tensor.name(), tensor.type())
        : "'%s' has shape %s, expected %s".formatted(tensor.name(), tensor.shape(), expected);
  }

  private void report(List<String> missing, List<String> misfits, List<String> surplus) {
    List<String> problems =
        Stream.of(
                summary("missing", missing),
                summary("of the wrong shape or type", misfits),
                summary("that the model does not have", surplus))
            .flatMap(List::stream)
            .toList();
    if (!problems.isEmpty()) {
      throw new CheckpointException(
          "the weights of %s do not fit the model that its config describes: %s"
              .formatted(files.source(), String.join("; ", problems)));
    }
  }

  private static List<String> summary(String what, List<String> weights) {
    return weights.isEmpty()
        ? List.of()
        : List.of("%d %s: %s".formatted(weights.size(), what, Names.list(weights.stream())));
  }

  /** A stored name that differs in case, punctuation or a prefix only: a hint for the message. */
  private String similar(String name) {
    return files.tensors().keySet().stream()
        .filter(stored -> stored.endsWith("." + name) || letters(stored).equals(letters(name)))
        .findFirst()
        .map("; it has '%s'"::formatted)
        .orElse("");
  }

  private static String letters(String name) {
    return name.toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]", "");
  }
}
