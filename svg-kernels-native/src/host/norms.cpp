// RMSNorm, the VAE's norm over channels and LayerNorm, and the gated residual that follows a normed block.
#include <algorithm>
#include <cmath>

#include "arguments.h"
#include "channels.h"
#include "parallel.h"
#include "thread_rows.h"

namespace svg {
namespace {

void check_norm(int heads, int rows, int width, float epsilon) {
  at_least("heads", heads, 1);
  at_least("rows", rows, 1);
  in_range("width", width, 1, 16384);
  finite_at_least_0("epsilon", epsilon);
}

}  // namespace
}  // namespace svg

int32_t svg_rms_norm(const svg_rms_norm_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_rms_norm_params& p) {
    check_norm(p.heads, p.rows, p.width, p.epsilon);
    Arguments arguments;
    const Tensor x = arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.width);
    const auto weight =
        arguments.read_weight("weight", p.weight, "weight_dtype", p.weight_dtype, p.heads, p.rows, p.width);
    const Tensor out = arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.width);
    ThreadRows scratch(p.width, 2);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.width))
    for (int head = 0; head < p.heads; head++) {
      for (int row = 0; row < p.rows; row++) {
        float* const values = scratch[0];
        float* const by = scratch[1];
        x.read_row(head, row, values);
        multiply(values, inverse_root(sum_of_squares(values, p.width) / p.width, p.epsilon), p.width);
        if (weight) {
          weight->read_row(head, row, by);
          multiply(values, by, p.width);
        }
        out.write_row(head, row, values);
      }
    }
  });
}

int32_t svg_channel_norm(const svg_channel_norm_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_channel_norm_params& p) {
    check_norm(p.heads, p.rows, p.width, 0);
    Arguments arguments;
    const Tensor x = arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.width);
    const auto weight =
        arguments.read_weight("weight", p.weight, "weight_dtype", p.weight_dtype, p.heads, p.rows, p.width);
    const Tensor out = arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.width);
    ThreadRows scratch(p.width, 2);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.width))
    for (int head = 0; head < p.heads; head++) {
      for (int row = 0; row < p.rows; row++) {
        float* const values = scratch[0];
        float* const by = scratch[1];
        x.read_row(head, row, values);
        const double norm = std::sqrt(sum_of_squares(values, p.width));
        multiply(values, float(std::sqrt(double(p.width)) / std::max(norm, 1e-12)), p.width);
        if (weight) {
          weight->read_row(head, row, by);
          multiply(values, by, p.width);
        }
        if (p.silu != 0) {
          for (int i = 0; i < p.width; i++) values[i] /= 1 + std::exp(-values[i]);
        }
        out.write_row(head, row, values);
      }
    }
  });
}

int32_t svg_layer_norm(const svg_layer_norm_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_layer_norm_params& p) {
    check_norm(p.heads, p.rows, p.width, p.epsilon);
    Arguments arguments;
    const Tensor x = arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.width);
    const auto weight =
        arguments.read_weight("weight", p.weight, "weight_dtype", p.weight_dtype, p.heads, p.rows, p.width);
    const auto bias = arguments.read_weight("bias", p.bias, "weight_dtype", p.weight_dtype, p.heads, p.rows, p.width);
    const auto scale =
        arguments.read_broadcast("scale", p.scale, "modulation_dtype", p.modulation_dtype, p.heads, p.rows, p.width);
    const auto shift =
        arguments.read_broadcast("shift", p.shift, "modulation_dtype", p.modulation_dtype, p.heads, p.rows, p.width);
    const Tensor out = arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.width);
    ThreadRows scratch(p.width, 2);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.width))
    for (int head = 0; head < p.heads; head++) {
      for (int row = 0; row < p.rows; row++) {
        float* const values = scratch[0];
        float* const by = scratch[1];
        x.read_row(head, row, values);
        double sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < p.width; i++) sum += values[i];
        const double mean = sum / p.width;
        const float factor = inverse_root(sum_of_squares(values, p.width, mean) / p.width, p.epsilon);
#pragma omp simd
        for (int i = 0; i < p.width; i++) values[i] = float(values[i] - mean) * factor;
        if (weight) {
          weight->read_row(head, row, by);
          multiply(values, by, p.width);
        }
        if (bias) {
          bias->read_row(head, row, by);
          add(values, by, p.width);
        }
        if (scale) {
          scale->read_row(head, row, by);
#pragma omp simd
          for (int i = 0; i < p.width; i++) values[i] *= 1 + by[i];
        }
        if (shift) {
          shift->read_row(head, row, by);
          add(values, by, p.width);
        }
        out.write_row(head, row, values);
      }
    }
  });
}

int32_t svg_gated_residual(const svg_gated_residual_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_gated_residual_params& p) {
    at_least("heads", p.heads, 1);
    at_least("rows", p.rows, 1);
    at_least("width", p.width, 1);
    Arguments arguments;
    const Tensor x = arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.width);
    const Tensor y = arguments.read("y", p.y, p.dtype, p.heads, p.rows, p.width);
    const auto gate = arguments.read_broadcast("gate", p.gate, "gate_dtype", p.gate_dtype, p.heads, p.rows, p.width);
    const Tensor out = arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.width);
    ThreadRows scratch(p.width, 3);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.width))
    for (int head = 0; head < p.heads; head++) {
      for (int row = 0; row < p.rows; row++) {
        float* const values = scratch[0];
        float* const added = scratch[1];
        float* const by = scratch[2];
        x.read_row(head, row, values);
        y.read_row(head, row, added);
        if (gate) {
          gate->read_row(head, row, by);
          multiply(added, by, p.width);
        }
        add(values, added, p.width);
        out.write_row(head, row, values);
      }
    }
  });
}
