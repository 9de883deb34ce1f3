package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.checkpoint.EmbeddingTable;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.tensor.TensorOps;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.random.RandomGenerator;

/**
 * Random weights through which activations keep their size: normal kernels scaled by the inputs of
 * each output, ones for norms, small biases.
 */
final class ScaledWeights implements Parameters {
  private static final double BIAS_DEVIATION = 0.02;

  private final TensorOps ops;
  private final NDManager manager;
  private final RandomGenerator random = RandomGenerator.of("L64X128MixRandom");

  /**
   * @param manager owns the weights
   */
  ScaledWeights(TensorOps ops, NDManager manager) {
    this.ops = ops;
    this.manager = manager;
  }

  @Override
  public NDArray get(String name, long... shape) {
    return weight(name, new Shape(shape), ops.preciseType());
  }

  @Override
  public NDArray getFloat32(String name, long... shape) {
    return weight(name, new Shape(shape), DataType.FLOAT32);
  }

  @Override
  public EmbeddingTable embedding(String name, long rows, long width) {
    throw new UnsupportedOperationException("random weights have no embedding; asked for " + name);
  }

  private NDArray weight(String name, Shape shape, DataType type) {
    if (name.endsWith("gamma")) {
      return manager.ones(shape, type);
    }
    double deviation =
        shape.dimension() == 1 ? BIAS_DEVIATION : 1 / Math.sqrt(shape.slice(1).size());
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(4 * shape.size(), 4);
      for (long i = 0; i < shape.size(); i++) {
        float value = (float) (deviation * random.nextGaussian());
        values.setAtIndex(ValueLayout.JAVA_FLOAT, i, value);
      }
      return ops.upload(manager, values, DataType.FLOAT32, shape, type);
    }
  }
}
