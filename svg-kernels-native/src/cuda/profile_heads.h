// What the kernels of head profiling share.
#pragma once

#include "launch.h"
#include "vectors.cuh"

namespace svg {

/// The three softmaxes of a sampled row: over all keys, under the spatial and under the temporal mask.
constexpr int kProfiles = 3;

/// Sampled rows are compared by parts: every head's keys are cut into splits.
struct ProfileProblem {
  svg_profile_heads_params p;
  int splits, keys_per_split;
  float* outputs;   // (H, splits, samples, kProfiles, D): sums of weighted values
  float2* weights;  // (H, splits, samples, kProfiles): the maximum of the scores in log2 units, the sum of weights
  double2* errors;  // (H, samples): squared, of both masks
};

#ifdef __CUDACC__

constexpr int kAlways = -1;
/// No maximum is lower, so that weights stay numbers where a mask has allowed no key yet.
constexpr float kLeastMaximum = -1e30f;

constexpr int kMaskBlock = 128;

/// A row's number in the order of a mask (1 spatial, 2 temporal); the row is a video token.
__device__ inline int mask_index(const svg_profile_heads_params& p, int row, int mask) {
  return mask == 1 ? row : row % p.tokens_per_frame * p.frames + row / p.tokens_per_frame;
}

/// A key's block under a mask, or kAlways where the mask allows the key to every row.
__device__ inline int key_block(const svg_profile_heads_params& p, int row, int mask) {
  if (row >= p.frames * p.tokens_per_frame) return kAlways;
  const int index = mask_index(p, row, mask);
  return index < p.sink_keys ? kAlways : index / kMaskBlock;
}

/// The key blocks that a row sees under a mask: `count` of them from `first` on, and kAlways.
struct SeenBlocks {
  int first;
  uint32_t count;

  __device__ bool sees(int block) const { return uint32_t(block - first) < count || block == kAlways; }
  __device__ bool sees_any(int least, int most) const {
    return sees(least) || (count > 0 && least <= first && first <= most);
  }
};

__device__ inline SeenBlocks seen_blocks(const svg_profile_heads_params& p, int row, int mask) {
  if (row >= p.frames * p.tokens_per_frame) return {kAlways, UINT32_MAX};
  const int reach = min(p.band_blocks, INT32_MAX / kMaskBlock) - 1;  // no row has more blocks
  return {mask_index(p, row, mask) / kMaskBlock - reach, uint32_t(max(2 * reach + 1, 0))};
}

/// The sampled row; what is out of range becomes the nearest row.
__device__ inline int sampled_row(const svg_profile_heads_params& p, int sample) {
  return min(max(p.sampled_rows[sample], 0), p.rows - 1);
}

__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// A row's running maximum, and what the weights so far shrink by when it rises to `top`.
__device__ inline float raise(float& most, float top) {
  const float before = most;
  most = fmaxf(most, top);
  return exp2_fast(before - most);
}

constexpr int kBlockSamples = 64;  // of a block with tensor cores

/// The numbers of the block's samples, from `first` on, in the order of the temporal mask: rows whose bands overlap
/// come together. What lies past the last sample may be any row.
__device__ inline void sort_samples(const svg_profile_heads_params& p, int first, int* order) {
  __shared__ int places[kBlockSamples];
  const int mine = threadIdx.x, sample = first + mine;
  if (mine < kBlockSamples) {
    const int row = sample < p.samples ? sampled_row(p, sample) : p.rows - 1;
    places[mine] = row < p.frames * p.tokens_per_frame ? mask_index(p, row, 2) : row;
  }
  __syncthreads();
  if (mine < kBlockSamples) {
    int before = 0;
    for (int i = 0; i < kBlockSamples; i++) {
      before += places[i] < places[mine] || (places[i] == places[mine] && i < mine);
    }
    order[before] = sample;
  }
  __syncthreads();
}

#endif

/// The partial sums of every sample, split and head on Hopper's tensor cores; groups of kBlockSamples samples.
void attend_wgmma(const ProfileProblem& problem, int groups, cudaStream_t stream);
constexpr int kWgmmaKeys = 64;  // of a tile

}  // namespace svg
