package io.sparsevideo.cuda.engine;

import ai.djl.ndarray.NDArrayAdapter;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import java.lang.reflect.Proxy;

/** Operations of DJL's arrays that the engine does not have. */
final class Unsupported {

  /**
   * Stands where {@link NDArrayAdapter} looks for an engine to fall back to: asked for an array, it
   * throws the name of the operation that wanted to.
   */
  static final NDManager NO_ALTERNATIVE =
      (NDManager)
          Proxy.newProxyInstance(
              Unsupported.class.getClassLoader(),
              new Class<?>[] {NDManager.class},
              (proxy, method, arguments) -> {
                throw operation(callerOfAdapter());
              });

  private Unsupported() {}

  static UnsupportedOperationException operation(String name) {
    return new UnsupportedOperationException(
        name
            + " is not an operation of the CUDA engine; TensorOps has what models compute with, and"
            + " toDevice(Device.cpu(), true) copies an array to an engine of the CPU");
  }

  static UnsupportedOperationException type(DataType type) {
    return new UnsupportedOperationException(
        "the CUDA engine has no arrays of "
            + type.name()
            + "; there are FLOAT32, FLOAT16, BFLOAT16, INT32, INT64, UINT8, INT8 and BOOLEAN");
  }

  /** The adapter's public method on the stack. */
  private static String callerOfAdapter() {
    return StackWalker.getInstance()
        .walk(
            frames ->
                frames
                    .filter(f -> f.getClassName().equals(NDArrayAdapter.class.getName()))
                    .map(StackWalker.StackFrame::getMethodName)
                    .filter(name -> !name.equals("getAlternativeArray"))
                    .findFirst()
                    .orElse("this"));
  }
}
