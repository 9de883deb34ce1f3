// The one attention loop behind dense, band, variable-block and profiling attention: a few query rows against the keys
// that a list of ranges names, with online softmax, so that no S x S matrix ever exists.
#pragma once

#include <cstdint>
#include <vector>

#include "buffer.h"
#include "tensor.h"

namespace svg {

/// Query rows that one block holds. They share each tile of keys while it is in the cache; more of them would save
/// memory traffic, fewer would balance better between threads.
constexpr int kBlockRows = 64;

/// Key rows [begin, end).
struct Range {
  int32_t begin, end;
};

/// A mask within the ranges: every key row has a position, at least 0, and a query sees an interval of positions.
/// Keys at kEverywhere are seen by all.
constexpr int32_t kEverywhere = -1;
struct Interval {
  int64_t first, last;  // both included
};

/// Rows of padded(dim) floats.
struct FloatRows {
  const float* data;
  int64_t stride;

  const float* row(int32_t i) const { return data + i * stride; }
};

/// Up to kBlockRows query rows, their outputs, and the memory to compute them in. One per thread, used again and again;
/// nothing is allocated after construction as long as `ranges` stays within its capacity.
class QueryBlock {
 public:
  QueryBlock(int dim, size_t range_capacity);

  /// Query rows in use, from the first on.
  int rows = 0;
  /// Keys that any of the queries sees. Others are never read.
  std::vector<Range> ranges;
  /// Out: log-sum-exp of each row's scaled scores, -inf where it sees no key.
  float lse[kBlockRows];

  /// Loads query i, times scale and log2(e): scores are computed in base 2.
  void load(int i, const Tensor& q, int head, int row, float scale);

  /// The key positions that query i sees, for attend() with positions.
  void limit(int i, Interval seen);

  /// Computes softmax(queries keys^T) values over the ranges, masked where key positions are given. A query that sees
  /// no key gets zeros. The result depends on nothing but the queries and what they see.
  void attend(const FloatRows& keys, const FloatRows& values, const int32_t* key_positions);

  /// Row i: padded(dim) floats of the query before attend(), of the output after it.
  float* row(int i) { return data_.data() + size_t(i) * padded(dim_); }

 private:
  friend struct Kernel;
  int dim_;
  alignas(kAlignment) int32_t first_seen_[kBlockRows];
  alignas(kAlignment) int32_t last_seen_[kBlockRows];
  Buffer<float> data_;      // row-major: queries, then outputs
  Buffer<float> queries_;   // transposed: dimension by lane
  Buffer<float> outputs_;   // transposed: dimension by lane
  Buffer<float> zero_row_;  // stands for keys that a tile lacks
};

}  // namespace svg
