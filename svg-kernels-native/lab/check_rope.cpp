// Rotary embeddings, alone and behind a norm, with and without a permutation.
#include <algorithm>

#include "checks.h"

namespace lab {

void check_rope(Checker& check) {
  struct Shape {
    int heads, rows, dim;
  };
  for (const Shape& s : {Shape{6, 37, 128},
                         {5, 1501, 48},
                         {3, 1, 16},
                         {1, 7, 64},
                         {9, 61, 96},
                         {2, 133, 256},
                         {50, 9, 256},
                         {3, 13001, 32}}) {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      if (s.rows > 9999 && dtype != SVG_BF16) continue;
      for (int kind = 0; kind < 10; kind++) {  // pairs; without norm, per head, across heads, both with a permutation
        const int pairs = kind % 2, norm = kind / 2 % 3 + kind / 6, rotated = s.rows * 5 / 6;
        const int permuted = kind >= 6 ? s.rows - s.rows / 9 : 0;
        const int32_t weight_dtype = pairs ? dtype : SVG_F32;
        Tensor x(dtype, s.heads, s.rows, s.dim, true), out(dtype, s.heads, s.rows, s.dim);
        Tensor weight(weight_dtype, 1, s.heads, s.dim), angle(SVG_F32, 1, s.rows, s.dim / 2);
        for (Tensor* t : {&x, &weight, &angle}) t->fill_normal(check.random);
        Values<float> cosines(size_t(s.rows) * s.dim / 2), sines(cosines.count);
        for (size_t i = 0; i < cosines.count; i++) {
          cosines[i] = std::cos(angle.array.at<float>(Side::kHost)[i]);
          sines[i] = std::sin(angle.array.at<float>(Side::kHost)[i]);
        }
        Values<int32_t> order(size_t(s.heads) * std::max(permuted, 1));
        for (int h = 0; h < s.heads && permuted > 0; h++) {
          for (int i = 0; i < permuted; i++) order[h * permuted + i] = i;
          std::shuffle(&order[h * permuted], &order[h * permuted] + permuted, check.random);
        }
        for (Array* array : {&cosines.array, &sines.array, &order.array}) array->upload();
        const bool in_place = s.dim == 96 && permuted == 0;
        const auto fill = [&](auto p, Side side) {
          p.dtype = dtype;
          p.heads = s.heads;
          p.rows = s.rows;
          p.head_dim = s.dim;
          p.pairs = pairs;
          p.rotated_rows = rotated;
          p.x = x.at(side);
          p.out = (in_place ? x : out).at(side);
          p.cos_table = cosines.at(side);
          p.sin_table = sines.at(side);
          return p;
        };
        if (norm == 0) {
          check.both("svg_rope", [&](Side side) { return fill(svg_rope_params{}, side); });
        } else {
          check.both("svg_norm_rope", [&](Side side) {
            svg_norm_rope_params p = fill(svg_norm_rope_params{}, side);
            p.across_heads = norm == 2;
            p.weight_dtype = weight_dtype;
            p.epsilon = 1e-6f;
            p.weight = weight.array.at(side);
            p.permuted_rows = permuted;
            p.order = order.at(side);
            return p;
          });
        }
        check.near(format("rope %s %dx%dx%d, pairs %d, norm %d, permuted %d", dtype_name(dtype), s.heads, s.rows, s.dim,
                          pairs, norm, permuted),
                   in_place ? x : out, dtype);
      }
    }
  }
}

}  // namespace lab
