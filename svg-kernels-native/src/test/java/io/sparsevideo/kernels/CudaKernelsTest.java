package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import io.sparsevideo.cuda.CudaUnavailableException;
import io.sparsevideo.kernels.KernelLibrary.Kind;
import io.sparsevideo.kernels.Tensors.Layout;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * The CUDA library's attention, softmax, norms, rotary embedding and activations against double
 * precision; patches, timesteps and drawn rows against the host library. Skipped, and says why,
 * without the library or a device.
 */
class CudaKernelsTest {

  private static final float EPSILON = 1e-3f;
  private static final double TOLERANCE = 1e-5;

  private static String missing;
  private static SvgKernels kernels;
  private static DeviceTensors device;

  private final Random random = new Random(31);
  private final Arena arena = Arena.ofConfined();

  @BeforeAll
  static void open() {
    try {
      device = DeviceTensors.open();
      // Not KernelLibrary.load, whose library would stay the process's: other tests load it from
      // elsewhere.
      NativeBundle bundle =
          new NativeBundle(KernelLibrary.class.getClassLoader(), NativeBundle.defaultCache());
      kernels = SvgKernels.on(KernelLibrary.search(Kind.CUDA, bundle), device.stream());
    } catch (CudaUnavailableException | KernelLoadException e) {
      missing = e.getMessage();
    }
  }

  @BeforeEach
  void skipWithoutDevice() {
    assumeTrue(missing == null, () -> "no CUDA here: " + missing);
  }

  @AfterAll
  static void close() {
    if (device != null) {
      device.close();
    }
  }

  @AfterEach
  void free() {
    arena.close();
    if (device != null) {
      device.free();
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, HEAD_MAJOR",
    "3, 5, 129, F16, F32, PADDED",
    "2, 77, 1536, BF16, BF16, TOKEN_MAJOR",
    "1, 3, 16384, F32, F16, HEAD_MAJOR",
  })
  void rmsNorm(
      int heads, int rows, int width, KernelType type, KernelType weightType, Layout layout) {
    Heads x = tensor(type, layout, heads, rows, width);
    Heads weight = tensor(weightType, Layout.HEAD_MAJOR, 1, 1, width);
    double[][][] expected = Reference.rmsNorm(x, weight, EPSILON);
    Heads onDevice = device.upload(x);
    Heads out = output(type, heads, rows, width);
    MemorySegment weights = device.upload(weight.data());
    kernels.rmsNorm(onDevice, out, weights, weightType, EPSILON);
    assertClose(expected, out);
    kernels.rmsNorm(onDevice, onDevice, weights, weightType, EPSILON);
    assertClose(expected, onDevice);
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, F32, HEAD_MAJOR",
    "3, 5, 129, BF16, F32, F16, PADDED",
    "2, 77, 1536, F16, BF16, F32, TOKEN_MAJOR",
    "1, 3, 5120, BF16, F32, F32, HEAD_MAJOR",
  })
  void layerNorm(
      int heads,
      int rows,
      int width,
      KernelType type,
      KernelType weightType,
      KernelType modulationType,
      Layout layout) {
    Heads x = tensor(type, layout, heads, rows, width);
    Heads weight = tensor(weightType, Layout.HEAD_MAJOR, 1, 1, width);
    Heads bias = tensor(weightType, Layout.HEAD_MAJOR, 1, 1, width);
    MemorySegment perHead = tensor(modulationType, Layout.HEAD_MAJOR, heads, 1, width).data();
    Heads scale = Heads.rowPerHead(perHead, modulationType, heads, rows, width);
    Heads shift = Heads.oneRow(perHead, modulationType, heads, rows, width);
    double[][][] expected = Reference.layerNorm(x, weight, bias, scale, shift, EPSILON);
    Heads onDevice = device.upload(x);
    Heads out = output(type, heads, rows, width);
    MemorySegment weights = device.upload(weight.data());
    MemorySegment biases = device.upload(bias.data());
    Heads scales = device.upload(scale);
    Heads shifts = device.upload(shift);
    kernels.layerNorm(onDevice, out, weights, biases, weightType, scales, shifts, EPSILON);
    assertClose(expected, out);
    kernels.layerNorm(onDevice, onDevice, weights, biases, weightType, scales, shifts, EPSILON);
    assertClose(expected, onDevice);
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, HEAD_MAJOR",
    "3, 5, 129, F16, BF16, PADDED",
    "2, 77, 1536, BF16, F32, TOKEN_MAJOR",
  })
  void gatedResidual(
      int heads, int rows, int width, KernelType type, KernelType gateType, Layout layout) {
    Heads x = tensor(type, layout, heads, rows, width);
    Heads y = tensor(type, Layout.PADDED, heads, rows, width);
    Heads gate =
        Heads.rowPerHead(
            tensor(gateType, Layout.HEAD_MAJOR, heads, 1, width).data(),
            gateType,
            heads,
            rows,
            width);
    double[][][] expected = Reference.gatedResidual(x, y, gate);
    Heads onDevice = device.upload(x);
    Heads added = device.upload(y);
    Heads gates = device.upload(gate);
    Heads out = output(type, heads, rows, width);
    kernels.gatedResidual(onDevice, added, gates, out);
    assertClose(expected, out);
    kernels.gatedResidual(onDevice, added, gates, onDevice);
    assertClose(expected, onDevice);
  }

  /** The CUDA library turns heads of multiples of 16 whose rows are aligned to 16 bytes. */
  @ParameterizedTest
  @CsvSource({
    "1, 1, 16, 1, F32, INTERLEAVED, HEAD_MAJOR",
    "3, 7, 48, 5, F32, HALVES, TOKEN_MAJOR",
    "5, 77, 128, 70, BF16, INTERLEAVED, TOKEN_MAJOR",
    "5, 77, 64, 0, F16, HALVES, HEAD_MAJOR",
  })
  void ropeAloneAndBehindNorms(
      int heads, int rows, int dim, int rotated, KernelType type, RopePairs pairs, Layout layout) {
    Heads x = tensor(type, layout, heads, rows, dim);
    int kept = Math.max(rotated, 1);
    Heads cos = tensor(KernelType.F32, Layout.HEAD_MAJOR, 1, kept, dim / 2);
    Heads sin = tensor(KernelType.F32, Layout.HEAD_MAJOR, 1, kept, dim / 2);
    MemorySegment cosTable = device.upload(cos.data());
    MemorySegment sinTable = device.upload(sin.data());
    double[][][] expected = Tensors.values(x);
    Reference.rotate(expected, pairs, rotated, cos, sin);
    Heads onDevice = device.upload(x);
    Heads out = output(type, heads, rows, dim);
    kernels.rope(onDevice, out, pairs, rotated, cosTable, sinTable);
    assertClose(expected, out);

    for (boolean across : new boolean[] {false, true}) {
      Heads weight = tensor(KernelType.F32, Layout.HEAD_MAJOR, across ? heads : 1, 1, dim);
      MemorySegment weights = device.upload(weight.data());
      expected = Reference.normRope(x, across, weight, EPSILON);
      Reference.rotate(expected, pairs, rotated, cos, sin);
      out = output(type, heads, rows, dim);
      kernels.normRope(
          onDevice,
          out,
          across,
          weights,
          KernelType.F32,
          EPSILON,
          pairs,
          rotated,
          cosTable,
          sinTable);
      assertClose(expected, out);
      Heads inPlace = device.upload(x);
      kernels.normRope(
          inPlace,
          inPlace,
          across,
          weights,
          KernelType.F32,
          EPSILON,
          pairs,
          rotated,
          cosTable,
          sinTable);
      assertClose(expected, inPlace);

      int[] order = Tensors.orders(random, heads, rotated);
      out = output(type, heads, rows, dim);
      kernels.normRope(
          onDevice,
          out,
          across,
          weights,
          KernelType.F32,
          EPSILON,
          pairs,
          rotated,
          cosTable,
          sinTable,
          rotated,
          device.upload(Tensors.ints(arena, order)));
      assertClose(Reference.permute(expected, rotated, order), out);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, F32, IDENTITY, HEAD_MAJOR",
    "2, 7, 33, F32, BF16, F16, GELU_TANH, TOKEN_MAJOR",
    "3, 5, 128, F16, F32, BF16, SILU, PADDED",
    "2, 9, 1536, BF16, BF16, BF16, GELU_TANH, HEAD_MAJOR",
  })
  void activation(
      int heads,
      int rows,
      int width,
      KernelType from,
      KernelType to,
      KernelType biasType,
      Activation kind,
      Layout layout) {
    Heads x = tensor(from, layout, heads, rows, width);
    Heads bias = tensor(biasType, Layout.HEAD_MAJOR, 1, 1, width);
    Heads onDevice = device.upload(x);
    Heads out = output(to, heads, rows, width);
    kernels.activation(onDevice, out, kind, device.upload(bias.data()), biasType);
    assertClose(Reference.activation(x, kind, bias), out);
    kernels.activation(onDevice, onDevice, kind, null, null);
    assertClose(Reference.activation(x, kind, null), onDevice);
  }

  /** A row in a warp, in a block, and read twice. */
  @ParameterizedTest
  @CsvSource({
    "1, 1, 1, F32, F32, HEAD_MAJOR",
    "3, 5, 129, BF16, BF16, TOKEN_MAJOR",
    "2, 9, 1000, F16, F32, PADDED",
    "2, 3, 14400, BF16, F16, HEAD_MAJOR",
    "1, 2, 70001, F32, BF16, HEAD_MAJOR",
  })
  void softmax(int heads, int rows, int width, KernelType to, KernelType biasType, Layout layout) {
    Heads scores = tensor(KernelType.F32, layout, heads, rows, width);
    Heads table = tensor(biasType, Layout.HEAD_MAJOR, heads, 1, rows + width - 1);
    Heads onDevice = device.upload(scores);
    Heads out = output(to, heads, rows, width);
    ScoreBias bias = ScoreBias.relative(table.data(), biasType, rows, width);
    ScoreBias biasOnDevice = ScoreBias.relative(device.upload(table.data()), biasType, rows, width);
    kernels.softmax(onDevice, 3, biasOnDevice, out);
    assertClose(Reference.softmax(scores, 3, bias), out);
    for (float scale : new float[] {-2, 0}) {
      kernels.softmax(onDevice, scale, biasOnDevice, out);
      assertClose(Reference.softmax(scores, scale, bias), out);
    }
    kernels.softmax(onDevice, 3, null, onDevice);
    assertClose(Reference.softmax(scores, 3, null), onDevice);
  }

  /** With numbers that are no rows of the table. */
  @ParameterizedTest
  @CsvSource({"5, 33, F32", "32, 64, BF16", "7, 6, F16"})
  void gatherRows(int tableRows, int width, KernelType type) {
    Heads table = tensor(type, Layout.HEAD_MAJOR, 1, tableRows, width);
    int[] numbers = {tableRows - 1, 0, tableRows, 2, 2, -1};
    Heads onDevice = device.upload(table);
    Heads out = output(type, 1, numbers.length, width);
    kernels.gatherRows(onDevice, device.upload(Tensors.ints(arena, numbers)), 4, out);
    double[][][] actual = Tensors.values(device.download(arena, out));
    for (int i = 0; i < numbers.length; i++) {
      boolean inside = numbers[i] >= 0 && numbers[i] < tableRows;
      for (int d = 0; d < width; d++) {
        assertEquals(inside ? Tensors.get(table, 0, numbers[i], d) : 0, actual[0][i][d]);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({
    "1, 7, 33, F32, BF16, PADDED, true",
    "2, 129, 96, BF16, BF16, TOKEN_MAJOR, true",
    "1, 50, 384, F16, F32, HEAD_MAJOR, false",
  })
  void channelNorm(
      int heads,
      int rows,
      int width,
      KernelType type,
      KernelType weightType,
      Layout layout,
      boolean silu) {
    Heads x = tensor(type, layout, heads, rows, width);
    Heads weight = tensor(weightType, Layout.HEAD_MAJOR, 1, 1, width);
    Heads out = output(type, heads, rows, width);
    kernels.channelNorm(device.upload(x), out, device.upload(weight.data()), weightType, silu);
    assertClose(Reference.channelNorm(x, weight, silu), out);
  }

  @ParameterizedTest
  @CsvSource({
    // frames, earlier frames, height, width, channels, out channels, frames and side of the kernel,
    // repeat
    "2, 2, 9, 17, 96, 96, 3, 3, 1, BF16",
    "1, 2, 11, 10, 64, 192, 3, 3, 1, F16",
    "3, 0, 5, 6, 16, 3, 3, 3, 1, BF16",
    "2, 0, 7, 9, 3, 20, 1, 3, 1, F16",
    "2, 1, 5, 3, 6, 7, 2, 1, 1, F32",
    "1, 0, 5, 9, 20, 7, 1, 3, 2, F16",
  })
  void convolution(
      int frames,
      int earlierFrames,
      int height,
      int width,
      int channels,
      int outChannels,
      int kernelFrames,
      int side,
      int repeat,
      KernelType type) {
    int pad = side / 2;
    Convolution sizes =
        new Convolution(
            frames,
            earlierFrames,
            height,
            width,
            channels,
            outChannels,
            kernelFrames,
            side,
            side,
            1,
            1,
            repeat,
            pad,
            pad,
            pad,
            pad);
    Heads earlier =
        tensor(type, Layout.HEAD_MAJOR, Math.max(earlierFrames, 1), height * width, channels);
    Heads x = tensor(type, Layout.HEAD_MAJOR, frames, height * width, channels);
    Heads weight =
        tensor(type, Layout.HEAD_MAJOR, outChannels, kernelFrames * side * side, channels);
    Heads bias = tensor(type, Layout.HEAD_MAJOR, 1, 1, outChannels);
    Heads residual =
        tensor(
            type,
            Layout.HEAD_MAJOR,
            sizes.outFrames(),
            sizes.outHeight() * sizes.outWidth(),
            outChannels);
    Heads out = output(type, sizes.outFrames(), sizes.outHeight() * sizes.outWidth(), outChannels);
    kernels.convolution(
        sizes,
        type,
        device.upload(earlier.data()),
        device.upload(x.data()),
        device.upload(weight.data()),
        device.upload(bias.data()),
        device.upload(residual.data()),
        out.data());
    assertClose(Reference.convolution(sizes, earlier, x, weight, bias, residual), out);
  }

  /** With channels and outputs for each path and each of its tiles. */
  @ParameterizedTest
  @CsvSource({"1, 8", "8, 8", "8, 9", "8, 96", "8, 192", "64, 192"})
  void convolutionKeepsFloat16FiniteButNotNan(int channels, int outputs) {
    Convolution sizes =
        new Convolution(1, 0, 1, 4, channels, outputs, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0);
    Heads x = Tensors.allocate(arena, KernelType.F16, Layout.HEAD_MAJOR, 1, 4, channels);
    Heads weight = Tensors.allocate(arena, KernelType.F16, Layout.HEAD_MAJOR, outputs, 1, channels);
    float[] values = {40_000, -40_000, 3, Float.NaN};
    for (int channel = 0; channel < channels; channel++) {
      for (int i = 0; i < values.length; i++) {
        Tensors.set(x, 0, i, channel, channel == 0 ? values[i] : 0);
      }
      for (int o = 0; o < outputs; o++) {
        Tensors.set(weight, o, 0, channel, 2);
      }
    }
    Heads out = output(KernelType.F16, 1, 4, outputs);
    kernels.convolution(
        sizes,
        KernelType.F16,
        null,
        device.upload(x.data()),
        device.upload(weight.data()),
        null,
        null,
        out.data());
    double[][][] found = Tensors.values(device.download(arena, out));
    double[] expected = {65_504, -65_504, 6, Double.NaN};
    for (int i = 0; i < expected.length; i++) {
      for (double value : found[0][i]) {
        assertEquals(expected[i], value);
      }
    }
  }

  /** Weights that are added for repeated pixels: what saturates does not spoil pixels of zeros. */
  @Test
  void convolutionOfRepeatedPixelsKeepsFloat16Finite() {
    Convolution sizes = new Convolution(1, 0, 4, 4, 8, 8, 1, 3, 3, 1, 1, 2, 1, 1, 1, 1);
    Heads x = Tensors.allocate(arena, KernelType.F16, Layout.HEAD_MAJOR, 1, 16, 8);
    Heads weight = Tensors.allocate(arena, KernelType.F16, Layout.HEAD_MAJOR, 8, 9, 8);
    for (int channel = 0; channel < 8; channel++) {
      for (int pixel = 0; pixel < 16; pixel++) {
        Tensors.set(x, 0, pixel, channel, pixel == 0 ? 1 : 0);
      }
      for (int o = 0; o < 8; o++) {
        for (int tap = 0; tap < 9; tap++) {
          Tensors.set(weight, o, tap, channel, 40_000);
        }
      }
    }
    Heads out = output(KernelType.F16, 1, 64, 8);
    kernels.convolution(
        sizes,
        KernelType.F16,
        null,
        device.upload(x.data()),
        device.upload(weight.data()),
        null,
        null,
        out.data());
    double[][][] found = Tensors.values(device.download(arena, out));
    for (int o = 0; o < 8; o++) {
      assertEquals(65_504, found[0][0][o]);
      assertEquals(0, found[0][63][o]);
    }
  }

  @ParameterizedTest
  @EnumSource(PatchOrder.class)
  void patches(PatchOrder order) {
    PatchGrid grid = new PatchGrid(5, 4, 6, 9, 2, 3, 3, order);
    Heads video = tensor(KernelType.F16, Layout.HEAD_MAJOR, 1, 1, 5 * 4 * 6 * 9);
    Heads expected =
        Tensors.allocate(
            arena, KernelType.F16, Layout.HEAD_MAJOR, 1, grid.tokens(), grid.elements());
    SvgKernels.host().patchify(video.data(), expected, grid);
    Heads tokens = output(KernelType.F16, 1, grid.tokens(), grid.elements());
    kernels.patchify(device.upload(video).data(), tokens, grid);
    assertClose(Tensors.values(expected), tokens);
    Heads back = output(KernelType.F16, 1, 1, video.headDim());
    kernels.unpatchify(tokens, back.data(), grid);
    assertClose(Tensors.values(video), back);
  }

  @Test
  void timesteps() {
    MemorySegment timesteps = Tensors.floats(arena, 0, 17.25f, 999);
    Heads expected = Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, 1, 3, 257);
    SvgKernels.host().timestepEmbedding(timesteps, expected, true, 0, 1, 10000);
    Heads out = output(KernelType.F32, 1, 3, 257);
    kernels.timestepEmbedding(device.upload(timesteps), out, true, 0, 1, 10000);
    assertClose(Tensors.values(expected), out);
  }

  @Test
  void colorBytes() {
    MemorySegment x = Tensors.floats(arena, -2, -1, -.5f, 0, .25f, 1, Float.NaN, 7, .1f, .2f);
    MemorySegment expected = arena.allocate(10);
    MemorySegment expectedNotNumbers = Tensors.words(arena, 2);
    SvgKernels.host().colorBytes(x, KernelType.F32, 2, 5, expected, expectedNotNumbers);
    MemorySegment out = device.upload(arena.allocate(10));
    MemorySegment notNumbers = device.upload(Tensors.words(arena, 2));
    kernels.colorBytes(device.upload(x), KernelType.F32, 2, 5, out, notNumbers);
    assertEquals(-1, expected.mismatch(device.download(arena, out)));
    assertEquals(-1, expectedNotNumbers.mismatch(device.download(arena, notNumbers)));
  }

  /** Rows of small whole numbers, whose distances are exact, so that every label is the same. */
  @Test
  void kmeansDrawsTheHostsRows() {
    int heads = 3;
    int rows = 1001;
    int clusters = 40;
    int dim = 16;
    Heads x = tensor(KernelType.F32, Layout.HEAD_MAJOR, heads, rows, dim);
    for (int h = 0; h < heads; h++) {
      for (int row = 0; row < rows; row++) {
        for (int d = 0; d < dim; d++) {
          Tensors.set(x, h, row, d, random.nextInt(3));
        }
      }
    }
    Heads expected =
        Tensors.allocate(arena, KernelType.F32, Layout.HEAD_MAJOR, heads, clusters, dim);
    MemorySegment labels = Tensors.words(arena, (long) heads * rows);
    MemorySegment sizes = Tensors.words(arena, (long) heads * clusters);
    long seed = -3;
    SvgKernels.host().kmeans(x, clusters, 1, 0, seed, expected.data(), labels, sizes, null);
    Heads centroids = output(KernelType.F32, heads, clusters, dim);
    kernels.kmeans(
        device.upload(x),
        clusters,
        1,
        0,
        seed,
        centroids.data(),
        device.upload(labels),
        device.upload(sizes),
        null);
    assertClose(Tensors.values(expected), centroids);
  }

  @ParameterizedTest
  @CsvSource({"BF16, 128, TOKEN_MAJOR", "F16, 64, HEAD_MAJOR", "BF16, 80, HEAD_MAJOR"})
  void attention(KernelType type, int dim, Layout layout) {
    int rows = 300;
    float scale = 0.2f;
    Heads q = tensor(type, layout, 2, rows, dim);
    Heads k = tensor(type, layout, 2, rows, dim);
    Heads v = tensor(type, layout, 2, rows, dim);
    Heads qs = device.upload(q);
    Heads ks = device.upload(k);
    Heads vs = device.upload(v);
    Heads out = output(type, 2, rows, dim);

    int[] lengths = {300, 77};
    MemorySegment kLengths = device.upload(Tensors.ints(arena, lengths));
    kernels.attentionDense(qs, ks, vs, out, scale, 0, kLengths, null);
    assertClose(q, k, v, scale, (h, i, j) -> j < lengths[h], out);

    BandMask band = new BandMask(230, 40, 30, 65);
    kernels.attentionBand(qs, ks, vs, out, scale, band);
    assertClose(q, k, v, scale, (h, i, j) -> band.allows(rows, i, j), out);

    // Query clusters of 10, 0 and 290 rows, key clusters of 100, 1 and 199.
    MemorySegment qOffsets = device.upload(Tensors.ints(arena, 0, 10, 10, 300, 0, 10, 10, 300));
    MemorySegment kOffsets = device.upload(Tensors.ints(arena, 0, 100, 101, 300, 0, 100, 101, 300));
    byte[] kept = {1, 0, 1, 1, 1, 1, 0, 1, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0};
    MemorySegment map = arena.allocate(kept.length);
    MemorySegment.copy(MemorySegment.ofArray(kept), 0, map, 0, kept.length);
    kernels.attentionBlocks(qs, ks, vs, out, scale, 3, 3, qOffsets, kOffsets, device.upload(map));
    Reference.Mask blocks =
        (h, i, j) -> kept[9 * h + (i < 10 ? 0 : 6) + (j < 100 ? 0 : j == 100 ? 1 : 2)] != 0;
    assertClose(q, k, v, scale, blocks, out);
  }

  /** Contiguous, with gaps, transposed, broadcast, and at addresses that allow no wide accesses. */
  @ParameterizedTest
  @CsvSource({
    "1, 0, 4096 3, 3 1, 3 1",
    "2, 1, 5 7 33, 231 33 1, 231 33 1",
    "2, 0, 3 16 64, 4096 128 1, 1024 64 1",
    "4, 0, 7 5 9, 1 63 7, 45 9 1",
    "4, 1, 7 5 9, 0 9 1, 45 9 1",
    "8, 0, 1 17 1 3, 9 0 9 1, 60 3 9 1",
    "1, 3, 2 2 2 2 2 2 2 2, 1 2 4 8 16 32 64 128, 128 64 32 16 8 4 2 1",
    "4, 0, 20000003, 1, 1",
  })
  void viewsAreCopiedAsOnTheHost(
      int size, int offset, String sizes, String srcStrides, String dstStrides) {
    MemorySegment from = randomBytes(extent(size, offset, sizes, srcStrides));
    MemorySegment to = randomBytes(extent(size, offset, sizes, dstStrides));
    MemorySegment fromOnDevice = device.upload(from);
    MemorySegment toOnDevice = device.upload(to);
    View src = view(from, size, offset, sizes, srcStrides);
    SvgKernels.host().copy(src, view(to, size, offset, sizes, dstStrides));
    kernels.copy(
        view(fromOnDevice, size, offset, sizes, srcStrides),
        view(toOnDevice, size, offset, sizes, dstStrides));
    assertEquals(-1, to.mismatch(device.download(arena, toOnDevice)));
  }

  @ParameterizedTest
  @CsvSource({
    "ADD, F32, F32, F32, 5 7 33, 231 33 1, 0 33 1",
    "SUBTRACT, BF16, BF16, BF16, 5 7 33, 231 33 1, 33 0 1",
    "MULTIPLY, F16, F32, BF16, 7 5 9, 1 63 7, 0 0 0",
    "DIVIDE, BF16, F16, F32, 1000003, 1, 1",
    "MINIMUM, F16, F16, F16, 8195, 1, 1",
    "MAXIMUM, BF16, BF16, BF16, 1000003, 1, 1",
    "DIVIDE, F32, F32, F32, 3, 1, 1",
  })
  void elementsAreCombinedAsOnTheHost(
      Elementwise op,
      KernelType xType,
      KernelType yType,
      KernelType outType,
      String sizes,
      String xStrides,
      String yStrides) {
    long[] dims = numbers(sizes);
    int count = 1;
    for (long n : dims) {
      count *= (int) n;
    }
    Heads x = tensor(xType, Layout.HEAD_MAJOR, 1, 1, count);
    Heads y = tensor(yType, Layout.HEAD_MAJOR, 1, 1, count);
    Heads out = Tensors.allocate(arena, outType, Layout.HEAD_MAJOR, 1, 1, count);
    MemorySegment xOnDevice = device.upload(x.data());
    MemorySegment yOnDevice = device.upload(y.data());
    MemorySegment outOnDevice = device.upload(out.data());
    String outStrides = contiguous(dims);
    for (boolean scalar : new boolean[] {false, true}) {
      combine(
          SvgKernels.host(),
          op,
          x.data(),
          y.data(),
          out.data(),
          xType,
          yType,
          outType,
          sizes,
          xStrides,
          yStrides,
          outStrides,
          scalar);
      combine(
          kernels,
          op,
          xOnDevice,
          yOnDevice,
          outOnDevice,
          xType,
          yType,
          outType,
          sizes,
          xStrides,
          yStrides,
          outStrides,
          scalar);
      assertEquals(-1, out.data().mismatch(device.download(arena, outOnDevice)));
    }
  }

  private static void combine(
      SvgKernels on,
      Elementwise op,
      MemorySegment x,
      MemorySegment y,
      MemorySegment out,
      KernelType xType,
      KernelType yType,
      KernelType outType,
      String sizes,
      String xStrides,
      String yStrides,
      String outStrides,
      boolean scalar) {
    View from = view(x, xType.bytes(), 0, sizes, xStrides);
    View to = view(out, outType.bytes(), 0, sizes, outStrides);
    if (scalar) {
      on.elementwise(op, from, xType, 0.3f, to, outType);
    } else {
      View by = view(y, yType.bytes(), 0, sizes, yStrides);
      on.elementwise(op, from, xType, by, yType, to, outType);
    }
  }

  private static View view(
      MemorySegment memory, int size, int offset, String sizes, String strides) {
    return new View(memory.asSlice((long) offset * size), size, numbers(sizes), numbers(strides));
  }

  private static long extent(int size, int offset, String sizes, String strides) {
    long last = offset;
    for (int d = 0; d < numbers(sizes).length; d++) {
      last += (numbers(sizes)[d] - 1) * numbers(strides)[d];
    }
    return size * (last + 1);
  }

  private static long[] numbers(String text) {
    return Arrays.stream(text.split(" ")).mapToLong(Long::parseLong).toArray();
  }

  private static String contiguous(long[] sizes) {
    StringBuilder strides = new StringBuilder();
    long stride = 1;
    for (int d = sizes.length - 1; d >= 0; d--) {
      strides.insert(0, stride + " ");
      stride *= sizes[d];
    }
    return strides.toString().strip();
  }

  private MemorySegment randomBytes(long count) {
    byte[] bytes = new byte[(int) count];
    random.nextBytes(bytes);
    MemorySegment memory = arena.allocate(count, 64);
    memory.copyFrom(MemorySegment.ofArray(bytes));
    return memory;
  }

  @Test
  void badArgumentsAreRefused() {
    Heads x = device.upload(tensor(KernelType.F32, Layout.HEAD_MAJOR, 2, 3, 16));
    KernelException e =
        assertThrows(KernelException.class, () -> kernels.rmsNorm(x, x, null, null, -1));
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
    Heads turned = Heads.tokenMajor(x.data(), KernelType.F32, 2, 3, 16);
    e = assertThrows(KernelException.class, () -> kernels.rmsNorm(x, turned, null, null, 1));
    assertEquals(KernelException.Status.INVALID_ARGUMENT, e.status());
  }

  private Heads tensor(KernelType type, Layout layout, int heads, int rows, int width) {
    return Tensors.random(arena, random, 1, type, layout, heads, rows, width);
  }

  /** Poisoned, head-major. */
  private Heads output(KernelType type, int heads, int rows, int width) {
    return device.upload(Tensors.allocate(arena, type, Layout.HEAD_MAJOR, heads, rows, width));
  }

  /** The tensor cores take the weights in the tensors' type. */
  private void assertClose(
      Heads q, Heads k, Heads v, float scale, Reference.Mask mask, Heads onDevice) {
    Reference.assertClose(
        Reference.attention(q, k, v, scale, mask), device.download(arena, onDevice), 4e-3);
  }

  private void assertClose(double[][][] expected, Heads onDevice) {
    Reference.assertClose(expected, device.download(arena, onDevice), TOLERANCE);
  }
}
