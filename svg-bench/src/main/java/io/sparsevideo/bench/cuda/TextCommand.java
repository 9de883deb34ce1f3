package io.sparsevideo.bench.cuda;

import ai.djl.Device;
import ai.djl.ndarray.NDManager;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.cuda.blas.CublasUnavailableException;
import io.sparsevideo.cuda.engine.CudaNDManager;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.kernels.KernelLoadException;
import io.sparsevideo.models.umt5.Umt5Config;
import io.sparsevideo.models.umt5.Umt5Encoder;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.stream.DoubleStream;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** Times a text encoder. */
@Command(
    name = "text",
    sortOptions = false,
    description =
        "Times a UMT5 encoder with random weights on prompts of several lengths, its code warm: a"
            + " process that encodes one prompt waits for the weights and for Java.")
final class TextCommand implements Callable<Integer> {

  /** Rows of the embedding; the encoder's work does not depend on them. */
  private static final int VOCABULARY = 512;

  private static final Umt5Config XXL =
      new Umt5Config(VOCABULARY, 4096, 64, 64, 10_240, 24, 32, 128, 1e-6, 0);

  private static final int WARM_UP = 20;

  @Spec private CommandSpec command;

  @Option(
      names = {"-h", "--help"},
      usageHelp = true,
      description = "Show this help.")
  private boolean help;

  @Option(
      names = "--config",
      paramLabel = "FILE",
      description = "A file text_encoder/config.json of a checkpoint; default: UMT5-XXL's sizes.")
  private Path config;

  @Option(
      names = "--tokens",
      split = ",",
      description = "Lengths of prompts; default: ${DEFAULT-VALUE}.")
  private int[] lengths = {512, 226, 64, 23};

  @Option(
      names = "--repeats",
      description = "Prompts of a length that are timed; default: ${DEFAULT-VALUE}.")
  private int repeats = 15;

  @Option(
      names = "--peers",
      paramLabel = "FILE",
      description = "What svg-bench/peers/text.py printed on this card.")
  private Path peers;

  @Option(names = "--out", paramLabel = "FILE", description = "Write the results to FILE, as JSON.")
  private Path out;

  private final List<Result> results = new ArrayList<>();

  @Override
  public Integer call() throws IOException {
    if (repeats < 1 || IntStream.of(lengths).anyMatch(n -> n < 1)) {
      throw new ParameterException(
          command.commandLine(), "--repeats and --tokens must be at least 1");
    }
    try (CudaTensorOps ops = CudaTensorOps.open(Device.gpu(0));
        CudaNDManager weights = ops.manager().newSubManager()) {
      String device = ops.manager().stream().context().device().name();
      System.out.println(ops.manager().stream().context().device());
      List<Result> others = peers == null ? List.of() : Results.readPeers(peers, device);
      Umt5Config sizes = sizes();
      Umt5Encoder encoder = encoder(sizes, ops, weights);
      for (int i = 0; i < WARM_UP; i++) {
        milliseconds(ops, encoder, lengths[0]);
      }
      for (int length : lengths) {
        double ms =
            DoubleStream.generate(() -> milliseconds(ops, encoder, length))
                .limit(repeats)
                .sorted()
                .toArray()[repeats / 2];
        System.out.printf("%d tokens: %.2f ms%n", length, ms);
        add(length, ms, others);
      }
      if (out != null) {
        Results.write(out, results);
      }
      return 0;
    } catch (CudaUnavailableException | CublasUnavailableException | KernelLoadException e) {
      System.err.println("svg-bench: " + e.getMessage());
      return 1;
    }
  }

  private Umt5Config sizes() {
    if (config == null) {
      return XXL;
    }
    try {
      return Umt5Config.from(ConfigReader.read(config));
    } catch (CheckpointException e) {
      throw new ParameterException(command.commandLine(), e.getMessage(), e);
    }
  }

  private static Umt5Encoder encoder(Umt5Config sizes, CudaTensorOps ops, CudaNDManager weights) {
    try (RandomWeights random = RandomWeights.small(weights, ops.computeType())) {
      return new Umt5Encoder(sizes, random, ops);
    }
  }

  private static double milliseconds(CudaTensorOps ops, Umt5Encoder encoder, int length) {
    int vocabulary = encoder.config().vocabulary();
    int[] ids = IntStream.range(0, length).map(i -> i % vocabulary).toArray();
    try (NDManager scope = ops.manager().newSubManager()) {
      long start = System.nanoTime();
      encoder.encode(scope, ids, length);
      ops.manager().stream().synchronize();
      return (System.nanoTime() - start) * 1e-6;
    }
  }

  private void add(int length, double ms, List<Result> others) {
    String name = config == null ? "umt5-xxl" : config.toString();
    Map<String, Object> params = Map.of("config", name, "tokens", length);
    Result result = new Result("text", params, ms, null, null, null, null, null, null, null);
    List<Result> peersOfIt = others.stream().filter(result::isSameWork).toList();
    for (Result peer : peersOfIt) {
      results.add(result.against(peer.peer(), peer.peerMs()));
      System.out.printf("  %.2f × %s (%.2f ms)%n", peer.peerMs() / ms, peer.peer(), peer.peerMs());
    }
    if (peersOfIt.isEmpty()) {
      results.add(result);
    }
  }
}
