package io.sparsevideo.cuda.engine;

import ai.djl.Device;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDArrayAdapter;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.NDScope;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.index.full.NDIndexFullSlice;
import ai.djl.ndarray.internal.NDArrayEx;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.kernels.Activation;
import io.sparsevideo.kernels.Elementwise;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.kernels.View;
import java.lang.foreign.MemorySegment;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.charset.Charset;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.IntStream;
import java.util.stream.LongStream;

/**
 * A row-major tensor in device memory. Reshaping and slices whose elements lie one behind the other
 * are views: they share the memory, which is freed when the last array on it is closed. Any other
 * slice is a copy; {@link #set(NDIndex, NDArray)} writes into every slice.
 *
 * <p>Results belong to this array's manager. An array that is used with one of another tree of
 * managers makes the two streams wait for each other.
 */
public final class CudaNDArray extends NDArrayAdapter {

  /** Elements that one cast works on: a power of two. */
  private static final long CAST_ELEMENTS = 1L << 30;

  private final AtomicBoolean closed = new AtomicBoolean();
  private Storage storage;
  private long offset;

  /**
   * @param storage held for this array already
   * @param offset bytes from the storage's start
   */
  CudaNDArray(CudaNDManager manager, Storage storage, long offset, Shape shape, DataType type) {
    super(manager, Unsupported.NO_ALTERNATIVE, shape, type, NDManager.nextUid());
    this.storage = storage;
    this.offset = offset;
    manager.attachInternal(uid, this);
    storage.heap().arrayOpened();
    NDScope.register(this);
  }

  // Memory and ownership

  /**
   * The device memory of the elements, for kernels on the manager's stream; valid while the array
   * is open.
   */
  public MemorySegment memory() {
    requireOpen();
    return storage.segment().asSlice(offset, Shapes.bytes(shape, dataType));
  }

  @Override
  public CudaNDManager getManager() {
    return (CudaNDManager) manager;
  }

  boolean isOn(DeviceHeap heap) {
    return storage.heap() == heap;
  }

  private CudaQueue queue() {
    return getManager().queue();
  }

  private void requireOpen() {
    if (closed.get()) {
      throw new IllegalStateException(
          "the array %s %s is closed"
              .formatted(name == null ? "" : name, Shapes.text(shape, dataType)));
    }
  }

  @Override
  public Shape getShape() {
    requireOpen();
    return shape;
  }

  @Override
  public DataType getDataType() {
    requireOpen();
    return dataType;
  }

  /** The name, which an out-of-memory message shows. */
  @Override
  public void setName(String name) {
    super.setName(name);
    storage.setLabel(name);
  }

  @Override
  public void attach(NDManager manager) {
    requireOpen();
    if (manager != this.manager) {
      CudaNDManager target = sameDevice("attach", manager);
      target.attachInternal(uid, this);
      this.manager.detachInternal(uid);
      moveTo(target);
    }
  }

  @Override
  public void returnResource(NDManager manager) {
    CudaNDManager target = sameDevice("returnResource", manager);
    this.manager.detachInternal(uid);
    target.attachUncappedInternal(uid, this);
    moveTo(target);
  }

  @Override
  public void tempAttach(NDManager manager) {
    requireOpen();
    if (manager != this.manager) {
      CudaNDManager target = sameDevice("tempAttach", manager);
      NDManager original = this.manager;
      target.tempAttachInternal(original, uid, this);
      original.detachInternal(uid);
      moveTo(target);
    }
  }

  @Override
  public void detach() {
    requireOpen();
    manager.detachInternal(uid);
    moveTo(getManager().system());
  }

  private CudaNDManager sameDevice(String operation, NDManager manager) {
    if (manager instanceof CudaNDManager target && isOn(target.queue().heap())) {
      return target;
    }
    throw new IllegalArgumentException(
        "%s of an array of %s to a manager of %s; copy it there with toDevice or NDManager.from"
            .formatted(operation, storage.heap(), manager.getDevice()));
  }

  private void moveTo(CudaNDManager target) {
    target.queue().follow(queue());
    storage.useOn(target.queue());
    manager = target;
  }

  @Override
  public void intern(NDArray replaced) {
    requireOpen();
    CudaNDArray other = sameDevice("intern", replaced);
    other.requireOpen();
    if (other == this) {
      return;
    }
    queue().follow(other.queue());
    other.storage.hold(queue());
    storage.release();
    storage = other.storage;
    offset = other.offset;
    shape = other.shape;
    dataType = other.dataType;
    other.close();
  }

  /** Lets go of the memory, which work put on the stream before may still use. */
  @Override
  public void close() {
    if (closed.compareAndSet(false, true)) {
      super.close();
      storage.heap().arrayClosed();
      storage.release();
    }
  }

  // Copies

  /** Waits for the values; an array of more than 2 GiB goes to {@link #copyTo(MemorySegment)}. */
  @Override
  public ByteBuffer toByteBuffer(boolean tryDirect) {
    MemorySegment source = memory();
    if (source.byteSize() > Integer.MAX_VALUE) {
      throw new IllegalStateException(
          "%s has more bytes than a ByteBuffer holds: copyTo(MemorySegment) takes any size"
              .formatted(Shapes.text(shape, dataType)));
    }
    ByteBuffer buffer = manager.allocateDirect((int) source.byteSize());
    queue().copyToHost(MemorySegment.ofBuffer(buffer), source);
    return buffer;
  }

  /** Copies the elements to host memory of exactly their size, and waits for it. */
  public void copyTo(MemorySegment target) {
    MemorySegment source = memory();
    Elements.requireSize("the target", target, source.byteSize());
    queue().copyToHost(target, source);
  }

  /** Also of the 16-bit types. */
  @Override
  public float[] toFloatArray() {
    if (getDataType() == DataType.FLOAT16 || dataType == DataType.BFLOAT16) {
      try (NDArray wide = toType(DataType.FLOAT32, false)) {
        return wide.toFloatArray();
      }
    }
    return super.toFloatArray();
  }

  @Override
  public Number[] toArray() {
    if (getDataType() == DataType.BFLOAT16) {
      try (NDArray wide = toType(DataType.FLOAT32, false)) {
        return wide.toArray();
      }
    }
    return super.toArray();
  }

  @Override
  public void set(Buffer data) {
    MemorySegment target = memory();
    queue().copyToDevice(target, Elements.of(data, dataType, target.byteSize()));
  }

  /** Copies the elements from host memory of exactly their size; it has been read on return. */
  public void set(MemorySegment data) {
    MemorySegment target = memory();
    Elements.requireSize("the source", data, target.byteSize());
    queue().copyToDevice(target, data);
  }

  /** Copies bit by bit to an array of the same number of bytes, of any device. */
  @Override
  public void copyTo(NDArray array) {
    MemorySegment source = memory();
    if (!(array instanceof CudaNDArray target)) {
      array.set(toByteBuffer(true));
      return;
    }
    Elements.requireSize("the target", target.memory(), source.byteSize());
    if (target.isOn(storage.heap())) {
      if (source.byteSize() > 0) {
        target.after(() -> target.queue().stream().copyOnDevice(target.memory(), source), this);
      }
    } else {
      ByteBuffer piece = manager.allocateDirect((int) Math.min(source.byteSize(), Staging.PIECE));
      for (long start = 0; start < source.byteSize(); start += Staging.PIECE) {
        long length = Math.min(Staging.PIECE, source.byteSize() - start);
        MemorySegment part = MemorySegment.ofBuffer(piece).asSlice(0, length);
        queue().copyToHost(part, source.asSlice(start, length));
        target.queue().copyToDevice(target.memory().asSlice(start, length), part);
      }
    }
  }

  @Override
  public CudaNDArray duplicate() {
    CudaNDArray copy = getManager().create(getShape(), dataType, this::copyTo);
    copy.setName(getName());
    return copy;
  }

  /**
   * This array or a copy on another device: of this engine on a GPU, of DJL's default engine on the
   * CPU. Copies are closed with this array's manager at the latest.
   *
   * @throws UnsupportedOperationException for BFLOAT16 to the CPU: DJL's PyTorch engine would end
   *     the process over it
   */
  @Override
  public NDArray toDevice(Device device, boolean copy) {
    if (device.equals(getDevice())) {
      return copy ? duplicate() : this;
    }
    if (!device.isGpu() && dataType == DataType.BFLOAT16) {
      throw Unsupported.operation("toDevice of BFLOAT16 to " + device + " without toType before");
    }
    NDArray array = getManager().elsewhere(device).create(getShape(), dataType);
    try {
      array.setName(getName());
      copyTo(array);
      return array;
    } catch (RuntimeException e) {
      array.close();
      throw e;
    }
  }

  /** Among the floating-point types, rounding to nearest, ties to even. */
  @Override
  public CudaNDArray toType(DataType type, boolean copy) {
    if (type == getDataType()) {
      return copy ? duplicate() : this;
    }
    KernelType from = Elements.kernelType("toType(" + type.name() + ")", dataType);
    KernelType to = Elements.kernelType("toType from " + dataType.name(), type);
    CudaNDArray result = getManager().create(shape, type, target -> castTo(target, from, to));
    result.setName(getName());
    return result;
  }

  private void castTo(CudaNDArray result, KernelType from, KernelType to) {
    for (long start = 0; start < size(); start += CAST_ELEMENTS) {
      long count = Math.min(CAST_ELEMENTS, size() - start);
      int width = (int) Math.min(Long.lowestOneBit(count), 4096); // aligned rows of any width do
      int rows = (int) (count / width);
      MemorySegment source = memory().asSlice(start * from.bytes());
      MemorySegment target = result.memory().asSlice(start * to.bytes());
      queue()
          .kernels()
          .activation(
              Heads.headMajor(source, from, 1, rows, width),
              Heads.headMajor(target, to, 1, rows, width),
              Activation.IDENTITY,
              null,
              null);
    }
  }

  // Views

  private CudaNDArray view(CudaNDManager manager, long firstElement, Shape shape) {
    requireOpen();
    long start = offset + firstElement * dataType.getNumOfBytes();
    CudaNDArray view = manager.newArray(storage, start, shape, dataType);
    if (manager.queue() != queue()) {
      manager.queue().follow(queue());
    }
    return view;
  }

  private CudaNDArray view(Shape shape) {
    return view(getManager(), 0, shape);
  }

  @Override
  public CudaNDArray reshape(Shape shape) {
    return view(Shapes.reshaped(getShape(), shape));
  }

  @Override
  public CudaNDArray flatten() {
    return view(new Shape(size()));
  }

  @Override
  public CudaNDArray flatten(int startDim, int endDim) {
    int first = Shapes.axis(startDim, getShape().dimension());
    int last = Shapes.axis(endDim, shape.dimension());
    Shape middle = new Shape(shape.slice(first, last + 1).size());
    return view(shape.slice(0, first).addAll(middle).addAll(shape.slice(last + 1)));
  }

  @Override
  public CudaNDArray expandDims(int axis) {
    int place = Shapes.axis(axis, getShape().dimension() + 1);
    return view(shape.slice(0, place).add(1).addAll(shape.slice(place)));
  }

  @Override
  public CudaNDArray squeeze(int[] axes) {
    int dimensions = getShape().dimension();
    int[] dropped = Arrays.stream(axes).map(axis -> Shapes.axis(axis, dimensions)).toArray();
    for (int d : dropped) {
      if (shape.get(d) != 1) {
        throw new IllegalArgumentException(
            "squeeze of axis %d of %s: its size is not 1".formatted(d, shape));
      }
    }
    return view(
        new Shape(
            IntStream.range(0, dimensions)
                .filter(d -> Arrays.stream(dropped).noneMatch(n -> n == d))
                .mapToLong(shape::get)
                .toArray()));
  }

  @Override
  public CudaNDArray get(NDIndex index) {
    return get(getManager(), index);
  }

  /**
   * A slice: a view where its elements lie one behind the other, else a copy.
   *
   * @param manager owner of the result, on the same device
   */
  @Override
  public CudaNDArray get(NDManager manager, NDIndex index) {
    CudaNDManager owner = sameDevice("get", manager);
    NDIndexFullSlice slice = slice("get", index);
    long[] sizes = slice.getShape().getShape();
    long[] strides = sliceStrides(slice);
    if (slice.getShape().size() == 0) { // which may start past the end
      return view(owner, 0, slice.getSqueezedShape());
    }
    if (Shapes.isContiguous(sizes, strides)) {
      return view(owner, firstOf(slice), slice.getSqueezedShape());
    }
    return owner.create(
        slice.getSqueezedShape(),
        dataType,
        copy ->
            copy.copyFrom(this, elements(sizes, strides, firstOf(slice)), copy.elements(sizes, 0)));
  }

  private NDIndexFullSlice slice(String operation, NDIndex index) {
    NDIndexFullSlice slice =
        NDIndexFullSlice.fromIndex(index, getShape())
            .orElseThrow(() -> Unsupported.operation(operation + " by another array"));
    Shapes.requireInside(slice, shape);
    return slice;
  }

  private long[] sliceStrides(NDIndexFullSlice slice) {
    long[] strides = Shapes.strides(shape.getShape());
    Arrays.setAll(strides, d -> strides[d] * slice.getStep()[d]);
    return strides;
  }

  private long firstOf(NDIndexFullSlice slice) {
    long[] strides = Shapes.strides(shape.getShape());
    return IntStream.range(0, strides.length).mapToLong(d -> slice.getMin()[d] * strides[d]).sum();
  }

  /** Elements of this array from one on, as kernels see them. */
  private View elements(long[] sizes, long[] strides, long first) {
    int size = dataType.getNumOfBytes();
    MemorySegment start = memory().asSlice(first * size);
    return sizes.length == 0
        ? new View(start, size, new long[] {1}, new long[] {1})
        : new View(start, size, sizes, strides);
  }

  private View elements(long[] sizes, long first) {
    return elements(sizes, Shapes.strides(sizes), first);
  }

  /** Copies elements of another array to elements of this one. */
  private void copyFrom(CudaNDArray source, View from, View to) {
    after(() -> queue().kernels().copy(from, to), source);
  }

  /** Puts work on this array's stream that also uses arrays that may be on others. */
  private void after(Runnable work, CudaNDArray... others) {
    for (CudaNDArray other : others) {
      queue().follow(other.queue());
    }
    work.run();
    for (CudaNDArray other : others) {
      other.queue().follow(queue());
    }
  }

  private CudaNDArray sameDevice(String operation, NDArray other) {
    if (other instanceof CudaNDArray array && array.isOn(storage.heap())) {
      return array;
    }
    throw new IllegalArgumentException(
        "%s of an array of %s and one of %s %s"
            .formatted(
                operation,
                storage.heap(),
                other.getManager().getEngine().getEngineName(),
                other.getDevice()));
  }

  // Copies between layouts

  @Override
  public CudaNDArray transpose() {
    int last = getShape().dimension() - 1;
    return transpose(IntStream.rangeClosed(0, last).map(d -> last - d).toArray());
  }

  @Override
  public CudaNDArray transpose(int... axes) {
    int dimensions = getShape().dimension();
    int[] from = Arrays.stream(axes).map(axis -> Shapes.axis(axis, dimensions)).toArray();
    if (from.length != dimensions || Arrays.stream(from).distinct().count() != dimensions) {
      throw new IllegalArgumentException(
          "transpose of %s by %s, which names not every axis once"
              .formatted(shape, Arrays.toString(axes)));
    }
    long[] strides = Shapes.strides(shape.getShape());
    long[] sizes = Arrays.stream(from).mapToLong(shape::get).toArray();
    long[] turned = Arrays.stream(from).mapToLong(d -> strides[d]).toArray();
    return relaid(new Shape(sizes), turned);
  }

  @Override
  public CudaNDArray broadcast(Shape wanted) {
    return relaid(wanted, Shapes.broadcastStrides(getShape(), wanted));
  }

  /** A copy of another shape, whose elements are found with strides in this array. */
  private CudaNDArray relaid(Shape wanted, long[] strides) {
    return getManager()
        .create(
            wanted,
            dataType,
            copy -> {
              if (wanted.size() > 0) {
                long[] sizes = wanted.getShape();
                copy.copyFrom(this, elements(sizes, strides, 0), copy.elements(sizes, 0));
              }
            });
  }

  /** Equal parts; along the first axis they are views. */
  @Override
  public NDList split(long sections, int axis) {
    long size = getShape().get(Shapes.axis(axis, shape.dimension()));
    if (sections < 1 || size % sections != 0) {
      throw new IllegalArgumentException(
          "split of axis %d of %s into %d equal parts".formatted(axis, shape, sections));
    }
    return split(LongStream.range(0, sections).map(i -> i * (size / sections)).toArray(), axis);
  }

  /** Parts that start at the indices, the first at 0; along the first axis they are views. */
  @Override
  public NDList split(long[] indices, int axis) {
    int along = Shapes.axis(axis, getShape().dimension());
    NDList parts = new NDList();
    long start = 0;
    for (int i = indices.length > 0 && indices[0] == 0 ? 1 : 0; i <= indices.length; i++) {
      long end = i == indices.length ? shape.get(along) : indices[i];
      NDIndex index = new NDIndex();
      for (int d = 0; d < along; d++) {
        index.addAllDim();
      }
      parts.add(get(index.addSliceDim(start, end)));
      start = end;
    }
    return parts;
  }

  /** This array and the others, one behind the other along an axis. */
  CudaNDArray concat(NDList others, int axis) {
    int along = Shapes.axis(axis, getShape().dimension());
    NDList all = new NDList(this);
    all.addAll(others);
    long[] sizes = shape.getShape().clone();
    sizes[along] = 0;
    for (NDArray array : all) {
      long[] part = array.getShape().getShape().clone();
      boolean fits = part.length == sizes.length && array.getDataType() == dataType;
      if (fits) {
        sizes[along] += part[along];
        part[along] = sizes[along];
      }
      if (!fits || !Arrays.equals(part, sizes)) {
        throw new IllegalArgumentException(
            "concat along axis %d of %s and %s"
                .formatted(
                    along,
                    Shapes.text(shape, dataType),
                    Shapes.text(array.getShape(), array.getDataType())));
      }
    }
    return getManager().create(new Shape(sizes), dataType, result -> result.setSlices(all, along));
  }

  /** Writes arrays into this one, one behind the other along an axis. */
  private void setSlices(NDList arrays, int along) {
    long[] strides = Shapes.strides(shape.getShape());
    long at = 0;
    for (NDArray array : arrays) {
      CudaNDArray part = sameDevice("concat", array);
      if (part.size() > 0) {
        long[] sizes = part.shape.getShape();
        copyFrom(part, part.elements(sizes, 0), elements(sizes, strides, at * strides[along]));
      }
      at += part.shape.get(along);
    }
  }

  /** This array and the others as slices of a new axis. */
  CudaNDArray stack(NDList others, int axis) {
    int place = Shapes.axis(axis, getShape().dimension() + 1);
    NDList rest = new NDList();
    try (CudaNDArray first = expandDims(place)) {
      others.forEach(array -> rest.add(array.expandDims(place)));
      return first.concat(rest, place);
    } finally {
      rest.close();
    }
  }

  // Writes

  @Override
  public void set(NDIndex index, NDArray value) {
    NDIndexFullSlice slice = slice("set", index);
    CudaNDArray source = sameDevice("set", value);
    if (source.getDataType() != dataType) {
      throw new IllegalArgumentException(
          "set of %s to %s; toType makes them one"
              .formatted(Shapes.text(source.shape, source.dataType), dataType));
    }
    write(slice, source, Shapes.broadcastStrides(source.shape, slice.getSqueezedShape()));
  }

  @Override
  public void set(NDIndex index, Number value) {
    NDIndexFullSlice slice = slice("set", index);
    try (CudaNDArray one = getManager().create(new Shape(), dataType)) {
      one.fill(value);
      write(slice, one, new long[slice.getSqueezedShape().dimension()]);
    }
  }

  /** Frees the slice that the function gets, and what it computes from it. */
  @Override
  public void set(NDIndex index, Function<NDArray, NDArray> function) {
    try (NDManager scope = getManager().newSubManager()) {
      set(index, function.apply(get(scope, index)));
    }
  }

  @Override
  public void setScalar(NDIndex index, Number value) {
    Shape named = slice("setScalar", index).getSqueezedShape();
    if (named.size() != 1) {
      throw new IllegalArgumentException(
          "setScalar of %s: the index names the elements %s, not one".formatted(shape, named));
    }
    set(index, value);
  }

  @Override
  public void set(NDArray index, Number value) {
    throw Unsupported.operation("set by another array");
  }

  /** Writes a slice from an array that is read with strides of the slice's squeezed shape. */
  private void write(NDIndexFullSlice slice, CudaNDArray source, long[] squeezedStrides) {
    if (slice.getShape().size() == 0) {
      return;
    }
    long[] sizes = slice.getShape().getShape();
    long[] strides = new long[sizes.length];
    int next = 0;
    for (int d = 0; d < sizes.length; d++) {
      int dim = d;
      boolean squeezed = Arrays.stream(slice.getToSqueeze()).anyMatch(s -> s == dim);
      strides[d] = squeezed ? 0 : squeezedStrides[next++];
    }
    long[] toStrides = sliceStrides(slice);
    View to = elements(sizes, toStrides, firstOf(slice));
    boolean isItself =
        source.storage == storage
            && source.offset == offset + firstOf(slice) * dataType.getNumOfBytes()
            && IntStream.range(0, sizes.length)
                .allMatch(d -> sizes[d] == 1 || strides[d] == toStrides[d]);
    if (!isItself) { // kernels refuse to copy memory onto itself
      copyFrom(source, source.elements(sizes, strides, 0), to);
    }
  }

  /** Sets every element. */
  void fill(Number value) {
    if (size() == 0) {
      return;
    }
    int size = dataType.getNumOfBytes();
    ByteBuffer pattern = manager.allocateDirect(size);
    Elements.put(pattern, value, dataType);
    pattern.rewind();
    if (value.doubleValue() == 0 || size == 1) {
      queue().stream().fill(memory(), pattern.get(0));
    } else if (size == Integer.BYTES) {
      queue().stream().fillInts(memory(), pattern.getInt(0));
    } else { // the first element goes to the device, and is copied to all others
      queue().copyToDevice(memory().asSlice(0, size), MemorySegment.ofBuffer(pattern));
      if (size() > 1) {
        long[] others = {size() - 1};
        queue().kernels().copy(elements(others, new long[1], 0), elements(others, 1));
      }
    }
  }

  // Arithmetic of the floating-point types

  private CudaNDArray combine(String name, Elementwise op, NDArray other, boolean inPlace) {
    CudaNDArray y = sameDevice(name, other);
    KernelType xType = Elements.kernelType(name, getDataType());
    KernelType yType = Elements.kernelType(name, y.getDataType());
    Shape wanted = Shapes.broadcast(shape, y.shape);
    if (inPlace && !wanted.equals(shape)) {
      throw new IllegalArgumentException(
          "%s of %s in place with %s, which would grow it".formatted(name, shape, y.shape));
    }
    Consumer<CudaNDArray> compute =
        out -> {
          if (wanted.size() == 0) {
            return;
          }
          long[] sizes = wanted.getShape();
          View x = elements(sizes, Shapes.broadcastStrides(shape, wanted), 0);
          View by = y.elements(sizes, Shapes.broadcastStrides(y.shape, wanted), 0);
          View to = out.elements(sizes, 0);
          KernelType outType = Elements.kernelType(name, out.dataType);
          after(() -> queue().kernels().elementwise(op, x, xType, by, yType, to, outType), y);
        };
    return into(inPlace, wanted, xType == yType ? dataType : DataType.FLOAT32, compute);
  }

  private CudaNDArray combine(String name, Elementwise op, Number scalar, boolean inPlace) {
    KernelType type = Elements.kernelType(name, getDataType());
    Consumer<CudaNDArray> compute =
        out -> {
          if (size() > 0) {
            View x = elements(new long[] {size()}, 0);
            View to = out.elements(new long[] {size()}, 0);
            queue().kernels().elementwise(op, x, type, scalar.floatValue(), to, type);
          }
        };
    return into(inPlace, shape, dataType, compute);
  }

  /** Computes this array in place, or a new one. */
  private CudaNDArray into(
      boolean inPlace, Shape shape, DataType type, Consumer<CudaNDArray> compute) {
    if (!inPlace) {
      return getManager().create(shape, type, compute);
    }
    compute.accept(this);
    return this;
  }

  @Override
  public CudaNDArray add(NDArray other) {
    return combine("add", Elementwise.ADD, other, false);
  }

  @Override
  public CudaNDArray add(Number n) {
    return combine("add", Elementwise.ADD, n, false);
  }

  @Override
  public CudaNDArray addi(NDArray other) {
    return combine("addi", Elementwise.ADD, other, true);
  }

  @Override
  public CudaNDArray addi(Number n) {
    return combine("addi", Elementwise.ADD, n, true);
  }

  @Override
  public CudaNDArray sub(NDArray other) {
    return combine("sub", Elementwise.SUBTRACT, other, false);
  }

  @Override
  public CudaNDArray sub(Number n) {
    return combine("sub", Elementwise.SUBTRACT, n, false);
  }

  @Override
  public CudaNDArray subi(NDArray other) {
    return combine("subi", Elementwise.SUBTRACT, other, true);
  }

  @Override
  public CudaNDArray subi(Number n) {
    return combine("subi", Elementwise.SUBTRACT, n, true);
  }

  @Override
  public CudaNDArray mul(NDArray other) {
    return combine("mul", Elementwise.MULTIPLY, other, false);
  }

  @Override
  public CudaNDArray mul(Number n) {
    return combine("mul", Elementwise.MULTIPLY, n, false);
  }

  @Override
  public CudaNDArray muli(NDArray other) {
    return combine("muli", Elementwise.MULTIPLY, other, true);
  }

  @Override
  public CudaNDArray muli(Number n) {
    return combine("muli", Elementwise.MULTIPLY, n, true);
  }

  @Override
  public CudaNDArray div(NDArray other) {
    return combine("div", Elementwise.DIVIDE, other, false);
  }

  @Override
  public CudaNDArray div(Number n) {
    return combine("div", Elementwise.DIVIDE, n, false);
  }

  @Override
  public CudaNDArray divi(NDArray other) {
    return combine("divi", Elementwise.DIVIDE, other, true);
  }

  @Override
  public CudaNDArray divi(Number n) {
    return combine("divi", Elementwise.DIVIDE, n, true);
  }

  @Override
  public CudaNDArray neg() {
    return combine("neg", Elementwise.MULTIPLY, -1, false);
  }

  @Override
  public CudaNDArray negi() {
    return combine("negi", Elementwise.MULTIPLY, -1, true);
  }

  @Override
  public CudaNDArray square() {
    return combine("square", Elementwise.MULTIPLY, this, false);
  }

  @Override
  public CudaNDArray minimum(NDArray other) {
    return combine("minimum", Elementwise.MINIMUM, other, false);
  }

  @Override
  public CudaNDArray minimum(Number n) {
    return combine("minimum", Elementwise.MINIMUM, n, false);
  }

  @Override
  public CudaNDArray maximum(NDArray other) {
    return combine("maximum", Elementwise.MAXIMUM, other, false);
  }

  @Override
  public CudaNDArray maximum(Number n) {
    return combine("maximum", Elementwise.MAXIMUM, n, false);
  }

  @Override
  public CudaNDArray clip(Number min, Number max) {
    CudaNDArray result = combine("clip", Elementwise.MAXIMUM, min, false);
    return result.combine("clip", Elementwise.MINIMUM, max, true);
  }

  @Override
  public boolean contentEquals(NDArray other) {
    return getDataType() == other.getDataType()
        && shape.equals(other.getShape())
        && Arrays.equals(toByteArray(), other.toByteArray());
  }

  @Override
  public NDArrayEx getNDArrayInternal() {
    requireOpen();
    return CudaNDArrayEx.of(this);
  }

  // What NDArrayAdapter refuses without a name

  @Override
  public void setRequiresGradient(boolean requiresGrad) {
    throw Unsupported.operation("setRequiresGradient");
  }

  @Override
  public NDArray getGradient() {
    throw Unsupported.operation("getGradient");
  }

  @Override
  public NDArray stopGradient() {
    throw Unsupported.operation("stopGradient");
  }

  @Override
  public String[] toStringArray(Charset charset) {
    throw Unsupported.operation("toStringArray");
  }

  @Override
  public NDArray take(NDManager manager, NDArray index) {
    throw Unsupported.operation("take");
  }

  @Override
  public NDArray put(NDArray index, NDArray value) {
    throw Unsupported.operation("put");
  }

  @Override
  public NDArray scatter(NDArray index, NDArray value, int axis) {
    throw Unsupported.operation("scatter");
  }

  @Override
  public NDArray modi(Number n) {
    throw Unsupported.operation("modi");
  }

  @Override
  public NDArray modi(NDArray other) {
    throw Unsupported.operation("modi");
  }

  @Override
  public NDArray powi(Number n) {
    throw Unsupported.operation("powi");
  }

  @Override
  public NDArray powi(NDArray other) {
    throw Unsupported.operation("powi");
  }

  @Override
  public NDArray signi() {
    throw Unsupported.operation("signi");
  }

  @Override
  public NDArray fft(long length, long axis) {
    throw Unsupported.operation("fft");
  }

  @Override
  public NDArray ifft(long length, long axis) {
    throw Unsupported.operation("ifft");
  }

  @Override
  public NDArray rfft(long length, long axis) {
    throw Unsupported.operation("rfft");
  }

  @Override
  public NDArray irfft(long length, long axis) {
    throw Unsupported.operation("irfft");
  }

  @Override
  public NDArray stft(
      long nFft,
      long hopLength,
      boolean center,
      NDArray window,
      boolean normalize,
      boolean returnComplex) {
    throw Unsupported.operation("stft");
  }

  @Override
  public NDArray fft2(long[] sizes, long[] axes) {
    throw Unsupported.operation("fft2");
  }

  @Override
  public NDArray ifft2(long[] sizes, long[] axes) {
    throw Unsupported.operation("ifft2");
  }

  @Override
  public NDArray pad(Shape padding, double value) {
    throw Unsupported.operation("pad");
  }

  @Override
  public NDList unique(Integer dim, boolean sorted, boolean returnInverse, boolean returnCounts) {
    throw Unsupported.operation("unique");
  }

  @Override
  public NDArray batchMatMul(NDArray other) {
    throw Unsupported.operation("batchMatMul");
  }

  @Override
  public NDArray xlogy(NDArray other) {
    throw Unsupported.operation("xlogy");
  }

  @Override
  public NDList topK(int k, int axis, boolean largest, boolean sorted) {
    throw Unsupported.operation("topK");
  }

  @Override
  public NDArray complex() {
    throw Unsupported.operation("complex");
  }

  @Override
  public NDArray real() {
    throw Unsupported.operation("real");
  }

  @Override
  public NDArray conj() {
    throw Unsupported.operation("conj");
  }

  @Override
  public NDArray diff(int n, int dim) {
    throw Unsupported.operation("diff");
  }
}
