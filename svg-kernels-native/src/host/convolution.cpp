// Convolution of a clip: svg_convolution.
//
// The pixels that a kernel sees become one row of floats, which then is multiplied with every row of the weight.
#include "../common/convolution.h"

#include <algorithm>

#include "arguments.h"
#include "parallel.h"
#include "thread_rows.h"

namespace svg {
namespace {

constexpr float kLargestF16 = 65504;

SVG_CLONES float dot(const float* a, const float* b, int count) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < count; i++) sum += a[i] * b[i];
  return sum;
}

Tensor rows_of(const Convolution& c, const void* array, int rows, int width) {
  return Tensor({const_cast<void*>(array), 0, width}, svg_dtype(c.dtype), 1, rows, width);
}

/// What the kernel sees from an output pixel, tap by tap.
void gather(const Convolution& c, const Tensor& earlier, const Tensor& x, int t, int y, int column, float* to) {
  for (int dt = 0; dt < c.kernel_frames; dt++) {
    const int frame = t * c.frame_stride + dt - c.earlier_frames;
    const Tensor& from = frame < 0 ? earlier : x;
    const int in_tensor = frame < 0 ? frame + c.earlier_frames : frame;
    for (int dy = 0; dy < c.kernel_height; dy++) {
      for (int dx = 0; dx < c.kernel_width; dx++, to += c.channels) {
        const int64_t row = int64_t(y) * c.stride + dy - c.pad_top, at = int64_t(column) * c.stride + dx - c.pad_left;
        if (row < 0 || row >= c.height * c.repeat || at < 0 || at >= c.width * c.repeat) {
          std::fill(to, to + c.channels, 0.0f);
        } else {
          const int64_t line = in_tensor * int64_t(c.height) + row / c.repeat;
          from.read_row(0, int(line * c.width + at / c.repeat), to);
        }
      }
    }
  }
}

void convolve(const Convolution& c) {
  const int pixels = c.height * c.width;
  const Tensor earlier = rows_of(c, c.earlier, c.earlier_frames * pixels, c.channels);
  const Tensor x = rows_of(c, c.x, c.frames * pixels, c.channels);
  const Tensor weight = rows_of(c, c.weight, c.out_channels, c.terms);
  const Tensor bias = rows_of(c, c.bias, 1, c.out_channels);
  const Tensor residual = rows_of(c, c.residual, c.out_pixels(), c.out_channels);
  const Tensor out = rows_of(c, c.out, c.out_pixels(), c.out_channels);
  Buffer<float> weights(size_t(c.out_channels) * c.terms), offsets(c.out_channels);
  for (int o = 0; o < c.out_channels; o++) weight.read_row(0, o, weights.data() + size_t(o) * c.terms);
  std::fill(offsets.data(), offsets.data() + c.out_channels, 0.0f);
  if (c.bias != nullptr) bias.read_row(0, 0, offsets.data());
  ThreadRows seen(c.terms, 1), sums(c.out_channels, 2);
  const int64_t products = int64_t(c.out_pixels()) * c.out_channels * c.terms;
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(products))
  for (int t = 0; t < c.out_frames; t++) {
    for (int y = 0; y < c.out_height; y++) {
      float* const terms = seen[0];
      float* const sum = sums[0];
      float* const added = sums[1];
      for (int column = 0; column < c.out_width; column++) {
        const int pixel = (t * c.out_height + y) * c.out_width + column;
        gather(c, earlier, x, t, y, column, terms);
        std::fill(added, added + c.out_channels, 0.0f);
        if (c.residual != nullptr) residual.read_row(0, pixel, added);
        for (int o = 0; o < c.out_channels; o++) {
          sum[o] = dot(terms, weights.data() + size_t(o) * c.terms, c.terms) + offsets.data()[o] + added[o];
        }
        if (c.dtype == SVG_F16) {  // NaN stays
          for (int o = 0; o < c.out_channels; o++) {
            sum[o] = sum[o] > kLargestF16 ? kLargestF16 : sum[o] < -kLargestF16 ? -kLargestF16 : sum[o];
          }
        }
        out.write_row(0, pixel, sum);
      }
    }
  }
}

}  // namespace
}  // namespace svg

int32_t svg_convolution(const svg_convolution_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_convolution_params& p) {
    const Convolution convolution(p);
    Arguments arguments;
    convolution.check(arguments);
    convolve(convolution);
  });
}
