package io.sparsevideo.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import java.util.Random;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Against plain loops in double precision, at sizes that divide by nothing. */
class DjlConvolutionsTest {
  private final Random random = new Random(7);
  private NDManager manager;

  @BeforeEach
  void open() {
    DjlSettings.apply();
    manager = NDManager.newBaseManager("PyTorch");
  }

  @AfterEach
  void close() {
    manager.close();
  }

  @ParameterizedTest(name = "{0} frames, {1} to {2} channels, kernel {3}×{4}×{4}, time stride {5}")
  @CsvSource({
    "3, 5, 7, 3, 3, 1", // one frame out
    "6, 3, 2, 3, 3, 1",
    "5, 2, 4, 3, 1, 2", // the downsampling convolution in time
    "4, 2, 4, 3, 1, 2", // a frame left over
    "4, 6, 3, 1, 1, 1",
    "1, 1, 1, 1, 1, 1",
    "7, 2, 3, 2, 5, 3"
  })
  void conv3d(int frames, int in, int out, int timeTaps, int taps, int timeStride) {
    NDArray x = normal(frames, 5, 3, in);
    NDArray weight = normal(out, timeTaps, taps, taps, in);
    NDArray bias = normal(out);
    int framesOut = (frames - timeTaps) / timeStride + 1;
    NDArray residual = normal(framesOut, 5, 3, out);
    int pad = taps / 2;

    NDArray plain =
        addsOneArray(() -> DjlConvolutions.conv3d(x, null, weight, null, null, timeStride, pad));
    NDArray result =
        addsOneArray(
            () -> DjlConvolutions.conv3d(x, null, weight, bias, residual, timeStride, pad));

    assertEquals(new Shape(framesOut, 5, 3, out), plain.getShape());
    assertEquals(plain.getShape(), result.getShape());
    float[] found = plain.toFloatArray();
    float[] complete = result.toFloatArray();
    int i = 0;
    for (int t = 0; t < framesOut; t++) {
      for (int row = 0; row < 5; row++) {
        for (int column = 0; column < 3; column++) {
          for (int o = 0; o < out; o++) {
            double expected = 0;
            for (int c = 0; c < in; c++) {
              for (int kt = 0; kt < timeTaps; kt++) {
                for (int ky = 0; ky < taps; ky++) {
                  for (int kx = 0; kx < taps; kx++) {
                    expected +=
                        (double) weight.getFloat(o, kt, ky, kx, c)
                            * padded(x, t * timeStride + kt, row + ky - pad, column + kx - pad, c);
                  }
                }
              }
            }
            assertEquals(expected, found[i], 1e-4);
            expected += bias.getFloat(o) + residual.getFloat(t, row, column, o);
            assertEquals(expected, complete[i++], 1e-4);
          }
        }
      }
    }
  }

  @Test
  void conv3dSeesEarlierFramesAsTheFirst() {
    NDArray x = normal(4, 3, 5, 2);
    NDArray weight = normal(3, 3, 3, 3, 2);
    NDArray first = x.get("0:1");
    NDArray rest = x.get("1:");

    NDArray whole = DjlConvolutions.conv3d(x, null, weight, null, null, 1, 1);
    NDArray parts =
        addsOneArray(() -> DjlConvolutions.conv3d(rest, first, weight, null, null, 1, 1));

    assertEquals(whole.getShape(), parts.getShape());
    assertArrayEquals(whole.toFloatArray(), parts.toFloatArray(), 1e-5f);
  }

  @Test
  void conv3dTakesFramesThatAreNotContiguous() {
    NDArray x = normal(3, 5, 4, 7); // (C, T, Y, X)
    NDArray weight = normal(2, 3, 3, 3, 3);
    NDArray bias = normal(2);
    NDArray view = x.transpose(1, 2, 3, 0);
    NDArray copy = manager.create(view.toFloatArray(), view.getShape());

    NDArray result = DjlConvolutions.conv3d(view, null, weight, bias, null, 1, 1);

    assertArrayEquals(
        DjlConvolutions.conv3d(copy, null, weight, bias, null, 1, 1).toFloatArray(),
        result.toFloatArray(),
        1e-5f);
  }

  @ParameterizedTest(name = "stride {0}, padding {1} {2} {3} {4}")
  @CsvSource({"1, 1, 1, 1, 1", "2, 0, 1, 0, 1", "1, 0, 0, 0, 0", "1, 2, 0, 1, 3", "3, 2, 2, 0, 0"})
  void conv2d(int stride, int top, int bottom, int left, int right) {
    NDArray x = normal(2, 7, 5, 3);
    NDArray weight = normal(4, 3, 3, 3);
    NDArray bias = normal(4);

    NDArray result =
        addsOneArray(
            () ->
                DjlConvolutions.conv2d(
                    x, weight, bias, stride, new int[] {top, bottom, left, right}));

    int rows = (7 + top + bottom - 3) / stride + 1;
    int columns = (5 + left + right - 3) / stride + 1;
    assertEquals(new Shape(2, rows, columns, 4), result.getShape());
    float[] found = result.toFloatArray();
    int i = 0;
    for (int t = 0; t < 2; t++) {
      for (int row = 0; row < rows; row++) {
        for (int column = 0; column < columns; column++) {
          for (int o = 0; o < 4; o++) {
            double expected = bias.getFloat(o);
            for (int c = 0; c < 3; c++) {
              for (int ky = 0; ky < 3; ky++) {
                for (int kx = 0; kx < 3; kx++) {
                  int y = row * stride + ky - top;
                  int z = column * stride + kx - left;
                  expected += (double) weight.getFloat(o, ky, kx, c) * padded(x, t, y, z, c);
                }
              }
            }
            assertEquals(expected, found[i++], 1e-4);
          }
        }
      }
    }
  }

  @Test
  void channelNorm() {
    NDArray x = normal(3, 2, 7, 5);
    NDArray gamma = normal(5);
    NDArray plain = addsOneArray(() -> DjlConvolutions.channelNorm(x, gamma, false));
    NDArray silu = addsOneArray(() -> DjlConvolutions.channelNorm(x, gamma, true));

    for (int t = 0; t < 3; t++) {
      for (int y = 0; y < 2; y++) {
        for (int column = 0; column < 7; column++) {
          double squares = 0;
          for (int c = 0; c < 5; c++) {
            squares += Math.pow(x.getFloat(t, y, column, c), 2);
          }
          for (int c = 0; c < 5; c++) {
            double expected =
                x.getFloat(t, y, column, c) / Math.sqrt(squares) * Math.sqrt(5) * gamma.getFloat(c);
            assertEquals(expected, plain.getFloat(t, y, column, c), 1e-5);
            assertEquals(
                expected / (1 + Math.exp(-expected)), silu.getFloat(t, y, column, c), 1e-5);
          }
        }
      }
    }
  }

  @Test
  void channelNormOfZerosIsZero() {
    NDArray x = manager.zeros(new Shape(1, 2, 2, 3));
    NDArray result = DjlConvolutions.channelNorm(x, normal(3), true);
    assertArrayEquals(new float[12], result.toFloatArray(), 0f);
  }

  @Test
  void argumentsAreNotChanged() {
    NDArray x = normal(3, 3, 5, 2);
    NDArray gamma = normal(2);
    float[] before = x.toFloatArray();
    float[] gammaBefore = gamma.toFloatArray();
    DjlConvolutions.channelNorm(x, gamma, true);
    DjlConvolutions.conv3d(x, null, normal(2, 1, 3, 3, 2), normal(2), x, 1, 1);
    DjlConvolutions.conv2d(x, normal(2, 3, 3, 2), normal(2), 2, new int[] {0, 1, 0, 1});
    DjlConvolutions.upsampleNearest(x);
    assertArrayEquals(before, x.toFloatArray());
    assertArrayEquals(gammaBefore, gamma.toFloatArray());
  }

  @Test
  void upsampleNearest() {
    NDArray x = normal(2, 5, 3, 4);
    NDArray result = addsOneArray(() -> DjlConvolutions.upsampleNearest(x));
    assertEquals(new Shape(2, 10, 6, 4), result.getShape());
    for (int t = 0; t < 2; t++) {
      for (int y = 0; y < 10; y++) {
        for (int column = 0; column < 6; column++) {
          for (int c = 0; c < 4; c++) {
            assertEquals(x.getFloat(t, y / 2, column / 2, c), result.getFloat(t, y, column, c));
          }
        }
      }
    }
  }

  @Test
  void weightsThatDoNotFitAreNamed() {
    NDArray x = normal(2, 4, 4, 3);
    int before = manager.getManagedArrays().size();
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> DjlConvolutions.conv2d(x, normal(5, 3, 3, 4), null, 1, new int[4]));
    assertTrue(e.getMessage().contains("(5, 3, 3, 4)"), e.getMessage());
    assertTrue(e.getMessage().contains("(2, 4, 4, 3)"), e.getMessage());
    e =
        assertThrows(
            IllegalArgumentException.class,
            () -> DjlConvolutions.conv3d(x, null, normal(5, 3, 3, 3, 3), null, null, 1, 1));
    assertTrue(e.getMessage().contains("2 frames"), e.getMessage());
    assertEquals(before + 2, manager.getManagedArrays().size(), "the two weights");
  }

  private NDArray normal(long... sizes) {
    Shape shape = new Shape(sizes);
    float[] values = new float[Math.toIntExact(shape.size())];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return manager.create(values, shape);
  }

  private static double padded(NDArray x, int t, int y, int column, int c) {
    Shape shape = x.getShape();
    boolean inside = y >= 0 && y < shape.get(1) && column >= 0 && column < shape.get(2);
    return inside ? x.getFloat(t, y, column, c) : 0;
  }

  /**
   * Runs an operation that must leave its result, in the manager of its input, and nothing else.
   */
  private NDArray addsOneArray(Supplier<NDArray> operation) {
    int before = manager.getManagedArrays().size();
    NDArray result = operation.get();
    assertEquals(before + 1, manager.getManagedArrays().size(), "arrays left behind");
    assertEquals(manager, result.getManager());
    return result;
  }
}
