package io.sparsevideo.tensor;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;

/**
 * Frees everything that is computed from some tensors, except what is kept.
 *
 * <p>DJL gives a result to the manager of its first argument. A scope lends its arguments to a
 * child manager while it is open, so that intermediate results land there and are freed when it
 * closes, also on errors; the arguments then return to where they were.
 *
 * <pre>{@code
 * try (TensorScope scope = TensorScope.over(x)) {
 *   return scope.keep(x.mul(2).add(1));
 * }
 * }</pre>
 */
public final class TensorScope implements AutoCloseable {
  private final NDManager outer;
  private final NDManager manager;

  private TensorScope(NDManager outer) {
    this.outer = outer;
    manager = outer.newSubManager();
  }

  /** A scope over these tensors; what is kept goes to the manager of the first. */
  public static TensorScope over(NDArray first, NDArray... more) {
    TensorScope scope = new TensorScope(first.getManager());
    try {
      scope.borrow(first);
      for (NDArray array : more) {
        scope.borrow(array);
      }
      return scope;
    } catch (RuntimeException | Error e) {
      scope.close();
      throw e;
    }
  }

  private void borrow(NDArray array) {
    // The same tensor may be given twice; borrowed again it would return to this scope, not to its
    // owner.
    if (array.getManager() != manager) {
      array.tempAttach(manager);
    }
  }

  /** The child manager, for new tensors. */
  public NDManager manager() {
    return manager;
  }

  /**
   * Saves a result from being freed with the scope: it goes to the manager of the scope's first
   * tensor.
   */
  public NDArray keep(NDArray result) {
    result.attach(outer);
    return result;
  }

  @Override
  public void close() {
    manager.close();
  }
}
