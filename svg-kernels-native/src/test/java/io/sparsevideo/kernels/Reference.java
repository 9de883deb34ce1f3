package io.sparsevideo.kernels;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.foreign.MemorySegment;

/** Attention, norms and what is near them in double precision, straight from the definitions. */
final class Reference {

  /** Whether query row q of a head sees key row k. */
  @FunctionalInterface
  interface Mask {
    Mask ALL = (head, q, k) -> true;

    boolean allows(int head, int q, int k);
  }

  private Reference() {}

  /** softmax(scale · q kᵀ) v under a mask; zeros where a row sees no key. */
  static double[][][] attention(Heads q, Heads k, Heads v, float scale, Mask mask) {
    double[][][] qs = Tensors.values(q);
    double[][][] ks = Tensors.values(k);
    double[][][] vs = Tensors.values(v);
    double[][][] out = new double[q.heads()][q.rows()][v.headDim()];
    for (int h = 0; h < q.heads(); h++) {
      for (int i = 0; i < q.rows(); i++) {
        double[] scores = scores(qs[h][i], ks[h], scale, mask, h, i);
        double most = Double.NEGATIVE_INFINITY;
        for (double s : scores) {
          most = Math.max(most, s);
        }
        double sum = 0;
        for (int j = 0; j < scores.length; j++) {
          if (mask.allows(h, i, j)) {
            double p = Math.exp(scores[j] - most);
            sum += p;
            for (int d = 0; d < out[h][i].length; d++) {
              out[h][i][d] += p * vs[h][j][d];
            }
          }
        }
        for (int d = 0; d < out[h][i].length && sum > 0; d++) {
          out[h][i][d] /= sum;
        }
      }
    }
    return out;
  }

  /** log Σ exp of the scaled scores that a row sees. */
  static double logSumExp(Heads q, Heads k, float scale, Mask mask, int head, int row) {
    double[] query = Tensors.values(q)[head][row];
    double[] scores = scores(query, Tensors.values(k)[head], scale, mask, head, row);
    double most = Double.NEGATIVE_INFINITY;
    for (double s : scores) {
      most = Math.max(most, s);
    }
    double sum = 0;
    for (double s : scores) {
      sum += Math.exp(s - most);
    }
    return most + Math.log(sum);
  }

  private static double[] scores(
      double[] query, double[][] keys, float scale, Mask mask, int head, int row) {
    double[] scores = new double[keys.length];
    for (int j = 0; j < keys.length; j++) {
      scores[j] = Double.NEGATIVE_INFINITY;
      if (mask.allows(head, row, j)) {
        scores[j] = 0;
        for (int d = 0; d < query.length; d++) {
          scores[j] += scale * query[d] * keys[j][d];
        }
      }
    }
    return scores;
  }

  /** x / √(mean(x²) + epsilon) · weight; the weight is a (1, 1, D) tensor or null. */
  static double[][][] rmsNorm(Heads x, Heads weight, double epsilon) {
    double[][][] out = Tensors.values(x);
    for (double[][] head : out) {
      for (double[] row : head) {
        double factor = 1 / Math.sqrt(squares(row) / row.length + epsilon);
        for (int d = 0; d < row.length; d++) {
          row[d] *= factor * (weight == null ? 1 : Tensors.get(weight, 0, 0, d));
        }
      }
    }
    return out;
  }

  /** The norm over channels of the Wan VAE. */
  static double[][][] channelNorm(Heads x, Heads weight, boolean silu) {
    double[][][] result = Tensors.values(x);
    for (double[][] head : result) {
      for (double[] row : head) {
        double norm = Math.max(Math.sqrt(squares(row)), 1e-12);
        for (int d = 0; d < row.length; d++) {
          row[d] *= Math.sqrt(row.length) / norm;
          row[d] *= weight == null ? 1 : Tensors.get(weight, 0, 0, d);
          row[d] /= silu ? 1 + Math.exp(-row[d]) : 1;
        }
      }
    }
    return result;
  }

  /**
   * A convolution; earlier, x and the result are (frames, pixels, channels), the weight is (O,
   * taps, C).
   */
  static double[][][] convolution(
      Convolution c, Heads earlier, Heads x, Heads weight, Heads bias, Heads residual) {
    double[][][] result = new double[c.outFrames()][c.outHeight() * c.outWidth()][c.outChannels()];
    for (int t = 0; t < c.outFrames(); t++) {
      for (int pixel = 0; pixel < result[t].length; pixel++) {
        for (int o = 0; o < c.outChannels(); o++) {
          double sum = bias == null ? 0 : Tensors.get(bias, 0, 0, o);
          sum += residual == null ? 0 : Tensors.get(residual, t, pixel, o);
          int tap = 0;
          for (int dt = 0; dt < c.kernelFrames(); dt++) {
            int frame = t * c.frameStride() + dt;
            boolean early = frame < c.earlierFrames();
            for (int dy = 0; dy < c.kernelHeight(); dy++) {
              for (int dx = 0; dx < c.kernelWidth(); dx++, tap++) {
                int row = pixel / c.outWidth() * c.stride() + dy - c.padTop();
                int column = pixel % c.outWidth() * c.stride() + dx - c.padLeft();
                if (row < 0
                    || row >= c.height() * c.repeat()
                    || column < 0
                    || column >= c.width() * c.repeat()) {
                  continue;
                }
                for (int channel = 0; channel < c.channels(); channel++) {
                  sum +=
                      Tensors.get(weight, o, tap, channel)
                          * Tensors.get(
                              early ? earlier : x,
                              early ? frame : frame - c.earlierFrames(),
                              row / c.repeat() * c.width() + column / c.repeat(),
                              channel);
                }
              }
            }
          }
          result[t][pixel][o] = sum;
        }
      }
    }
    return result;
  }

  /** Weight and bias are (1, 1, D) tensors, scale and shift (H, S, D) with any strides; or null. */
  static double[][][] layerNorm(
      Heads x, Heads weight, Heads bias, Heads scale, Heads shift, double epsilon) {
    double[][][] out = Tensors.values(x);
    for (int h = 0; h < x.heads(); h++) {
      for (int r = 0; r < x.rows(); r++) {
        double[] row = out[h][r];
        double mean = 0;
        for (double value : row) {
          mean += value / row.length;
        }
        for (int d = 0; d < row.length; d++) {
          row[d] -= mean;
        }
        double factor = 1 / Math.sqrt(squares(row) / row.length + epsilon);
        for (int d = 0; d < row.length; d++) {
          row[d] *= factor;
          row[d] *= weight == null ? 1 : Tensors.get(weight, 0, 0, d);
          row[d] += bias == null ? 0 : Tensors.get(bias, 0, 0, d);
          row[d] *= scale == null ? 1 : 1 + Tensors.get(scale, h, r, d);
          row[d] += shift == null ? 0 : Tensors.get(shift, h, r, d);
        }
      }
    }
    return out;
  }

  /** x + gate · y; the gate is an (H, S, D) tensor with any strides or null. */
  static double[][][] gatedResidual(Heads x, Heads y, Heads gate) {
    double[][][] out = Tensors.values(x);
    for (int h = 0; h < x.heads(); h++) {
      for (int r = 0; r < x.rows(); r++) {
        for (int d = 0; d < x.headDim(); d++) {
          double by = gate == null ? 1 : Tensors.get(gate, h, r, d);
          out[h][r][d] += by * Tensors.get(y, h, r, d);
        }
      }
    }
    return out;
  }

  /** The norm of {@link SvgKernels#normRope}; the weight is a (1 or H, 1, D) tensor or null. */
  static double[][][] normRope(Heads x, boolean acrossHeads, Heads weight, double epsilon) {
    double[][][] out = Tensors.values(x);
    for (int r = 0; r < x.rows(); r++) {
      double all = 0;
      for (double[][] head : out) {
        all += squares(head[r]);
      }
      for (int h = 0; h < x.heads(); h++) {
        double mean =
            acrossHeads
                ? all / ((double) x.heads() * x.headDim())
                : squares(out[h][r]) / x.headDim();
        for (int d = 0; d < x.headDim(); d++) {
          double by = weight == null ? 1 : Tensors.get(weight, acrossHeads ? h : 0, 0, d);
          out[h][r][d] *= by / Math.sqrt(mean + epsilon);
        }
      }
    }
    return out;
  }

  /** Turns the pairs of the first rows; the tables are (1, rotatedRows, D / 2) tensors. */
  static void rotate(double[][][] x, RopePairs pairs, int rotatedRows, Heads cos, Heads sin) {
    for (double[][] head : x) {
      for (int r = 0; r < rotatedRows; r++) {
        int count = head[r].length / 2;
        for (int i = 0; i < count; i++) {
          int first = pairs == RopePairs.INTERLEAVED ? 2 * i : i;
          int second = pairs == RopePairs.INTERLEAVED ? 2 * i + 1 : i + count;
          double a = head[r][first];
          double b = head[r][second];
          double c = Tensors.get(cos, 0, r, i);
          double s = Tensors.get(sin, 0, r, i);
          head[r][first] = a * c - b * s;
          head[r][second] = b * c + a * s;
        }
      }
    }
  }

  /** The first {@code permuted} rows in another order: row i of head h is x's row order[h][i]. */
  static double[][][] permute(double[][][] x, int permuted, int[] order) {
    double[][][] out = new double[x.length][][];
    for (int h = 0; h < x.length; h++) {
      out[h] = x[h].clone();
      for (int i = 0; i < permuted; i++) {
        out[h][i] = x[h][order[h * permuted + i]];
      }
    }
    return out;
  }

  /** activation(x + bias); the bias is a (1, 1, D) tensor or null. */
  static double[][][] activation(Heads x, Activation kind, Heads bias) {
    double[][][] out = Tensors.values(x);
    for (double[][] head : out) {
      for (double[] row : head) {
        for (int d = 0; d < row.length; d++) {
          double v = row[d] + (bias == null ? 0 : Tensors.get(bias, 0, 0, d));
          row[d] =
              switch (kind) {
                case IDENTITY -> v;
                case GELU_TANH ->
                    v / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (v + 0.044715 * v * v * v)));
                case SILU -> v / (1 + Math.exp(-v));
              };
        }
      }
    }
    return out;
  }

  /** softmax(scale * scores + bias) over the last dimension; the bias may be null. */
  static double[][][] softmax(Heads scores, float scale, ScoreBias bias) {
    double[][][] out = Tensors.values(scores);
    for (int h = 0; h < out.length; h++) {
      for (int r = 0; r < out[h].length; r++) {
        double[] row = out[h][r];
        double most = Double.NEGATIVE_INFINITY;
        for (int i = 0; i < row.length; i++) {
          row[i] = scale * row[i] + (bias == null ? 0 : at(bias, h, r, i));
          most = Math.max(most, row[i]);
        }
        double sum = 0;
        for (int i = 0; i < row.length; i++) {
          row[i] = Math.exp(row[i] - most);
          sum += row[i];
        }
        for (int i = 0; i < row.length; i++) {
          row[i] /= sum;
        }
      }
    }
    return out;
  }

  private static double at(ScoreBias bias, int head, int row, int column) {
    long element =
        bias.first()
            + head * bias.headStride()
            + row * bias.rowStride()
            + column * bias.columnStride();
    MemorySegment start = bias.data().asSlice(element * bias.type().bytes());
    return Tensors.get(Heads.headMajor(start, bias.type(), 1, 1, 1), 0, 0, 0);
  }

  private static double squares(double[] row) {
    double sum = 0;
    for (double x : row) {
      sum += x * x;
    }
    return sum;
  }

  /**
   * Every element within {@code relative} of the tensor's largest value, plus what rounding the
   * result to the tensor's type takes.
   */
  static void assertClose(double[][][] expected, Heads actual, double relative) {
    double rounding =
        switch (actual.type()) {
          case F32 -> 0x1p-24;
          case F16 -> 0x1p-11;
          case BF16 -> 0x1p-8;
        };
    double largest = 0;
    for (double[][] head : expected) {
      for (double[] row : head) {
        for (double x : row) {
          largest = Math.max(largest, Math.abs(x));
        }
      }
    }
    for (int h = 0; h < actual.heads(); h++) {
      for (int r = 0; r < actual.rows(); r++) {
        for (int d = 0; d < actual.headDim(); d++) {
          double x = expected[h][r][d];
          double tolerance = relative * largest + rounding * Math.abs(x);
          assertEquals(x, Tensors.get(actual, h, r, d), tolerance, at(h, r, d));
        }
      }
    }
  }

  static void assertZero(Heads actual, int head, int row) {
    for (int d = 0; d < actual.headDim(); d++) {
      assertTrue(Tensors.get(actual, head, row, d) == 0, at(head, row, d));
    }
  }

  private static String at(int head, int row, int d) {
    return "head %d, row %d, dimension %d".formatted(head, row, d);
  }
}
