package io.sparsevideo.bench.cuda;

import io.sparsevideo.tensor.TensorOps;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.function.Supplier;

/** What is done in the place of a backend's operations. */
@FunctionalInterface
interface Interception {

  /**
   * @param call the operation itself
   * @return what its caller gets
   */
  Object invoke(Method operation, Object[] arguments, Supplier<Object> call);

  /** A backend whose operations are intercepted on their way to another. */
  static TensorOps of(TensorOps ops, Interception interception) {
    return (TensorOps)
        Proxy.newProxyInstance(
            Interception.class.getClassLoader(),
            new Class<?>[] {TensorOps.class},
            (proxy, operation, arguments) ->
                interception.invoke(operation, arguments, () -> call(ops, operation, arguments)));
  }

  private static Object call(TensorOps ops, Method operation, Object[] arguments) {
    try {
      return operation.invoke(ops, arguments);
    } catch (InvocationTargetException e) {
      switch (e.getCause()) {
        case RuntimeException cause -> throw cause;
        case Error cause -> throw cause;
        default -> throw new IllegalStateException(operation.getName(), e.getCause());
      }
    } catch (IllegalAccessException e) {
      throw new IllegalStateException(operation.getName(), e);
    }
  }
}
