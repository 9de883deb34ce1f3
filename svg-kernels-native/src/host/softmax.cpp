// Softmax of scores with a bias: svg_softmax.
#include <algorithm>
#include <cmath>

#include "../common/softmax_bias.h"
#include "arguments.h"
#include "parallel.h"
#include "thread_rows.h"

namespace svg {
namespace {

float bias_at(const svg_softmax_params& p, int64_t i) {
  const svg_heads one{const_cast<char*>(static_cast<const char*>(p.bias) + i * element_size(svg_dtype(p.bias_dtype))),
                      0, 1};
  float value;
  Tensor(one, svg_dtype(p.bias_dtype), 1, 1, 1).read_row(0, 0, &value);
  return value;
}

/// NaN spreads over the row, as it does in attention.
void softmax(float* x, int width) {
  float most = -INFINITY;
  for (int i = 0; i < width; i++) most = std::max(most, x[i]);
  if (most == -INFINITY) most = 0;  // then every score is -infinity, or NaN
  double sum = 0;
  for (int i = 0; i < width; i++) {
    x[i] = std::exp(x[i] - most);
    sum += x[i];
  }
  const float by = sum == 0 ? 0 : float(1 / sum);
  for (int i = 0; i < width; i++) x[i] *= by;
}

}  // namespace
}  // namespace svg

int32_t svg_softmax(const svg_softmax_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_softmax_params& p) {
    at_least("heads", p.heads, 1);
    at_least("rows", p.rows, 1);
    at_least("width", p.width, 1);
    finite("scale", p.scale);
    Arguments arguments;
    const Tensor scores = arguments.read("scores", p.scores, SVG_F32, p.heads, p.rows, p.width);
    read_bias(arguments, p);
    const Tensor out = p.dtype == SVG_F32
                           ? arguments.write_over("out", p.out, "scores", p.scores, p.dtype, p.heads, p.rows, p.width)
                           : arguments.write("out", p.out, p.dtype, p.heads, p.rows, p.width);
    ThreadRows scratch(p.width, 1);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.width))
    for (int head = 0; head < p.heads; head++) {
      for (int row = 0; row < p.rows; row++) {
        float* const values = scratch[0];
        scores.read_row(head, row, values);
        const int64_t at = head * p.bias_strides[0] + row * p.bias_strides[1];
        for (int i = 0; i < p.width; i++) {
          values[i] = p.scale * values[i] + (p.bias == nullptr ? 0 : bias_at(p, at + i * p.bias_strides[2]));
        }
        softmax(values, p.width);
        out.write_row(head, row, values);
      }
    }
  });
}
