// A tensor's heads as rows of padded(dim) floats, for the attention loop.
#pragma once

#include <algorithm>
#include <optional>

#include "attention_core.h"
#include "tensor.h"

namespace svg {

/// Rows that are such already are read in place; others are converted, a few heads at a time, into 32 MiB or one head.
class FloatHeads {
 public:
  explicit FloatHeads(const Tensor& t) : t_(t), in_place_(fits(t)) {
    if (!in_place_) buffer_.emplace(capacity() * head_size());
  }

  /// Heads that can be loaded at a time.
  int capacity() const {
    if (in_place_) return t_.heads;
    const size_t fit = kBufferBytes / (head_size() * sizeof(float));
    return int(std::clamp(fit, size_t(1), size_t(t_.heads)));
  }

  /// Pieces that a parallel loop converts one by one, for `heads` heads from `first` on.
  int pieces(int heads) const { return in_place_ ? 0 : heads * pieces_per_head(); }
  void load(int first, int piece) {
    const int slot = piece / pieces_per_head();
    const int begin = piece % pieces_per_head() * kPieceRows;
    const int end = std::min(begin + kPieceRows, t_.rows);
    for (int row = begin; row < end; row++) {
      float* to = buffer_->data() + slot * head_size() + size_t(row) * padded(t_.dim);
      t_.read_row(first + slot, row, to);
      std::fill(to + t_.dim, to + padded(t_.dim), 0.0f);
    }
  }

  /// A head of those loaded from `first` on.
  FloatRows head(int first, int head) const {
    if (in_place_) return {t_.floats(head), t_.row_stride()};
    return {buffer_->data() + (head - first) * head_size(), padded(t_.dim)};
  }

 private:
  static constexpr int kPieceRows = 256;
  static constexpr size_t kBufferBytes = size_t(32) << 20;

  /// Rows more than a page apart are better copied: every key would cost two misses of the address cache.
  static bool fits(const Tensor& t) { return t.dtype() == SVG_F32 && t.dim == padded(t.dim) && t.row_stride() <= 1024; }
  size_t head_size() const { return size_t(t_.rows) * padded(t_.dim); }
  int pieces_per_head() const { return (t_.rows - 1) / kPieceRows + 1; }

  const Tensor& t_;
  const bool in_place_;
  std::optional<Buffer<float>> buffer_;
};

}  // namespace svg
