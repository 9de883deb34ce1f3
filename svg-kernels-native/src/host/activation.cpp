// Bias, activation and conversion of every element.
#include <cmath>

#include "arguments.h"
#include "channels.h"
#include "parallel.h"
#include "thread_rows.h"

namespace svg {
namespace {

void activate(float* x, int width, int kind) {
  if (kind == SVG_GELU_TANH) {
    constexpr float kRootTwoOverPi = 0.79788456f;
    for (int i = 0; i < width; i++) {
      const float inner = kRootTwoOverPi * (x[i] + 0.044715f * x[i] * x[i] * x[i]);
      x[i] /= 1 + std::exp(-2 * inner);  // (1 + tanh(inner)) / 2, without its cancellation where tanh is near -1
    }
  } else if (kind == SVG_SILU) {
    for (int i = 0; i < width; i++) x[i] /= 1 + std::exp(-x[i]);
  }
}

}  // namespace
}  // namespace svg

int32_t svg_activation(const svg_activation_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_activation_params& p) {
    at_least("heads", p.heads, 1);
    at_least("rows", p.rows, 1);
    at_least("width", p.width, 1);
    in_range("kind", p.kind, SVG_IDENTITY, SVG_SILU);
    in_range("x_dtype", p.x_dtype, SVG_F32, SVG_BF16);
    in_range("out_dtype", p.out_dtype, SVG_F32, SVG_BF16);
    Arguments arguments;
    const Tensor x = arguments.read("x", p.x, p.x_dtype, p.heads, p.rows, p.width);
    const auto bias = arguments.read_weight("bias", p.bias, "bias_dtype", p.bias_dtype, p.heads, p.rows, p.width);
    const Tensor out = p.x_dtype == p.out_dtype
                           ? arguments.write_over("out", p.out, "x", p.x, p.out_dtype, p.heads, p.rows, p.width)
                           : arguments.write("out", p.out, p.out_dtype, p.heads, p.rows, p.width);
    ThreadRows scratch(p.width, 2);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.width))
    for (int head = 0; head < p.heads; head++) {
      for (int row = 0; row < p.rows; row++) {
        float* const values = scratch[0];
        float* const by = scratch[1];
        x.read_row(head, row, values);
        if (bias) {
          bias->read_row(head, row, by);
          add(values, by, p.width);
        }
        activate(values, p.width, p.kind);
        out.write_row(head, row, values);
      }
    }
  });
}
