package io.sparsevideo.bench.cuda;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import io.sparsevideo.bench.cuda.OperationTimes.Operation;
import io.sparsevideo.checkpoint.CheckpointException;
import io.sparsevideo.checkpoint.CheckpointParameters;
import io.sparsevideo.checkpoint.ConfigReader;
import io.sparsevideo.checkpoint.SafeTensors;
import io.sparsevideo.checkpoint.TensorInfo;
import io.sparsevideo.checkpoint.WeightFiles;
import io.sparsevideo.cuda.engine.CudaNDManager;
import io.sparsevideo.cuda.engine.CudaTensorOps;
import io.sparsevideo.cuda.engine.MemoryStatistics;
import io.sparsevideo.models.wan.WanVae;
import io.sparsevideo.models.wan.WanVaeConfig;
import io.sparsevideo.tensor.TorchRandom;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** Times the decoder and the encoder of a VAE, whole and by operations. */
@Command(
    name = "vae",
    sortOptions = false,
    description =
        "Times the decoder and the encoder of a Wan VAE with random weights, or with those that"
            + " svg-bench/peers/vae.py recorded, whose fp32 video is then compared with.")
final class VaeCommand extends DeviceCommand {

  /** The largest difference of two colours. */
  private static final double PEAK = 2;

  private enum Pass {
    DECODE,
    ENCODE
  }

  @Option(
      names = "--config",
      paramLabel = "FILE",
      description = "A file vae/config.json of a checkpoint; default: Wan 2.1's sizes.")
  private Path config;

  @Option(names = "--height", description = "Pixels; default: ${DEFAULT-VALUE}.")
  private int height = 720;

  @Option(names = "--width", description = "Pixels; default: ${DEFAULT-VALUE}.")
  private int width = 1280;

  @Option(
      names = "--frames",
      description = "One more than a multiple of 4; default: ${DEFAULT-VALUE}.")
  private int frames = 81;

  @Option(
      names = "--passes",
      split = ",",
      description = "Of ${COMPLETION-CANDIDATES}; default: both.")
  private Pass[] passes = Pass.values();

  @Option(
      names = "--operations",
      description = "List what each operation takes at each size, each waited for.")
  private boolean operations;

  @Option(
      names = "--recorded",
      paramLabel = "DIR",
      description = "Weights, latents and video as svg-bench/peers/vae.py --record wrote them.")
  private Path recorded;

  VaeCommand() {
    super(3);
  }

  @Override
  public Integer call() throws IOException {
    require(repeats >= 1, "--repeats must be at least 1, is " + repeats);
    WanVaeConfig sizes = config();
    return onDevice(
        (ops, rows) -> {
          OperationTimes times =
              new OperationTimes(ops, () -> ops.manager().stream().synchronize());
          try (CudaNDManager weights = ops.manager().newSubManager()) {
            WanVae vae = load(sizes, ops, times, weights);
            if (recorded != null) {
              compare(ops, vae);
            } else {
              for (Pass pass : passes) {
                measure(ops, vae, pass, times, rows);
              }
            }
          }
        });
  }

  /** The sizes to run, which the video's must fit. */
  private WanVaeConfig config() {
    WanVaeConfig sizes;
    try {
      Path file = recorded == null ? config : recorded.resolve("vae/config.json");
      sizes = file == null ? published() : WanVaeConfig.from(ConfigReader.read(file));
    } catch (CheckpointException e) {
      throw refusal(e.getMessage(), e);
    }
    requireMultiple("--height", height, sizes.spatialFactor());
    requireMultiple("--width", width, sizes.spatialFactor());
    int temporal = sizes.temporalFactor();
    require(
        frames >= 1 && (frames - 1) % temporal == 0,
        "--frames less 1 must be a multiple of %d, is %d".formatted(temporal, frames - 1));
    return sizes;
  }

  private WanVae load(
      WanVaeConfig sizes, CudaTensorOps ops, OperationTimes times, CudaNDManager weights) {
    if (recorded == null) {
      try (RandomWeights random = RandomWeights.scaled(weights, ops.preciseType())) {
        return new WanVae(sizes, random, times.proxy());
      }
    }
    try (WeightFiles files = WeightFiles.open(recorded.resolve("vae"))) {
      CheckpointParameters parameters =
          new CheckpointParameters(files, ops, weights).optComputeType(ops.preciseType());
      WanVae vae = new WanVae(sizes, parameters, ops);
      parameters.finish();
      return vae;
    } catch (CheckpointException e) {
      throw refusal(e.getMessage(), e);
    }
  }

  private static WanVaeConfig published() {
    return new WanVaeConfig(
        96,
        96,
        16,
        List.of(1, 2, 4, 4),
        2,
        List.of(false, true, true),
        Collections.nCopies(16, 0.0),
        Collections.nCopies(16, 1.0),
        3,
        3);
  }

  private void measure(
      CudaTensorOps ops, WanVae vae, Pass pass, OperationTimes times, ResultRows rows) {
    try (NDManager scope = ops.manager().newSubManager();
        NDArray input = input(ops, scope, vae.config(), pass)) {
      Runnable run =
          () -> {
            if (pass == Pass.DECODE) {
              vae.decode(input, done -> {}, chunk -> {});
            } else {
              vae.encode(input).close();
            }
            ops.manager().stream().synchronize();
          };
      ops.manager().restartPeak();
      run.run();
      double ms = median(() -> milliseconds(run));
      MemoryStatistics memory = ops.manager().statistics();
      System.out.printf(
          "%n%s %s: %.1f ms, at most %.2f GB of tensors;"
              + " the pool, with the kernels' memory, has grown to %.2f GB%n",
          pass.name().toLowerCase(),
          input.getShape(),
          ms,
          1e-9 * memory.peakBytes(),
          1e-9 * memory.reservedBytes());
      for (Result row : rows.addCompared(result(pass, "whole", ms), work(pass))) {
        System.out.printf("  %.2f × %s (%.1f ms)%n", row.ratio(), row.peer(), row.peerMs());
      }
      long start = System.nanoTime();
      Map<Operation, Double> single = times.of(run);
      double waited = (System.nanoTime() - start) * 1e-6; // longer than ms
      Map<String, Double> parts = new LinkedHashMap<>();
      single.forEach((operation, took) -> parts.merge(operation.name(), took, Double::sum));
      parts.put("other", waited - parts.values().stream().mapToDouble(Double::doubleValue).sum());
      parts.forEach(
          (part, took) -> {
            System.out.printf("  %-16s %9.2f ms %5.1f %%%n", part, took, 100 * took / waited);
            rows.add(result(pass, part, took));
          });
      if (operations) {
        System.out.println();
        single.forEach(
            (operation, took) ->
                System.out.printf(
                    "  %-16s %-48s %9.3f ms%n", operation.name(), operation.sizes(), took));
      }
    }
  }

  /** Random latents (Z, F, Y, X), or a random video (3, T, H, W). */
  private NDArray input(CudaTensorOps ops, NDManager scope, WanVaeConfig sizes, Pass pass) {
    int spatial = sizes.spatialFactor();
    int temporal = sizes.temporalFactor();
    Shape shape =
        pass == Pass.DECODE
            ? new Shape(
                sizes.latentChannels(),
                (frames - 1) / temporal + 1,
                height / spatial,
                width / spatial)
            : new Shape(sizes.inChannels(), frames, height, width);
    float[] drawn = TorchRandom.normal(7, 1 << 20);
    float[] values = new float[Math.toIntExact(shape.size())];
    for (int i = 0; i < values.length; i++) {
      values[i] = drawn[i % (drawn.length - 1)]; // an odd period, so that frames differ
    }
    try (NDArray wide = scope.create(values, shape)) {
      return wide.toType(ops.preciseType(), true);
    }
  }

  /** What peers' lines are compared by. */
  private Map<String, Object> work(Pass pass) {
    Map<String, Object> work = new LinkedHashMap<>();
    work.put("config", config == null ? "wan-2.1" : config.getFileName().toString());
    work.put("height", height);
    work.put("width", width);
    work.put("frames", frames);
    work.put("pass", pass.name().toLowerCase());
    return work;
  }

  private Result result(Pass pass, String part, double ms) {
    Map<String, Object> params = work(pass);
    params.put("part", part);
    return Result.of("vae", params, ms);
  }

  /** The recorded latents decoded, against the recorded video. */
  private void compare(CudaTensorOps ops, WanVae vae) throws IOException {
    try (SafeTensors trace = SafeTensors.open(recorded.resolve("trace.safetensors"));
        NDManager scope = ops.manager().newSubManager()) {
      NDArray latents = tensor(ops, scope, trace, "vae.decode_input");
      float[] found = vae.decode(latents).toFloatArray(); // (3, T, H, W)
      float[] expected = tensor(ops, scope, trace, "vae.decode_output").toFloatArray();
      require(
          found.length == expected.length,
          "%s: the video has %d values, the latents decode to %d"
              .formatted(recorded, expected.length, found.length));
      double squares = 0;
      for (int i = 0; i < found.length; i++) {
        squares += Math.pow(found[i] - expected[i], 2);
      }
      System.out.printf(
          "decode %s: PSNR %.1f dB against the recorded video%n",
          latents.getShape(), 10 * Math.log10(PEAK * PEAK * found.length / squares));
    }
  }

  private static NDArray tensor(
      CudaTensorOps ops, NDManager scope, SafeTensors trace, String name) {
    TensorInfo tensor = trace.tensors().get(name);
    if (tensor == null) {
      throw new CheckpointException("the recording has no tensor '%s'".formatted(name));
    }
    DataType stored = tensor.type().dataType().orElseThrow();
    return ops.upload(scope, tensor.data(), stored, tensor.shape(), DataType.FLOAT32).squeeze(0);
  }
}
