package io.sparsevideo.tensor;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.kernels.SvgKernels;
import java.lang.foreign.MemorySegment;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * The tensor operations that models are written against, once, for every backend.
 *
 * <p>Sizes: S tokens (rows), C channels, H heads, D head dimension, T frames of a clip, Y × X its
 * spatial size. Clips are channels-last, (T, Y, X, C): a pixel's channels lie side by side. There
 * is no batch dimension: one call works on one video.
 *
 * <p>Results belong to the manager of the first argument, so that a caller scopes memory by scoping
 * its activations. Arguments are never changed. An operation that a backend lacks throws {@link
 * UnsupportedOperationException} and names itself; nothing falls back silently.
 */
public interface TensorOps extends AutoCloseable {

  /**
   * The manager that owns everything of this backend which no narrower scope owns, weights for
   * example.
   */
  NDManager manager();

  /** What computes, for people: for example "cuda:0 NVIDIA H200", or "cpu". */
  String device();

  /** Bytes that new tensors can take of the device; empty where the operating system decides. */
  OptionalLong freeMemory();

  /** What attention takes, where it does not take heads of so many channels. */
  Optional<String> unsupportedHeadDim(int channels);

  /** The most clusters that k-means takes. */
  int maxClusters();

  /**
   * The type that weights and activations are computed in: FLOAT32 on the CPU, BFLOAT16 on CUDA.
   */
  DataType computeType();

  /**
   * The type for models whose values stay small and whose roundings add up, such as a VAE's:
   * FLOAT32 on the CPU; on CUDA FLOAT16, eight times as exact as BFLOAT16 but for numbers up to
   * 65,504 alone.
   */
  DataType preciseType();

  /** The native kernels on this backend's memory and stream. */
  SvgKernels kernels();

  /**
   * The memory of a contiguous tensor, for {@link #kernels()}: host memory on the CPU, a device
   * pointer on CUDA. Valid while the tensor is open; writes through it change the tensor.
   */
  MemorySegment memory(NDArray array);

  /**
   * Copies stored values (little endian, row-major) into a new tensor.
   *
   * @param stored type of the values in {@code data}: FLOAT32, FLOAT16, BFLOAT16, INT32 or INT64
   * @param wanted type of the result
   */
  NDArray upload(
      NDManager manager, MemorySegment data, DataType stored, Shape shape, DataType wanted);

  /**
   * {@code x Wᵀ + b}: x (…, in), weight (out, in), bias (out) or null; result (…, out). Of FLOAT32
   * {@code x}, weight and bias may be of the compute type.
   */
  NDArray linear(NDArray x, NDArray weight, NDArray bias);

  /**
   * Two linear layers with {@link #geluTanh} between them. The hidden layer, which is the largest
   * tensor of a transformer, need not be there as a whole.
   *
   * @param x (S, in)
   * @param upWeight (hidden, in)
   * @param upBias (hidden)
   * @param downWeight (out, hidden)
   * @param downBias (out)
   * @return (S, out)
   */
  NDArray feedForward(
      NDArray x, NDArray upWeight, NDArray upBias, NDArray downWeight, NDArray downBias);

  /** GELU in its tanh form, as "gelu_new" and diffusers' "gelu-approximate". */
  NDArray geluTanh(NDArray x);

  NDArray silu(NDArray x);

  /** {@code x / sqrt(mean(x²) + eps) · weight} over the last dimension. */
  NDArray rmsNorm(NDArray x, NDArray weight, double eps);

  /** Layer norm over the last dimension; weight and bias may both be null. */
  NDArray layerNorm(NDArray x, NDArray weight, NDArray bias, double eps);

  /**
   * Layer norm n over the last dimension, without a weight, then {@code n · (1 + scale) + shift}: x
   * (S, C), scale and shift (C) or (1, C).
   */
  NDArray modulatedNorm(NDArray x, NDArray scale, NDArray shift, double eps);

  /**
   * {@code x + y · gate}, or {@code x + y} without a gate: x and y (S, C), gate (C), (1, C) or
   * null.
   */
  NDArray gatedResidual(NDArray x, NDArray y, NDArray gate);

  /**
   * RMS norm over all heads' channels together, then a rotary embedding of each head's interleaved
   * pairs: (x[2i], x[2i+1]) turns by the angle whose cosine and sine are given.
   *
   * @param x (S, H · D) queries or keys
   * @param weight (H · D), of the norm
   * @param cos (S, D / 2), FLOAT32
   * @param sin (S, D / 2), FLOAT32
   * @return (S, H, D)
   */
  NDArray normRotary(NDArray x, NDArray weight, double eps, NDArray cos, NDArray sin);

  /** Dense attention with scale 1/√D: q (Sq, H, D), k and v (Sk, H, D); result (Sq, H, D). */
  NDArray attention(NDArray q, NDArray k, NDArray v);

  /**
   * Attention with a bias by relative position (T5's): scores are {@code scale · q kᵀ}, and that of
   * query i and key j gets bias[h][Sq − 1 + j − i] added.
   *
   * @param q (Sq, H, D)
   * @param k (Sk, H, D)
   * @param v (Sk, H, D)
   * @param bias (H, Sq + Sk − 1)
   * @return (Sq, H, D)
   */
  NDArray biasedAttention(NDArray q, NDArray k, NDArray v, NDArray bias, double scale);

  /**
   * Rows of a table: table (R, C), indices (N) INT64; result (N, C), owned by the indices' manager.
   */
  NDArray gatherRows(NDArray table, NDArray indices);

  /**
   * 3-D convolution of a clip, without padding in time: a causal convolution is given the frames
   * before the clip, which it sees as if they were the clip's first.
   *
   * @param x (T, Y, X, C)
   * @param earlier (E, Y, X, C) frames before x, or null
   * @param weight (O, kt, ky, kx, C)
   * @param bias (O), or null
   * @param residual added to the result, of its shape; or null
   * @param timeStride stride in time; the spatial stride is 1
   * @param spatialPadding zeros on each spatial side
   * @return ((E + T − kt) / timeStride + 1, Y', X', O)
   */
  NDArray conv3d(
      NDArray x,
      NDArray earlier,
      NDArray weight,
      NDArray bias,
      NDArray residual,
      int timeStride,
      int spatialPadding);

  /**
   * 2-D convolution of every frame.
   *
   * @param x (T, Y, X, C)
   * @param weight (O, ky, kx, C)
   * @param bias (O), or null
   * @param stride stride in height and in width
   * @param padding zeros at {top, bottom, left, right}
   * @return (T, Y', X', O)
   */
  NDArray conv2d(NDArray x, NDArray weight, NDArray bias, int stride, int[] padding);

  /**
   * The Wan VAE's RMS norm over channels: {@code x / max(‖x‖, 1e-12) · √C · gamma}, x (…, C), gamma
   * (C); followed by SiLU when asked for.
   */
  NDArray channelNorm(NDArray x, NDArray gamma, boolean thenSilu);

  /**
   * Doubles both spatial sizes by repeating pixels, then convolves every frame with stride 1.
   *
   * @param x (T, Y, X, C)
   * @param weight (O, ky, kx, C)
   * @param bias (O), or null
   * @param padding zeros at {top, bottom, left, right} of the doubled frames
   * @return (T, Y', X', O)
   */
  NDArray upsampleConv2d(NDArray x, NDArray weight, NDArray bias, int[] padding);

  /**
   * Colours as bytes: −1 to 1 becomes 0 to 255, rounded half up; values beyond are clipped.
   *
   * @param x frames (T, …)
   * @return the bytes, UINT8 of x's shape, and how many values of each frame are not a number,
   *     INT32 (T)
   */
  default NDList colorBytes(NDArray x) {
    Shape shape = x.getShape();
    int frames = Math.toIntExact(shape.get(0));
    try (TensorScope scope = TensorScope.over(x)) {
      NDArray values = x.flatten(); // contiguous
      NDArray bytes = scope.manager().create(shape, DataType.UINT8);
      NDArray notNumbers = scope.manager().create(new Shape(frames), DataType.INT32);
      kernels()
          .colorBytes(
              memory(values),
              HeadViews.kernelType(x.getDataType()),
              frames,
              Math.toIntExact(shape.size() / frames),
              memory(bytes),
              memory(notNumbers));
      return new NDList(scope.keep(bytes), scope.keep(notNumbers));
    }
  }

  @Override
  void close();
}
