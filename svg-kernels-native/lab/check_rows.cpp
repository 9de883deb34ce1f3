// Norms, softmax, activations and gated residuals.
#include <algorithm>

#include "checks.h"

namespace lab {
namespace {

/// A row with a value that is not a number becomes one of such values, the others do not change.
void channel_norm_of_nan(Checker& check) {
  for (int width : {96, 77}) {  // by pieces, by elements
    const int rows = 5, spoilt = 2;
    Tensor x(SVG_BF16, 1, rows, width), out(SVG_BF16, 1, rows, width);
    int calls = 0;
    x.fill(check.random, [&](std::mt19937&) { return calls++ == spoilt * width + 7 ? NAN : 1; });
    check.both("svg_channel_norm", [&](Side side) {
      svg_channel_norm_params p{};
      p.dtype = SVG_BF16;
      p.heads = 1;
      p.rows = rows;
      p.width = width;
      p.x = x.at(side);
      p.out = out.at(side);
      return p;
    });
    const std::vector<uint8_t> device = out.array.download();
    for (const uint8_t* values : {device.data(), out.array.at<const uint8_t>(Side::kHost)}) {
      for (int r = 0; r < rows; r++) {
        for (int i = 0; i < width; i++) {
          const double value = get(values, SVG_BF16, out.index(0, r, i));
          check.expect(r == spoilt ? std::isnan(value) : value == 1,
                       format("channel_norm with a NaN in row %d of %d: [%d][%d] is %g", spoilt, width, r, i, value));
        }
      }
    }
  }
}

/// GELU and SiLU from the far negative end, where nearly nothing is left, to the far positive one, against fp64: the
/// error of each value is at most twice that of rounding it.
void far_activations(Checker& check) {
  for (int kind : {SVG_GELU_TANH, SVG_SILU}) {
    Tensor x(SVG_F32, 1, 1, 4001), out(SVG_BF16, 1, 1, 4001);
    int at = 0;
    x.fill(check.random, [&](std::mt19937&) { return float(at++ - 2000) * 0.005f; });
    svg_activation_params p{
        sizeof p, SVG_F32, SVG_BF16, 1, 1, 4001, kind, SVG_F32, x.at(Side::kDevice), out.at(Side::kDevice), nullptr};
    check.on_device("svg_activation", p);
    const std::vector<uint8_t> device = out.array.download();
    double worst = 0;
    for (int i = 0; i < 4001; i++) {
      const double v = get(x.array.at(Side::kHost), SVG_F32, i);
      const double exact = kind == SVG_SILU ? v / (1 + std::exp(-v))
                                            : v / (1 + std::exp(-std::sqrt(8 / M_PI) * (v + 0.044715 * v * v * v)));
      if (std::abs(exact) > 1e-37)
        worst = std::max(worst, std::abs(get(device.data(), SVG_BF16, i) - exact) / std::abs(exact));
    }
    check.expect(worst <= 2.0 / 512, format("activation %d: an error of %.1e of the value", kind, worst));
  }
}

}  // namespace

void check_norms(Checker& check) {
  struct Shape {
    int rows, width;
  };
  // Parts of a warp, whole blocks, more rows than a grid takes at once, rows that are not whole vectors.
  for (const Shape& s : {Shape{7, 8},
                         {1, 33},
                         {70001, 64},
                         {301, 77},
                         {1, 128},
                         {133, 200},
                         {301, 256},
                         {97, 264},
                         {1501, 1000},
                         {7, 5120},
                         {7, 5128},
                         {3, 16384}}) {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      if (s.rows > 9999 && dtype != SVG_BF16) continue;
      for (int kind = 0; kind < 5; kind++) {
        // 0 RMSNorm with weight; LayerNorm 1 plain, 2 affine, 3 affine and modulated by head, 4 modulated by row
        const int heads = s.rows > 9999 ? 1 : 2, gap = s.width % 8 == 0 ? 16 : 3;
        const int32_t weight_dtype = s.rows % 2 == 0 ? SVG_F32 : dtype,
                      modulation_dtype = kind == 3 ? SVG_F32 : SVG_BF16;
        Tensor x(dtype, heads, s.rows, s.width, true, gap), out(dtype, heads, s.rows, s.width);
        Tensor weight(weight_dtype, 1, 1, s.width), bias(weight_dtype, 1, 1, s.width);
        Tensor scale(modulation_dtype, heads, kind == 4 ? s.rows : 1, s.width);
        Tensor shift(modulation_dtype, heads, kind == 4 ? s.rows : 1, s.width);
        for (Tensor* t : {&x, &weight, &bias, &scale, &shift}) t->fill_normal(check.random);
        const bool in_place = s.width == 200;
        const auto fill = [&](auto p, Side side) {
          p.dtype = dtype;
          p.heads = heads;
          p.rows = s.rows;
          p.width = s.width;
          p.weight_dtype = weight_dtype;
          p.epsilon = 1e-5f;
          p.x = x.at(side);
          p.out = (in_place ? x : out).at(side);
          if (kind == 0 || kind == 2 || kind == 3) p.weight = weight.array.at(side);
          return p;
        };
        if (kind == 0) {
          check.both("svg_rms_norm", [&](Side side) { return fill(svg_rms_norm_params{}, side); });
        } else {
          check.both("svg_layer_norm", [&](Side side) {
            svg_layer_norm_params p = fill(svg_layer_norm_params{}, side);
            p.modulation_dtype = modulation_dtype;
            if (kind == 2 || kind == 3) p.bias = bias.array.at(side);
            if (kind >= 3) p.scale = scale.by_row(side);
            if (kind >= 3 && s.width != 77) p.shift = shift.by_row(side);
            return p;
          });
        }
        check.near(format("norm %d %s %dx%d", kind, dtype_name(dtype), s.rows, s.width), in_place ? x : out, dtype);
      }
    }
  }
}

void check_channel_norm(Checker& check) {
  channel_norm_of_nan(check);
  struct Shape {
    int rows, width;
  };
  for (const Shape& s : {Shape{7, 8},
                         {33, 3},
                         {70001, 96},
                         {301, 192},
                         {133, 384},
                         {129, 128},
                         {65, 200},
                         {31, 256},
                         {97, 512},
                         {5, 768},
                         {17, 1000},
                         {9, 77},
                         {3, 16384}}) {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      if (s.rows > 9999 && dtype != SVG_BF16) continue;
      for (bool silu : {false, true}) {
        const int heads = s.rows > 9999 ? 1 : 2;
        const int32_t weight_dtype = s.rows % 2 == 0 ? SVG_F32 : dtype;
        Tensor x(dtype, heads, s.rows, s.width, true, s.width % 8 == 0 ? 16 : 3), out(dtype, heads, s.rows, s.width);
        Tensor weight(weight_dtype, 1, 1, s.width);
        std::normal_distribution<float> normal;
        int calls = 0;
        x.fill(check.random, [&](std::mt19937& r) { return calls++ < s.width ? 0 : normal(r); });  // a row of zeros
        weight.fill_normal(check.random);
        check.both("svg_channel_norm", [&](Side side) {
          svg_channel_norm_params p{};
          p.dtype = dtype;
          p.heads = heads;
          p.rows = s.rows;
          p.width = s.width;
          p.weight_dtype = weight_dtype;
          p.silu = silu;
          p.x = x.at(side);
          p.out = out.at(side);
          if (s.rows != 133) p.weight = weight.array.at(side);
          return p;
        });
        check.near(format("channel_norm %s %dx%d%s", dtype_name(dtype), s.rows, s.width, silu ? ", SiLU" : ""), out,
                   dtype);
      }
    }
  }
}

/// Rows in a warp, in a block and read twice; a bias by position, by key, and none; hidden scores.
void check_softmax(Checker& check) {
  struct Shape {
    int heads, rows, width;
    bool token_major;
  };
  for (const Shape& s : {Shape{1, 1, 1, false},
                         {2, 7, 33, true},
                         {64, 37, 512, false},
                         {3, 5, 1000, true},
                         {2, 9, 1025, false},
                         {1, 33, 14400, false},
                         {2, 2, 70001, false},
                         {3, 1, 37, false},
                         {2, 1, 1028, false},
                         {1, 1, 70001, false}}) {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      const int32_t bias_dtype = (dtype + 1) % 3;
      const int positions = s.rows + s.width - 1;
      Tensor scores(SVG_F32, s.heads, s.rows, s.width, s.token_major, 3),
          out(dtype, s.heads, s.rows, s.width, s.token_major), bias(bias_dtype, 1, s.heads, positions);
      std::normal_distribution<float> normal;
      int drawn = 0;  // the first row of several is hidden, and some scores of the others
      scores.fill(check.random, [&](std::mt19937& r) {
        const bool hidden = s.rows > 1 && (drawn++ < s.width || r() % 50 == 0);
        return hidden ? -INFINITY : 5 * normal(r);
      });
      bias.fill_normal(check.random);
      for (int kind = 0; kind < 3; kind++) {
        Tensor& to = dtype == SVG_F32 && kind == 2 ? scores : out;
        // Where scores are hidden, the scale has to be positive.
        const float scale = s.rows > 1 ? 0.7f : kind == 1 ? 0 : -2;
        check.both("svg_softmax", [&](Side side) {
          svg_softmax_params p{};
          p.dtype = dtype;
          p.heads = s.heads;
          p.rows = s.rows;
          p.width = s.width;
          p.bias_dtype = bias_dtype;
          p.scale = scale;
          p.scores = scores.at(side);
          p.out = to.at(side);
          char* const data = bias.array.at<char>(side);
          if (kind == 0) {
            p.bias = data + (s.rows - 1) * element_size(bias_dtype);
            p.bias_strides[0] = positions, p.bias_strides[1] = -1, p.bias_strides[2] = 1;
          } else if (kind == 1) {
            p.bias = data;
            p.bias_strides[2] = 1;
          }
          return p;
        });
        check.near(format("softmax %s %dx%dx%d, bias %d", dtype_name(dtype), s.heads, s.rows, s.width, kind), to,
                   dtype);
      }
    }
  }
}

void check_elementwise(Checker& check) {
  struct Shape {
    int rows, width;
  };
  for (const Shape& s : {Shape{301, 48}, {7, 33}, {1, 1}, {9001, 8}, {133, 1000}, {7, 5128}}) {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      for (int32_t other : {SVG_F32, SVG_F16, SVG_BF16}) {
        const int heads = 2, gate_rows = other == SVG_F16 ? s.rows : 1;
        Tensor x(dtype, heads, s.rows, s.width), y(dtype, heads, s.rows, s.width, true),
            out(dtype, heads, s.rows, s.width);
        Tensor gate(other, heads, gate_rows, s.width), bias(other, 1, 1, s.width);
        for (Tensor* t : {&x, &y, &gate, &bias}) t->fill_normal(check.random);
        for (int kind : {SVG_IDENTITY, SVG_GELU_TANH, SVG_SILU}) {
          Tensor made(other, heads, s.rows, s.width);
          check.both("svg_activation", [&](Side side) {
            svg_activation_params p{};
            p.x_dtype = dtype;
            p.out_dtype = other;
            p.heads = heads;
            p.rows = s.rows;
            p.width = s.width;
            p.kind = kind;
            p.bias_dtype = other;
            p.x = x.at(side);
            p.out = made.at(side);
            if (s.width != 48) p.bias = bias.array.at(side);
            return p;
          });
          check.near(
              format("activation %d %s to %s %dx%d", kind, dtype_name(dtype), dtype_name(other), s.rows, s.width), made,
              other);
        }
        Tensor& to = s.width == 1000 ? x : out;
        check.both("svg_gated_residual", [&](Side side) {
          svg_gated_residual_params p{};
          p.dtype = dtype;
          p.heads = heads;
          p.rows = s.rows;
          p.width = s.width;
          p.gate_dtype = other;
          p.x = x.at(side);
          p.y = y.at(side);
          p.out = to.at(side);
          if (s.width != 33) p.gate = gate.by_row(side);
          return p;
        });
        check.near(format("gated_residual %s by %s %dx%d", dtype_name(dtype), dtype_name(other), s.rows, s.width), to,
                   dtype);
      }
    }
  }
  far_activations(check);
}

}  // namespace lab
