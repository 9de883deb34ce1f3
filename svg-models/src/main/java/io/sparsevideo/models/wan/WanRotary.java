package io.sparsevideo.models.wan;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.kernels.PatchGrid;
import io.sparsevideo.tensor.FloatConversion;

/**
 * Rotary position angles of a grid of patches: a head's pairs of channels are shared out to the
 * frame, row and column axes, and each share turns with its own axis' position (Wan 2.1; base
 * 10,000).
 *
 * @param grid the patches
 * @param rounded whether the values are rounded to BFLOAT16, see {@link WanTransformer#roundRotary}
 * @param cos (S, D / 2), FLOAT32
 * @param sin (S, D / 2), FLOAT32
 */
record WanRotary(PatchGrid grid, boolean rounded, NDArray cos, NDArray sin)
    implements AutoCloseable {
  private static final double BASE = 10_000;

  /**
   * @param manager owner of the tables
   * @param headDim D
   */
  static WanRotary of(NDManager manager, int headDim, PatchGrid grid, boolean rounded) {
    int spatialPairs = headDim / 6; // of each of the two spatial axes
    int framePairs = headDim / 2 - 2 * spatialPairs;
    int pairs = headDim / 2;
    int frames = grid.frames() / grid.patchFrames();
    int rows = grid.height() / grid.patchHeight();
    int columns = grid.width() / grid.patchWidth();
    Axis byFrame = Axis.of(frames, framePairs);
    Axis byRow = Axis.of(rows, spatialPairs);
    Axis byColumn = Axis.of(columns, spatialPairs);
    float[] cos = new float[Math.multiplyExact(grid.tokens(), pairs)];
    float[] sin = new float[cos.length];
    int i = 0;
    for (int frame = 0; frame < frames; frame++) {
      for (int row = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++) {
          i = byFrame.copy(frame, cos, sin, i);
          i = byRow.copy(row, cos, sin, i);
          i = byColumn.copy(column, cos, sin, i);
        }
      }
    }
    if (rounded) {
      round(cos);
      round(sin);
    }
    Shape shape = new Shape(grid.tokens(), pairs);
    NDArray cosines = manager.create(cos, shape);
    try {
      return new WanRotary(grid, rounded, cosines, manager.create(sin, shape));
    } catch (RuntimeException | Error e) {
      cosines.close();
      throw e;
    }
  }

  /** Whether these are the tables of a grid. */
  boolean fits(PatchGrid other, boolean rounded) {
    return grid.equals(other) && this.rounded == rounded;
  }

  @Override
  public void close() {
    cos.close();
    sin.close();
  }

  /** The angles of one axis: cos and sin are (positions, pairs), row-major. */
  private record Axis(int pairs, float[] cos, float[] sin) {
    static Axis of(int positions, int pairs) {
      Axis axis = new Axis(pairs, new float[positions * pairs], new float[positions * pairs]);
      for (int position = 0; position < positions; position++) {
        for (int p = 0; p < pairs; p++) {
          double angle = position / Math.pow(BASE, (double) p / pairs);
          axis.cos[position * pairs + p] = (float) Math.cos(angle);
          axis.sin[position * pairs + p] = (float) Math.sin(angle);
        }
      }
      return axis;
    }

    /** Copies a position's angles to {@code start} and returns where they end. */
    int copy(int position, float[] toCos, float[] toSin, int start) {
      System.arraycopy(cos, position * pairs, toCos, start, pairs);
      System.arraycopy(sin, position * pairs, toSin, start, pairs);
      return start + pairs;
    }
  }

  private static void round(float[] values) {
    for (int i = 0; i < values.length; i++) {
      values[i] = FloatConversion.bfloat16ToFloat(FloatConversion.floatToBfloat16(values[i]));
    }
  }
}
