package io.sparsevideo.tensor;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;

/** Tensors as the kernels see them. */
public final class HeadViews {
  private HeadViews() {}

  /** A contiguous (S, H, D) tensor, read in place. */
  public static Heads of(TensorOps ops, NDArray x) {
    Shape shape = x.getShape();
    return Heads.tokenMajor(
        ops.memory(x),
        kernelType(x.getDataType()),
        (int) shape.get(1),
        (int) shape.get(0),
        (int) shape.get(2));
  }

  /** A contiguous (S, C) tensor as rows of one head. */
  public static Heads rows(TensorOps ops, NDArray x) {
    Shape shape = x.getShape();
    return Heads.headMajor(
        ops.memory(x), kernelType(x.getDataType()), 1, (int) shape.get(0), (int) shape.get(1));
  }

  /** 1/√D. */
  public static float scale(NDArray q) {
    return (float) (1 / Math.sqrt(q.getShape().get(2)));
  }

  /**
   * The kernels' name of a type.
   *
   * @throws IllegalArgumentException for a type that they do not compute with
   */
  public static KernelType kernelType(DataType type) {
    return switch (type) {
      case FLOAT32 -> KernelType.F32;
      case FLOAT16 -> KernelType.F16;
      case BFLOAT16 -> KernelType.BF16;
      default ->
          throw new IllegalArgumentException(
              "kernels compute with FLOAT32, FLOAT16 or BFLOAT16, not " + type);
    };
  }
}
