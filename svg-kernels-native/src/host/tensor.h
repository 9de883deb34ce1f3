// (H, S, D) tensors of the ABI, read and written row by row as floats.
#pragma once

#include <cstdint>

#include "svg_kernels.h"

namespace svg {

constexpr int element_size(svg_dtype dtype) { return dtype == SVG_F32 ? 4 : 2; }

class Tensor {
 public:
  Tensor(const svg_heads& t, svg_dtype dtype, int heads, int rows, int dim)
      : heads(heads), rows(rows), dim(dim), dtype_(dtype), head_stride_(t.head_stride), row_stride_(t.row_stride),
        data_(static_cast<char*>(t.data)) {}

  const int heads, rows, dim;
  svg_dtype dtype() const { return dtype_; }
  int64_t row_stride() const { return row_stride_; }

  /// The first row of a head of floats.
  const float* floats(int head) const { return reinterpret_cast<const float*>(at(head, 0)); }

  /// Elements [first, first + count) of a row.
  void read(int head, int row, int first, int count, float* to) const;
  void read_row(int head, int row, float* to) const { read(head, row, 0, dim, to); }
  void write_row(int head, int row, const float* from) const;

  /// Copies a row bit by bit to a tensor of the same type and head dimension.
  void copy_row(int head, int row, const Tensor& to, int to_row) const;

 private:
  char* at(int head, int row) const { return data_ + (head * head_stride_ + row * row_stride_) * element_size(dtype_); }

  svg_dtype dtype_;
  int64_t head_stride_, row_stride_;
  char* data_;
};

}  // namespace svg
