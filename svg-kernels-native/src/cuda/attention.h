// What the two matrix paths of attention share: the problems that their launch functions get, which keys a query may
// see, and the plan of variable-block attention.
#pragma once

#include "../common/host_device.h"
#include "launch.h"

namespace svg {

/// Query rows that a block of threads works on at a time.
constexpr int kQueryTile = 128;

constexpr float kLog2E = 1.4426950409f, kLn2 = 0.6931471806f;
/// Running maxima, in units of log2, lag behind the true ones by at most this much, so that outputs are seldom
/// rescaled. Weights then stay below 2^kLag. Scores beyond 2^27 in magnitude lose the precision that their exponents
/// need.
constexpr float kLag = 8;

/// Rows [first, end).
struct Interval {
  int first, end;

  SVG_HOST_DEVICE int size() const { return end - first; }
};

struct AttentionTensors {
  int32_t dtype;
  int heads, dim, q_rows, k_rows;
  float scale;  // of the scores, more than 0
  svg_heads q, k, v, out;
};

/// Query rows as tiles. Rows of [0, split) and from split on see different keys, so that no tile holds both.
struct QueryTiles {
  int split, rows;

  SVG_HOST_DEVICE int below() const { return (split + kQueryTile - 1) / kQueryTile; }
  SVG_HOST_DEVICE int count() const { return below() + (rows - split + kQueryTile - 1) / kQueryTile; }
  SVG_HOST_DEVICE Interval operator[](int tile) const {
    const bool low = tile < below();
    const int first = low ? tile * kQueryTile : split + (tile - below()) * kQueryTile, end = low ? split : rows;
    return {first, end - first < kQueryTile ? end : first + kQueryTile};
  }
};

struct DenseProblem {
  AttentionTensors tensors;
  int split;
  const int32_t* k_lengths;  // (H), or null
  float* lse;                // (H, q_rows), or null

  SVG_HOST_DEVICE QueryTiles tiles() const { return {split, tensors.q_rows}; }
#ifdef __CUDACC__
  /// The keys that all of a tile's rows see.
  __device__ Interval keys(int head, Interval queries) const {
    const bool low = queries.first < split;
    const int first = low ? 0 : split, end = low ? split : tensors.k_rows;
    return {first, k_lengths == nullptr ? end : max(first, min(end, k_lengths[head]))};
  }
#endif
};

/// SVG1's mask: see svg_attention_band_params.
struct BandMask {
  int rows, video, real;
  int sink;        // at most video
  int half_width;  // -1 (no band) to rows - 1

  SVG_HOST_DEVICE QueryTiles tiles() const { return {real, rows}; }

  /// The video keys that a query below `real` sees, besides the sink.
  SVG_HOST_DEVICE Interval band(int q) const {
    return q >= video ? Interval{0, video} : Interval{q - half_width, q + half_width + 1};
  }

  /// Whether every one of a tile's queries sees every one of the keys.
  SVG_HOST_DEVICE bool allows_all(Interval queries, Interval keys) const {
    if (queries.first >= real || keys.end > real) return queries.first >= real && keys.first >= real;
    if (keys.end <= sink || keys.first >= video || queries.first >= video) return true;
    return keys.end - 1 - queries.first <= half_width && queries.end - 1 - keys.first <= half_width;
  }

  /// The keys that any of a tile's rows sees, as ascending intervals: number i of kIntervals, empty ones among them.
  static constexpr int kIntervals = 3;
  SVG_HOST_DEVICE Interval keys(Interval queries, int i) const {
    if (queries.first >= real) return i == 0 ? Interval{real, rows} : Interval{rows, rows};
    if (queries.end > video) return i == 0 ? Interval{0, real} : Interval{real, real};
    if (i == 0) return {0, sink};
    if (i == 2) return {video, real};
    const int first = queries.first - half_width, end = queries.end + half_width;
    const Interval band{first < sink ? sink : first, end > video ? video : end};
    return half_width >= 0 && band.size() > 0 ? band : Interval{sink, sink};
  }

  /// The same without empty ones, and neighbours as one; returns how many.
  SVG_HOST_DEVICE int keys(Interval queries, Interval (&intervals)[kIntervals]) const {
    int count = 0;
    for (int i = 0; i < kIntervals; i++) count = add(keys(queries, i), intervals, count);
    return count;
  }

 private:
  SVG_HOST_DEVICE static int add(Interval next, Interval (&intervals)[kIntervals], int count) {
    if (next.size() <= 0) return count;
    if (count > 0 && intervals[count - 1].end == next.first) {
      intervals[count - 1].end = next.end;
      return count;
    }
    intervals[count] = next;
    return count + 1;
  }
};

struct BandProblem {
  AttentionTensors tensors;
  BandMask mask;
};

/// At most kQueryTile query rows of one cluster.
struct alignas(16) BlockItem {
  int head, cluster, first, rows;
};

/// What the blocks of variable-block attention work on, in device memory.
struct BlockPlan {
  static constexpr int kCounters = 2;  // for up to two launches, which divide the items

  int span_capacity, item_capacity;
  int2* spans;       // (H, q_clusters, span_capacity): {first key row, rows}, ascending, with gaps between them
  int2* lists;       // (H, q_clusters): {spans, key rows in all of them}
  int2* order;       // scratch (H, q_clusters): {key rows, items}
  BlockItem* items;  // heads in order; in a head longest list first, equal ones by cluster, a cluster's rows ascending
  int32_t* item_count;  // (1)
  int32_t* next_item;   // (kCounters), 0: where the blocks of a launch that draw their items keep count
};

struct BlocksProblem {
  AttentionTensors tensors;
  int q_clusters, k_clusters;
  const int32_t* q_offsets;
  const int32_t* k_offsets;
  const uint8_t* map;
  BlockPlan plan;

  /// Sizes the plan, and has the workspace provide its memory.
  void add_plan(Workspace& workspace);
};

/// Makes the plan out of offsets and map. Offsets outside of their range are cut, so that kernels stay within tensors.
void plan_blocks(const BlocksProblem& problem, cudaStream_t stream);

/// The path of every device since sm_80.
void attention_sync(const DenseProblem& problem, const Device& device, cudaStream_t stream);
void attention_sync(const BandProblem& problem, const Device& device, cudaStream_t stream);
void attention_sync(const BlocksProblem& problem, const Device& device, cudaStream_t stream);

/// The path of Hopper: heads of 64 or 128 channels, each head at an address of its own.
bool wgmma_takes(const AttentionTensors& tensors, const Device& device);
void attention_wgmma(const DenseProblem& problem, const Device& device, cudaStream_t stream);
void attention_wgmma(const BandProblem& problem, const Device& device, cudaStream_t stream);
void attention_wgmma(const BlocksProblem& problem, const Device& device, cudaStream_t stream);

}  // namespace svg
