package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.NDManager;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.cuda.engine.CudaNDManager;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.models.umt5.Umt5Config;
import io.sparsevideo.models.umt5.Umt5Encoder;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.IntStream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Times a text encoder. */
@Command(
    name = "text",
    sortOptions = false,
    description =
        "Times a UMT5 encoder with random weights on prompts of several lengths, its code warm: a"
            + " process that encodes one prompt waits for the weights and for Java.")
final class TextCommand extends DeviceCommand {

  /** Rows of the embedding; the encoder's work does not depend on them. */
  private static final int VOCABULARY = 512;

  private static final Umt5Config XXL =
      new Umt5Config(VOCABULARY, 4096, 64, 64, 10_240, 24, 32, 128, 1e-6, 0);

  private static final int WARM_UP = 20;

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

  TextCommand() {
    super(15);
  }

  @Override
  public Integer call() throws IOException {
    require(
        repeats >= 1 && IntStream.of(lengths).allMatch(n -> n >= 1),
        "--repeats and --tokens must be at least 1");
    Umt5Config sizes = sizes();
    return onDevice(
        (ops, rows) -> {
          try (CudaNDManager weights = ops.manager().newSubManager()) {
            Umt5Encoder encoder = encoder(sizes, ops, weights);
            for (int i = 0; i < WARM_UP; i++) {
              encode(ops, encoder, lengths[0]);
            }
            for (int length : lengths) {
              double ms = median(() -> encode(ops, encoder, length));
              System.out.printf("%d tokens: %.2f ms%n", length, ms);
              add(length, ms, rows);
            }
          }
        });
  }

  private Umt5Config sizes() {
    if (config == null) {
      return XXL;
    }
    try {
      return Umt5Config.from(ConfigReader.read(config));
    } catch (CheckpointException e) {
      throw refusal(e.getMessage(), e);
    }
  }

  private static Umt5Encoder encoder(Umt5Config sizes, CudaTensorOps ops, CudaNDManager weights) {
    try (RandomWeights random = RandomWeights.small(weights, ops.computeType())) {
      return new Umt5Encoder(sizes, random, ops);
    }
  }

  /** The milliseconds of a prompt of some length. */
  private static double encode(CudaTensorOps ops, Umt5Encoder encoder, int length) {
    int vocabulary = encoder.config().vocabulary();
    int[] ids = IntStream.range(0, length).map(i -> i % vocabulary).toArray();
    try (NDManager scope = ops.manager().newSubManager()) {
      return milliseconds(
          () -> {
            encoder.encode(scope, ids, length);
            ops.manager().stream().synchronize();
          });
    }
  }

  private void add(int length, double ms, ResultRows rows) {
    String name = config == null ? "umt5-xxl" : config.toString();
    Map<String, Object> params = Map.of("config", name, "tokens", length);
    for (Result row : rows.addCompared(Result.of("text", params, ms), params)) {
      System.out.printf("  %.2f × %s (%.2f ms)%n", row.ratio(), row.peer(), row.peerMs());
    }
  }
}
