// SVG2's block map: scores of centroids, softmax weighted by cluster sizes, top-p.
//
// Arithmetic: 2 H Q K D in fp32, 3 GFLOP at 40 x 300 x 1000 x 128, 0.05 ms on the FMA pipes; the centroids are in L2.
// A block computes the scores of a few query clusters into shared memory, then every warp takes one of them. Nothing is
// sorted: of the clusters in descending probability those are kept before which at most top_p lies, so the kept ones
// are those from some probability on. That probability is found by bisection over the bits of a float, a sum over
// the row each, about 15 of them; among equal ones at the edge the lowest indices are kept.
#include "launch.h"
#include "vectors.cuh"

namespace svg {
namespace {

constexpr int kWarps = 8, kThreads = kWarps * 32;
constexpr int kTileKeys = 256, kTileDims = 16, kPitch = kTileDims + 4;
constexpr int kMaxScoreBytes = 72 * 1024;

/// Four elements of a row of `width`; what lies past its end is 0.
__device__ inline float4 four(const float* row, int column, int width, bool aligned) {
  if (aligned && column + 4 <= width) return *reinterpret_cast<const float4*>(row + column);
  const auto at = [&](int i) { return column + i < width ? row[column + i] : 0; };
  return {at(0), at(1), at(2), at(3)};
}

/// scores[i][j] = scale * q_i . k_j for the block's query clusters. A thread takes Queries / 4 queries by 4 keys; while
/// it multiplies, the next tile is on its way to registers.
template <int Queries>
__device__ void score(const svg_block_map_params& p, int head, int first, float* scores) {
  __shared__ __align__(16) float keys[kTileKeys][kPitch], queries[Queries][kPitch];
  constexpr int kMine = Queries / 4, kGroup = kThreads / 4, kPieces = kTileDims / 4,
                kLoads = kTileKeys * kPieces / kThreads;
  static_assert(kTileKeys == 4 * kGroup && Queries * kPieces <= kThreads,
                "every thread has 4 keys and at most a piece");
  const int my_key = threadIdx.x % kGroup, my_queries = threadIdx.x / kGroup * kMine;
  const int loaded_row = threadIdx.x / kPieces, loaded_column = threadIdx.x % kPieces * 4;
  const float* k = p.k_centroids + int64_t(head) * p.k_clusters * p.head_dim;
  const float* q = p.q_centroids + (int64_t(head) * p.q_clusters + first) * p.head_dim;
  const bool aligned = (reinterpret_cast<uintptr_t>(k) | reinterpret_cast<uintptr_t>(q) | p.head_dim * 4) % 16 == 0;
  const int steps = (p.head_dim + kTileDims - 1) / kTileDims, tiles = (p.k_clusters + kTileKeys - 1) / kTileKeys;

  float4 next_keys[kLoads], next_query;
  const auto fetch = [&](int step) {
    const int j = step / steps * kTileKeys + loaded_row, d = step % steps * kTileDims + loaded_column;
#pragma unroll
    for (int i = 0; i < kLoads; i++) {
      const int key = min(j + i * (kThreads / kPieces), p.k_clusters - 1);
      next_keys[i] = four(k + int64_t(key) * p.head_dim, d, p.head_dim, aligned);
    }
    const int query = min(loaded_row, p.q_clusters - 1 - first);
    if (loaded_row < Queries) next_query = four(q + int64_t(query) * p.head_dim, d, p.head_dim, aligned);
  };
  fetch(0);
  float sums[kMine][4] = {};
  for (int step = 0; step < tiles * steps; step++) {
    __syncthreads();
#pragma unroll
    for (int i = 0; i < kLoads; i++) {
      *reinterpret_cast<float4*>(&keys[loaded_row + i * (kThreads / kPieces)][loaded_column]) = next_keys[i];
    }
    if (loaded_row < Queries) *reinterpret_cast<float4*>(&queries[loaded_row][loaded_column]) = next_query;
    __syncthreads();
    if (step + 1 < tiles * steps) fetch(step + 1);
#pragma unroll
    for (int c = 0; c < kTileDims; c += 4) {
      float4 a[4];
#pragma unroll
      for (int j = 0; j < 4; j++) a[j] = *reinterpret_cast<const float4*>(&keys[my_key + j * kGroup][c]);
#pragma unroll
      for (int i = 0; i < kMine; i++) {
        const float4 b = *reinterpret_cast<const float4*>(&queries[my_queries + i][c]);
#pragma unroll
        for (int j = 0; j < 4; j++) sums[i][j] += a[j].x * b.x + a[j].y * b.y + a[j].z * b.z + a[j].w * b.w;
      }
    }
    if (step % steps == steps - 1) {
#pragma unroll
      for (int j = 0; j < 4; j++) {
        const int key = step / steps * kTileKeys + my_key + j * kGroup;
#pragma unroll
        for (int i = 0; i < kMine; i++) {
          if (key < p.k_clusters) scores[(my_queries + i) * p.k_clusters + key] = p.scale * sums[i][j];
          sums[i][j] = 0;
        }
      }
    }
  }
  __syncthreads();
}

/// One warp: turns scores into probabilities and marks the kept clusters.
__device__ void keep(const svg_block_map_params& p, const int32_t* sizes, float* row, uint8_t* kept) {
  const int lane = threadIdx.x % 32, count = p.k_clusters;
  float most = -INFINITY;
  for (int j = lane; j < count; j += 32) {
    if (sizes[j] > 0) most = fmaxf(most, row[j]);  // an empty cluster has no weight to compare with
  }
  most = max_over_warp(most);
  float sum = 0;
  for (int j = lane; j < count; j += 32) {
    row[j] = sizes[j] > 0 ? float(sizes[j]) * expf(row[j] - most) : 0.0f;
    sum += row[j];
  }
  sum = sum_over(sum);
  for (int j = lane; j < count; j += 32) {
    const float share = row[j] / sum;
    row[j] = share > 0 ? share : 0;  // no NaN
  }
  // What lies before the clusters of probability v: their sum and number. Both shrink as v grows.
  const auto before = [&](float v, float& sum_before, int& number_before) {
    float s = 0;
    int n = 0;
    for (int j = lane; j < count; j += 32) {
      const float probability = row[j];
      if (probability > v) s += probability, n++;
    }
    sum_before = sum_over(s);
    number_before = __reduce_add_sync(0xffffffffu, n);
  };
  // The edge is the greatest probability whose first cluster is kept. Until one cluster is left between a bound that
  // is refused and one that is accepted:
  float edge = 0, sum_before;
  int number_before;
  before(0, sum_before, number_before);
  if (sum_before > p.top_p && number_before >= p.min_keep) {
    uint32_t refused = 0, accepted = 0x3f800001;  // just above 1: nothing lies before
    int before_refused = number_before, before_accepted = 0;
    while (before_refused - before_accepted > 1 && accepted - refused > 1) {
      const uint32_t middle = (refused + accepted) / 2;
      before(__uint_as_float(middle), sum_before, number_before);
      if (sum_before <= p.top_p || number_before < p.min_keep) {
        accepted = middle;
        before_accepted = number_before;
      } else {
        refused = middle;
        before_refused = number_before;
      }
    }
    for (int j = lane; j < count; j += 32) {
      if (row[j] <= __uint_as_float(accepted)) edge = fmaxf(edge, row[j]);
    }
    edge = max_over_warp(edge);
  }
  before(edge, sum_before, number_before);
  int equal_before = 0;  // clusters of probability edge with a lower index
  for (int base = 0; base < count; base += 32) {
    const int j = base + lane;
    const float probability = j < count ? row[j] : -1;
    const uint32_t equal = __ballot_sync(0xffffffffu, probability == edge);
    const int rank = equal_before + __popc(equal & ((1u << lane) - 1));
    const bool at_edge =
        probability == edge && (sum_before + float(rank) * edge <= p.top_p || number_before + rank < p.min_keep);
    if (j < count) kept[j] = probability > edge || at_edge;
    equal_before += __popc(equal);
  }
}

template <int Queries>
__global__ void __launch_bounds__(kThreads, 2) block_map(const svg_block_map_params p) {
  extern __shared__ float scores[];
  const int head = blockIdx.y, first = blockIdx.x * Queries, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int rows = p.q_clusters + p.context_clusters, columns = p.k_clusters + p.context_clusters;
  uint8_t* map = p.map + int64_t(head) * rows * columns;
  const bool everything = p.top_p >= 1;
  if (!everything && first < p.q_clusters) score<Queries>(p, head, first, scores);
  for (int i = warp; i < Queries; i += kWarps) {
    const int row = first + i;
    if (row >= rows) break;
    uint8_t* kept = map + int64_t(row) * columns;
    const bool padding = row == p.q_clusters + 1, prompt = row == p.q_clusters;
    if (prompt || padding || everything) {
      for (int j = lane; j < p.k_clusters; j += 32) kept[j] = !padding;
    } else {
      keep(p, p.k_sizes + int64_t(head) * p.k_clusters, scores + i * p.k_clusters, kept);
    }
    if (p.context_clusters == 2 && lane < 2) kept[p.k_clusters + lane] = padding == (lane == 1);
  }
}

template <int Queries>
void launch_block_map(const svg_block_map_params& p, cudaStream_t stream) {
  const int rows = p.q_clusters + p.context_clusters;
  launch("making the block map", block_map<Queries>, dim3(uint32_t(ceil_div(rows, Queries)), p.heads), kThreads,
         sizeof(float) * Queries * p.k_clusters, stream, p);
}

}  // namespace
}  // namespace svg

int32_t svg_block_map(const svg_block_map_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_block_map_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("head_dim", p.head_dim, 1);
    at_least("q_clusters", p.q_clusters, 1);
    at_least("k_clusters", p.k_clusters, 1);
    if (p.context_clusters != 0 && p.context_clusters != 2) {
      refuse("context_clusters is %d, expected 0 or 2", p.context_clusters);
    }
    in_range("min_keep", p.min_keep, 0, p.k_clusters);
    not_negative("top_p", p.top_p);
    finite("scale", p.scale);
    const int64_t rows = int64_t(p.q_clusters) + p.context_clusters,
                  columns = int64_t(p.k_clusters) + p.context_clusters;
    Arguments arguments;
    arguments.read("q_centroids", p.q_centroids, int64_t(p.heads) * p.q_clusters * p.head_dim);
    arguments.read("k_centroids", p.k_centroids, int64_t(p.heads) * p.k_clusters * p.head_dim);
    arguments.read("k_sizes", p.k_sizes, int64_t(p.heads) * p.k_clusters);
    arguments.write("map", p.map, p.heads * rows * columns);
    const int most = kMaxScoreBytes / int(sizeof(float));
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    if (p.k_clusters > most / 4) {
      unsupported("k_clusters is %d, the CUDA library has block maps for at most %d", p.k_clusters, most / 4);
    }
    if (p.k_clusters <= most / 16) return launch_block_map<16>(p, on);
    if (p.k_clusters <= most / 8) return launch_block_map<8>(p, on);
    launch_block_map<4>(p, on);
  });
}
