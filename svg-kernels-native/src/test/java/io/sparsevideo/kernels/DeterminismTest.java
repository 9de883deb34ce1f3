package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.sparsevideo.kernels.Tensors.Layout;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Results do not depend on the number of OpenMP threads, which is fixed when a process starts. */
class DeterminismTest {

  @Test
  void resultsDoNotDependOnTheNumberOfThreads() throws Exception {
    String one = digestOfProcess(1);
    for (int threads : new int[] {2, 3, 7}) {
      assertEquals(one, digestOfProcess(threads), threads + " threads");
    }
  }

  private static String digestOfProcess(int threads) throws IOException, InterruptedException {
    ProcessBuilder builder =
        new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--enable-native-access=ALL-UNNAMED",
            "-D" + KernelLibrary.CACHE_PROPERTY + "=" + NativeBundle.defaultCache(),
            "-cp",
            System.getProperty("java.class.path"),
            Digest.class.getName());
    builder.environment().put("OMP_NUM_THREADS", Integer.toString(threads));
    builder.redirectError(ProcessBuilder.Redirect.INHERIT);
    Process process = builder.start();
    try {
      String output = new String(process.getInputStream().readAllBytes()).strip();
      assertEquals(true, process.waitFor(60, TimeUnit.SECONDS), "the process ends");
      assertEquals(0, process.exitValue(), output);
      String[] parts = output.split("\n");
      assertEquals(2, parts.length, output);
      // What was asked for is what ran.
      assertEquals(true, parts[0].contains(" " + threads + " threads"), parts[0]);
      return parts[1];
    } finally {
      process.destroyForcibly();
    }
  }

  /** Runs kernels at sizes that are worth several threads, and prints a hash of what they wrote. */
  static final class Digest {
    private Digest() {}

    public static void main(String[] args) throws NoSuchAlgorithmException {
      SvgKernels kernels = SvgKernels.host();
      MessageDigest sha = MessageDigest.getInstance("SHA-256");
      Random random = new Random(9);
      try (Arena arena = Arena.ofConfined()) {
        int heads = 3;
        VideoLayout layout = new VideoLayout(13, 79, 8);
        int rows = layout.rows();
        int dim = 40;
        Heads q =
            Tensors.random(arena, random, 1, KernelType.BF16, Layout.TOKEN_MAJOR, heads, rows, dim);
        Heads k =
            Tensors.random(arena, random, 1, KernelType.BF16, Layout.TOKEN_MAJOR, heads, rows, dim);
        Heads out = Tensors.allocate(arena, KernelType.BF16, Layout.TOKEN_MAJOR, heads, rows, dim);

        kernels.attentionDense(q, k, k, out, 0.3f, 0, null);
        sha.update(out.data().asByteBuffer());
        kernels.attentionBand(q, k, k, out, 0.3f, new BandMask(layout.videoRows(), 3, 67, 40));
        sha.update(out.data().asByteBuffer());

        MemorySegment sampled = Tensors.ints(arena, random.ints(100, 0, rows).toArray());
        MemorySegment mse = Tensors.words(arena, 2L * heads);
        MemorySegment best = Tensors.words(arena, heads);
        kernels.profileHeads(q, k, k, 0.3f, layout, 67, 1, 100, sampled, mse, best);
        sha.update(mse.asByteBuffer());

        int clusters = 75;
        MemorySegment start =
            Tensors.ints(arena, random.ints((long) heads * clusters, 0, rows).toArray());
        MemorySegment centroids = Tensors.words(arena, (long) heads * clusters * dim);
        MemorySegment labels = Tensors.words(arena, (long) heads * rows);
        MemorySegment sizes = Tensors.words(arena, (long) heads * clusters);
        kernels.kmeans(q, clusters, 5, 0, start, centroids, labels, sizes, null);
        sha.update(centroids.asByteBuffer());
        sha.update(labels.asByteBuffer());

        MemorySegment map = arena.allocate((long) heads * clusters * clusters);
        kernels.blockMap(
            heads, dim, clusters, clusters, 0, 1, 0.5f, 0.3f, centroids, centroids, sizes, map);
        sha.update(map.asByteBuffer());
        MemorySegment order = Tensors.words(arena, (long) heads * rows);
        MemorySegment offsets = Tensors.words(arena, heads * (clusters + 1L));
        kernels.sortLabels(heads, rows, clusters, 0, 0, 0, labels, order, offsets);
        sha.update(order.asByteBuffer());
        kernels.attentionBlocks(q, k, k, out, 0.3f, clusters, clusters, offsets, offsets, map);
        sha.update(out.data().asByteBuffer());
        assertEquals(true, out.data().get(ValueLayout.JAVA_SHORT, 0) != 0x7fc0, "something ran");
      }
      System.out.println(kernels.library().buildInfo());
      System.out.println(HexFormat.of().formatHex(sha.digest()));
    }
  }
}
