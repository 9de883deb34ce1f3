package io.sparsevideo.conformance;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import com.fasterxml.jackson.databind.JsonNode;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.SafeTensors;
import io.sparsevideo.checkpoint.TensorInfo;
import io.sparsevideo.conformance.StageResult.Status;
import io.sparsevideo.tensor.FloatConversion;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;

/**
 * A recorded run: {@code trace.json} and the tensors of {@code trace.safetensors}. Tensors are
 * either inputs, which are read, or stages, which are compared; what is neither in the end is
 * reported as not supported.
 */
public final class Trace implements AutoCloseable {
  private static final ValueLayout.OfInt INT =
      ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
  private static final ValueLayout.OfLong LONG =
      ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

  private final Path folder;
  private final JsonNode json;
  private final SafeTensors tensors;
  private final Consumer<StageResult> results;
  private final Set<String> untouched;
  private final Map<String, String> notes = new HashMap<>();

  /**
   * @throws CheckpointException when a file is missing or broken
   */
  Trace(Path folder, Consumer<StageResult> results) {
    this.folder = folder;
    this.results = results;
    json = ConfigReader.read(folder.resolve("trace.json")).json();
    tensors = SafeTensors.open(folder.resolve("trace.safetensors"));
    untouched = new TreeSet<>(tensors.tensors().keySet());
  }

  public Path folder() {
    return folder;
  }

  public JsonNode json() {
    return json;
  }

  /** The names of all recorded tensors. */
  public Set<String> names() {
    return tensors.tensors().keySet();
  }

  public boolean has(String name) {
    return tensors.tensors().containsKey(name);
  }

  /**
   * A number of {@code trace.json}.
   *
   * @param keys where it lies: the key of an object, and so on down to the number's
   * @throws CheckpointException when it is absent or no number
   */
  public double number(String... keys) {
    JsonNode value = json;
    for (String key : keys) {
      value = value.path(key);
    }
    if (!value.isNumber()) {
      throw new CheckpointException(
          "%s: '%s' should be a number, found %s"
              .formatted(
                  folder.resolve("trace.json"),
                  String.join(".", keys),
                  value.isMissingNode() ? "no such key" : value));
    }
    return value.doubleValue();
  }

  /**
   * A whole number of at least 1 of {@code trace.json}: a count or a size.
   *
   * @throws CheckpointException when it is absent or none
   */
  public int count(String... keys) {
    double value = number(keys);
    if (value != (int) value || value < 1) {
      throw new CheckpointException(
          "%s: '%s' should be a whole number of at least 1, found %s"
              .formatted(folder.resolve("trace.json"), String.join(".", keys), value));
    }
    return (int) value;
  }

  /** An input's values as floats. */
  public float[] floats(String name) {
    TensorInfo info = read(name);
    MemorySegment values = MemorySegment.ofArray(new float[Math.toIntExact(info.shape().size())]);
    switch (info.type()) {
      case I32, I64, U8 -> {
        int[] ints = ints(name);
        float[] result = new float[ints.length];
        for (int i = 0; i < ints.length; i++) {
          result[i] = ints[i];
        }
        return result;
      }
      default ->
          FloatConversion.toFloat32(info.data(), info.type().dataType().orElseThrow(), values);
    }
    return values.toArray(ValueLayout.JAVA_FLOAT);
  }

  /** An input's values as ints. */
  public int[] ints(String name) {
    TensorInfo info = read(name);
    int[] result = new int[Math.toIntExact(info.shape().size())];
    for (int i = 0; i < result.length; i++) {
      result[i] =
          switch (info.type()) {
            case I32 -> info.data().getAtIndex(INT, i);
            case I64 -> Math.toIntExact(info.data().getAtIndex(LONG, i));
            case U8 -> info.data().get(ValueLayout.JAVA_BYTE, i) & 255;
            default ->
                throw new CheckpointException(
                    name + " is " + info.type() + ", expected whole numbers");
          };
    }
    return result;
  }

  /** An input's size along an axis. */
  public int size(String name, int axis) {
    return (int) read(name).shape().get(axis);
  }

  /** An input as a FLOAT32 tensor of its recorded shape. */
  public NDArray tensor(String name, NDManager manager) {
    return manager.create(floats(name), read(name).shape());
  }

  private TensorInfo read(String name) {
    TensorInfo info = tensors.tensors().get(name);
    if (info == null) {
      throw new CheckpointException(folder.resolve("trace.safetensors") + " has no tensor " + name);
    }
    untouched.remove(name);
    return info;
  }

  /**
   * Compares a computed tensor with a recorded one by ‖a − b‖ / ‖b‖; does nothing where none was
   * recorded.
   */
  public void compare(String name, NDArray found, double tolerance) {
    if (has(name)) {
      compare(name, found.toType(DataType.FLOAT32, false).toFloatArray(), tolerance);
    }
  }

  /** As {@link #compare(String, NDArray, double)}. */
  public void compare(String name, float[] found, double tolerance) {
    if (has(name)) {
      double error = error(name, found);
      // A NaN is not within any tolerance.
      String detail =
          Double.isNaN(error)
              ? found.length + " values do not compare"
              : notes.getOrDefault(name, "");
      report(name, error, tolerance, error <= tolerance, detail);
    }
  }

  /**
   * ‖a − b‖ / ‖b‖ against a recorded tensor, without a verdict; NaN when none was recorded or the
   * sizes differ.
   */
  public double error(String name, NDArray found) {
    return error(name, found.toType(DataType.FLOAT32, false).toFloatArray());
  }

  private double error(String name, float[] found) {
    float[] expected = has(name) ? floats(name) : new float[0];
    if (found.length != expected.length) {
      return Double.NaN;
    }
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      double d = (double) found[i] - expected[i];
      difference += d * d;
      norm += (double) expected[i] * expected[i];
    }
    return difference == 0 ? 0 : Math.sqrt(difference / norm);
  }

  /** What to say beside a stage when it is compared. */
  public void note(String name, String text) {
    notes.put(name, text);
  }

  /** Compares a list of numbers that {@code trace.json} holds; does nothing where it has none. */
  public void compareListed(String name, float[] found, double tolerance) {
    JsonNode listed = json.path(name);
    if (!listed.isArray()) {
      return;
    }
    boolean sized = listed.size() == found.length;
    double error = sized ? 0 : Double.NaN;
    for (int i = 0; sized && i < found.length; i++) {
      double expected = listed.get(i).asDouble();
      error = Math.max(error, Math.abs(found[i] - expected) / Math.max(Math.abs(expected), 1e-12));
    }
    report(
        name,
        error,
        tolerance,
        error <= tolerance,
        sized ? "" : found.length + " values, recorded are " + listed.size());
  }

  /** Compares whole numbers, all of which must be equal. */
  public void compare(String name, int[] found) {
    if (!has(name)) {
      return;
    }
    int[] expected = ints(name);
    if (found.length != expected.length) {
      report(name, Double.NaN, 0, false, found.length + " values, recorded are " + expected.length);
      return;
    }
    int different = 0;
    for (int i = 0; i < expected.length; i++) {
      different += found[i] == expected[i] ? 0 : 1;
    }
    report(
        name,
        (double) different / expected.length,
        0,
        different == 0,
        different == 0 ? "" : different + " of " + expected.length + " differ");
  }

  /** Reports an error that was computed elsewhere from a recorded tensor. */
  public void judge(String name, double error, double tolerance) {
    report(name, error, tolerance, error <= tolerance, notes.getOrDefault(name, ""));
  }

  private void report(String name, double error, double tolerance, boolean ok, String detail) {
    results.accept(new StageResult(name, error, tolerance, ok ? Status.OK : Status.FAILED, detail));
  }

  /** Reports what was neither read nor compared. */
  void reportUntouched() {
    for (String name : untouched) {
      results.accept(new StageResult(name, Double.NaN, Double.NaN, Status.NOT_SUPPORTED, ""));
    }
  }

  @Override
  public void close() {
    tensors.close();
  }
}
