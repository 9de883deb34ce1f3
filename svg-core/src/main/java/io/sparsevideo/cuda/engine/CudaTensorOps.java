package io.sparsevideo.cuda.engine;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.cuda.blas.CublasLinear;
import io.sparsevideo.cuda.blas.CublasLt;
import io.sparsevideo.kernels.Activation;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.kernels.RopePairs;
import io.sparsevideo.kernels.SvgKernels;
import io.sparsevideo.kernels.View;
import io.sparsevideo.tensor.DjlSettings;
import io.sparsevideo.tensor.HeadViews;
import io.sparsevideo.tensor.TensorOps;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/**
 * The CUDA backend: matrix products by cuBLASLt, everything else by the CUDA kernels. Results have
 * the first argument's type; a kernel computes in 32 bits and rounds once.
 *
 * <p>All arguments belong to {@link #manager()}'s tree. Operations are put on its stream and
 * return; only {@link #upload} waits, until its source has been read.
 */
public final class CudaTensorOps implements TensorOps {

  /** Elements that are converted at a time on their way to the device. */
  static final int UPLOAD_ELEMENTS = 1 << 24;

  private final CudaNDManager manager;
  private final CublasLinear linear;

  private CudaTensorOps(CudaNDManager manager, CublasLinear linear) {
    this.manager = manager;
    this.linear = linear;
  }

  /**
   * Opens the backend, with a stream of its own.
   *
   * @param device a GPU by its ordinal among those that the process may use; null for the first
   * @throws io.sparsevideo.cuda.CudaUnavailableException when there is no usable driver
   * @throws io.sparsevideo.cuda.blas.CublasUnavailableException when there is no cuBLASLt
   * @throws io.sparsevideo.kernels.KernelLoadException when the CUDA kernels cannot be loaded
   */
  public static CudaTensorOps open(Device device) {
    DjlSettings.apply();
    return open((CudaEngine) Engine.getEngine(CudaEngine.NAME), device, CublasLt.load());
  }

  static CudaTensorOps open(CudaEngine engine, Device device, CublasLt library) {
    CudaNDManager manager = engine.newBaseManager(device);
    try {
      return new CudaTensorOps(manager, CublasLinear.on(library, manager.stream()));
    } catch (RuntimeException e) {
      manager.close();
      throw e;
    }
  }

  @Override
  public CudaNDManager manager() {
    return manager;
  }

  @Override
  public String device() {
    return manager.queue().heap().toString();
  }

  @Override
  public DataType computeType() {
    return DataType.BFLOAT16;
  }

  @Override
  public SvgKernels kernels() {
    return manager.kernels();
  }

  @Override
  public MemorySegment memory(NDArray array) {
    return own("memory", array).memory();
  }

  /** Conversions are among the floating-point types, and run on the device. */
  @Override
  public NDArray upload(
      NDManager manager, MemorySegment data, DataType stored, Shape shape, DataType wanted) {
    if (!(manager instanceof CudaNDManager owner)) {
      throw new IllegalArgumentException(
          "upload to a manager of %s; expected one of %s"
              .formatted(manager.getEngine().getEngineName(), CudaEngine.NAME));
    }
    if (stored == wanted) {
      return owner.create(data, shape, wanted);
    }
    Elements.requireSize("data", data, Shapes.bytes(shape, stored));
    return owner.create(shape, wanted, array -> convert(data, stored, array));
  }

  /** In pieces, so that no second copy of a large tensor lies on the device. */
  private static void convert(MemorySegment data, DataType stored, CudaNDArray target) {
    int size = stored.getNumOfBytes();
    try (NDArray flat = target.flatten()) {
      for (long start = 0; start < flat.size(); start += UPLOAD_ELEMENTS) {
        long count = Math.min(UPLOAD_ELEMENTS, flat.size() - start);
        MemorySegment part = data.asSlice(start * size, count * size);
        try (NDArray piece = target.getManager().create(part, new Shape(count), stored);
            NDArray converted = piece.toType(target.getDataType(), false);
            NDArray place = flat.get(new NDIndex().addSliceDim(start, start + count))) {
          converted.copyTo(place);
        }
      }
    }
  }

  /** All arguments have the type of {@code x}. */
  @Override
  public NDArray linear(NDArray x, NDArray weight, NDArray bias) {
    CudaNDArray in = own("linear", x);
    CudaNDArray matrix = own("linear", weight);
    CudaNDArray vector = bias == null ? null : own("linear", bias);
    long inputs = width(in);
    Shape size = matrix.getShape();
    require(
        in.getShape().dimension() > 0
            && size.dimension() == 2
            && size.get(1) == inputs
            && matrix.getDataType() == in.getDataType()
            && (vector == null
                || vector.getShape().equals(size.slice(0, 1))
                    && vector.getDataType() == in.getDataType()),
        "linear",
        "x (…, in), weight (out, in) and bias (out) of one type",
        x,
        weight,
        bias);
    KernelType type = type(in);
    long outputs = size.get(0);
    Shape wanted = in.getShape().slice(0, in.getShape().dimension() - 1).add(outputs);
    return create(
        in,
        wanted,
        out ->
            linear.linear(
                in.memory(),
                matrix.memory(),
                vector == null ? null : vector.memory(),
                out.memory(),
                type,
                out.size() / outputs,
                inputs,
                outputs,
                false));
  }

  @Override
  public NDArray geluTanh(NDArray x) {
    return activation("geluTanh", Activation.GELU_TANH, x);
  }

  @Override
  public NDArray silu(NDArray x) {
    return activation("silu", Activation.SILU, x);
  }

  private NDArray activation(String name, Activation kind, NDArray x) {
    CudaNDArray in = own(name, x);
    return create(
        in, in.getShape(), out -> kernels().activation(rows(in), rows(out), kind, null, null));
  }

  /** The weight may have another type than {@code x}. */
  @Override
  public NDArray rmsNorm(NDArray x, NDArray weight, double eps) {
    CudaNDArray in = own("rmsNorm", x);
    CudaNDArray factor = row("rmsNorm", weight, in);
    return create(
        in,
        in.getShape(),
        out -> kernels().rmsNorm(rows(in), rows(out), factor.memory(), type(factor), (float) eps));
  }

  /** Either of weight and bias may be null; they have one type, which may be another than x's. */
  @Override
  public NDArray layerNorm(NDArray x, NDArray weight, NDArray bias, double eps) {
    CudaNDArray in = own("layerNorm", x);
    CudaNDArray factor = weight == null ? null : row("layerNorm", weight, in);
    CudaNDArray added = bias == null ? null : row("layerNorm", bias, in);
    CudaNDArray typed = factor == null ? added : factor;
    require(
        typed == null || added == null || typed.getDataType() == added.getDataType(),
        "layerNorm",
        "weight and bias of one type",
        weight,
        bias);
    return create(
        in,
        in.getShape(),
        out ->
            kernels()
                .layerNorm(
                    rows(in),
                    rows(out),
                    factor == null ? null : factor.memory(),
                    added == null ? null : added.memory(),
                    typed == null ? null : type(typed),
                    null,
                    null,
                    (float) eps));
  }

  /**
   * In two kernels, x + x · scale and + shift, so rounded twice. Scale and shift may have other
   * types than {@code x}.
   */
  @Override
  public NDArray modulate(NDArray x, NDArray scale, NDArray shift) {
    CudaNDArray in = own("modulate", x);
    CudaNDArray factor = row("modulate", scale, in);
    CudaNDArray added = row("modulate", shift, in);
    return create(
        in,
        in.getShape(),
        out -> {
          Heads from = rows(in);
          Heads to = rows(out);
          kernels().gatedResidual(from, from, everyRow(factor, from), to);
          kernels().activation(to, to, Activation.IDENTITY, added.memory(), type(added));
        });
  }

  /** The gate may have another type than {@code x} and {@code y}, which have one. */
  @Override
  public NDArray gatedResidual(NDArray x, NDArray y, NDArray gate) {
    CudaNDArray in = own("gatedResidual", x);
    CudaNDArray added = own("gatedResidual", y);
    CudaNDArray factor = row("gatedResidual", gate, in);
    require(
        added.getShape().equals(in.getShape()) && added.getDataType() == in.getDataType(),
        "gatedResidual",
        "x and y of one shape and type",
        x,
        y);
    return create(
        in,
        in.getShape(),
        out -> {
          Heads from = rows(in);
          kernels().gatedResidual(from, rows(added), everyRow(factor, from), rows(out));
        });
  }

  @Override
  public NDArray rotaryInterleaved(NDArray x, NDArray cos, NDArray sin) {
    CudaNDArray in = own("rotaryInterleaved", x);
    Shape shape = in.getShape();
    require(
        shape.dimension() == 3
            && isTable(own("rotaryInterleaved", cos), shape)
            && isTable(own("rotaryInterleaved", sin), shape),
        "rotaryInterleaved",
        "x (S, H, D), D even, cos and sin (S, D / 2) FLOAT32",
        x,
        cos,
        sin);
    return create(
        in,
        shape,
        out ->
            kernels()
                .rope(
                    HeadViews.of(this, in),
                    HeadViews.of(this, out),
                    RopePairs.INTERLEAVED,
                    (int) shape.get(0),
                    memory(cos),
                    memory(sin)));
  }

  private static boolean isTable(CudaNDArray table, Shape x) {
    return table.getDataType() == DataType.FLOAT32
        && x.get(2) % 2 == 0
        && table.getShape().equals(new Shape(x.get(0), x.get(2) / 2));
  }

  /** The CUDA kernels have it for FLOAT16 and BFLOAT16. */
  @Override
  public NDArray attention(NDArray q, NDArray k, NDArray v) {
    CudaNDArray queries = own("attention", q);
    CudaNDArray keys = own("attention", k);
    CudaNDArray values = own("attention", v);
    require(
        queries.getShape().dimension() == 3
            && keys.getShape().dimension() == 3
            && values.getShape().equals(keys.getShape()),
        "attention",
        "q (Sq, H, D), k and v (Sk, H, D)",
        q,
        k,
        v);
    return create(
        queries,
        queries.getShape(),
        out ->
            kernels()
                .attentionDense(
                    HeadViews.of(this, queries),
                    HeadViews.of(this, keys),
                    HeadViews.of(this, values),
                    HeadViews.of(this, out),
                    HeadViews.scale(queries),
                    0,
                    null));
  }

  @Override
  public NDArray biasedAttention(NDArray q, NDArray k, NDArray v, NDArray bias, double scale) {
    throw missing("biasedAttention");
  }

  @Override
  public NDArray gatherRows(NDArray table, NDArray indices) {
    throw missing("gatherRows");
  }

  @Override
  public NDArray conv3d(NDArray x, NDArray weight, NDArray bias, int timeStride, int padding) {
    throw missing("conv3d");
  }

  @Override
  public NDArray conv2d(NDArray x, NDArray weight, NDArray bias, int stride, int[] padding) {
    throw missing("conv2d");
  }

  @Override
  public NDArray channelNorm(NDArray x, NDArray gamma, boolean thenSilu) {
    throw missing("channelNorm");
  }

  @Override
  public NDArray upsampleNearest(NDArray x) {
    CudaNDArray in = own("upsampleNearest", x);
    Shape shape = in.getShape();
    require(shape.dimension() == 4, "upsampleNearest", "x (T, C, Y, X)", x);
    long width = shape.get(3);
    int bytes = in.getDataType().getNumOfBytes();
    long[] sizes = {shape.get(0) * shape.get(1) * shape.get(2), 2, width, 2};
    long[] repeated = {width, 0, 1, 0};
    return create(
        in,
        new Shape(shape.get(0), shape.get(1), 2 * shape.get(2), 2 * width),
        out ->
            kernels()
                .copy(
                    new View(in.memory(), bytes, sizes, repeated),
                    new View(out.memory(), bytes, sizes, Shapes.strides(sizes))));
  }

  /** Waits for the stream and frees everything. Closing twice does nothing. */
  @Override
  public void close() {
    try (manager;
        linear) {}
  }

  private static UnsupportedOperationException missing(String operation) {
    return new UnsupportedOperationException(
        operation + " is not an operation of the CUDA backend; the CPU backend has it");
  }

  /** A result in the first argument's manager and of its type, freed when computing it fails. */
  private static CudaNDArray create(CudaNDArray first, Shape shape, Consumer<CudaNDArray> compute) {
    return first
        .getManager()
        .create(
            shape,
            first.getDataType(),
            out -> {
              if (out.size() > 0) {
                compute.accept(out);
              }
            });
  }

  /** An argument that is on this backend's stream, so that the order of calls is kept. */
  private CudaNDArray own(String operation, NDArray array) {
    if (array instanceof CudaNDArray own && own.getManager().queue() == manager.queue()) {
      return own;
    }
    throw new IllegalArgumentException(
        "%s of an array of %s; expected one of this backend's tree of managers"
            .formatted(operation, array == null ? null : array.getManager()));
  }

  /** A vector for the last dimension of {@code x}. */
  private CudaNDArray row(String operation, NDArray array, CudaNDArray x) {
    CudaNDArray row = own(operation, array);
    require(
        width(row) == width(x) && row.size() == width(x),
        operation,
        "x (…, C) and vectors (C) or (1, C)",
        x,
        array);
    return row;
  }

  /** The size of the last dimension. */
  private static long width(CudaNDArray array) {
    Shape shape = array.getShape();
    return shape.dimension() == 0 ? 1 : shape.get(shape.dimension() - 1);
  }

  /** Rows of the last dimension. */
  private static Heads rows(CudaNDArray x) {
    long width = width(x);
    long rows = x.size() / width;
    require(
        width <= Integer.MAX_VALUE && rows <= Integer.MAX_VALUE,
        "rows",
        "rows and columns that 32 bits count",
        x);
    return Heads.headMajor(x.memory(), type(x), 1, (int) rows, (int) width);
  }

  /** A vector that serves all rows. */
  private static Heads everyRow(CudaNDArray row, Heads x) {
    return Heads.oneRow(row.memory(), type(row), 1, x.rows(), x.headDim());
  }

  private static KernelType type(CudaNDArray array) {
    return HeadViews.kernelType(array.getDataType());
  }

  private static void require(
      boolean fits, String operation, String expected, NDArray... arguments) {
    if (!fits) {
      throw new IllegalArgumentException(
          "%s of %s; expected %s"
              .formatted(
                  operation,
                  Arrays.stream(arguments)
                      .map(a -> a == null ? "null" : Shapes.text(a.getShape(), a.getDataType()))
                      .collect(Collectors.joining(", ")),
                  expected));
    }
  }
}
