package io.sparsevideo.cuda.engine;

import ai.djl.ndarray.NDList;
import ai.djl.ndarray.internal.NDArrayEx;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;

/** DJL's second half of an array's operations, of which there is little here. */
final class CudaNDArrayEx implements InvocationHandler {

  private final CudaNDArray array;

  private CudaNDArrayEx(CudaNDArray array) {
    this.array = array;
  }

  static NDArrayEx of(CudaNDArray array) {
    return (NDArrayEx)
        Proxy.newProxyInstance(
            CudaNDArrayEx.class.getClassLoader(),
            new Class<?>[] {NDArrayEx.class},
            new CudaNDArrayEx(array));
  }

  @Override
  public Object invoke(Object proxy, Method method, Object[] arguments) {
    return switch (method.getName()) {
      case "getArray" -> array;
      case "concat" -> array.concat((NDList) arguments[0], (int) arguments[1]);
      case "stack" -> array.stack((NDList) arguments[0], (int) arguments[1]);
      case "toString" -> "operations of " + array;
      case "hashCode" -> System.identityHashCode(proxy);
      case "equals" -> proxy == arguments[0];
      default -> throw Unsupported.operation(method.getName());
    };
  }
}
