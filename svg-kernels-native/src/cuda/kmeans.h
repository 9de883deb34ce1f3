// What the kernels of k-means share.
#pragma once

#include "launch.h"

namespace svg {

/// How the centroids lie in the image that the assignment copies to shared memory: rounded to x's type, columns
/// padded with zeros to `columns`, clusters to whole tiles.
struct CentroidImage {
  int columns;   // head_dim rounded up to 32, 64, 96 or 128
  int tile;      // clusters per tile
  int clusters;  // padded, a multiple of tile
  bool panels;   // in wgmma's order of columns and swizzled panels, else row after row

  void* data;   // (H, clusters, columns) of x's type
  float* bias;  // (H, clusters): -|c|^2 / 2 of the rounded centroid, -infinity past the last
};

/// Where the iteration stands, in device memory.
struct KMeansState {
  int32_t stop;  // not 0: later kernels do nothing
  int32_t iterations;
  uint32_t moved;    // the largest squared move of this iteration, as the bits of a float
  uint32_t arrived;  // blocks of this iteration's last kernel that are through
};

struct AssignProblem {
  svg_heads x;
  int heads, rows, dim, clusters;
  CentroidImage centroids;
  int32_t* labels;
  const int32_t* skip;
};

/// Tile sizes that waste the least on padding.
int wgmma_tile(int columns, int clusters);
constexpr int kSyncTile = 64;

/// labels[h][row] = the nearest centroid.
void assign_wgmma(const AssignProblem& problem, int32_t dtype, const Device& device, cudaStream_t stream);
void assign_sync(const AssignProblem& problem, int32_t dtype, cudaStream_t stream);

}  // namespace svg
