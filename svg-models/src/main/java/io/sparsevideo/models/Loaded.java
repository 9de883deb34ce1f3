package io.sparsevideo.models;

import ai.djl.ndarray.NDManager;

/**
 * A model and the manager that owns its weights; closing frees them.
 *
 * @param <T> the model
 */
public record Loaded<T>(T model, NDManager weights) implements AutoCloseable {
  @Override
  public void close() {
    weights.close();
  }
}
