package io.sparsevideo.cuda.engine;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.BaseNDManager;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.NDResource;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.util.PairList;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.kernels.SvgKernels;
import java.lang.foreign.MemorySegment;
import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.Charset;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;

/**
 * Arrays of one device, and the stream that they are used on, which all managers of a tree share.
 * Closing a manager frees its arrays and its child managers'.
 *
 * <p>Work is put on the stream and methods return, unless they bring values to the host. Methods
 * may be called from any thread; the order of calls is then the callers' affair.
 */
public final class CudaNDManager extends BaseNDManager {

  private final CudaEngine engine;
  private final CudaQueue queue;
  private final boolean ownsQueue;
  private final boolean isSystem;
  private final Map<Device, NDManager> elsewhere = new HashMap<>();
  private final AtomicBoolean closing = new AtomicBoolean();

  // BaseNDManager's constructor asks for the engine.
  private CudaNDManager(
      CudaEngine engine,
      NDManager parent,
      Device device,
      CudaQueue queue,
      boolean ownsQueue,
      boolean isSystem) {
    this.engine = engine;
    this.queue = queue;
    this.ownsQueue = ownsQueue;
    this.isSystem = isSystem;
    super(parent, device);
  }

  static CudaNDManager newSystemManager(CudaEngine engine, Device device, CudaQueue queue) {
    return new CudaNDManager(engine, null, device, queue, false, true);
  }

  /** The first manager of a tree; it closes the queue. */
  static CudaNDManager newTree(CudaNDManager parent, CudaQueue queue) {
    CudaNDManager manager =
        new CudaNDManager(parent.engine, parent, parent.device, queue, true, false);
    parent.attachUncappedInternal(manager.uid, manager);
    return manager;
  }

  @Override
  public CudaEngine getEngine() {
    return engine;
  }

  /** The stream that the tree's arrays are used on. */
  public CudaStream stream() {
    return queue.stream();
  }

  /** The CUDA kernels on the tree's stream. */
  public SvgKernels kernels() {
    return queue.kernels();
  }

  /** What the engine holds of the device's memory, over all trees. */
  public MemoryStatistics statistics() {
    return queue.heap().statistics();
  }

  /**
   * Starts {@link MemoryStatistics#peakBytes} anew, at what is live now, so that it is that of some
   * work. Nothing may be allocated meanwhile, by any tree.
   */
  public void restartPeak() {
    queue.heap().restartPeak();
  }

  CudaQueue queue() {
    return queue;
  }

  /** Where an array of this manager belongs when it is detached. */
  CudaNDManager system() {
    return engine.systemManager(device);
  }

  // Managers

  @Override
  public CudaNDManager newSubManager() {
    return newChild(new CudaNDManager(engine, this, device, queue, false, false));
  }

  /**
   * A child manager; on another GPU it has a stream of its own, and on the CPU it is one of DJL's
   * default engine.
   */
  @Override
  public NDManager newSubManager(Device device) {
    if (device.equals(this.device)) {
      return newSubManager();
    }
    if (!device.isGpu()) {
      return elsewhere(device).newSubManager();
    }
    return newChild(new CudaNDManager(engine, this, device, engine.newQueue(device), true, false));
  }

  /** One for each device: closed before this manager, it would not be detached from it. */
  private NDManager newCpuManager(Device device) {
    NDManager cpu = Engine.getInstance().newBaseManager(device);
    try {
      attachUncappedInternal(device.toString(), cpu);
      return cpu;
    } catch (IllegalStateException e) { // this manager is closed
      cpu.close();
      throw e;
    }
  }

  private CudaNDManager newChild(CudaNDManager child) {
    try {
      attachUncappedInternal(child.uid, child);
      return child;
    } catch (IllegalStateException e) { // this manager is closed
      child.close();
      throw e;
    }
  }

  /** Owner of what is copied from this manager's arrays to another device; closed with it. */
  NDManager elsewhere(Device device) {
    synchronized (elsewhere) {
      NDManager manager = elsewhere.get(device);
      if (manager == null || !manager.isOpen()) {
        manager = device.isGpu() ? newSubManager(device) : newCpuManager(device);
        elsewhere.put(device, manager);
      }
      return manager;
    }
  }

  /** It is never closed, so that nothing would go back from it. */
  @Override
  public void tempAttachInternal(
      NDManager originalManager, String resourceId, NDResource resource) {
    if (isSystem) {
      throw new IllegalStateException(
          "the manager of detached arrays of " + device + " borrows none; attach moves an array");
    }
    super.tempAttachInternal(originalManager, resourceId, resource);
  }

  /** Detached arrays, and what is computed from them, belong to nobody. */
  @Override
  public synchronized void attachUncappedInternal(String resourceId, AutoCloseable resource) {
    if (!isSystem) {
      super.attachUncappedInternal(resourceId, resource);
    }
  }

  /**
   * Frees arrays and child managers; the first manager of a tree also waits for the stream, and
   * gives back to the system what the device's pool has idle.
   */
  @Override
  public void close() {
    if (isSystem) {
      throw new IllegalStateException(
          "the manager of detached arrays of " + device + " stays open");
    }
    if (!closing.compareAndSet(false, true)) {
      return; // another thread's arrays are still to be freed on the stream
    }
    try {
      super.close();
    } finally {
      if (ownsQueue) {
        queue.close();
        queue.heap().giveBack();
      }
    }
  }

  // Arrays

  private CudaNDArray allocate(Shape shape, DataType type) {
    if (!isOpen()) {
      throw new IllegalStateException("the manager " + getName() + " is closed");
    }
    return newArray(queue.heap().allocate(queue, shape, type, name), 0, shape, type);
  }

  /** An array on memory; the memory is let go of when that fails. */
  CudaNDArray newArray(Storage storage, long offset, Shape shape, DataType type) {
    storage.hold(queue);
    try {
      return new CudaNDArray(this, storage, offset, shape, type);
    } catch (RuntimeException | Error e) { // this manager is closed or capped
      storage.release();
      throw e;
    }
  }

  /** A new array that is freed when filling it fails. */
  CudaNDArray create(Shape shape, DataType type, Consumer<CudaNDArray> fill) {
    CudaNDArray array = allocate(shape, type);
    try {
      fill.accept(array);
      return array;
    } catch (RuntimeException | Error e) {
      array.close();
      throw e;
    }
  }

  /** Uninitialised. */
  @Override
  public CudaNDArray create(Shape shape, DataType type) {
    return allocate(shape, type);
  }

  /**
   * @param data the shape's elements: a byte buffer in the system's byte order, or a buffer of a
   *     type of the same size
   */
  @Override
  public CudaNDArray create(Buffer data, Shape shape, DataType type) {
    return create(shape, type, array -> array.set(data));
  }

  /**
   * A copy of host memory of any size, for example of a mapped file.
   *
   * @param data the shape's elements, row-major, little endian
   */
  public CudaNDArray create(MemorySegment data, Shape shape, DataType type) {
    return create(shape, type, array -> array.set(data));
  }

  @Override
  public CudaNDArray zeros(Shape shape, DataType type) {
    return full(shape, 0, type);
  }

  @Override
  public CudaNDArray ones(Shape shape, DataType type) {
    return full(shape, 1, type);
  }

  @Override
  public CudaNDArray full(Shape shape, float value, DataType type) {
    return create(shape, type, array -> array.fill(value));
  }

  @Override
  public CudaNDArray arange(float start, float stop, float step, DataType type) {
    double wanted = Math.ceil((stop - start) / (double) step);
    if (step == 0
        || !(wanted * type.getNumOfBytes() <= Integer.MAX_VALUE)) { // also what is no number
      throw new IllegalArgumentException(
          "arange from %s to %s by %s of %s: at most 2 GiB of numbers, and no step of 0"
              .formatted(start, stop, step, type));
    }
    int count = Math.max(0, (int) wanted);
    ByteBuffer values = allocateDirect(count * type.getNumOfBytes());
    for (int i = 0; i < count; i++) {
      Elements.put(values, start + (double) i * step, type);
    }
    return create(values.rewind(), new Shape(count), type);
  }

  /** An array of this device as it is; one of another device or engine as a copy. */
  @Override
  public CudaNDArray from(NDArray array) {
    if (array == null || array instanceof CudaNDArray here && here.isOn(queue.heap())) {
      return (CudaNDArray) array;
    }
    CudaNDArray copy =
        array instanceof CudaNDArray there
            ? create(array.getShape(), array.getDataType(), there::copyTo)
            : create(array.toByteBuffer(true), array.getShape(), array.getDataType());
    copy.setName(array.getName());
    return copy;
  }

  /** Direct memory of the Java process, in the system's byte order. */
  @Override
  public ByteBuffer allocateDirect(int capacity) {
    return ByteBuffer.allocateDirect(capacity).order(ByteOrder.nativeOrder());
  }

  // What BaseNDManager refuses without a name.

  @Override
  public NDArray create(String[] data, Charset charset, Shape shape) {
    throw Unsupported.operation("create of strings");
  }

  @Override
  public NDArray createCSR(Buffer data, long[] indptr, long[] indices, Shape shape) {
    throw Unsupported.operation("createCSR");
  }

  @Override
  public NDArray createRowSparse(Buffer data, Shape dataShape, long[] indices, Shape shape) {
    throw Unsupported.operation("createRowSparse");
  }

  @Override
  public NDArray createCoo(Buffer data, long[][] indices, Shape shape) {
    throw Unsupported.operation("createCoo");
  }

  @Override
  public NDList load(Path path) {
    throw Unsupported.operation("load");
  }

  @Override
  public NDArray eye(int rows, int cols, int k, DataType dataType) {
    throw Unsupported.operation("eye");
  }

  @Override
  public NDArray linspace(float start, float stop, int num, boolean endpoint) {
    throw Unsupported.operation("linspace");
  }

  @Override
  public NDArray randomInteger(long low, long high, Shape shape, DataType dataType) {
    throw Unsupported.operation("randomInteger");
  }

  @Override
  public NDArray randomPermutation(long n) {
    throw Unsupported.operation("randomPermutation");
  }

  @Override
  public NDArray randomUniform(float low, float high, Shape shape, DataType dataType) {
    throw Unsupported.operation("randomUniform");
  }

  @Override
  public NDArray randomNormal(float loc, float scale, Shape shape, DataType dataType) {
    throw Unsupported.operation("randomNormal");
  }

  @Override
  public NDArray truncatedNormal(float loc, float scale, Shape shape, DataType dataType) {
    throw Unsupported.operation("truncatedNormal");
  }

  @Override
  public NDArray randomMultinomial(int n, NDArray pValues) {
    throw Unsupported.operation("randomMultinomial");
  }

  @Override
  public NDArray randomMultinomial(int n, NDArray pValues, Shape shape) {
    throw Unsupported.operation("randomMultinomial");
  }

  @Override
  public NDArray sampleNormal(NDArray mu, NDArray sigma) {
    throw Unsupported.operation("sampleNormal");
  }

  @Override
  public NDArray sampleNormal(NDArray mu, NDArray sigma, Shape shape) {
    throw Unsupported.operation("sampleNormal");
  }

  @Override
  public NDArray samplePoisson(NDArray lam) {
    throw Unsupported.operation("samplePoisson");
  }

  @Override
  public NDArray samplePoisson(NDArray lam, Shape shape) {
    throw Unsupported.operation("samplePoisson");
  }

  @Override
  public NDArray sampleGamma(NDArray alpha, NDArray beta) {
    throw Unsupported.operation("sampleGamma");
  }

  @Override
  public NDArray sampleGamma(NDArray alpha, NDArray beta, Shape shape) {
    throw Unsupported.operation("sampleGamma");
  }

  @Override
  public void invoke(String operation, NDArray[] src, NDArray[] dest, PairList<String, ?> params) {
    throw Unsupported.operation("invoke of " + operation);
  }

  @Override
  public NDList invoke(String operation, NDList src, PairList<String, ?> params) {
    throw Unsupported.operation("invoke of " + operation);
  }
}
