package io.sparsevideo.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class DjlTensorOpsTest {
  private static DjlTensorOps ops;
  private final Random random = new Random(5);
  private NDManager manager;

  @BeforeAll
  static void openBackend() {
    ops = new DjlTensorOps();
  }

  @AfterAll
  static void closeBackend() {
    ops.close();
  }

  @BeforeEach
  void open() {
    manager = ops.manager().newSubManager();
  }

  @AfterEach
  void close() {
    manager.close();
  }

  private NDArray random(long... shape) {
    float[] values = new float[(int) new Shape(shape).size()];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian() * 2;
    }
    return manager.create(values, new Shape(shape));
  }

  private static void assertClose(double[] expected, NDArray found) {
    float[] values = found.toFloatArray();
    assertEquals(expected.length, values.length);
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < values.length; i++) {
      difference += Math.pow(values[i] - expected[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    assertTrue(Math.sqrt(difference / norm) < 2e-6, () -> "relative error " + values.length);
  }

  private static double[] map(NDArray x, DoubleUnaryOperator f) {
    float[] values = x.toFloatArray();
    double[] result = new double[values.length];
    for (int i = 0; i < result.length; i++) {
      result[i] = f.applyAsDouble(values[i]);
    }
    return result;
  }

  @Test
  void activations() {
    NDArray x = random(7, 13);
    assertClose(
        map(x, v -> .5 * v * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + .044715 * v * v * v)))),
        ops.geluTanh(x));
    assertClose(map(x, v -> v / (1 + Math.exp(-v))), ops.silu(x));
  }

  @Test
  void linear() {
    NDArray x = random(5, 3);
    NDArray w = random(4, 3);
    NDArray b = random(4);
    float[] xs = x.toFloatArray();
    float[] ws = w.toFloatArray();
    float[] bs = b.toFloatArray();
    double[] expected = new double[20];
    for (int i = 0; i < 5; i++) {
      for (int o = 0; o < 4; o++) {
        for (int c = 0; c < 3; c++) {
          expected[4 * i + o] += (double) xs[3 * i + c] * ws[3 * o + c];
        }
      }
    }
    assertClose(expected, ops.linear(x, w, null));
    for (int i = 0; i < 20; i++) {
      expected[i] += bs[i % 4];
    }
    assertClose(expected, ops.linear(x, w, b));
  }

  @Test
  void norms() {
    int rows = 5;
    int width = 17;
    NDArray x = random(rows, width);
    NDArray w = random(width);
    NDArray b = random(width);
    float[] xs = x.toFloatArray();
    float[] ws = w.toFloatArray();
    float[] bs = b.toFloatArray();
    double[] rms = new double[rows * width];
    double[] layer = new double[rows * width];
    double[] plain = new double[rows * width];
    for (int i = 0; i < rows; i++) {
      double sum = 0;
      double squares = 0;
      for (int c = 0; c < width; c++) {
        sum += xs[i * width + c];
        squares += (double) xs[i * width + c] * xs[i * width + c];
      }
      double mean = sum / width;
      double variance = squares / width - mean * mean;
      for (int c = 0; c < width; c++) {
        int at = i * width + c;
        rms[at] = xs[at] / Math.sqrt(squares / width + 1e-6) * ws[c];
        plain[at] = (xs[at] - mean) / Math.sqrt(variance + 1e-6);
        layer[at] = plain[at] * ws[c] + bs[c];
      }
    }
    assertClose(rms, ops.rmsNorm(x, w, 1e-6));
    assertClose(plain, ops.layerNorm(x, null, null, 1e-6));
    assertClose(layer, ops.layerNorm(x, w, b, 1e-6));
    assertThrows(UnsupportedOperationException.class, () -> ops.layerNorm(x, w, null, 1e-6));
  }

  @Test
  void modulationAndGate() {
    NDArray x = random(3, 5);
    NDArray y = random(3, 5);
    NDArray a = random(5);
    NDArray b = random(1, 5);
    float[] as = a.toFloatArray();
    float[] bs = b.toFloatArray();
    float[] xs = x.toFloatArray();
    float[] ys = y.toFloatArray();
    float[] normed = ops.layerNorm(x, null, null, 1e-6).toFloatArray();
    double[] modulated = new double[15];
    double[] gated = new double[15];
    double[] added = new double[15];
    for (int i = 0; i < 15; i++) {
      modulated[i] = normed[i] * (1.0 + as[i % 5]) + bs[i % 5];
      gated[i] = xs[i] + (double) ys[i] * bs[i % 5];
      added[i] = (double) xs[i] + ys[i];
    }
    assertClose(modulated, ops.modulatedNorm(x, a, b, 1e-6));
    assertClose(gated, ops.gatedResidual(x, y, b));
    assertClose(added, ops.gatedResidual(x, y, null));
  }

  @Test
  void feedForward() {
    NDArray x = random(5, 3);
    NDArray up = random(8, 3);
    NDArray upBias = random(8);
    NDArray down = random(4, 8);
    NDArray downBias = random(4);
    NDArray hidden = ops.geluTanh(ops.linear(x, up, upBias));
    assertClose(
        map(ops.linear(hidden, down, downBias), v -> v),
        ops.feedForward(x, up, upBias, down, downBias));
  }

  @Test
  void normRotaryTurnsInterleavedPairs() {
    int rows = 3;
    int heads = 2;
    int pairs = 5;
    NDArray x = random(rows, heads * 2 * pairs);
    NDArray weight = random(heads * 2 * pairs);
    NDArray angle = random(rows, pairs);
    float[] normed = ops.rmsNorm(x, weight, 1e-6).toFloatArray();
    float[] angles = angle.toFloatArray();
    double[] expected = new double[normed.length];
    for (int i = 0; i < rows * heads * pairs; i++) {
      double t = angles[i / (heads * pairs) * pairs + i % pairs];
      expected[2 * i] = normed[2 * i] * Math.cos(t) - normed[2 * i + 1] * Math.sin(t);
      expected[2 * i + 1] = normed[2 * i] * Math.sin(t) + normed[2 * i + 1] * Math.cos(t);
    }
    NDArray found = ops.normRotary(x, weight, 1e-6, angle.cos(), angle.sin());
    assertEquals(new Shape(rows, heads, 2 * pairs), found.getShape());
    assertClose(expected, found);
  }

  @Test
  void attentionWithAndWithoutBias() {
    int queries = 5;
    int keys = 9;
    int heads = 2;
    int dim = 6;
    NDArray q = random(queries, heads, dim);
    NDArray k = random(keys, heads, dim);
    NDArray v = random(keys, heads, dim);
    NDArray bias = random(heads, queries + keys - 1);
    NDArray none = manager.zeros(bias.getShape());
    double scale = 1 / Math.sqrt(dim);
    NDArray dense = ops.attention(q, k, v);
    assertClose(reference(q, k, v, none, scale), dense);
    assertClose(map(dense, x -> x), ops.biasedAttention(q, k, v, none, scale));
    assertClose(reference(q, k, v, bias, 1), ops.biasedAttention(q, k, v, bias, 1));
  }

  private static double[] reference(NDArray q, NDArray k, NDArray v, NDArray bias, double scale) {
    int queries = (int) q.getShape().get(0);
    int keys = (int) k.getShape().get(0);
    int heads = (int) q.getShape().get(1);
    int dim = (int) q.getShape().get(2);
    float[] qs = q.toFloatArray();
    float[] ks = k.toFloatArray();
    float[] vs = v.toFloatArray();
    float[] biases = bias.toFloatArray();
    double[] out = new double[qs.length];
    for (int h = 0; h < heads; h++) {
      for (int i = 0; i < queries; i++) {
        double sum = 0;
        double[] row = new double[dim];
        for (int j = 0; j < keys; j++) {
          double dot = 0;
          for (int d = 0; d < dim; d++) {
            dot += (double) qs[(i * heads + h) * dim + d] * ks[(j * heads + h) * dim + d];
          }
          int position = h * (queries + keys - 1) + queries - 1 + j - i;
          double weight = Math.exp(dot * scale + biases[position]);
          sum += weight;
          for (int d = 0; d < dim; d++) {
            row[d] += weight * vs[(j * heads + h) * dim + d];
          }
        }
        for (int d = 0; d < dim; d++) {
          out[(i * heads + h) * dim + d] = row[d] / sum;
        }
      }
    }
    return out;
  }

  @Test
  void gatherRows() {
    NDArray table = random(4, 3);
    NDArray rows = ops.gatherRows(table, manager.create(new long[] {2, 0, 2}));
    float[] t = table.toFloatArray();
    assertArrayEquals(
        new float[] {t[6], t[7], t[8], t[0], t[1], t[2], t[6], t[7], t[8]}, rows.toFloatArray());
  }

  @Test
  void memoryIsTheTensorsOwn() {
    NDArray x = manager.zeros(new Shape(3, 5));
    MemorySegment memory = ops.memory(x);
    assertEquals(60, memory.byteSize());
    memory.setAtIndex(ValueLayout.JAVA_FLOAT, 7, 4.5f);
    assertEquals(4.5f, x.toFloatArray()[7]);
  }

  /** More than one ByteBuffer holds; pages that nobody touches take no memory. */
  @Test
  void memoryBeyondTwoGibibytes() {
    NDArray x = manager.create(new Shape(3, 200_000_000));
    MemorySegment memory = ops.memory(x);
    assertEquals(2_400_000_000L, memory.byteSize());
    memory.setAtIndex(ValueLayout.JAVA_FLOAT, 599_999_999L, 4.5f);
    assertEquals(4.5f, x.getFloat(2, 199_999_999));
  }

  @Test
  void uploadWidens() {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment bf16 =
          arena.allocateFrom(ValueLayout.JAVA_SHORT, (short) 0x3fc0, (short) 0xc000);
      NDArray x = ops.upload(manager, bf16, DataType.BFLOAT16, new Shape(2, 1), DataType.FLOAT32);
      assertEquals(new Shape(2, 1), x.getShape());
      assertArrayEquals(new float[] {1.5f, -2f}, x.toFloatArray());
      assertThrows(
          UnsupportedOperationException.class,
          () -> ops.upload(manager, bf16, DataType.BFLOAT16, new Shape(2), DataType.FLOAT16));
    }
  }

  @Test
  void argumentsAndManagersStayAsTheyWere() {
    NDArray x = random(4, 2, 6);
    NDArray angle = random(4, 3);
    float[] before = x.toFloatArray();
    NDArray cos = angle.cos();
    NDArray sin = angle.sin();
    int live = manager.getManagedArrays().size();
    NDArray bias = manager.zeros(new Shape(2, 7));
    NDArray weight = manager.ones(new Shape(12));
    NDArray square = manager.ones(new Shape(6, 6));
    NDArray six = manager.ones(new Shape(6));
    NDArray rows = x.reshape(4, 12);
    ops.normRotary(rows, weight, 1e-6, cos, sin);
    ops.feedForward(x, square, six, square, six);
    ops.modulatedNorm(x, six, six, 1e-6);
    ops.biasedAttention(x, x, x, bias, 1);
    ops.attention(x, x, x);
    ops.geluTanh(x);
    ops.layerNorm(x, null, null, 1e-6);
    ops.rmsNorm(x, six, 1e-6);
    assertArrayEquals(before, x.toFloatArray());
    // Five more arguments and one result of each of the eight calls.
    assertEquals(live + 13, manager.getManagedArrays().size());
  }
}
