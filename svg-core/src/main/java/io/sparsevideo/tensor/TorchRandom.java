package io.sparsevideo.tensor;

/**
 * PyTorch's CPU generator: the same seed gives the normals that {@code torch.randn} gives for a
 * FLOAT32 tensor, so a seed from a script that draws its noise on the CPU means the same video
 * here.
 *
 * <p>The words come from MT19937 (Matsumoto and Nishimura, 1998). How they become normals is
 * PyTorch's own: see {@link #normal(int)}. Not safe for use by several threads.
 */
public final class TorchRandom {
  private static final int STATE_SIZE = 624;
  private static final int MIDDLE = 397;

  /** PyTorch transforms this many uniforms at a time; shorter requests take another path. */
  private static final int RUN = 16;

  private final int[] state = new int[STATE_SIZE];
  private int next = STATE_SIZE;

  /** The second value of the last Box–Muller pair of the short path; NaN when there is none. */
  private double pending = Double.NaN;

  /**
   * @param seed as given to {@code torch.manual_seed}; like there, only its low 32 bits count
   */
  public TorchRandom(long seed) {
    state[0] = (int) seed;
    for (int i = 1; i < STATE_SIZE; i++) {
      state[i] = 1812433253 * (state[i - 1] ^ (state[i - 1] >>> 30)) + i;
    }
  }

  /** The first {@code n} normals of a new generator with this seed; see {@link #normal(int)}. */
  public static float[] normal(long seed, int n) {
    return new TorchRandom(seed).normal(n);
  }

  /**
   * The next {@code n} normals, as one call of {@code torch.randn} with {@code n} elements draws
   * them; two calls are not one longer call.
   *
   * <p>From 16 elements on: one 24-bit uniform for every element, Box–Muller on element j and j + 8
   * of every run of 16; if 16 does not divide n, the last 16 elements are drawn anew. Below 16: one
   * Box–Muller pair of 53-bit uniforms for every two elements, the second kept for the next call.
   *
   * @throws IllegalArgumentException if {@code n} is negative
   */
  public float[] normal(int n) {
    if (n < 0) {
      throw new IllegalArgumentException("cannot draw " + n + " normals: give 0 or more");
    }
    float[] x = new float[n];
    if (n < RUN) {
      for (int i = 0; i < n; i++) {
        x[i] = (float) nextNormal();
      }
      return x;
    }
    fillUniform(x, 0);
    for (int run = 0; run + RUN <= n; run += RUN) {
      transform(x, run);
    }
    if (n % RUN != 0) {
      fillUniform(x, n - RUN);
      transform(x, n - RUN);
    }
    return x;
  }

  private void fillUniform(float[] x, int from) {
    for (int i = from; i < x.length; i++) {
      x[i] = (nextWord() & 0xFFFFFF) * 0x1p-24f;
    }
  }

  /** Box–Muller on one run of 16 uniforms, in place. */
  private static void transform(float[] x, int run) {
    for (int j = run; j < run + RUN / 2; j++) {
      double radius = Math.sqrt(-2 * Math.log(1 - x[j]));
      double angle = 2 * Math.PI * x[j + RUN / 2];
      x[j] = (float) (radius * Math.cos(angle));
      x[j + RUN / 2] = (float) (radius * Math.sin(angle));
    }
  }

  private double nextNormal() {
    if (!Double.isNaN(pending)) {
      double value = pending;
      pending = Double.NaN;
      return value;
    }
    double angle = 2 * Math.PI * nextUniform53();
    double radius = Math.sqrt(-2 * Math.log1p(-nextUniform53()));
    pending = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  private double nextUniform53() {
    long high = nextWord();
    long word = high << 32 | nextWord() & 0xFFFFFFFFL;
    return (word & (1L << 53) - 1) * 0x1p-53;
  }

  private int nextWord() {
    if (next == STATE_SIZE) {
      regenerate();
    }
    int word = state[next++];
    word ^= word >>> 11;
    word ^= word << 7 & 0x9D2C5680;
    word ^= word << 15 & 0xEFC60000;
    return word ^ word >>> 18;
  }

  private void regenerate() {
    for (int i = 0; i < STATE_SIZE; i++) {
      int mixed = state[i] & 0x80000000 | state[(i + 1) % STATE_SIZE] & 0x7FFFFFFF;
      int odd = (mixed & 1) == 0 ? 0 : 0x9908B0DF;
      state[i] = state[(i + MIDDLE) % STATE_SIZE] ^ mixed >>> 1 ^ odd;
    }
    next = 0;
  }
}
