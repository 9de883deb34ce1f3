package io.sparsevideo.bench.cuda;

import java.util.ArrayList;
import java.util.List;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;

/** What an iteration's operations took on the device, beside the wall time that JMH measures. */
@State(Scope.Thread)
@AuxCounters(AuxCounters.Type.EVENTS)
public class DeviceTime {
  private final List<Double> samples = new ArrayList<>();
  private double bytes;
  private double operations;

  @Setup(Level.Iteration)
  public void reset() {
    samples.clear();
  }

  /** Adds one operation's time, and what it reads, writes and computes. */
  void add(double milliseconds, double bytes, double operations) {
    samples.add(milliseconds);
    this.bytes = bytes;
    this.operations = operations;
  }

  /** Median time of an operation, by CUDA events. */
  public double deviceMillis() {
    return samples.isEmpty()
        ? Double.NaN
        : Median.of(samples.stream().mapToDouble(Double::doubleValue).toArray());
  }

  /** Every input and output counted once; 0 for a benchmark of arithmetic. */
  public double gigabytesPerSecond() {
    return bytes / deviceMillis() * 1e-6;
  }

  /** Multiplications and additions; 0 for a benchmark of memory. */
  public double teraflops() {
    return operations / deviceMillis() * 1e-9;
  }
}
