package io.sparsevideo.checkpoint;

import ai.djl.ndarray.NDArray;

/**
 * Where a model gets its weights from. A model asks, in its constructor, for every weight it has by
 * the checkpoint's name and with the shape its config implies. Loading, listing and counting a
 * model's weights are therefore the same code: see {@link ParameterList} and {@link
 * CheckpointParameters}.
 */
public interface Parameters {

  /**
   * The weight of this name in the backend's compute type.
   *
   * @return the tensor, owned by the component's manager; null when this source only lists names
   *     and shapes
   * @throws CheckpointException when it is missing or its shape differs; the message names it and
   *     both shapes
   */
  NDArray get(String name, long... shape);

  /**
   * As {@link #get}, kept in FLOAT32: what the public implementation does not cast to half
   * precision.
   */
  NDArray getFloat32(String name, long... shape);

  /**
   * An embedding of shape (rows, width) that stays where it is stored.
   *
   * @return the table; null when this source only lists names and shapes
   * @throws CheckpointException as {@link #get}
   */
  EmbeddingTable embedding(String name, long rows, long width);

  /** The parameters whose names start with {@code prefix + "."}, asked for without it. */
  default Parameters sub(String prefix) {
    Parameters all = this;
    return new Parameters() {
      @Override
      public NDArray get(String name, long... shape) {
        return all.get(prefix + "." + name, shape);
      }

      @Override
      public NDArray getFloat32(String name, long... shape) {
        return all.getFloat32(prefix + "." + name, shape);
      }

      @Override
      public EmbeddingTable embedding(String name, long rows, long width) {
        return all.embedding(prefix + "." + name, rows, width);
      }
    };
  }
}
