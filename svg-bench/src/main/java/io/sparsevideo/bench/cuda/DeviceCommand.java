package io.sparsevideo.bench.cuda;

import ai.djl.Device;
import io.sparsevideo.cuda.CudaDevice;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.cuda.blas.CublasUnavailableException;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.kernels.KernelLoadException;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.DoubleSupplier;
import java.util.stream.DoubleStream;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/**
 * A command that times a part of a model on the first device and holds it against peers. It checks
 * its options, then calls {@link #onDevice}.
 */
abstract class DeviceCommand implements Callable<Integer> {

  /** What runs on the device and adds its results. */
  @FunctionalInterface
  interface Timing {
    void run(CudaTensorOps ops, ResultRows rows) throws IOException;
  }

  /** Help lists what all commands share after a command's own options. */
  private static final int SHARED = 1;

  @Spec private CommandSpec command;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  private boolean help;

  @Option(
      names = "--repeats",
      order = SHARED,
      description = "Runs that are timed, for their median; default: ${DEFAULT-VALUE}.")
  int repeats;

  @Option(
      names = "--peers",
      paramLabel = "FILE",
      order = SHARED,
      description = "What svg-bench/peers/${COMMAND-NAME}.py printed on this card.")
  private Path peers;

  @Option(
      names = "--out",
      paramLabel = "FILE",
      order = SHARED,
      description = "Write the results to FILE, as JSON.")
  private Path out;

  /**
   * @param repeats where the command line names none
   */
  DeviceCommand(int repeats) {
    this.repeats = repeats;
  }

  /**
   * Opens the device, times, and writes the results.
   *
   * @return the command's exit status
   */
  final int onDevice(Timing timing) throws IOException {
    try (CudaTensorOps ops = CudaTensorOps.open(Device.gpu(0))) {
      CudaDevice device = ops.manager().stream().context().device();
      System.out.println(device);
      ResultRows rows =
          new ResultRows(peers == null ? List.of() : Results.readPeers(peers, device.name()));
      timing.run(ops, rows);
      if (out != null) {
        Results.write(out, rows.results());
      }
      return 0;
    } catch (CudaUnavailableException | CublasUnavailableException | KernelLoadException e) {
      System.err.println("svg-bench: " + e.getMessage());
      return 1;
    }
  }

  /** The median of {@code --repeats} timings. */
  final double median(DoubleSupplier timing) {
    return Median.of(DoubleStream.generate(timing).limit(repeats).toArray());
  }

  /** What some work takes that waits for the device. */
  static double milliseconds(Runnable work) {
    long start = System.nanoTime();
    work.run();
    return (System.nanoTime() - start) * 1e-6;
  }

  final void requireMultiple(String name, int value, int unit) {
    require(
        value >= 1 && value % unit == 0,
        "%s must be a multiple of %d, is %d".formatted(name, unit, value));
  }

  final void require(boolean condition, String otherwise) {
    if (!condition) {
      throw refusal(otherwise, null);
    }
  }

  /** Shown with the command's usage. */
  final ParameterException refusal(String reason, Throwable cause) {
    return new ParameterException(command.commandLine(), reason, cause);
  }
}
