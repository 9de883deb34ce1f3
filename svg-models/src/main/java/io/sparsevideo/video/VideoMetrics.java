package io.sparsevideo.video;

import io.sparsevideo.Video;
import java.util.Arrays;
import java.util.stream.IntStream;

/** How alike two videos of the same size and length are, over their 8-bit RGB frames. */
public final class VideoMetrics {
  private static final double PEAK = 255;

  /** The constants and the window of Wang et al., "Image quality assessment", 2004, section III. */
  private static final double C1 = Math.pow(0.01 * PEAK, 2);

  private static final double C2 = Math.pow(0.03 * PEAK, 2);
  private static final int WINDOW = 11;
  private static final double[] GAUSSIAN = gaussian(1.5);

  private VideoMetrics() {}

  /**
   * Peak signal-to-noise ratio in dB, of the mean squared error over all frames, pixels and
   * channels; infinite when the videos are equal.
   *
   * @throws IllegalArgumentException when size or number of frames differ
   */
  public static double psnr(Video a, Video b) {
    requireAlike(a, b);
    long sum = 0;
    for (int f = 0; f < a.frames().size(); f++) {
      byte[] x = a.frames().get(f);
      byte[] y = b.frames().get(f);
      for (int i = 0; i < x.length; i++) {
        int difference = (x[i] & 255) - (y[i] & 255);
        sum += difference * difference;
      }
    }
    double count = (double) a.frames().size() * a.height() * a.width() * 3;
    return 10 * Math.log10(PEAK * PEAK / (sum / count));
  }

  /**
   * Structural similarity, 1 for equal videos: on luma (BT.601 weights), with the Gaussian window
   * of 11 x 11 and σ 1.5 at every place where it lies inside the frame; the mean over places, then
   * over frames.
   *
   * @throws IllegalArgumentException when size or number of frames differ, or a side is under 11
   *     pixels
   */
  public static double ssim(Video a, Video b) {
    requireAlike(a, b);
    if (Math.min(a.width(), a.height()) < WINDOW) {
      throw new IllegalArgumentException(
          "SSIM needs sides of at least "
              + WINDOW
              + " pixels, the frames are "
              + a.width()
              + "x"
              + a.height());
    }
    double[] ofFrames =
        IntStream.range(0, a.frames().size())
            .parallel()
            .mapToDouble(
                f -> ssim(luma(a.frames().get(f)), luma(b.frames().get(f)), a.width(), a.height()))
            .toArray();
    // Summed in order, so that the result does not depend on the threads.
    return Arrays.stream(ofFrames).sum() / ofFrames.length;
  }

  private static double ssim(double[] x, double[] y, int width, int height) {
    int columns = width - WINDOW + 1;
    int rows = height - WINDOW + 1;
    double sum = 0;
    // The window is separable: down the columns into one row of moments, then along that row.
    double[][] moments = new double[5][width];
    for (int row = 0; row < rows; row++) {
      for (double[] moment : moments) {
        Arrays.fill(moment, 0);
      }
      for (int k = 0; k < WINDOW; k++) {
        double weight = GAUSSIAN[k];
        for (int column = 0, i = (row + k) * width; column < width; column++, i++) {
          moments[0][column] += weight * x[i];
          moments[1][column] += weight * y[i];
          moments[2][column] += weight * x[i] * x[i];
          moments[3][column] += weight * y[i] * y[i];
          moments[4][column] += weight * x[i] * y[i];
        }
      }
      for (int column = 0; column < columns; column++) {
        double meanX = windowed(moments[0], column);
        double meanY = windowed(moments[1], column);
        double varianceX = windowed(moments[2], column) - meanX * meanX;
        double varianceY = windowed(moments[3], column) - meanY * meanY;
        double covariance = windowed(moments[4], column) - meanX * meanY;
        sum +=
            (2 * meanX * meanY + C1)
                * (2 * covariance + C2)
                / ((meanX * meanX + meanY * meanY + C1) * (varianceX + varianceY + C2));
      }
    }
    return sum / ((double) rows * columns);
  }

  private static double windowed(double[] values, int from) {
    double sum = 0;
    for (int k = 0; k < WINDOW; k++) {
      sum += GAUSSIAN[k] * values[from + k];
    }
    return sum;
  }

  private static double[] luma(byte[] rgb) {
    double[] luma = new double[rgb.length / 3];
    for (int i = 0; i < luma.length; i++) {
      luma[i] =
          0.299 * (rgb[3 * i] & 255)
              + 0.587 * (rgb[3 * i + 1] & 255)
              + 0.114 * (rgb[3 * i + 2] & 255);
    }
    return luma;
  }

  private static double[] gaussian(double sigma) {
    double[] weights = new double[WINDOW];
    for (int i = 0; i < WINDOW; i++) {
      double distance = i - WINDOW / 2;
      weights[i] = Math.exp(-distance * distance / (2 * sigma * sigma));
    }
    double sum = Arrays.stream(weights).sum();
    return Arrays.stream(weights).map(w -> w / sum).toArray();
  }

  private static void requireAlike(Video a, Video b) {
    if (a.width() != b.width()
        || a.height() != b.height()
        || a.frames().size() != b.frames().size()) {
      throw new IllegalArgumentException(
          "videos to compare must be alike: "
              + a.frames().size()
              + " frames of "
              + a.width()
              + "x"
              + a.height()
              + " and "
              + b.frames().size()
              + " of "
              + b.width()
              + "x"
              + b.height());
    }
  }
}
