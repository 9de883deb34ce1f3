package io.sparsevideo.checkpoint;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.tensor.FloatConversion;
import io.sparsevideo.tensor.TensorOps;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;

/**
 * An embedding that stays in its mapped file. A prompt needs a few hundred rows of it; loading all
 * of UMT5-XXL's would take 4.2 GB. Usable as long as the file is open.
 */
public final class EmbeddingTable {
  private final TensorInfo table;
  private final long rows;
  private final long width;
  private final long rowBytes;

  /**
   * @param table (rows, width), of a floating-point type
   * @throws CheckpointException when it is not
   */
  public EmbeddingTable(TensorInfo table) {
    if (table.shape().dimension() != 2 || !table.type().isFloating()) {
      throw new CheckpointException(
          "%s: '%s' is %s of shape %s, expected a matrix of F32, F16, BF16 or F64"
              .formatted(table.file(), table.name(), table.type(), table.shape()));
    }
    this.table = table;
    rows = table.shape().get(0);
    width = table.shape().get(1);
    rowBytes = width * table.type().bits() / Byte.SIZE;
  }

  /** Number of rows: the size of the vocabulary. */
  public long rowCount() {
    return rows;
  }

  /** Values of a row. */
  public long width() {
    return width;
  }

  /**
   * Rows by their numbers.
   *
   * @return (ids, width), row-major
   * @throws CheckpointException for an id that is not a row: the tokenizer does not fit the encoder
   */
  public float[] rows(int... ids) {
    float[] values = new float[Math.toIntExact(ids.length * width)];
    try (Arena arena = Arena.ofConfined()) {
      FloatConversion.toFloat32(gather(arena, ids), dataType(), MemorySegment.ofArray(values));
    }
    return values;
  }

  /**
   * Rows by their numbers, as a tensor of the backend's compute type.
   *
   * @return (ids, width), owned by {@code manager}
   * @throws CheckpointException for an id that is not a row: the tokenizer does not fit the encoder
   */
  public NDArray rows(TensorOps ops, NDManager manager, int... ids) {
    try (Arena arena = Arena.ofConfined()) {
      Shape shape = new Shape(ids.length, width);
      return CheckpointParameters.upload(
          ops, manager, gather(arena, ids), table.type(), shape, ops.computeType());
    }
  }

  private MemorySegment gather(Arena arena, int[] ids) {
    MemorySegment gathered = arena.allocate(ids.length * rowBytes, Long.BYTES);
    for (int i = 0; i < ids.length; i++) {
      if (ids[i] < 0 || ids[i] >= rows) {
        throw new CheckpointException(
            "token %d is not in '%s' of %s, which has %d rows: the tokenizer does not fit the encoder"
                .formatted(ids[i], table.name(), table.file(), rows));
      }
      MemorySegment.copy(table.data(), ids[i] * rowBytes, gathered, i * rowBytes, rowBytes);
    }
    return gathered;
  }

  private DataType dataType() {
    return table.type().dataType().orElseThrow();
  }
}
