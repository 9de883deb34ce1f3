package io.sparsevideo.tensor;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.ndarray.types.SparseFormat;
import ai.djl.nn.core.Linear;
import ai.djl.nn.norm.LayerNorm;
import io.sparsevideo.kernels.SvgKernels;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * The CPU backend: DJL's PyTorch engine for matrix products, convolutions and element-wise work,
 * the host kernels for attention. Everything is FLOAT32.
 */
public final class DjlTensorOps implements TensorOps {
  private final NDManager manager;
  private final String device;

  /** Opens the backend, as {@link #DjlTensorOps(String)}. */
  public DjlTensorOps() {
    this("cpu");
  }

  /**
   * Opens the backend.
   *
   * @param device what {@link #device()} says
   * @throws ai.djl.engine.EngineException when the PyTorch natives are not on the class path
   * @throws io.sparsevideo.kernels.KernelLoadException when the host kernels cannot be loaded
   */
  public DjlTensorOps(String device) {
    this.device = device;
    DjlSettings.apply();
    OpenMpSettings.apply();
    SvgKernels.host(); // missing kernels are found now, not after the weights are loaded
    manager = Engine.getEngine("PyTorch").newBaseManager(Device.cpu());
  }

  @Override
  public NDManager manager() {
    return manager;
  }

  @Override
  public String device() {
    return device;
  }

  @Override
  public OptionalLong freeMemory() {
    return OptionalLong.empty();
  }

  @Override
  public Optional<String> unsupportedHeadDim(int channels) {
    return Optional.empty();
  }

  @Override
  public int maxClusters() {
    return Integer.MAX_VALUE;
  }

  @Override
  public DataType computeType() {
    return DataType.FLOAT32;
  }

  @Override
  public DataType preciseType() {
    return DataType.FLOAT32;
  }

  @Override
  public SvgKernels kernels() {
    return SvgKernels.host();
  }

  @Override
  public MemorySegment memory(NDArray array) {
    long bytes = array.size() * array.getDataType().getNumOfBytes();
    if (bytes == 0) {
      return MemorySegment.NULL;
    }
    if (bytes <= Integer.MAX_VALUE) {
      return MemorySegment.ofBuffer(array.toByteBuffer(true));
    }
    // One ByteBuffer holds at most 2 GiB: take the address from the first element and widen. The
    // flat
    // view stays open: for a tensor that is not contiguous it is the copy that the address points
    // to.
    try (NDArray first = array.flatten().get("0:1")) {
      long address = MemorySegment.ofBuffer(first.toByteBuffer(true)).address();
      return MemorySegment.ofAddress(address).reinterpret(bytes);
    }
  }

  @Override
  public NDArray upload(
      NDManager manager, MemorySegment data, DataType stored, Shape shape, DataType wanted) {
    NDArray array = manager.create(shape, wanted);
    if (stored == wanted) {
      memory(array).copyFrom(data);
    } else if (wanted == DataType.FLOAT32) {
      FloatConversion.toFloat32(data, stored, memory(array));
    } else {
      array.close();
      throw new UnsupportedOperationException(
          "upload of " + stored + " as " + wanted + ": the CPU backend computes in FLOAT32");
    }
    return array;
  }

  @Override
  public NDArray linear(NDArray x, NDArray weight, NDArray bias) {
    return Linear.linear(x, weight, bias).singletonOrThrow();
  }

  @Override
  public NDArray feedForward(
      NDArray x, NDArray upWeight, NDArray upBias, NDArray downWeight, NDArray downBias) {
    try (NDArray up = linear(x, upWeight, upBias);
        NDArray hidden = geluTanh(up)) {
      return linear(hidden, downWeight, downBias);
    }
  }

  @Override
  public NDArray geluTanh(NDArray x) {
    // 0.5 (1 + tanh(u)) = sigmoid(2u), u = √(2/π) (x + 0.044715 x³)
    double c = 2 * Math.sqrt(2 / Math.PI);
    try (NDArray u = x.square().muli(c * 0.044715).addi(c).muli(x)) {
      return u.getNDArrayInternal().sigmoid().muli(x);
    }
  }

  @Override
  public NDArray silu(NDArray x) {
    return x.getNDArrayInternal().sigmoid().muli(x);
  }

  @Override
  public NDArray rmsNorm(NDArray x, NDArray weight, double eps) {
    try (NDArray square = x.square();
        NDArray mean = square.mean(new int[] {-1}, true).addi(eps);
        NDArray root = mean.sqrt()) {
      return x.div(root).muli(weight);
    }
  }

  @Override
  public NDArray layerNorm(NDArray x, NDArray weight, NDArray bias, double eps) {
    Shape last = new Shape(x.getShape().get(x.getShape().dimension() - 1));
    if (weight != null && bias != null) {
      return LayerNorm.layerNorm(x, last, weight, bias, (float) eps).singletonOrThrow();
    }
    if (weight != null || bias != null) {
      throw new UnsupportedOperationException("layerNorm needs both weight and bias, or neither");
    }
    try (NDArray one = x.getManager().ones(last);
        NDArray zero = x.getManager().zeros(last)) {
      return LayerNorm.layerNorm(x, last, one, zero, (float) eps).singletonOrThrow();
    }
  }

  @Override
  public NDArray modulatedNorm(NDArray x, NDArray scale, NDArray shift, double eps) {
    try (NDArray factor = scale.add(1)) {
      return layerNorm(x, null, null, eps).muli(factor).addi(shift);
    }
  }

  @Override
  public NDArray gatedResidual(NDArray x, NDArray y, NDArray gate) {
    if (gate == null) {
      return x.add(y);
    }
    try (NDArray gated = y.mul(gate)) {
      return x.add(gated);
    }
  }

  @Override
  public NDArray normRotary(NDArray x, NDArray weight, double eps, NDArray cos, NDArray sin) {
    long rows = cos.getShape().get(0);
    long pairs = cos.getShape().get(1);
    try (TensorScope scope = TensorScope.over(x, cos)) {
      // (cos + i sin) (x₀ + i x₁) turns the pair (x₀, x₁).
      NDArray turn = cos.stack(sin, -1).reshape(rows, 1, pairs, 2).complex();
      NDArray normed = rmsNorm(x, weight, eps).reshape(rows, -1, pairs, 2);
      NDArray turned = normed.complex().mul(turn).real();
      return scope.keep(turned.reshape(rows, -1, 2 * pairs));
    }
  }

  @Override
  public NDArray attention(NDArray q, NDArray k, NDArray v) {
    NDArray out = q.getManager().create(q.getShape(), q.getDataType());
    kernels()
        .attentionDense(
            HeadViews.of(this, q),
            HeadViews.of(this, k),
            HeadViews.of(this, v),
            HeadViews.of(this, out),
            HeadViews.scale(q),
            0,
            null);
    return out;
  }

  @Override
  public NDArray biasedAttention(NDArray q, NDArray k, NDArray v, NDArray bias, double scale) {
    try (TensorScope scope = TensorScope.over(q, k, v, bias)) {
      NDArray queries = q.transpose(1, 0, 2); // (H, Sq, D)
      NDArray keys = k.transpose(1, 2, 0); // (H, D, Sk)
      NDArray values = v.transpose(1, 0, 2); // (H, Sk, D)
      NDArray scores = queries.matMul(keys); // (H, Sq, Sk)
      if (scale != 1) {
        scores.muli(scale);
      }
      NDArray biased = scores.addi(byPosition(bias, scores.getShape()));
      NDArray out = biased.softmax(-1).matMul(values); // (H, Sq, D)
      return scope.keep(out.transpose(1, 0, 2).reshape(q.getShape()));
    }
  }

  /**
   * A bias by relative position for every score. Rows of one element more than the bias has, read
   * as rows that are one shorter, begin one element further right each; from behind, as here,
   * further left.
   *
   * @param bias (H, N), N = Sq + Sk − 1
   * @param scores (H, Sq, Sk)
   */
  private static NDArray byPosition(NDArray bias, Shape scores) {
    long heads = scores.get(0);
    long queries = scores.get(1);
    long keys = scores.get(2);
    long positions = queries + keys - 1;
    NDArray padded = bias.concat(bias.get(":, :1"), 1).expandDims(1); // (H, 1, N + 1)
    return padded
        .broadcast(heads, queries, positions + 1)
        .reshape(heads, -1)
        .get(":, {}:{}", queries - 1, queries - 1 + queries * positions)
        .reshape(heads, queries, positions)
        .get(":, :, :{}", keys);
  }

  @Override
  public NDArray gatherRows(NDArray table, NDArray indices) {
    return indices
        .getNDArrayInternal()
        .embedding(indices, table, SparseFormat.DENSE)
        .singletonOrThrow();
  }

  @Override
  public NDArray conv3d(
      NDArray x,
      NDArray earlier,
      NDArray weight,
      NDArray bias,
      NDArray residual,
      int timeStride,
      int spatialPadding) {
    return DjlConvolutions.conv3d(x, earlier, weight, bias, residual, timeStride, spatialPadding);
  }

  @Override
  public NDArray conv2d(NDArray x, NDArray weight, NDArray bias, int stride, int[] padding) {
    return DjlConvolutions.conv2d(x, weight, bias, stride, padding);
  }

  @Override
  public NDArray channelNorm(NDArray x, NDArray gamma, boolean thenSilu) {
    return DjlConvolutions.channelNorm(x, gamma, thenSilu);
  }

  @Override
  public NDArray upsampleConv2d(NDArray x, NDArray weight, NDArray bias, int[] padding) {
    try (NDArray large = DjlConvolutions.upsampleNearest(x)) {
      return DjlConvolutions.conv2d(large, weight, bias, 1, padding);
    }
  }

  @Override
  public void close() {
    manager.close();
  }
}
