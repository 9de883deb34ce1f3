// What norms and their fusions do to a row of channels.
#pragma once

#include <cmath>

namespace svg {

/// The sum over a row of (x - mean)^2.
inline double sum_of_squares(const float* x, int width, double mean = 0) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < width; i++) sum += (x[i] - mean) * (x[i] - mean);
  return sum;
}

inline float inverse_root(double mean_square, float epsilon) { return float(1 / std::sqrt(mean_square + epsilon)); }

inline void multiply(float* x, const float* by, int width) {
#pragma omp simd
  for (int i = 0; i < width; i++) x[i] *= by[i];
}

inline void multiply(float* x, float by, int width) {
#pragma omp simd
  for (int i = 0; i < width; i++) x[i] *= by;
}

inline void add(float* x, const float* y, int width) {
#pragma omp simd
  for (int i = 0; i < width; i++) x[i] += y[i];
}

}  // namespace svg
