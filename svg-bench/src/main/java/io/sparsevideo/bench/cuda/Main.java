package io.sparsevideo.bench.cuda;

import io.sparsevideo.cuda.CudaDevice;
import io.sparsevideo.cuda.CudaDriver;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.kernels.KernelLibrary;
import io.sparsevideo.kernels.KernelLoadException;
import java.io.IOException;
import java.lang.reflect.Method;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.Options;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.VerboseMode;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** Runs the benchmarks of the CUDA kernels by JMH and writes their results. */
@Command(
    name = "svg-bench",
    sortOptions = false,
    description = "Times the CUDA kernels on the first device.")
public final class Main implements Callable<Integer> {

  /** In the order of a results file; the copy comes first, others are held against it. */
  private static final List<Class<?>> BENCHMARKS =
      List.of(
          CopyBenchmark.class,
          ClusterBenchmarks.KMeans.class,
          ClusterBenchmarks.BlockMap.class,
          ClusterBenchmarks.SortLabels.class,
          OrderBenchmarks.PermuteRows.class,
          OrderBenchmarks.Layout.class,
          OrderBenchmarks.ProfileHeads.class,
          RowBenchmarks.RmsNorm.class,
          RowBenchmarks.ChannelNorm.class,
          RowBenchmarks.LayerNorm.class,
          RowBenchmarks.GatedResidual.class,
          RowBenchmarks.Gelu.class,
          RowBenchmarks.Silu.class,
          RopeBenchmarks.Rope.class,
          RopeBenchmarks.NormRope.class,
          ConvolutionBenchmark.class,
          InputBenchmarks.Patchify.class,
          InputBenchmarks.Unpatchify.class,
          InputBenchmarks.TimestepEmbedding.class,
          LinearBenchmark.class,
          SoftmaxBenchmark.class,
          AttentionBenchmarks.Dense.class,
          AttentionBenchmarks.Band.class,
          AttentionBenchmarks.Blocks.class,
          DriverCallBenchmark.class);

  private static final String JCUDA = "ByJCuda";

  @Spec private CommandSpec command;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  private boolean help;

  @Option(names = "--list", description = "List the benchmarks and their shapes, and stop.")
  private boolean list;

  @Option(
      names = "--shapes",
      paramLabel = "REGEXP",
      description = "Only shapes in which this is found, for example 'heads=3 '.")
  private Pattern wanted;

  @Option(
      names = "--peers",
      paramLabel = "FILE",
      description = "What the scripts in svg-bench/peers printed on this card.")
  private Path peers;

  @Option(
      names = "--out",
      paramLabel = "DIR",
      description =
          "Write the results to DIR, into a file named by the card (h200.json); only of all"
              + " benchmarks at all shapes.")
  private Path out;

  @Option(
      names = "--table",
      paramLabel = "FILE",
      description = "Print a file of results as a Markdown table, and stop.")
  private Path table;

  @Option(
      names = "--into",
      paramLabel = "PAGE",
      description =
          "With --table: put it into a page, between the lines that hold the file's name.")
  private Path page;

  @Parameters(
      paramLabel = "NAME",
      arity = "0..*",
      description = "Benchmarks to run, for example kmeans svg2; default: all.")
  private List<String> names = List.of();

  private Main() {}

  public static void main(String[] arguments) {
    System.exit(commandLine().execute(arguments));
  }

  static CommandLine commandLine() {
    return new CommandLine(new Main())
        .addSubcommand(new StepCommand())
        .addSubcommand(new VaeCommand())
        .addSubcommand(new TextCommand())
        .setCaseInsensitiveEnumValuesAllowed(true)
        .setExecutionExceptionHandler(
            (e, command, parsed) -> {
              if (!(e instanceof IOException)) {
                throw e;
              }
              command.getErr().println("svg-bench: " + e.getMessage());
              return 1;
            });
  }

  @Override
  public Integer call() throws IOException, RunnerException {
    if (table != null) {
      printTable();
      return 0;
    }
    if (out != null && (wanted != null || !names.isEmpty())) {
      throw new ParameterException(
          command.commandLine(),
          "--out replaces the results of all benchmarks: leave out NAME and --shapes");
    }
    List<Method> chosen = chosen();
    if (list) {
      chosen.forEach(this::describe);
      return 0;
    }
    CudaDevice device;
    try {
      CudaDriver driver = CudaDriver.load();
      device = driver.device(0);
      System.out.printf(
          "%s, %s%n%s%n", device, driver, KernelLibrary.load(KernelLibrary.Kind.CUDA));
    } catch (CudaUnavailableException | KernelLoadException e) {
      System.err.println("svg-bench: " + e.getMessage());
      return 1;
    }
    List<Result> others = peers == null ? List.of() : Results.readPeers(peers, device.name());
    List<Result> results = new ArrayList<>();
    int failed = 0;
    for (Method benchmark : chosen) {
      failed += run(benchmark, results);
    }
    results = Results.join(results, others);
    if (out != null) {
      Files.createDirectories(out);
      Path file = out.resolve(Results.fileName(device.name()));
      Results.write(file, results);
      System.out.println("wrote " + results.size() + " rows to " + file);
    }
    if (failed > 0) {
      System.err.printf("svg-bench: %d could not be timed%n", failed);
      return 1;
    }
    return 0;
  }

  private void printTable() throws IOException {
    String text = ResultTable.markdown(Results.read(table));
    if (page == null) {
      System.out.print(text);
    } else {
      ResultTable.replace(page, table.getFileName().toString(), text);
    }
  }

  /** The benchmark methods that the command line names, where they have a shape that it wants. */
  private List<Method> chosen() {
    List<Method> chosen = named();
    if (wanted == null) {
      return chosen;
    }
    chosen = chosen.stream().filter(benchmark -> !shapes(benchmark).isEmpty()).toList();
    if (chosen.isEmpty()) {
      throw new ParameterException(
          command.commandLine(), "no shape matches '%s'; --list shows all".formatted(wanted));
    }
    return chosen;
  }

  private List<Method> named() {
    List<Method> all = new ArrayList<>();
    for (Class<?> type : BENCHMARKS) {
      Arrays.stream(type.getMethods())
          .filter(m -> m.isAnnotationPresent(Benchmark.class))
          .filter(m -> !m.getName().endsWith(JCUDA))
          .sorted((a, b) -> a.getName().compareTo(b.getName()))
          .forEach(all::add);
    }
    if (names.isEmpty()) {
      return all;
    }
    List<String> known = all.stream().map(Method::getName).toList();
    for (String name : names) {
      if (!known.contains(name)) {
        throw new ParameterException(
            command.commandLine(),
            "there is no benchmark '%s'; there are %s".formatted(name, String.join(" ", known)));
      }
    }
    return all.stream().filter(m -> names.contains(m.getName())).toList();
  }

  private void describe(Method benchmark) {
    System.out.println(benchmark.getName());
    shapes(benchmark).forEach(shape -> System.out.println("  " + shape));
  }

  private List<String> shapes(Method benchmark) {
    try {
      return Arrays.stream(
              benchmark.getDeclaringClass().getField("sizes").getAnnotation(Param.class).value())
          .filter(shape -> wanted == null || wanted.matcher(shape).find())
          .toList();
    } catch (NoSuchFieldException e) {
      return List.of(); // calls have no shape
    }
  }

  /**
   * Runs a benchmark at its shapes, prints and adds the results.
   *
   * @return how many shapes have none, for reasons that are printed
   */
  private int run(Method benchmark, List<Result> results) throws RunnerException {
    if (benchmark.getDeclaringClass().equals(DriverCallBenchmark.class)) {
      try {
        Result result = compareCall(benchmark);
        print(result);
        results.add(result);
        return 0;
      } catch (RunnerException e) {
        System.out.printf("%-89s %s%n", benchmark.getName(), e.getMessage());
        return 1;
      }
    }
    List<String> shapes = shapes(benchmark);
    Options options = options(benchmark, "").param("sizes", shapes.toArray(String[]::new)).build();
    Set<String> timed = new HashSet<>();
    for (RunResult run : new Runner(options).run()) {
      Result result = result(benchmark.getName(), run);
      print(result);
      results.add(result);
      timed.add(run.getParams().getParam("sizes"));
    }
    List<String> missing = shapes.stream().filter(shape -> !timed.contains(shape)).toList();
    for (String shape : missing) {
      String key = GpuBenchmark.key(jmhName(benchmark), shape);
      System.out.printf(
          "%-16s %-72s %s%n",
          benchmark.getName(),
          shape,
          GpuBenchmark.REFUSED.getOrDefault(key, "failed; JMH does not say why"));
    }
    return missing.size();
  }

  /** Our call held against JCuda's. */
  private static Result compareCall(Method benchmark) throws RunnerException {
    Options ours = options(benchmark, "").shouldFailOnError(true).build();
    Options theirs = options(benchmark, JCUDA).shouldFailOnError(true).build();
    double ms = milliseconds(new Runner(ours).runSingle());
    Map<String, Object> call = Map.of("call", benchmark.getName());
    Result result = Result.of("driver_call", call, ms, ms, 1e-3 / ms, "million/s");
    return result.against("JCuda", milliseconds(new Runner(theirs).runSingle()));
  }

  private static ChainedOptionsBuilder options(Method benchmark, String suffix) {
    return new OptionsBuilder()
        .include("^" + Pattern.quote(jmhName(benchmark) + suffix) + "$")
        .verbosity(VerboseMode.SILENT);
  }

  private static String jmhName(Method benchmark) {
    return benchmark.getDeclaringClass().getCanonicalName() + "." + benchmark.getName();
  }

  private static Result result(String name, RunResult run) {
    double teraflops = median(run, "teraflops");
    boolean arithmetic = teraflops > 0;
    return Result.of(
        name,
        Shape.parse(run.getParams().getParam("sizes")).values(),
        median(run, "deviceMillis"),
        milliseconds(run),
        arithmetic ? teraflops : median(run, "gigabytesPerSecond"),
        arithmetic ? "TFLOP/s" : "GB/s");
  }

  /** The median over iterations of what a benchmark counts. */
  private static double median(RunResult run, String counter) {
    return Median.of(
        run.getBenchmarkResults().stream()
            .flatMap(result -> result.getIterationResults().stream())
            .mapToDouble(iteration -> counted(iteration, counter))
            .toArray());
  }

  private static double counted(IterationResult iteration, String counter) {
    return iteration.getSecondaryResults().get(counter).getScore();
  }

  private static double milliseconds(RunResult run) {
    TimeUnit unit = run.getParams().getTimeUnit();
    return run.getPrimaryResult().getScore() * unit.toNanos(1) / 1e6;
  }

  private static void print(Result result) {
    System.out.printf(
        "%-16s %-72s %10s ms %8s %s%n",
        result.benchmark(),
        result.params().entrySet().stream().map(Object::toString).collect(Collectors.joining(" ")),
        Results.rounded(result.ms()),
        Results.rounded(result.rate()),
        result.unit());
  }
}
