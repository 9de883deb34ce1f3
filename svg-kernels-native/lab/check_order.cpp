// Rows in another order: by sorted labels, through a permutation, in a video's layout.
#include <algorithm>

#include "checks.h"

namespace lab {

void check_sort_labels(Checker& check) {
  struct Shape {
    int heads, rows, clusters, context;
  };
  for (const Shape& s : {Shape{3, 5001, 300, 0},
                         {2, 2048, 1, 2},
                         {1, 1, 7, 0},
                         {2, 9999, 4096, 2},
                         {1, 3000, 6000, 0},
                         {1, 4100, 16384, 2}}) {
    Values<int32_t> labels(size_t(s.heads) * s.rows), order(labels.count);
    Values<int32_t> offsets(size_t(s.heads) * (s.clusters + s.context + 1));
    for (size_t i = 0; i < labels.count; i++) {
      labels[i] = check.random() % 3 == 0 ? s.clusters / 2 : int32_t(check.random() % s.clusters);
    }
    labels.array.upload();
    check.both("svg_sort_labels", [&](Side side) {
      svg_sort_labels_params p{};
      p.heads = s.heads;
      p.rows = s.rows;
      p.clusters = s.clusters;
      p.context_clusters = s.context;
      p.prompt_rows = s.context == 0 ? 0 : 17;
      p.padding_rows = s.context == 0 ? 0 : 5;
      p.labels = labels.at(side);
      p.order = order.at(side);
      p.offsets = offsets.at(side);
      return p;
    });
    const std::string what = format("sort_labels %dx%d, %d clusters + %d", s.heads, s.rows, s.clusters, s.context);
    check.equal(what + " order", order.array);
    check.equal(what + " offsets", offsets.array);
  }
}

void check_rows_in_order(Checker& check) {
  for (int32_t dtype : {SVG_BF16, SVG_F32}) {
    for (int dim : {128, 40, 7}) {
      for (int inverse : {0, 1}) {
        Tensor src(dtype, 3, 211, dim, true, 1), dst(dtype, 3, 211, dim), laid(dtype, 3, 211, dim);
        src.fill_normal(check.random);
        Values<int32_t> order(3 * 200), transform(3);
        for (int h = 0; h < 3; h++) {
          for (int i = 0; i < 200; i++) order[h * 200 + i] = i;
          std::shuffle(&order[h * 200], &order[h * 200] + 200, check.random);
          transform[h] = h != 1;
        }
        order.array.upload();
        transform.array.upload();
        check.both("svg_permute_rows", [&](Side side) {
          svg_permute_rows_params p{};
          p.dtype = dtype;
          p.heads = 3;
          p.head_dim = dim;
          p.rows = 211;
          p.permuted_rows = 200;
          p.inverse = inverse;
          p.src = src.at(side);
          p.dst = dst.at(side);
          p.order = order.at(side);
          return p;
        });
        check.both("svg_video_layout", [&](Side side) {
          svg_video_layout_params p{};
          p.dtype = dtype;
          p.heads = 3;
          p.head_dim = dim;
          p.rows = 211;
          p.frames = 7;
          p.tokens_per_frame = 29;
          p.inverse = inverse;
          p.src = src.at(side);
          p.dst = laid.at(side);
          p.transform = transform.at(side);
          return p;
        });
        check.equal(format("permute_rows %s D %d inverse %d", dtype_name(dtype), dim, inverse), dst.array);
        check.equal(format("video_layout %s D %d inverse %d", dtype_name(dtype), dim, inverse), laid.array);
      }
    }
  }
}

}  // namespace lab
