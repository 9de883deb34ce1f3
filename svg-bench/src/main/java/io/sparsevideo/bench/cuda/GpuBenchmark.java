package io.sparsevideo.bench.cuda;

import io.sparsevideo.cuda.CudaEvent;
import io.sparsevideo.cuda.CudaGraph;
import io.sparsevideo.cuda.CudaStream;
import io.sparsevideo.cuda.DeviceMemory;
import io.sparsevideo.cuda.blas.CublasMatmul;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelException;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.kernels.SvgKernels;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;
import org.openjdk.jmh.infra.BenchmarkParams;

/**
 * A kernel of the CUDA library at one shape. JMH's invocation launches it several times and waits:
 * what an application sees. After each iteration the same launches are timed on the device by two
 * events, as one graph when they are short, so that neither Java nor the driver counts. Inputs past
 * the second-level cache are taken in turn from several sets.
 *
 * <p>Not forked: the device does the work, and a process takes a second to get at it.
 */
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.MICROSECONDS)
@Warmup(iterations = 1, time = 60, timeUnit = TimeUnit.MILLISECONDS)
@Measurement(iterations = 3, time = 60, timeUnit = TimeUnit.MILLISECONDS)
@Fork(0)
public abstract class GpuBenchmark {

  /** Random values are drawn on the host once and repeated; a prime number keeps rows apart. */
  private static final int DRAWN = 4_194_301;

  private static final int MAX_SETS = 4;

  /** Longer operations hide their launch. */
  private static final double SHORT_MS = 1;

  private static final double MEASURED_MS = 30;
  private static final int MAX_REPEATS = 5;

  /** Why a benchmark could not run, by name and shape; they all run in this process. */
  static final Map<String, String> REFUSED = new ConcurrentHashMap<>();

  private static MemorySegment drawnOnDevice;

  final Random random = new Random(7);
  Shape shape;
  private Gpu gpu;
  private CudaEvent start;
  private CudaEvent end;
  private final List<DeviceMemory> allocated = new ArrayList<>();
  private CudaGraph graph;
  private DeviceTime time;
  private String key;
  private double roughMs;
  private int count;
  private int turn;

  /** The shape of JMH's parameter. */
  abstract String shape();

  /** Allocates what {@link #launch} needs. */
  abstract void prepare();

  /**
   * Puts the operation on the stream.
   *
   * @param turn counts operations, to choose a set of tensors
   */
  abstract void launch(int turn);

  /** Bytes that an operation reads and writes, each input and output once; 0 for arithmetic. */
  double bytes() {
    return 0;
  }

  /** Floating-point operations; 0 where memory is what counts. */
  double operations() {
    return 0;
  }

  /** Whether a graph runs the operation as the stream does. */
  boolean isCapturable() {
    return true;
  }

  @Setup
  public final void open(BenchmarkParams benchmark) {
    key = key(benchmark.getBenchmark(), shape());
    shape = Shape.parse(shape());
    gpu = Gpu.open();
    start = gpu.context().newEvent();
    end = gpu.context().newEvent();
    try {
      prepare();
      launch(0);
      roughMs = milliseconds(() -> launch(0));
    } catch (Throwable t) { // JMH, silenced, shows none
      refused(t);
      close();
      throw t;
    }
  }

  private void refused(Throwable t) {
    REFUSED.put(
        key,
        switch (t) {
          case KernelException kernel -> kernel.status() + ": " + kernel.getMessage();
          case RuntimeException e when e.getMessage() != null -> e.getMessage();
          default -> t.toString();
        });
  }

  static String key(String benchmark, String shape) {
    return benchmark + " " + shape;
  }

  @TearDown
  public final void close() {
    allocated.forEach(DeviceMemory::close);
    allocated.clear();
    if (graph != null) {
      graph.close();
    }
    start.close();
    end.close();
  }

  /** Launches {@code count} operations and waits; the benchmark says the same number to JMH. */
  final void run(DeviceTime time, int count) {
    this.time = time;
    this.count = count;
    launchAll();
    stream().synchronize();
  }

  private void launchAll() {
    for (int i = 0; i < count; i++) {
      launch(turn++);
    }
  }

  @TearDown(Level.Iteration)
  public final void timeOnDevice() {
    boolean captured = roughMs < SHORT_MS && isCapturable();
    try {
      if (captured && graph == null) {
        graph = stream().capture(this::launchAll);
      }
      Runnable work = captured ? () -> stream().launch(graph) : this::launchAll;
      double repeats = Math.clamp(MEASURED_MS / (roughMs * count), 1, MAX_REPEATS);
      for (int i = 0; i < (int) repeats; i++) {
        time.add(milliseconds(work) / count, bytes(), operations());
      }
    } catch (Throwable t) {
      refused(t);
      throw t;
    }
  }

  private double milliseconds(Runnable work) {
    stream().record(start);
    work.run();
    stream().record(end);
    end.synchronize();
    return end.millisecondsSince(start);
  }

  final SvgKernels kernels() {
    return gpu.kernels();
  }

  final CublasMatmul products() {
    return gpu.products();
  }

  final CudaStream stream() {
    return gpu.stream();
  }

  /** How many sets of {@code bytes} the benchmark should take in turn to read past the cache. */
  final int sets(double bytes) {
    double cache = gpu.device().cacheSize();
    return bytes < cache ? 1 : (int) Math.min(MAX_SETS, Math.ceil(8 * cache / bytes));
  }

  final MemorySegment allocate(long bytes) {
    DeviceMemory memory = gpu.context().allocate(bytes);
    allocated.add(memory);
    return memory.segment();
  }

  /** Head-major bf16 tensors with standard normal values, one for each turn. */
  final List<Heads> normal(int sets, int heads, int rows, int dim) {
    List<Heads> tensors = new ArrayList<>();
    for (int i = 0; i < sets; i++) {
      MemorySegment memory = allocate(2L * heads * rows * dim);
      fillNormal(memory);
      tensors.add(Heads.headMajor(memory, KernelType.BF16, heads, rows, dim));
    }
    return tensors;
  }

  final Heads normal(int heads, int rows, int dim) {
    return normal(1, heads, rows, dim).getFirst();
  }

  /** 32-bit standard normal values. */
  final MemorySegment normalFloats(int count) {
    float[] values = new float[count];
    for (int i = 0; i < count; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return upload(MemorySegment.ofArray(values));
  }

  final MemorySegment ints(int... values) {
    return upload(MemorySegment.ofArray(values));
  }

  /** A random order of the rows for every head. */
  final MemorySegment permutations(int heads, int rows) {
    int[] order = new int[heads * rows];
    for (int h = 0; h < heads; h++) {
      for (int i = 0; i < rows; i++) {
        int other = random.nextInt(i + 1);
        order[h * rows + i] = order[h * rows + other];
        order[h * rows + other] = i;
      }
    }
    return ints(order);
  }

  /** A copy of host memory. */
  final MemorySegment upload(MemorySegment values) {
    MemorySegment memory = allocate(values.byteSize());
    try (Arena arena = Arena.ofConfined()) {
      gpu.context().copyToDevice(memory, arena.allocate(values.byteSize(), 8).copyFrom(values));
    }
    return memory;
  }

  /** Repeats the drawn values, from a random place, so that tensors differ. */
  private void fillNormal(MemorySegment target) {
    MemorySegment drawn = drawn();
    long from = 2L * random.nextInt(DRAWN / 2);
    long filled = Math.min(target.byteSize(), drawn.byteSize() - from);
    stream().copyOnDevice(target.asSlice(0, filled), drawn.asSlice(from, filled));
    while (filled < target.byteSize()) {
      long more = Math.min(target.byteSize() - filled, drawn.byteSize());
      stream().copyOnDevice(target.asSlice(filled, more), drawn.asSlice(0, more));
      filled += more;
    }
    stream().synchronize();
  }

  private synchronized MemorySegment drawn() {
    if (drawnOnDevice == null) {
      short[] values = new short[DRAWN];
      for (int i = 0; i < DRAWN; i++) {
        int bits = Float.floatToRawIntBits((float) random.nextGaussian());
        values[i] = (short) ((bits + 0x8000) >>> 16); // bf16
      }
      try (Arena arena = Arena.ofConfined()) {
        drawnOnDevice = gpu.context().allocate(2L * DRAWN).segment();
        gpu.context()
            .copyToDevice(drawnOnDevice, arena.allocateFrom(ValueLayout.JAVA_SHORT, values));
      }
    }
    return drawnOnDevice;
  }
}
