package io.sparsevideo.checkpoint;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.tensor.FloatConversion;
import io.sparsevideo.tensor.TensorOps;
import java.lang.foreign.MemorySegment;
import java.lang.reflect.Proxy;

/** Just enough of a backend to load weights: uploads to FLOAT32 tensors. */
final class TestOps {
  private TestOps() {}

  static TensorOps over(NDManager manager) {
    return (TensorOps)
        Proxy.newProxyInstance(
            TestOps.class.getClassLoader(),
            new Class<?>[] {TensorOps.class},
            (proxy, method, arguments) ->
                switch (method.getName()) {
                  case "manager" -> manager;
                  case "computeType" -> DataType.FLOAT32;
                  case "upload" ->
                      upload(
                          (NDManager) arguments[0],
                          (MemorySegment) arguments[1],
                          (DataType) arguments[2],
                          (Shape) arguments[3],
                          (DataType) arguments[4]);
                  default -> throw new UnsupportedOperationException(method.getName());
                });
  }

  private static NDArray upload(
      NDManager manager, MemorySegment data, DataType stored, Shape shape, DataType wanted) {
    if (wanted != DataType.FLOAT32 || stored == DataType.FLOAT64) {
      throw new UnsupportedOperationException(stored + " to " + wanted);
    }
    float[] values = new float[(int) shape.size()];
    FloatConversion.toFloat32(data, stored, MemorySegment.ofArray(values));
    return manager.create(values, shape);
  }
}
