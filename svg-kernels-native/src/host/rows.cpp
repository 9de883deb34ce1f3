// Rows in another order: SVG1's layout transform, SVG2's permutation, and the sort that makes the permutation.
#include "arguments.h"
#include "parallel.h"

namespace svg {
namespace {

/// Row of token p of frame f, f * P + p, to p * F + f.
int token_major(int row, int frames, int tokens_per_frame) {
  return row % tokens_per_frame * frames + row / tokens_per_frame;
}

}  // namespace
}  // namespace svg

int32_t svg_video_layout(const svg_video_layout_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_video_layout_params& p) {
    check_shape(p.heads, p.head_dim);
    at_least("rows", p.rows, 1);
    at_least("frames", p.frames, 1);
    at_least("tokens_per_frame", p.tokens_per_frame, 1);
    const int64_t video = int64_t(p.frames) * p.tokens_per_frame;
    if (video > p.rows) {
      refuse("frames %d * tokens_per_frame %d exceeds rows %d", p.frames, p.tokens_per_frame, p.rows);
    }
    Arguments arguments;
    const Tensor src = arguments.read("src", p.src, p.dtype, p.heads, p.rows, p.head_dim);
    const Tensor dst = arguments.write("dst", p.dst, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("transform", p.transform, p.heads);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.head_dim))
    for (int head = 0; head < p.heads; head++) {
      for (int row = 0; row < p.rows; row++) {
        const bool moves = p.transform[head] != 0 && row < video;
        const int other = moves ? token_major(row, p.frames, p.tokens_per_frame) : row;
        if (p.inverse != 0) {
          src.copy_row(head, other, dst, row);
        } else {
          src.copy_row(head, row, dst, other);
        }
      }
    }
  });
}

int32_t svg_permute_rows(const svg_permute_rows_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_permute_rows_params& p) {
    check_shape(p.heads, p.head_dim);
    at_least("rows", p.rows, 1);
    in_range("permuted_rows", p.permuted_rows, 0, p.rows);
    Arguments arguments;
    const Tensor src = arguments.read("src", p.src, p.dtype, p.heads, p.rows, p.head_dim);
    const Tensor dst = arguments.write("dst", p.dst, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("order", p.order, int64_t(p.heads) * p.permuted_rows);
    check_permutation(p.order, p.heads, p.permuted_rows);
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(p.heads) * p.rows * p.head_dim))
    for (int head = 0; head < p.heads; head++) {
      for (int row = 0; row < p.rows; row++) {
        const int other = row < p.permuted_rows ? p.order[head * int64_t(p.permuted_rows) + row] : row;
        if (p.inverse != 0) {
          src.copy_row(head, row, dst, other);
        } else {
          src.copy_row(head, other, dst, row);
        }
      }
    }
  });
}

int32_t svg_sort_labels(const svg_sort_labels_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_sort_labels_params& p) {
    at_least("heads", p.heads, 1);
    at_least("rows", p.rows, 1);
    at_least("clusters", p.clusters, 1);
    if (p.context_clusters != 0 && p.context_clusters != 2) {
      refuse("context_clusters is %d, expected 0 or 2", p.context_clusters);
    }
    at_least("prompt_rows", p.prompt_rows, 0);
    at_least("padding_rows", p.padding_rows, 0);
    if (p.context_clusters == 0 && (p.prompt_rows != 0 || p.padding_rows != 0)) {
      refuse("prompt_rows is %d and padding_rows %d, expected 0 without context clusters", p.prompt_rows,
             p.padding_rows);
    }
    const int64_t stride = int64_t(p.clusters) + p.context_clusters + 1;
    Arguments arguments;
    arguments.read("labels", p.labels, int64_t(p.heads) * p.rows);
    arguments.write("order", p.order, int64_t(p.heads) * p.rows);
    arguments.write("offsets", p.offsets, p.heads * stride);
    for (int64_t i = 0; i < int64_t(p.heads) * p.rows; i++) {
      if (p.labels[i] < 0 || p.labels[i] >= p.clusters) {
        refuse("labels[%d][%d] is %d, expected 0 to %d", int(i / p.rows), int(i % p.rows), p.labels[i], p.clusters - 1);
      }
    }
#pragma omp parallel for schedule(static) if (worth_threads(int64_t(p.heads) * p.rows))
    for (int head = 0; head < p.heads; head++) {
      const int32_t* labels = p.labels + int64_t(head) * p.rows;
      int32_t* order = p.order + int64_t(head) * p.rows;
      int32_t* offsets = p.offsets + head * stride;
      for (int j = 0; j <= p.clusters; j++) offsets[j] = 0;
      for (int row = 0; row < p.rows; row++) offsets[labels[row] + 1]++;
      for (int j = 0; j < p.clusters; j++) offsets[j + 1] += offsets[j];
      // Placing a row moves its cluster's start on, until every start is that of the next cluster.
      for (int row = 0; row < p.rows; row++) order[offsets[labels[row]]++] = row;
      for (int j = p.clusters; j > 0; j--) offsets[j] = offsets[j - 1];
      offsets[0] = 0;
      if (p.context_clusters != 0) {
        offsets[p.clusters + 1] = p.rows + p.prompt_rows;
        offsets[p.clusters + 2] = p.rows + p.prompt_rows + p.padding_rows;
      }
    }
  });
}
