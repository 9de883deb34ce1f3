package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.checkpoint.EmbeddingTable;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.checkpoint.StoredType;
import io.sparsevideo.checkpoint.TensorInfo;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.engine.CudaNDArray;
import io.sparsevideo.cuda.engine.CudaNDManager;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Random;
import java.util.function.ToDoubleFunction;

/**
 * Weights of any model: normal, ones for norms, all of them there as a checkpoint's would be. They
 * are drawn once and repeated on the device from changing places: tens of gigabytes take seconds to
 * draw and to bring there. Closing gives back what they are copied from, not the weights.
 */
final class RandomWeights implements Parameters, AutoCloseable {

  /** A prime number, so that rows of a matrix differ. */
  private static final int DRAWN = 4_194_301;

  private static final double SMALL = 0.02;

  private final CudaNDManager manager;
  private final DataType type;
  private final ToDoubleFunction<Shape> deviation;
  private final Random random = new Random(11);
  private final CudaNDArray drawn;

  private RandomWeights(CudaNDManager manager, DataType type, ToDoubleFunction<Shape> deviation) {
    this.manager = manager;
    this.type = type;
    this.deviation = deviation;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(ValueLayout.JAVA_FLOAT, DRAWN);
      for (int i = 0; i < DRAWN; i++) {
        values.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
      }
      drawn = manager.create(values, new Shape(DRAWN), DataType.FLOAT32);
    }
  }

  /**
   * Weights of deviation 0.02.
   *
   * @param manager owns the weights
   * @param type of those that the model does not keep in FLOAT32
   */
  static RandomWeights small(CudaNDManager manager, DataType type) {
    return new RandomWeights(manager, type, shape -> SMALL);
  }

  /**
   * Weights through which activations keep their size: scaled by the inputs of each output, with
   * small biases.
   *
   * @param manager owns the weights
   * @param type of those that the model does not keep in FLOAT32
   */
  static RandomWeights scaled(CudaNDManager manager, DataType type) {
    return new RandomWeights(
        manager,
        type,
        shape -> shape.dimension() == 1 ? SMALL : 1 / Math.sqrt(shape.slice(1).size()));
  }

  @Override
  public NDArray get(String name, long... sizes) {
    return weight(name, new Shape(sizes), type);
  }

  @Override
  public NDArray getFloat32(String name, long... sizes) {
    return weight(name, new Shape(sizes), DataType.FLOAT32);
  }

  /** Of zeros in host memory, where a checkpoint's lies in its file. */
  @Override
  public EmbeddingTable embedding(String name, long rows, long width) {
    Shape shape = new Shape(rows, width);
    MemorySegment zeros = Arena.ofAuto().allocate(ValueLayout.JAVA_SHORT, shape.size());
    return new EmbeddingTable(
        new TensorInfo(name, StoredType.BF16, shape, zeros, Path.of("random weights")));
  }

  private NDArray weight(String name, Shape shape, DataType wanted) {
    CudaNDArray weight;
    if (name.contains("norm")) {
      weight = manager.ones(shape, wanted);
    } else {
      try (CudaNDArray normal = normal(shape)) {
        weight = normal.muli(deviation.applyAsDouble(shape)).toType(wanted, true);
      }
    }
    weight.setName(name);
    return weight;
  }

  private CudaNDArray normal(Shape shape) {
    CudaNDArray values = manager.create(shape, DataType.FLOAT32);
    CudaStream stream = manager.stream();
    MemorySegment target = values.memory();
    MemorySegment source = drawn.memory();
    long from = (long) Float.BYTES * random.nextInt(DRAWN);
    for (long filled = 0; filled < target.byteSize(); ) {
      long more = Math.min(target.byteSize() - filled, source.byteSize() - from);
      stream.copyOnDevice(target.asSlice(filled, more), source.asSlice(from, more));
      filled += more;
      from = 0;
    }
    return values;
  }

  @Override
  public void close() {
    drawn.close();
  }
}
