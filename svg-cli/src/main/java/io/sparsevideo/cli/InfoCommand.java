package io.sparsevideo.cli;

import com.sun.management.OperatingSystemMXBean;
import io.sparsevideo.ModelInfo;
import io.sparsevideo.VideoRequest;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.cuda.CudaDevice;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.kernels.KernelLibrary;
import io.sparsevideo.kernels.KernelLoadException;
import java.io.PrintWriter;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code svg info}: what this installation, this machine and a model are. */
@Command(
    name = "info",
    sortOptions = false,
    abbreviateSynopsis = true,
    description = "Show the version, devices, native libraries, and what a model needs.")
final class InfoCommand implements Callable<Integer> {
  private final Context context;

  @Spec private CommandSpec command;
  @Mixin private SizeOptions options;

  @Option(names = "--verbose", description = "Show what libraries log, and where an error arose.")
  private boolean verbose;

  InfoCommand(Context context) {
    this.context = context;
  }

  @Override
  public Integer call() {
    PrintWriter out = command.commandLine().getOut();
    out.println("svg        " + Version.number());
    out.println(
        "java       %s (%s), %s"
            .formatted(
                Runtime.version(),
                System.getProperty("java.vendor"),
                System.getProperty("java.home")));
    out.println("cpu        " + cpu());
    out.println("           kernels: " + kernels(KernelLibrary.Kind.HOST));
    cuda().forEach(out::println);
    out.println("           kernels: " + kernels(KernelLibrary.Kind.CUDA));
    out.flush();
    VideoRequest.Builder request = VideoRequest.builder().setPrompt("");
    options.apply(request);
    try {
      print(out, context.library().describe(options.model(), options.device(), request.build()));
    } catch (CheckpointException e) {
      if (options.model().isPresent()) {
        throw e;
      }
      out.println("model      none: " + e.getMessage());
    }
    return ExitCode.OK;
  }

  private static String cpu() {
    var system = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
    return Text.format(
        "%s, %s, %d processors, %s memory, Java heap up to %s",
        system.getName(),
        system.getArch(),
        system.getAvailableProcessors(),
        Text.bytes(system.getTotalMemorySize()),
        Text.bytes(Runtime.getRuntime().maxMemory()));
  }

  private List<String> cuda() {
    CudaDriver driver;
    try {
      driver = context.library().driver();
    } catch (CudaUnavailableException e) {
      return List.of("cuda       not available: " + String.join("; ", e.attempts()));
    }
    List<String> lines = new ArrayList<>();
    lines.add("cuda       " + driver);
    for (CudaDevice device : driver.devices()) {
      lines.add(
          Text.format(
              "           %s, sm_%d, %d multiprocessors, %s memory",
              device,
              device.computeCapability(),
              device.multiprocessors(),
              Text.bytes(device.totalMemory())));
    }
    return lines;
  }

  private String kernels(KernelLibrary.Kind kind) {
    try {
      return context.library().kernels(kind);
    } catch (KernelLoadException e) {
      return "not available: " + String.join("; ", e.attempts());
    }
  }

  private static void print(PrintWriter out, ModelInfo model) {
    out.println("device     " + model.device());
    out.println("model      " + model.source() + ", " + model.pipelineClass());
    List<List<String>> rows = new ArrayList<>();
    rows.add(List.of("component", "class", "parameters", "stored"));
    for (ModelInfo.Component part : model.components()) {
      rows.add(
          List.of(
              part.name(),
              part.className(),
              part.parameters() == 0 ? "-" : Text.format("%,d", part.parameters()),
              part.bytes() == 0 ? "-" : Text.bytes(part.bytes())));
    }
    Text.table(rows).forEach(line -> out.println("           " + line));
    model.settings().forEach((name, value) -> out.println(entry("request", name, value)));
    model.memory().forEach((name, bytes) -> out.println(entry("memory", name, Text.bytes(bytes))));
  }

  private static String entry(String group, String name, String value) {
    return Text.format("%-10s %s: %s", group, name, value);
  }
}
