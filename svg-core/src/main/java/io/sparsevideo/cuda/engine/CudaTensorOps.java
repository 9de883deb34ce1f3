package io.sparsevideo.cuda.engine;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.cuda.CudaException;
import io.sparsevideo.cuda.blas.CublasLt;
import io.sparsevideo.cuda.blas.CublasMatmul;
import io.sparsevideo.kernels.Activation;
import io.sparsevideo.kernels.Convolution;
import io.sparsevideo.kernels.Elementwise;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.kernels.RopePairs;
import io.sparsevideo.kernels.ScoreBias;
import io.sparsevideo.kernels.SvgKernels;
import io.sparsevideo.kernels.View;
import io.sparsevideo.tensor.DjlSettings;
import io.sparsevideo.tensor.HeadViews;
import io.sparsevideo.tensor.TensorOps;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Optional;
import java.util.OptionalLong;
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

  /** The largest hidden layer that {@link #feedForward} computes at once: Wan's 14B at 720p. */
  private static final long HIDDEN_BYTES = 1L << 31;

  /** The greatest head dimension of the attention kernels. */
  static final int FUSED_HEAD_DIM = 128;

  private static final int HEAD_DIM_STEP = 16;

  /** Of the k-means kernels. */
  private static final int MAX_CLUSTERS = 4096;

  /** Memory for scores, where attention is not one kernel. */
  public static final long SCORE_BYTES = 128L << 20;

  /** Rows of scores start at multiples of so many, as matrix products are fastest with. */
  private static final int ROW_ALIGNMENT = 64;

  private final CudaNDManager manager;
  private final CublasMatmul products;
  private final DataType computeType;
  private final long hiddenBytes;
  private String name;

  private CudaTensorOps(
      CudaNDManager manager, CublasMatmul products, DataType computeType, long hiddenBytes) {
    this.manager = manager;
    this.products = products;
    this.computeType = computeType;
    this.hiddenBytes = hiddenBytes;
    name = manager.queue().heap().toString();
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

  /** As {@link #open(Device)}, with what {@link #device()} says. */
  public static CudaTensorOps open(Device device, String name) {
    CudaTensorOps ops = open(device);
    ops.name = name;
    return ops;
  }

  static CudaTensorOps open(CudaEngine engine, Device device, CublasLt library) {
    return open(engine, device, library, DataType.BFLOAT16, HIDDEN_BYTES);
  }

  static CudaTensorOps open(
      CudaEngine engine, Device device, CublasLt library, DataType computeType, long hiddenBytes) {
    CudaNDManager manager = engine.newBaseManager(device);
    try {
      CublasMatmul products = CublasMatmul.on(library, manager.stream());
      return new CudaTensorOps(manager, products, computeType, hiddenBytes);
    } catch (RuntimeException | Error e) {
      RuntimeException cause =
          e instanceof CudaException cuda
              ? manager.queue().heap().translated("the working memory of cuBLASLt", cuda)
              : null;
      manager.close();
      if (cause != null) {
        throw cause;
      }
      throw e;
    }
  }

  @Override
  public CudaNDManager manager() {
    return manager;
  }

  @Override
  public String device() {
    return name;
  }

  /** What is free on the device, and what lies idle in its pool. */
  @Override
  public OptionalLong freeMemory() {
    MemoryStatistics now = manager.statistics();
    return OptionalLong.of(now.freeBytes() + now.reservedBytes() - now.usedBytes());
  }

  @Override
  public Optional<String> unsupportedHeadDim(int channels) {
    return channels % HEAD_DIM_STEP == 0 && channels <= FUSED_HEAD_DIM
        ? Optional.empty()
        : Optional.of("multiples of %d up to %d".formatted(HEAD_DIM_STEP, FUSED_HEAD_DIM));
  }

  @Override
  public int maxClusters() {
    return MAX_CLUSTERS;
  }

  @Override
  public DataType computeType() {
    return computeType;
  }

  @Override
  public DataType preciseType() {
    return computeType == DataType.BFLOAT16 ? DataType.FLOAT16 : computeType;
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

  /**
   * All arguments have the type of {@code x}; or {@code x} is FLOAT32, the weight BFLOAT16 and the
   * bias either. Then x is multiplied as the sum of two of BFLOAT16, at twice the cost, and nothing
   * but its last 8 bits is lost.
   */
  @Override
  public NDArray linear(NDArray x, NDArray weight, NDArray bias) {
    return linear(x, weight, bias, false);
  }

  /**
   * All arguments have the type of {@code x}. GELU is part of the first product, and the hidden
   * layer is rounded once. Rows are taken in equal parts where it would have more than 2 GiB: a
   * fixed bound, so that what a request needs can be told before and is the same each time.
   */
  @Override
  public NDArray feedForward(
      NDArray x, NDArray upWeight, NDArray upBias, NDArray downWeight, NDArray downBias) {
    CudaNDArray in = own("feedForward", x);
    require(
        in.getShape().dimension() == 2
            && own("feedForward", upWeight).getShape().dimension() == 2
            && own("feedForward", downWeight).getShape().dimension() == 2,
        "feedForward",
        "x (S, in), weights (hidden, in) and (out, hidden)",
        x,
        upWeight,
        downWeight);
    long rows = in.getShape().get(0);
    long rowBytes = upWeight.getShape().get(0) * in.getDataType().getNumOfBytes();
    long parts = Math.max(1, Math.ceilDiv(rows * rowBytes, hiddenBytes));
    long part = Math.ceilDiv(rows, parts);
    return create(
        in,
        new Shape(rows, downWeight.getShape().get(0)),
        out -> {
          for (long start = 0; start < rows; start += part) {
            NDIndex some = new NDIndex().addSliceDim(start, Math.min(rows, start + part));
            try (CudaNDArray someIn = in.get(some);
                CudaNDArray someOut = out.get(some);
                CudaNDArray hidden = linear(someIn, upWeight, upBias, true)) {
              linear(hidden, downWeight, downBias, someOut, false);
            }
          }
        });
  }

  private CudaNDArray linear(NDArray x, NDArray weight, NDArray bias, boolean thenGelu) {
    CudaNDArray in = own("linear", x);
    Shape shape = in.getShape();
    require(
        shape.dimension() > 0 && own("linear", weight).getShape().dimension() == 2,
        "linear",
        "x (…, in) and weight (out, in)",
        x,
        weight);
    Shape wanted = shape.slice(0, shape.dimension() - 1).add(weight.getShape().get(0));
    return create(in, wanted, out -> linear(in, weight, bias, out, thenGelu));
  }

  /** Writes (rows, out), which may have more dimensions. */
  private void linear(
      CudaNDArray x, NDArray weight, NDArray bias, CudaNDArray out, boolean thenGelu) {
    CudaNDArray matrix = own("linear", weight);
    CudaNDArray vector = bias == null ? null : own("linear", bias);
    Shape size = matrix.getShape();
    boolean isMixed =
        x.getDataType() == DataType.FLOAT32 && matrix.getDataType() == DataType.BFLOAT16;
    require(
        size.get(1) == width(x)
            && (isMixed || matrix.getDataType() == x.getDataType())
            && (vector == null
                || vector.getShape().equals(size.slice(0, 1))
                    && (vector.getDataType() == x.getDataType()
                        || isMixed && vector.getDataType() == DataType.BFLOAT16)),
        "linear",
        "x (…, in), weight (out, in) and bias (out) of one type, or x of float32 and others of"
            + " bfloat16",
        x,
        weight,
        bias);
    if (isMixed) {
      linearOfParts(x, matrix, vector, out, thenGelu);
    } else {
      products.linear(
          rows(x), rows(matrix), vector == null ? null : vector.memory(), rows(out), thenGelu);
    }
  }

  /** The upper and the lower 8 bits of x as more rows of one product, which reads W once. */
  private void linearOfParts(
      CudaNDArray x, CudaNDArray weight, CudaNDArray bias, CudaNDArray out, boolean thenGelu) {
    CudaNDManager owner = out.getManager();
    long outputs = width(out);
    long rows = out.size() / outputs;
    try (CudaNDArray parts = owner.create(new Shape(2, rows, width(x)), DataType.BFLOAT16);
        CudaNDArray upper = parts.get(new NDIndex(0));
        CudaNDArray lower = parts.get(new NDIndex(1));
        CudaNDArray both = owner.create(new Shape(2, rows, outputs), DataType.FLOAT32);
        CudaNDArray ofUpper = both.get(new NDIndex(0));
        CudaNDArray ofLower = both.get(new NDIndex(1))) {
      kernels().activation(rows(x), rows(upper), Activation.IDENTITY, null, null);
      kernels()
          .elementwise(
              Elementwise.SUBTRACT,
              elements(x),
              KernelType.F32,
              elements(upper),
              KernelType.BF16,
              elements(lower),
              KernelType.BF16);
      products.multiplyTransposed(rows(parts), rows(weight), rows(both));
      Heads sum = rows(out);
      kernels().gatedResidual(rows(ofUpper), rows(ofLower), null, sum);
      if (bias != null || thenGelu) {
        Activation kind = thenGelu ? Activation.GELU_TANH : Activation.IDENTITY;
        kernels()
            .activation(
                sum,
                sum,
                kind,
                bias == null ? null : bias.memory(),
                bias == null ? null : type(bias));
      }
    }
  }

  private static View elements(CudaNDArray array) {
    long[] sizes = {array.size()};
    return new View(
        array.memory(), array.getDataType().getNumOfBytes(), sizes, Shapes.strides(sizes));
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

  /** In one kernel, rounded once. Scale and shift have one type, which may be another than x's. */
  @Override
  public NDArray modulatedNorm(NDArray x, NDArray scale, NDArray shift, double eps) {
    CudaNDArray in = own("modulatedNorm", x);
    CudaNDArray factor = row("modulatedNorm", scale, in);
    CudaNDArray added = row("modulatedNorm", shift, in);
    return create(
        in,
        in.getShape(),
        out -> {
          Heads from = rows(in);
          Heads by = everyRow(factor, from);
          Heads to = everyRow(added, from);
          kernels().layerNorm(from, rows(out), null, null, null, by, to, (float) eps);
        });
  }

  /** The gate may have another type than {@code x} and {@code y}, which have one. */
  @Override
  public NDArray gatedResidual(NDArray x, NDArray y, NDArray gate) {
    CudaNDArray in = own("gatedResidual", x);
    CudaNDArray added = own("gatedResidual", y);
    CudaNDArray factor = gate == null ? null : row("gatedResidual", gate, in);
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
          Heads by = factor == null ? null : everyRow(factor, from);
          kernels().gatedResidual(from, rows(added), by, rows(out));
        });
  }

  /** In one kernel, rounded once. The weight may have another type than {@code x}. */
  @Override
  public NDArray normRotary(NDArray x, NDArray weight, double eps, NDArray cos, NDArray sin) {
    CudaNDArray in = own("normRotary", x);
    CudaNDArray factor = row("normRotary", weight, in);
    Shape table = own("normRotary", cos).getShape();
    require(
        in.getShape().dimension() == 2
            && table.dimension() == 2
            && table.equals(own("normRotary", sin).getShape())
            && cos.getDataType() == DataType.FLOAT32
            && sin.getDataType() == DataType.FLOAT32
            && table.get(0) == in.getShape().get(0)
            && table.get(1) > 0
            && width(in) % (2 * table.get(1)) == 0,
        "normRotary",
        "x (S, H · D), weight (H · D), cos and sin (S, D / 2) FLOAT32",
        x,
        weight,
        cos,
        sin);
    int rows = (int) table.get(0);
    int dim = (int) (2 * table.get(1));
    int heads = (int) (width(in) / dim);
    return create(
        in,
        new Shape(rows, heads, dim),
        out ->
            kernels()
                .normRope(
                    Heads.tokenMajor(in.memory(), type(in), heads, rows, dim),
                    HeadViews.of(this, out),
                    true,
                    factor.memory(),
                    type(factor),
                    (float) eps,
                    RopePairs.INTERLEAVED,
                    rows,
                    memory(cos),
                    memory(sin)));
  }

  /**
   * One kernel for FLOAT16 and BFLOAT16 and head dimensions that are multiples of 8 up to {@value
   * #FUSED_HEAD_DIM}; matrix products and a softmax for others.
   */
  @Override
  public NDArray attention(NDArray q, NDArray k, NDArray v) {
    CudaNDArray queries = own("attention", q);
    CudaNDArray keys = own("attention", k);
    CudaNDArray values = own("attention", v);
    requireAttention("attention", queries, keys, values);
    float scale = HeadViews.scale(queries);
    return create(
        queries,
        queries.getShape(),
        out -> {
          if (isFused(queries)) {
            kernels()
                .attentionDense(
                    HeadViews.of(this, queries),
                    HeadViews.of(this, keys),
                    HeadViews.of(this, values),
                    HeadViews.of(this, out),
                    scale,
                    0,
                    null);
          } else {
            attendInSteps(queries, keys, values, scale, null, out);
          }
        });
  }

  private static boolean isFused(CudaNDArray q) {
    long dim = q.getShape().get(2);
    return q.getDataType() != DataType.FLOAT32 && dim % 8 == 0 && dim <= FUSED_HEAD_DIM;
  }

  /** The bias may have another type than {@code q}, {@code k} and {@code v}. */
  @Override
  public NDArray biasedAttention(NDArray q, NDArray k, NDArray v, NDArray bias, double scale) {
    CudaNDArray queries = own("biasedAttention", q);
    CudaNDArray keys = own("biasedAttention", k);
    CudaNDArray values = own("biasedAttention", v);
    CudaNDArray added = own("biasedAttention", bias);
    requireAttention("biasedAttention", queries, keys, values);
    int rows = (int) queries.getShape().get(0);
    int columns = (int) keys.getShape().get(0);
    require(
        added.getShape().equals(new Shape(queries.getShape().get(1), rows + columns - 1L)),
        "biasedAttention",
        "q (Sq, H, D), k and v (Sk, H, D) and bias (H, Sq + Sk - 1)",
        q,
        k,
        v,
        bias);
    return create(
        queries,
        queries.getShape(),
        out ->
            attendInSteps(
                queries,
                keys,
                values,
                (float) scale,
                ScoreBias.relative(added.memory(), type(added), rows, columns),
                out));
  }

  private static void requireAttention(
      String operation, CudaNDArray q, CudaNDArray k, CudaNDArray v) {
    Shape queries = q.getShape();
    Shape keys = k.getShape();
    require(
        queries.dimension() == 3
            && keys.dimension() == 3
            && queries.get(1) == keys.get(1)
            && queries.get(2) == keys.get(2)
            && v.getShape().equals(keys)
            && k.getDataType() == q.getDataType()
            && v.getDataType() == q.getDataType(),
        operation,
        "q (Sq, H, D), k and v (Sk, H, D) of one type",
        q,
        k,
        v);
  }

  /** Attention by products and a softmax, of so many queries at a time as scores have memory. */
  private void attendInSteps(
      CudaNDArray queries,
      CudaNDArray keys,
      CudaNDArray values,
      float scale,
      ScoreBias bias,
      CudaNDArray out) {
    Heads q = HeadViews.of(this, queries);
    Heads k = HeadViews.of(this, keys);
    Heads v = HeadViews.of(this, values);
    Heads to = HeadViews.of(this, out);
    long stride = Math.ceilDiv(k.rows(), ROW_ALIGNMENT) * (long) ROW_ALIGNMENT;
    long most = SCORE_BYTES / (q.heads() * stride * Float.BYTES);
    int step = (int) Math.clamp(most, 1, q.rows());
    Shape shape = new Shape(q.heads(), step, stride);
    CudaNDManager owner = out.getManager();
    try (CudaNDArray scores = owner.create(shape, DataType.FLOAT32);
        CudaNDArray weights = // of 32 bits, they replace their scores
            out.getDataType() == DataType.FLOAT32
                ? scores.reshape(shape)
                : owner.create(shape, out.getDataType())) {
      for (int row = 0; row < q.rows(); row += step) {
        int rows = Math.min(step, q.rows() - row);
        Heads s = matrices(scores, rows, k.rows());
        Heads w = matrices(weights, rows, k.rows());
        products.multiplyTransposed(q.rows(row, rows), k, s);
        kernels().softmax(s, scale, bias == null ? null : bias.fromRow(row), w);
        products.multiply(w, v, to.rows(row, rows));
      }
    }
  }

  /** The first rows and columns of each head's matrix in an (H, rows, columns) array. */
  private static Heads matrices(CudaNDArray array, int rows, int columns) {
    Shape shape = array.getShape();
    long stride = shape.get(2);
    return new Heads(
        array.memory(),
        type(array),
        (int) shape.get(0),
        rows,
        columns,
        shape.get(1) * stride,
        stride);
  }

  /** The table may have another type than FLOAT32; an index that is no row of it gives zeros. */
  @Override
  public NDArray gatherRows(NDArray table, NDArray indices) {
    CudaNDArray from = own("gatherRows", table);
    CudaNDArray numbers = own("gatherRows", indices);
    DataType type = numbers.getDataType();
    require(
        from.getShape().dimension() == 2
            && numbers.getShape().dimension() == 1
            && (type == DataType.INT64 || type == DataType.INT32),
        "gatherRows",
        "a table (R, C) and indices (N) of INT64 or INT32",
        table,
        indices);
    Shape wanted = new Shape(numbers.size(), from.getShape().get(1));
    return create(
        numbers.getManager(),
        wanted,
        from.getDataType(),
        out -> kernels().gatherRows(rows(from), numbers.memory(), type.getNumOfBytes(), rows(out)));
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
    int[] padding = {spatialPadding, spatialPadding, spatialPadding, spatialPadding};
    return convolution("conv3d", x, earlier, weight, bias, residual, timeStride, 1, 1, padding);
  }

  @Override
  public NDArray conv2d(NDArray x, NDArray weight, NDArray bias, int stride, int[] padding) {
    return everyFrame("conv2d", x, weight, bias, stride, 1, padding);
  }

  @Override
  public NDArray upsampleConv2d(NDArray x, NDArray weight, NDArray bias, int[] padding) {
    return everyFrame("upsampleConv2d", x, weight, bias, 1, 2, padding);
  }

  /** By kernels of one frame. */
  private NDArray everyFrame(
      String operation,
      NDArray x,
      NDArray weight,
      NDArray bias,
      int stride,
      int repeat,
      int[] padding) {
    Shape shape = own(operation, weight).getShape();
    require(
        shape.dimension() == 4, operation, "x (T, Y, X, C) and weight (O, ky, kx, C)", x, weight);
    if (padding.length != 4) {
      throw new IllegalArgumentException(
          "%s with padding %s; expected {top, bottom, left, right}"
              .formatted(operation, Arrays.toString(padding)));
    }
    Shape clip = new Shape(shape.get(0), 1).addAll(shape.slice(1));
    try (NDArray kernels = weight.reshape(clip)) {
      return convolution(operation, x, null, kernels, bias, null, 1, stride, repeat, padding);
    }
  }

  /** All arguments have the type of {@code x}. */
  private CudaNDArray convolution(
      String operation,
      NDArray x,
      NDArray earlier,
      NDArray weight,
      NDArray bias,
      NDArray residual,
      int timeStride,
      int stride,
      int repeat,
      int[] padding) {
    CudaNDArray in = own(operation, x);
    CudaNDArray before = earlier == null ? null : own(operation, earlier);
    CudaNDArray kernels = own(operation, weight);
    CudaNDArray offset = bias == null ? null : own(operation, bias);
    CudaNDArray added = residual == null ? null : own(operation, residual);
    Shape clip = in.getShape();
    Shape kernel = kernels.getShape();
    require(
        clip.dimension() == 4
            && clip.size() > 0
            && kernel.dimension() == 5
            && kernel.get(4) == clip.get(3)
            && kernels.getDataType() == in.getDataType()
            && (offset == null
                || offset.getShape().equals(kernel.slice(0, 1))
                    && offset.getDataType() == in.getDataType()),
        operation,
        "x (T, Y, X, C), weight (O, …, C) and bias (O) of one type",
        x,
        weight,
        bias);
    require(
        before == null
            || before.getShape().dimension() == 4
                && before.getShape().slice(1).equals(clip.slice(1))
                && before.getDataType() == in.getDataType(),
        operation,
        "x (T, Y, X, C) and earlier frames (E, Y, X, C) of one type",
        x,
        earlier);
    Convolution sizes =
        new Convolution(
            size(clip, 0),
            before == null ? 0 : size(before.getShape(), 0),
            size(clip, 1),
            size(clip, 2),
            size(clip, 3),
            size(kernel, 0),
            size(kernel, 1),
            size(kernel, 2),
            size(kernel, 3),
            timeStride,
            stride,
            repeat,
            padding[0],
            padding[1],
            padding[2],
            padding[3]);
    Shape wanted =
        new Shape(sizes.outFrames(), sizes.outHeight(), sizes.outWidth(), sizes.outChannels());
    require(
        added == null || added.getShape().equals(wanted) && added.getDataType() == in.getDataType(),
        operation,
        "x and a residual of its type and of the shape " + wanted,
        x,
        residual);
    return create(
        in,
        wanted,
        out ->
            kernels()
                .convolution(
                    sizes,
                    type(in),
                    before == null ? null : before.memory(),
                    in.memory(),
                    kernels.memory(),
                    offset == null ? null : offset.memory(),
                    added == null ? null : added.memory(),
                    out.memory()));
  }

  private static int size(Shape shape, int dimension) {
    return Math.toIntExact(shape.get(dimension));
  }

  /** Gamma may have another type than {@code x}. */
  @Override
  public NDArray channelNorm(NDArray x, NDArray gamma, boolean thenSilu) {
    CudaNDArray in = own("channelNorm", x);
    CudaNDArray factor = row("channelNorm", gamma, in);
    return create(
        in,
        in.getShape(),
        out -> kernels().channelNorm(rows(in), rows(out), factor.memory(), type(factor), thenSilu));
  }

  /** Waits for the stream and frees everything. Closing twice does nothing. */
  @Override
  public void close() {
    try (manager;
        products) {}
  }

  /** A result in the first argument's manager and of its type, freed when computing it fails. */
  private static CudaNDArray create(CudaNDArray first, Shape shape, Consumer<CudaNDArray> compute) {
    return create(first.getManager(), shape, first.getDataType(), compute);
  }

  private static CudaNDArray create(
      CudaNDManager owner, Shape shape, DataType type, Consumer<CudaNDArray> compute) {
    return owner.create(
        shape,
        type,
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
