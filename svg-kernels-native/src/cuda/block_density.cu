// How much of all pairs a block map lets attend: svg_block_density.
//
// Bytes: the map once, 12 MB at 40 x 300 x 1000. One block a head, whose warps take a query cluster at a time; sums are
// whole numbers, so that their order does not matter.
#include "launch.h"

namespace svg {
namespace {

constexpr int kThreads = 1024;

__global__ void __launch_bounds__(kThreads) block_density(const svg_block_density_params p) {
  __shared__ unsigned long long pairs;
  const int head = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int32_t* const q = p.q_offsets + head * (int64_t(p.q_clusters) + 1);
  const int32_t* const k = p.k_offsets + head * (int64_t(p.k_clusters) + 1);
  if (threadIdx.x == 0) pairs = 0;
  __syncthreads();
  int64_t mine = 0;
  for (int i = warp; i < p.counted_q; i += kThreads / 32) {
    const uint8_t* const kept = p.map + (int64_t(head) * p.q_clusters + i) * p.k_clusters;
    int64_t keys = 0;
#pragma unroll 8
    for (int j = lane; j < p.counted_k; j += 32) {
      const int size = k[j + 1] - k[j];
      keys += kept[j] != 0 ? size : 0;
    }
    mine += keys * (q[i + 1] - q[i]);
  }
  for (int step = 16; step > 0; step /= 2) mine += __shfl_xor_sync(0xffffffffu, mine, step);
  if (lane == 0) atomicAdd(&pairs, static_cast<unsigned long long>(mine));
  __syncthreads();
  if (threadIdx.x == 0) {
    const int64_t all = int64_t(q[p.counted_q]) * k[p.counted_k];
    p.density[head] = all == 0 ? 1.0f : float(double(int64_t(pairs)) / double(all));
  }
}

}  // namespace
}  // namespace svg

int32_t svg_block_density(const svg_block_density_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_block_density_params& p) {
    at_least("heads", p.heads, 1);
    at_least("q_clusters", p.q_clusters, 1);
    at_least("k_clusters", p.k_clusters, 1);
    in_range("counted_q", p.counted_q, 1, p.q_clusters);
    in_range("counted_k", p.counted_k, 1, p.k_clusters);
    const int64_t blocks = int64_t(p.q_clusters) * p.k_clusters;
    int64_t entries;
    if (__builtin_mul_overflow(blocks, int64_t(p.heads), &entries)) refuse("the map's size exceeds 64 bits");
    Arguments arguments;
    arguments.read("q_offsets", p.q_offsets, p.heads * (int64_t(p.q_clusters) + 1));
    arguments.read("k_offsets", p.k_offsets, p.heads * (int64_t(p.k_clusters) + 1));
    arguments.read("map", p.map, entries);
    arguments.write("density", p.density, p.heads);
    launch("measuring a block map", block_density, p.heads, kThreads, 0, static_cast<cudaStream_t>(stream), p);
  });
}
