package io.sparsevideo.attention;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.tensor.TensorOps;
import java.lang.foreign.MemorySegment;
import java.util.function.Consumer;
import java.util.function.DoubleSupplier;

/** Densities that the device computes, kept there until somebody asks, so that no call waits. */
final class DensityLog {
  /** Calls whose densities lie in one tensor, to be read at once. */
  private static final int PAGE_ROWS = 256;

  private final TensorOps ops;
  private final NDManager manager;
  private Page page;

  /**
   * @param manager owner of the tensors
   */
  DensityLog(TensorOps ops, NDManager manager) {
    this.ops = ops;
    this.manager = manager;
  }

  /** The densities of calls: (PAGE_ROWS, H) FLOAT32, and what was read of them. */
  private static final class Page {
    private final NDArray tensor;
    private final int heads;
    private int rows;
    private int rowsRead;
    private float[] values;

    Page(NDManager manager, int heads) {
      this.heads = heads;
      tensor = manager.create(new Shape(PAGE_ROWS, heads), DataType.FLOAT32);
    }

    /** Mean over the heads. */
    double mean(int row) {
      if (row >= rowsRead) {
        values = tensor.toFloatArray();
        rowsRead = rows;
      }
      double sum = 0;
      for (int h = 0; h < heads; h++) {
        sum += values[row * heads + h];
      }
      return sum / heads;
    }
  }

  /**
   * One more call.
   *
   * @param write puts the densities of {@code heads} heads into the memory that it gets
   * @return their mean; asking waits for the device
   */
  DoubleSupplier add(int heads, Consumer<MemorySegment> write) {
    if (page == null || page.rows == PAGE_ROWS || page.heads != heads) {
      page = new Page(manager, heads);
    }
    Page current = page;
    long bytes = (long) heads * Float.BYTES;
    write.accept(ops.memory(current.tensor).asSlice(current.rows * bytes, bytes));
    int row = current.rows++;
    return () -> current.mean(row);
  }
}
