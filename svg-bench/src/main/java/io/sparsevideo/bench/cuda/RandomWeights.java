package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.checkpoint.EmbeddingTable;
import io.sparsevideo.checkpoint.Parameters;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.engine.CudaNDArray;
import io.sparsevideo.cuda.engine.CudaNDManager;
import io.sparsevideo.tensor.FloatConversion;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;

/**
 * Weights of any model: normal with deviation 0.02, ones for norms, all of them there as a
 * checkpoint's would be. They are drawn once and repeated on the device from changing places: tens
 * of gigabytes take seconds to draw and to bring there.
 */
final class RandomWeights implements Parameters {

  /** A prime number, so that rows of a matrix differ. */
  private static final int DRAWN = 4_194_301;

  private static final double DEVIATION = 0.02;

  private final CudaNDManager manager;
  private final DataType type;
  private final Random random = new Random(11);
  private final CudaNDArray drawn;

  /**
   * @param manager owns the weights
   * @param type of those that the model does not keep in FLOAT32; a 16-bit type
   */
  RandomWeights(CudaNDManager manager, DataType type) {
    this.manager = manager;
    this.type = type;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment values = arena.allocate(2L * DRAWN, 2);
      for (int i = 0; i < DRAWN; i++) {
        float value = (float) (DEVIATION * random.nextGaussian());
        values.setAtIndex(ValueLayout.JAVA_SHORT, i, FloatConversion.floatToBfloat16(value));
      }
      drawn = manager.create(values, new Shape(DRAWN), DataType.BFLOAT16);
    }
  }

  @Override
  public NDArray get(String name, long... sizes) {
    return weight(name, new Shape(sizes), type);
  }

  @Override
  public NDArray getFloat32(String name, long... sizes) {
    return weight(name, new Shape(sizes), DataType.FLOAT32);
  }

  @Override
  public EmbeddingTable embedding(String name, long rows, long width) {
    throw new UnsupportedOperationException("random weights have no embedding; asked for " + name);
  }

  private NDArray weight(String name, Shape shape, DataType wanted) {
    CudaNDArray weight;
    if (name.contains("norm")) {
      weight = manager.ones(shape, wanted);
    } else if (wanted == DataType.BFLOAT16) {
      weight = filled(shape);
    } else {
      try (CudaNDArray brief = filled(shape)) {
        weight = brief.toType(wanted, true);
      }
    }
    weight.setName(name);
    return weight;
  }

  private CudaNDArray filled(Shape shape) {
    CudaNDArray weight = manager.create(shape, DataType.BFLOAT16);
    CudaStream stream = manager.stream();
    MemorySegment target = weight.memory();
    MemorySegment source = drawn.memory();
    long from = 2L * random.nextInt(DRAWN);
    for (long filled = 0; filled < target.byteSize(); ) {
      long more = Math.min(target.byteSize() - filled, source.byteSize() - from);
      stream.copyOnDevice(target.asSlice(filled, more), source.asSlice(from, more));
      filled += more;
      from = 0;
    }
    return weight;
  }
}
