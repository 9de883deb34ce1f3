// Queries are vector lanes, keys and values are broadcast scalars. That has three merits: rows of keys need no
// transposing, so that a tile is any list of rows, from wherever a mask or a cluster puts them; maximum and sum of the
// softmax run down the lanes without crossing them; and P is where the second product wants it.
//
// A pair of query and key costs 2 D multiply-adds and one exponential (some 15 operations). With AVX-512 the register
// tile does 16 multiply-adds per 10 loads, so the two multiply-add units are the limit, not the two load ports. Memory:
// each block of 64 queries reads its keys and values once, 8 D bytes for 128 D multiply-adds.
#include "attention_core.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace svg {

/// Keys whose scores are in flight: for 32 queries 8 KB, beside 16 KB each of keys and values at D = 64.
constexpr int kTileKeys = 64;

constexpr float kLog2E = 1.44269504088896341f;
constexpr float kLn2 = 0.693147180559945309f;
constexpr float kInfinity = std::numeric_limits<float>::infinity();

QueryBlock::QueryBlock(int dim, size_t range_capacity)
    : dim_(dim), data_(size_t(kBlockRows) * padded(dim)), queries_(size_t(kBlockRows) * padded(dim)),
      outputs_(size_t(kBlockRows) * padded(dim)), zero_row_(padded(dim)) {
  ranges.reserve(range_capacity);
  std::fill_n(first_seen_, kBlockRows, 0);
  std::fill_n(last_seen_, kBlockRows, 0);
  std::fill_n(zero_row_.data(), padded(dim), 0.0f);
}

void QueryBlock::load(int i, const Tensor& q, int head, int row, float scale) {
  float* to = this->row(i);
  q.read_row(head, row, to);
  for (int d = 0; d < dim_; d++) to[d] *= scale * kLog2E;
  std::fill(to + dim_, to + padded(dim_), 0.0f);
}

void QueryBlock::limit(int i, Interval seen) {
  first_seen_[i] = int32_t(std::clamp(seen.first, int64_t(0), int64_t(INT32_MAX)));
  last_seen_[i] = int32_t(std::clamp(seen.last, int64_t(-1), int64_t(INT32_MAX)));
}

/// Up to kTileKeys key rows from anywhere. Past `count`, k points to zeros up to a multiple of the register tile.
struct KeyTile {
  int count;
  int32_t row[kTileKeys];
  const float* k[kTileKeys];
  const float* v[kTileKeys];
};

/// Cuts ranges into tiles, across the borders of ranges: many short ranges fill tiles as well as a long one.
class KeyTiles {
 public:
  KeyTiles(const FloatRows& keys, const FloatRows& values, const std::vector<Range>& ranges, const float* zero_row)
      : keys_(keys), values_(values), ranges_(ranges), zero_row_(zero_row), row_(ranges.empty() ? 0 : ranges[0].begin) {
  }

  /// False when no keys are left.
  bool next(KeyTile& tile, int multiple) {
    tile.count = 0;
    while (range_ < ranges_.size() && tile.count < kTileKeys) {
      const int32_t end = ranges_[range_].end;
      for (; row_ < end && tile.count < kTileKeys; row_++, tile.count++) {
        tile.row[tile.count] = row_;
        tile.k[tile.count] = keys_.row(row_);
        tile.v[tile.count] = values_.row(row_);
      }
      if (row_ >= end && ++range_ < ranges_.size()) row_ = ranges_[range_].begin;
    }
    for (int j = tile.count; j % multiple != 0; j++) tile.k[j] = zero_row_;
    return tile.count > 0;
  }

 private:
  const FloatRows keys_, values_;
  const std::vector<Range>& ranges_;
  const float* zero_row_;
  size_t range_ = 0;
  int32_t row_;
};

/// scores[j][lane] = sum over d of k[j][d] q[d][lane]
template <class L, int V>
SVG_INLINE void multiply_keys(const KeyTile& tile, const float* __restrict q, int dim, float* __restrict scores) {
  constexpr int R = L::kTileRows, kLanes = V * L::kFloats;
  for (int j = 0; j < tile.count; j += R) {
    const float* k[R];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) k[r] = tile.k[j + r];
    typename L::Float sum[R][V] = {};
    for (int d = 0; d < dim; d++) {
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[r][v] += k[r][d] * L::at(q + d * kLanes + v * L::kFloats);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) L::at(scores + (j + r) * kLanes + v * L::kFloats) = sum[r][v];
    }
  }
}

/// Scores of keys that a query does not see become -inf.
template <class L, int V>
SVG_INLINE void hide(const KeyTile& tile, const int32_t* key_positions, const int32_t* __restrict first_seen,
                     const int32_t* __restrict last_seen, float* __restrict scores) {
  using Int = typename L::Int;
  constexpr int kLanes = V * L::kFloats;
  const Int hidden = (Int)(-kInfinity - typename L::Float{});
  for (int j = 0; j < tile.count; j++) {
    const int32_t position = key_positions[tile.row[j]];
    if (position == kEverywhere) continue;
    const Int key = position - Int{};
    for (int lane = 0; lane < kLanes; lane += L::kFloats) {
      // By sign bits, since GCC 12 takes comparisons of long integer vectors apart into scalars.
      const Int seen = ~((key - L::at(first_seen + lane)) | (L::at(last_seen + lane) - key)) >> 31;
      const Int score = (Int)L::at(scores + j * kLanes + lane);
      L::at(scores + j * kLanes + lane) = (typename L::Float)((score & seen) | (hidden & ~seen));
    }
  }
}

/// scores become p = 2^(score - maximum); `rescale` is what earlier sums must be multiplied with.
template <class L, int V>
SVG_INLINE void softmax(int count, float* __restrict scores, float* __restrict maximum, float* __restrict sum,
                        float* __restrict rescale) {
  using Float = typename L::Float;
  constexpr int kLanes = V * L::kFloats;
  for (int lane = 0; lane < kLanes; lane += L::kFloats) {
    Float most = L::at(maximum + lane);
    for (int j = 0; j < count; j++) {
      const Float score = L::at(scores + j * kLanes + lane);
      most = score > most ? score : most;
    }
    const Float from = most == -kInfinity ? Float{} : most;  // no key seen yet: -inf - 0, not -inf - (-inf)
    const Float factor = exp2_nonpositive<L>(L::at(maximum + lane) - from);
    Float total{};
    for (int j = 0; j < count; j++) {
      Float& score = L::at(scores + j * kLanes + lane);
      const Float p = exp2_nonpositive<L>(score - from);
      score = p;
      total += p;
    }
    L::at(maximum + lane) = most;
    L::at(sum + lane) = L::at(sum + lane) * factor + total;
    L::at(rescale + lane) = factor;
  }
}

/// out[d][lane] = rescale[lane] out[d][lane] + sum over j of p[j][lane] v[j][d]
template <class L, int V>
SVG_INLINE void multiply_values(const KeyTile& tile, const float* __restrict p, const float* __restrict rescale,
                                int dim, float* __restrict out) {
  constexpr int R = L::kTileRows, kLanes = V * L::kFloats;
  for (int d = 0; d < dim; d += R) {
    typename L::Float sum[R][V];
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) {
        const int lane = v * L::kFloats;
        sum[r][v] = L::at(out + (d + r) * kLanes + lane) * L::at(rescale + lane);
      }
    }
    for (int j = 0; j < tile.count; j++) {
      const float* __restrict value = tile.v[j] + d;
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[r][v] += value[r] * L::at(p + j * kLanes + v * L::kFloats);
      }
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
      for (int v = 0; v < V; v++) L::at(out + (d + r) * kLanes + v * L::kFloats) = sum[r][v];
    }
  }
}

/// One block's computation. The block's rows are divided into groups of lanes: two vectors each, one where that holds
/// the rest. A group's transposed rows start at first * padded(dim).
struct Kernel {
  QueryBlock& block;
  const FloatRows &keys, &values;
  const int32_t* key_positions;
  alignas(kAlignment) float maximum[kBlockRows];
  alignas(kAlignment) float sum[kBlockRows];

  Kernel(QueryBlock& block, const FloatRows& keys, const FloatRows& values, const int32_t* key_positions)
      : block(block), keys(keys), values(values), key_positions(key_positions) {
    std::fill_n(maximum, kBlockRows, -kInfinity);
    std::fill_n(sum, kBlockRows, 0.0f);
  }

  int dim() const { return padded(block.dim_); }

  template <class L>
  SVG_INLINE int vectors(int first) const {
    return block.rows - first > L::kFloats ? 2 : 1;
  }

  template <class L>
  SVG_INLINE void transpose_in(int first) {
    const int lanes = vectors<L>(first) * L::kFloats;
    for (int lane = 0; lane < lanes; lane += L::kFloats) {
      const float* from[L::kFloats];
      for (int i = 0; i < L::kFloats; i++) {
        const int row = first + lane + i;
        from[i] = row < block.rows ? block.row(row) : block.zero_row_.data();
      }
      for (int d = 0; d < dim(); d += L::kFloats) {
        typename L::Float square[L::kFloats];
        for (int i = 0; i < L::kFloats; i++) square[i] = L::at(from[i] + d);
        transpose<L>(square);
        float* to = block.queries_.data() + first * dim() + d * lanes + lane;
        for (int i = 0; i < L::kFloats; i++) L::at(to + i * lanes) = square[i];
      }
    }
  }

  template <class L, int V>
  SVG_INLINE void visit(const KeyTile& tile, int first) {
    alignas(kAlignment) float scores[kTileKeys * V * L::kFloats];
    alignas(kAlignment) float rescale[V * L::kFloats];
    multiply_keys<L, V>(tile, block.queries_.data() + first * dim(), dim(), scores);
    if (key_positions != nullptr) {
      hide<L, V>(tile, key_positions, block.first_seen_ + first, block.last_seen_ + first, scores);
    }
    softmax<L, V>(tile.count, scores, maximum + first, sum + first, rescale);
    multiply_values<L, V>(tile, scores, rescale, dim(), block.outputs_.data() + first * dim());
  }

  template <class L>
  SVG_INLINE void transpose_out(int first) {
    const int lanes = vectors<L>(first) * L::kFloats;
    for (int lane = 0; lane < lanes; lane += L::kFloats) {
      const auto total = L::at(sum + first + lane);
      const auto norm = total == 0 ? typename L::Float{} : 1 / total;
      for (int d = 0; d < dim(); d += L::kFloats) {
        const float* from = block.outputs_.data() + first * dim() + d * lanes + lane;
        typename L::Float square[L::kFloats];
        for (int i = 0; i < L::kFloats; i++) square[i] = L::at(from + i * lanes) * norm;
        transpose<L>(square);
        for (int i = 0; i < L::kFloats; i++) L::at(block.row(first + lane + i) + d) = square[i];
      }
    }
  }

  template <class L>
  SVG_INLINE void run() {
    constexpr int kGroup = 2 * L::kFloats;
    static_assert(kBlockRows % kGroup == 0, "a block must be whole groups of lanes");
    static_assert(kTileKeys % L::kTileRows == 0, "a full tile of keys must be whole register tiles");
    static_assert(kMaxLanes % L::kTileRows == 0, "padded rows must be whole register tiles of dimensions");
    static_assert(kMaxLanes % L::kFloats == 0, "padded rows must be whole vectors");
    std::fill_n(block.outputs_.data(), kBlockRows * dim(), 0.0f);
    for (int first = 0; first < block.rows; first += kGroup) transpose_in<L>(first);
    KeyTiles tiles(keys, values, block.ranges, block.zero_row_.data());
    KeyTile tile;
    while (tiles.next(tile, L::kTileRows)) {
      for (int first = 0; first < block.rows; first += kGroup) {
        if (vectors<L>(first) == 2) {
          visit<L, 2>(tile, first);
        } else {
          visit<L, 1>(tile, first);
        }
      }
    }
    for (int first = 0; first < block.rows; first += kGroup) transpose_out<L>(first);
    for (int i = 0; i < block.rows; i++) block.lse[i] = (maximum[i] + std::log2(sum[i])) * kLn2;
  }
};

template <class L>
static SVG_INLINE void run_kernel(Kernel& kernel) {
  kernel.run<L>();
}

SVG_DISPATCH(attend, run_kernel, Kernel)

void QueryBlock::attend(const FloatRows& keys, const FloatRows& values, const int32_t* key_positions) {
  Kernel kernel(*this, keys, values, key_positions);
  svg::attend(kernel);
}

}  // namespace svg
