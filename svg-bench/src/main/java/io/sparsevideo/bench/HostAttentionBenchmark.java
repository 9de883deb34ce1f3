package io.sparsevideo.bench;

import io.sparsevideo.kernels.BandMask;
import io.sparsevideo.kernels.Heads;
import io.sparsevideo.kernels.KernelType;
import io.sparsevideo.kernels.SvgKernels;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.openjdk.jmh.annotations.AuxCounters;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Fork;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Measurement;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Param;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.annotations.Warmup;

/**
 * The host library's attention kernels: dense, SVG1's band and SVG2's blocks, at several densities.
 *
 * <p>A sparse kernel that skips what its mask leaves out takes density × the dense time; the
 * counter {@code gigaflops} shows how close it comes. It counts 4·D operations for each allowed
 * (query, key) pair and head, so that rates of all three kernels compare.
 */
@BenchmarkMode(Mode.Throughput)
@OutputTimeUnit(TimeUnit.SECONDS)
@Warmup(iterations = 2, time = 2)
@Measurement(iterations = 5, time = 2)
@Fork(
    value = 1,
    jvmArgsAppend = {"--enable-native-access=ALL-UNNAMED", "--sun-misc-unsafe-memory-access=allow"})
public class HostAttentionBenchmark {

  /** Queries, keys, values and output of one attention call: FLOAT32, (H, S, D). */
  @State(Scope.Benchmark)
  public static class Tensors {
    /** The demo model's self-attention; one head of Wan's width at four times the tokens. */
    @Param({"3x1008x64", "1x4032x128"})
    public String headsTokensDim;

    int heads;
    int tokens;
    int dim;
    Heads q;
    Heads k;
    Heads v;
    Heads out;
    private Arena arena;

    @Setup
    public void allocate() {
      String[] sizes = headsTokensDim.split("x");
      heads = Integer.parseInt(sizes[0]);
      tokens = Integer.parseInt(sizes[1]);
      dim = Integer.parseInt(sizes[2]);
      arena = Arena.ofShared();
      Random random = new Random(1);
      q = normals(random);
      k = normals(random);
      v = normals(random);
      out = normals(random);
    }

    private Heads normals(Random random) {
      long count = (long) heads * tokens * dim;
      MemorySegment data = arena.allocate(ValueLayout.JAVA_FLOAT, count);
      for (long i = 0; i < count; i++) {
        data.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
      }
      return Heads.headMajor(data, KernelType.F32, heads, tokens, dim);
    }

    float scale() {
      return (float) (1 / Math.sqrt(dim));
    }

    double gigaflops(double density) {
      return 4e-9 * dim * heads * density * tokens * tokens;
    }

    @TearDown
    public void free() {
      arena.close();
    }
  }

  /** A band whose width gives the density, without a sink. */
  @State(Scope.Benchmark)
  public static class Band {
    @Param({"0.1", "0.25", "0.5", "1"})
    public double density;

    BandMask mask;

    @Setup
    public void choose(Tensors tensors) {
      int halfWidth = (int) Math.round(tensors.tokens * (1 - Math.sqrt(1 - density)));
      mask = new BandMask(tensors.tokens, 0, 0, halfWidth);
    }
  }

  /** Clusters of uneven sizes, as many as the models use, of which a random part is kept. */
  @State(Scope.Benchmark)
  public static class Blocks {
    /** Wan at 720p: 300 and 1000 clusters for 75,600 tokens; elsewhere by the square root. */
    private static final double TOKENS = 75_600;

    private static final int QUERY_CLUSTERS = 300;
    private static final int KEY_CLUSTERS = 1000;

    @Param({"0.1", "0.25", "0.5", "1"})
    public double density;

    int queryClusters;
    int keyClusters;
    MemorySegment queryOffsets;
    MemorySegment keyOffsets;
    MemorySegment map;
    double achieved;
    private Arena arena;

    @Setup
    public void choose(Tensors tensors) {
      Random random = new Random(2);
      arena = Arena.ofShared();
      double scale = Math.sqrt(tensors.tokens / TOKENS);
      queryClusters = (int) Math.round(QUERY_CLUSTERS * scale);
      keyClusters = (int) Math.round(KEY_CLUSTERS * scale);
      queryOffsets = offsets(random, tensors, queryClusters);
      keyOffsets = offsets(random, tensors, keyClusters);
      map = arena.allocate((long) tensors.heads * queryClusters * keyClusters);
      long pairs = 0;
      for (int h = 0; h < tensors.heads; h++) {
        for (int i = 0; i < queryClusters; i++) {
          for (int j = 0; j < keyClusters; j++) {
            if (random.nextDouble() < density) {
              map.set(
                  ValueLayout.JAVA_BYTE,
                  ((long) h * queryClusters + i) * keyClusters + j,
                  (byte) 1);
              pairs +=
                  (long) size(queryOffsets, h, queryClusters, i)
                      * size(keyOffsets, h, keyClusters, j);
            }
          }
        }
      }
      achieved = pairs / ((double) tensors.heads * tensors.tokens * tensors.tokens);
    }

    private MemorySegment offsets(Random random, Tensors tensors, int clusters) {
      MemorySegment offsets = arena.allocate(ValueLayout.JAVA_INT, tensors.heads * (clusters + 1L));
      for (int h = 0; h < tensors.heads; h++) {
        int[] cuts = random.ints(clusters - 1, 0, tensors.tokens + 1).sorted().toArray();
        long first = h * (clusters + 1L);
        for (int i = 1; i < clusters; i++) {
          offsets.setAtIndex(ValueLayout.JAVA_INT, first + i, cuts[i - 1]);
        }
        offsets.setAtIndex(ValueLayout.JAVA_INT, first + clusters, tensors.tokens);
      }
      return offsets;
    }

    private static int size(MemorySegment offsets, int head, int clusters, int cluster) {
      long at = head * (clusters + 1L) + cluster;
      return offsets.getAtIndex(ValueLayout.JAVA_INT, at + 1)
          - offsets.getAtIndex(ValueLayout.JAVA_INT, at);
    }

    @TearDown
    public void free() {
      arena.close();
    }
  }

  /** Work done in an iteration; JMH divides it by the time. */
  @State(Scope.Thread)
  @AuxCounters(AuxCounters.Type.OPERATIONS)
  public static class Work {
    public double gigaflops;

    @Setup(Level.Iteration)
    public void reset() {
      gigaflops = 0;
    }
  }

  @Benchmark
  public void dense(Tensors t, Work work) {
    SvgKernels.host().attentionDense(t.q, t.k, t.v, t.out, t.scale(), 0, null);
    work.gigaflops += t.gigaflops(1);
  }

  @Benchmark
  public void band(Tensors t, Band band, Work work) {
    SvgKernels.host().attentionBand(t.q, t.k, t.v, t.out, t.scale(), band.mask);
    work.gigaflops += t.gigaflops(band.mask.density());
  }

  @Benchmark
  public void blocks(Tensors t, Blocks blocks, Work work) {
    SvgKernels.host()
        .attentionBlocks(
            t.q,
            t.k,
            t.v,
            t.out,
            t.scale(),
            blocks.queryClusters,
            blocks.keyClusters,
            blocks.queryOffsets,
            blocks.keyOffsets,
            blocks.map);
    work.gigaflops += t.gigaflops(blocks.achieved);
  }
}
