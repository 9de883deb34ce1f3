package io.sparsevideo.bench.cuda;

import java.lang.foreign.MemorySegment;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.OperationsPerInvocation;
import org.openjdk.jmh.annotations.Param;

/** What the memory gives: a copy on the device, read and written bytes counted. */
public class CopyBenchmark extends GpuBenchmark {
  @Param("bytes=1073741824")
  public String sizes;

  private MemorySegment from;
  private MemorySegment to;

  @Override
  String shape() {
    return sizes;
  }

  @Override
  void prepare() {
    from = normal(1, shape.size("bytes") / 2, 1).data();
    to = allocate(shape.size("bytes"));
  }

  @Override
  void launch(int turn) {
    stream().copyOnDevice(to, from);
  }

  /** A graph's copy is another one, of little more than half the rate (H200, CUDA 13.0). */
  @Override
  boolean isCapturable() {
    return false;
  }

  @Override
  double bytes() {
    return 2.0 * from.byteSize();
  }

  @Benchmark
  @OperationsPerInvocation(10)
  public void copy(DeviceTime time) {
    run(time, 10);
  }
}
