package io.sparsevideo.kernels;

import java.util.Objects;

/**
 * How a video (C, F, height, width) divides into patches. Each patch is a token that holds all
 * channels; tokens are counted frame by frame, row by row.
 *
 * @param channels C
 * @param frames F, a multiple of {@code patchFrames}; height and width likewise
 * @param order of the elements in a token
 */
public record PatchGrid(
    int channels,
    int frames,
    int height,
    int width,
    int patchFrames,
    int patchHeight,
    int patchWidth,
    PatchOrder order) {

  /**
   * @throws IllegalArgumentException when a size is below 1, the video does not divide into
   *     patches, or the tokens or a token's elements do not fit an int
   */
  public PatchGrid {
    Objects.requireNonNull(order, "order");
    if (channels < 1) {
      throw new IllegalArgumentException("channels must be at least 1, is " + channels);
    }
    divides("patchFrames", patchFrames, "frames", frames);
    divides("patchHeight", patchHeight, "height", height);
    divides("patchWidth", patchWidth, "width", width);
    try {
      product(channels, patchFrames, patchHeight, patchWidth);
      product(1, frames / patchFrames, height / patchHeight, width / patchWidth);
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "a video of %d × %d × %d × %d in patches of %d × %d × %d does not fit an int"
              .formatted(channels, frames, height, width, patchFrames, patchHeight, patchWidth),
          e);
    }
  }

  /** The number of patches. */
  public int tokens() {
    return product(1, frames / patchFrames, height / patchHeight, width / patchWidth);
  }

  /** The elements of a token. */
  public int elements() {
    return product(channels, patchFrames, patchHeight, patchWidth);
  }

  private static int product(int a, int b, int c, int d) {
    return Math.multiplyExact(Math.multiplyExact(a, b), Math.multiplyExact(c, d));
  }

  private static void divides(String patchName, int patch, String name, int size) {
    if (patch < 1 || size < 1 || size % patch != 0) {
      throw new IllegalArgumentException(
          "%s must be a multiple of %s, they are %d and %d"
              .formatted(name, patchName, size, patch));
    }
  }
}
