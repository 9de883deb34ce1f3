package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.NDArray;
import io.sparsevideo.tensor.TensorOps;
import java.lang.reflect.Method;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Supplier;

/**
 * What the operations of a backend take, each waited for: its own time, with nothing before it
 * still under way.
 */
final class OperationTimes {

  /**
   * An operation on tensors of one size.
   *
   * @param name of the method
   * @param sizes of its argument and of its result, for people
   */
  record Operation(String name, String sizes) {}

  private final TensorOps ops;
  private final Runnable wait;
  private final Map<Operation, Double> milliseconds = new LinkedHashMap<>();
  private boolean running;

  /**
   * @param wait returns when all that was launched is done
   */
  OperationTimes(TensorOps ops, Runnable wait) {
    this.ops = ops;
    this.wait = wait;
  }

  /** The backend whose operations are timed while this runs. */
  TensorOps proxy() {
    return Interception.of(ops, this::invoke);
  }

  private Object invoke(Method method, Object[] arguments, Supplier<Object> call) {
    if (!running || !NDArray.class.isAssignableFrom(method.getReturnType())) {
      return call.get();
    }
    wait.run();
    long start = System.nanoTime();
    NDArray result = (NDArray) call.get();
    wait.run();
    double took = (System.nanoTime() - start) * 1e-6;
    String sizes = ((NDArray) arguments[0]).getShape() + " to " + result.getShape();
    milliseconds.merge(new Operation(method.getName(), sizes), took, Double::sum);
    return result;
  }

  /** The milliseconds of each operation in some work, in the order of their first calls. */
  Map<Operation, Double> of(Runnable work) {
    milliseconds.clear();
    running = true;
    try {
      work.run();
    } finally {
      running = false;
    }
    return new LinkedHashMap<>(milliseconds);
  }
}
