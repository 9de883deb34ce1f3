// Rotary position embedding, alone and behind RMSNorm.
#include "arguments.h"
#include "channels.h"
#include "parallel.h"
#include "thread_rows.h"

namespace svg {
namespace {

struct Rotation {
  const float *cos_table, *sin_table;
  int rows, dim;
  bool halves;

  /// Turns the channels of a token; those of a text tail stay.
  void turn(int row, float* x) const {
    if (row >= rows) return;
    const int count = dim / 2;
    const float* cosines = cos_table + int64_t(row) * count;
    const float* sines = sin_table + int64_t(row) * count;
    for (int i = 0; i < count; i++) {
      float& first = x[halves ? i : 2 * i];
      float& second = x[halves ? i + count : 2 * i + 1];
      const float a = first, b = second;
      first = a * cosines[i] - b * sines[i];
      second = b * cosines[i] + a * sines[i];
    }
  }
};

std::vector<int32_t> inverse(const int32_t* order, int heads, int count) {
  std::vector<int32_t> places(int64_t(heads) * count);
  for (int h = 0; h < heads; h++) {
    for (int i = 0; i < count; i++) places[h * int64_t(count) + order[h * int64_t(count) + i]] = i;
  }
  return places;
}

/// Checks what both functions share, but for x and out.
template <class Params>
Rotation rotation(const Params& p, Arguments& arguments) {
  check_shape(p.heads, p.head_dim);
  at_least("rows", p.rows, 1);
  if (p.head_dim % 2 != 0) refuse("head_dim is %d, expected pairs of channels", p.head_dim);
  in_range("pairs", p.pairs, SVG_ROPE_INTERLEAVED, SVG_ROPE_HALVES);
  in_range("rotated_rows", p.rotated_rows, 0, p.rows);
  if (p.rotated_rows > 0) {
    arguments.read("cos_table", p.cos_table, int64_t(p.rotated_rows) * (p.head_dim / 2));
    arguments.read("sin_table", p.sin_table, int64_t(p.rotated_rows) * (p.head_dim / 2));
  }
  return {p.cos_table, p.sin_table, p.rotated_rows, p.head_dim, p.pairs == SVG_ROPE_HALVES};
}

}  // namespace
}  // namespace svg

int32_t svg_rope(const svg_rope_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_rope_params& p) {
    Arguments arguments;
    const Rotation rotate = rotation(p, arguments);
    const Tensor x = arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
    const Tensor out = arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
    ThreadRows scratch(p.head_dim, 1);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.head_dim))
    for (int head = 0; head < p.heads; head++) {
      for (int row = 0; row < p.rows; row++) {
        float* const values = scratch[0];
        x.read_row(head, row, values);
        rotate.turn(row, values);
        out.write_row(head, row, values);
      }
    }
  });
}

int32_t svg_norm_rope(const svg_norm_rope_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_norm_rope_params& p) {
    finite_at_least_0("epsilon", p.epsilon);
    Arguments arguments;
    const Rotation rotate = rotation(p, arguments);
    const bool across = p.across_heads != 0;
    const Tensor x = arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
    const auto weight =
        arguments.read_weight("weight", p.weight, "weight_dtype", p.weight_dtype, p.heads, p.rows, p.head_dim, across);
    in_range("permuted_rows", p.permuted_rows, 0, p.rows);
    std::vector<int32_t> places;  // (heads, permuted_rows): the row of out that a row of x goes to
    if (p.permuted_rows > 0) {
      arguments.read("order", p.order, int64_t(p.heads) * p.permuted_rows);
      check_permutation(p.order, p.heads, p.permuted_rows);
      places = inverse(p.order, p.heads, p.permuted_rows);
    }
    const Tensor out = p.permuted_rows > 0
                           ? arguments.write("out", p.out, p.dtype, p.heads, p.rows, p.head_dim)
                           : arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
    ThreadRows scratch(p.head_dim, 2);
#pragma omp parallel for schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.head_dim))
    for (int row = 0; row < p.rows; row++) {
      float* const values = scratch[0];
      float* const by = scratch[1];
      float factor = 0;
      if (across) {
        double squares = 0;
        for (int head = 0; head < p.heads; head++) {
          x.read_row(head, row, values);
          squares += sum_of_squares(values, p.head_dim);
        }
        factor = inverse_root(squares / (double(p.heads) * p.head_dim), p.epsilon);
      }
      for (int head = 0; head < p.heads; head++) {
        x.read_row(head, row, values);
        if (!across) factor = inverse_root(sum_of_squares(values, p.head_dim) / p.head_dim, p.epsilon);
        multiply(values, factor, p.head_dim);
        if (weight) {
          weight->read_row(head, row, by);
          multiply(values, by, p.head_dim);
        }
        rotate.turn(row, values);
        const bool moves = row < p.permuted_rows;
        out.write_row(head, moves ? places[head * int64_t(p.permuted_rows) + row] : row, values);
      }
    }
  });
}
