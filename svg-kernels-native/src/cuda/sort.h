// The stable counting sort of labels, as k-means and svg_sort_labels use it.
#pragma once

#include "launch.h"

namespace svg {

/// Rows are counted and placed in chunks of one block each.
struct LabelSort {
  int heads, rows, clusters;
  int warps;              // of a block
  int chunk_rows;         // of a block
  int chunks;             // of a head
  const int32_t* labels;  // (H, rows)
  int32_t* counts;        // (H, chunks, clusters): rows per chunk and cluster, then where they start
  int32_t* order;         // (H, rows)
  int32_t* offsets;       // (H, clusters + 1 + context clusters)
  int32_t* sizes;         // (H, clusters), or null
  int context_clusters, prompt_rows, padding_rows;
  const int32_t* skip;  // where not null and not 0, nothing is done

  static constexpr int kWarpRows = 256;
  static constexpr int kMaxClusters = 16384;

  LabelSort(int heads, int rows, int clusters);
  int64_t counts_size() const { return int64_t(heads) * chunks * clusters; }
  void count(cudaStream_t stream) const;
  void place(cudaStream_t stream) const;  // after count
};

}  // namespace svg
