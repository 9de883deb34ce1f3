// SVG1's online profiling: the error of both masks on sampled rows, for all heads: svg_profile_heads.
//
// Bytes: K and V once (1.5 GB at 40 x 75,600 x 128, 0.37 ms). Arithmetic: 64 samples against every key, 50 GFLOP of
// scores and 3 x 50 of outputs, on the tensor cores. Keys are split among blocks; each keeps, per sample, the running
// maximum of the scores, and for the exact, the spatial and the temporal rows the sum of weights and the output. The
// masks are rules on positions, evaluated per score and stored nowhere. All three share the exact row's maximum, so a
// mask that allows every key has an error of exactly 0; keys of a mask whose scores lie more than 80 below the row's
// maximum have no weight here.
//
// Warps come in pairs: both compute the scores of the same 16 samples, each half of the columns of the output.
#include "async.cuh"
#include "channels.cuh"
#include "launch.h"
#include "mma.cuh"

namespace svg {
namespace {

constexpr int kKeys = 64;          // of a tile
constexpr int kBlockSamples = 64;  // 16 per pair of warps
constexpr int kThreads = 256;
constexpr int kMaskBlock = 128;
constexpr int kRows = 3;  // exact, spatial, temporal
constexpr int kAlways = -1;

struct ProfileProblem {
  svg_profile_heads_params p;
  int splits, keys_per_split;
  float* outputs;  // (H, splits, samples, kRows, D): sums of weighted values
  float* sums;     // (H, splits, samples, 1 + kRows): maximum, sums of weights
};

/// The number of a video token's block in both orders, or kAlways for keys that both masks allow.
__device__ inline int2 mask_blocks(const svg_profile_heads_params& p, int row, bool key) {
  if (row >= p.frames * p.tokens_per_frame) return {kAlways, kAlways};
  const int temporal = row % p.tokens_per_frame * p.frames + row / p.tokens_per_frame;
  const int sink = key ? p.sink_keys : 0;
  return {row < sink ? kAlways : row / kMaskBlock, temporal < sink ? kAlways : temporal / kMaskBlock};
}

__device__ inline bool allowed(int query_block, int key_block, int band_blocks) {
  return query_block == kAlways || key_block == kAlways || abs(query_block - key_block) < band_blocks;
}

template <class T, int Columns>
__global__ void __launch_bounds__(kThreads) attend(const ProfileProblem problem) {
  constexpr int kPieces = Columns / 8, kGroups = Columns / 32;  // 16 bytes; 64 bytes
  constexpr int kKeyPitch = conflict_free_pitch(Columns * 2), kValuePitch = Columns * 2 + 16;
  __shared__ __align__(16) char keys[kKeys * kKeyPitch], values[kKeys * kValuePitch];
  __shared__ int2 key_blocks[kKeys];
  const svg_profile_heads_params& p = problem.p;
  const int head = blockIdx.z, split = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32, quad = lane % 4;
  const int half = warp % 2, first_sample = blockIdx.y * kBlockSamples + warp / 2 * 16 + lane / 4;

  Words q[2][kGroups];
  int2 query_blocks[2];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int sample = min(first_sample + 8 * r, p.samples - 1);
    const int row = min(max(p.sampled_rows[sample], 0), p.rows - 1);
    query_blocks[r] = mask_blocks(p, row, false);
    const T* from = static_cast<const T*>(p.q.data) + head * p.q.head_stride + row * p.q.row_stride;
#pragma unroll
    for (int g = 0; g < kGroups; g++) {
      const int column = g * 32 + quad * 8;
      q[r][g] = column < p.head_dim ? *reinterpret_cast<const Words*>(from + column) : make_uint4(0, 0, 0, 0);
    }
  }

  const float scale = p.scale * 1.4426950409f;
  float most[2] = {-INFINITY, -INFINITY}, weights[kRows][2] = {}, out[kRows][Columns / 16][4] = {};
  const int begin = split * problem.keys_per_split, end = min(begin + problem.keys_per_split, p.rows);
  for (int base = begin; base < end; base += kKeys) {
    __syncthreads();
    for (int i = threadIdx.x; i < kKeys * kPieces; i += kThreads) {
      const int key = i / kPieces, piece = i % kPieces, row = base + key;
      uint4 k = make_uint4(0, 0, 0, 0), v = k;
      if (row < end && piece * 8 < p.head_dim) {
        k = __ldcs(reinterpret_cast<const uint4*>(static_cast<const T*>(p.k.data) + head * p.k.head_stride +
                                                  row * p.k.row_stride + piece * 8));
        v = __ldcs(reinterpret_cast<const uint4*>(static_cast<const T*>(p.v.data) + head * p.v.head_stride +
                                                  row * p.v.row_stride + piece * 8));
      }
      *reinterpret_cast<uint4*>(keys + key * kKeyPitch + piece * 16) = k;
      *reinterpret_cast<uint4*>(values + key * kValuePitch + piece * 16) = v;
    }
    if (threadIdx.x < kKeys) key_blocks[threadIdx.x] = mask_blocks(p, min(base + int(threadIdx.x), p.rows - 1), true);
    __syncthreads();

    for (int j = 0; j < kKeys; j += 16) {
      float scores[2][4] = {};
#pragma unroll
      for (int n = 0; n < 2; n++) {
#pragma unroll
        for (int g = 0; g < kGroups; g++) {
          const Words k =
              *reinterpret_cast<const Words*>(keys + (j + n * 8 + lane / 4) * kKeyPitch + g * 64 + quad * 16);
          mma_group<T>(scores[n], q[0][g], q[1][g], k);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const bool here = base + j + n * 8 + 2 * quad + i % 2 < end;
          scores[n][i] = here ? scores[n][i] * scale : -INFINITY;
        }
      }
#pragma unroll
      for (int r = 0; r < 2; r++) {
        float top = fmaxf(fmaxf(scores[0][2 * r], scores[0][2 * r + 1]), fmaxf(scores[1][2 * r], scores[1][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        const float now = fmaxf(fmaxf(most[r], top), -1e30f), shrink = exp2f(most[r] - now);
        most[r] = now;
#pragma unroll
        for (int k = 0; k < kRows; k++) {
          weights[k][r] *= shrink;
#pragma unroll
          for (int c = 0; c < Columns / 16; c++) {
            out[k][c][2 * r] *= shrink;
            out[k][c][2 * r + 1] *= shrink;
          }
        }
      }
      uint32_t weight[kRows][2][2];  // by n and r
#pragma unroll
      for (int n = 0; n < 2; n++) {
#pragma unroll
        for (int r = 0; r < 2; r++) {
          float w[kRows][2];
#pragma unroll
          for (int i = 0; i < 2; i++) {
            const int2 block = key_blocks[j + n * 8 + 2 * quad + i];
            w[0][i] = exp2f(scores[n][2 * r + i] - most[r]);
            w[1][i] = allowed(query_blocks[r].x, block.x, p.band_blocks) ? w[0][i] : 0;
            w[2][i] = allowed(query_blocks[r].y, block.y, p.band_blocks) ? w[0][i] : 0;
          }
#pragma unroll
          for (int k = 0; k < kRows; k++) {
            weights[k][r] += w[k][0] + w[k][1];
            weight[k][n][r] = packed<T>(w[k][0], w[k][1]);
          }
        }
      }
#pragma unroll
      for (int c = 0; c < Columns / 16; c += 2) {
        const int column = half * (Columns / 2) + c * 8;
        uint32_t v[4];
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(v[0]), "=r"(v[1]), "=r"(v[2]), "=r"(v[3])
                     : "r"(shared_address(values + (j + lane % 16) * kValuePitch + (column + lane / 16 * 8) * 2)));
#pragma unroll
        for (int k = 0; k < kRows; k++) {
          mma<T>(out[k][c], weight[k][0][0], weight[k][0][1], weight[k][1][0], weight[k][1][1], v[0], v[1]);
          mma<T>(out[k][c + 1], weight[k][0][0], weight[k][0][1], weight[k][1][0], weight[k][1][1], v[2], v[3]);
        }
      }
    }
  }

#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int sample = first_sample + 8 * r;
    const int64_t at = (int64_t(head) * problem.splits + split) * p.samples + sample;
#pragma unroll
    for (int k = 0; k < kRows; k++) {
      float sum = weights[k][r];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      if (sample >= p.samples) continue;
      if (half == 0 && quad == 0) problem.sums[at * (1 + kRows) + 1 + k] = sum;
#pragma unroll
      for (int c = 0; c < Columns / 16; c++) {
        const int column = half * (Columns / 2) + c * 8 + 2 * quad;
        if (column < p.head_dim) {
          store(problem.outputs + (at * kRows + k) * p.head_dim + column,
                Vector<float, 2>{out[k][c][2 * r], out[k][c][2 * r + 1]});
        }
      }
    }
    if (sample < p.samples && half == 0 && quad == 0) problem.sums[at * (1 + kRows)] = most[r];
  }
}

/// Joins the splits and compares; one block a head, one warp a sample at a time.
__global__ void __launch_bounds__(1024) compare(const ProfileProblem problem) {
  __shared__ double errors[32][2];
  const svg_profile_heads_params& p = problem.p;
  const int head = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  double error[2] = {0, 0};
  for (int sample = warp; sample < p.samples; sample += 32) {
    const int64_t first = int64_t(head) * problem.splits * p.samples + sample;
    const auto sums = [&](int split) { return problem.sums + (first + int64_t(split) * p.samples) * (1 + kRows); };
    float most = -INFINITY;
    for (int s = lane; s < problem.splits; s += 32) most = fmaxf(most, sums(s)[0]);
    most = max_over_warp(most);
    float total[kRows] = {};
    for (int s = 0; s < problem.splits; s++) {
      const float share = exp2f(sums(s)[0] - most);
      for (int k = 0; k < kRows; k++) total[k] += share * sums(s)[1 + k];
    }
    for (int d = lane; d < p.head_dim; d += 32) {
      float out[kRows] = {};
      for (int s = 0; s < problem.splits; s++) {
        const float share = exp2f(sums(s)[0] - most);
        const float* part = problem.outputs + (first + int64_t(s) * p.samples) * kRows * p.head_dim + d;
        for (int k = 0; k < kRows; k++) out[k] += share * part[k * p.head_dim];
      }
      for (int k = 0; k < kRows; k++) out[k] = total[k] > 0 ? out[k] / total[k] : 0;  // a row that sees no key is 0
      for (int mask = 0; mask < 2; mask++) {
        const float difference = out[1 + mask] - out[0];
        error[mask] += double(difference) * difference;
      }
    }
  }
  for (int mask = 0; mask < 2; mask++) {
    for (int i = 16; i > 0; i /= 2) error[mask] += __shfl_xor_sync(0xffffffffu, error[mask], i);
    if (lane == 0) errors[warp][mask] = error[mask];
  }
  __syncthreads();
  if (threadIdx.x != 0) return;
  double sum[2] = {0, 0};
  for (int w = 0; w < 32; w++) {
    for (int mask = 0; mask < 2; mask++) sum[mask] += errors[w][mask];
  }
  for (int mask = 0; mask < 2; mask++) {
    p.mse[mask * p.heads + head] = float(sum[mask] / (double(p.samples) * p.head_dim));
  }
  p.best[head] = sum[1] < sum[0] ? 1 : 0;
}

template <class T>
void profile(ProfileProblem problem, cudaStream_t stream) {
  const svg_profile_heads_params& p = problem.p;
  const int groups = int(ceil_div(p.samples, kBlockSamples));
  // Two waves of blocks, but no split of less than a few tiles.
  const int64_t wanted = ceil_div(int64_t(4) * Device::current().processors, int64_t(p.heads) * groups);
  const int tiles = int(ceil_div(p.rows, kKeys));
  const int tiles_per_split = int(ceil_div(tiles, wanted < tiles ? wanted : tiles));
  problem.keys_per_split = tiles_per_split * kKeys;
  problem.splits = int(ceil_div(tiles, tiles_per_split));
  Workspace workspace(stream);
  const int64_t rows = int64_t(p.heads) * problem.splits * p.samples;
  workspace.add(problem.outputs, rows * kRows * p.head_dim);
  workspace.add(problem.sums, rows * (1 + kRows));
  workspace.allocate();
  const dim3 grid(problem.splits, groups, p.heads);
  if (p.head_dim <= 64) {
    launch("attending to sampled rows", attend<T, 64>, grid, kThreads, 0, stream, problem);
  } else {
    launch("attending to sampled rows", attend<T, 128>, grid, kThreads, 0, stream, problem);
  }
  launch("comparing sampled rows", compare, p.heads, 1024, 0, stream, problem);
}

}  // namespace
}  // namespace svg

int32_t svg_profile_heads(const svg_profile_heads_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_profile_heads_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("head_dim", p.head_dim, 1);
    at_least("frames", p.frames, 1);
    at_least("tokens_per_frame", p.tokens_per_frame, 1);
    at_least("context_rows", p.context_rows, 0);
    if (p.rows != int64_t(p.frames) * p.tokens_per_frame + p.context_rows) {
      refuse("rows is %d, expected frames %d * tokens_per_frame %d + context_rows %d", p.rows, p.frames,
             p.tokens_per_frame, p.context_rows);
    }
    at_least("sink_keys", p.sink_keys, 0);
    at_least("band_blocks", p.band_blocks, 0);
    at_least("samples", p.samples, 1);
    finite("scale", p.scale);
    Arguments arguments;
    arguments.read("q", p.q, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("k", p.k, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("v", p.v, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("sampled_rows", p.sampled_rows, p.samples);
    arguments.write("mse", p.mse, 2 * int64_t(p.heads));
    arguments.write("best", p.best, p.heads);
    require_aligned("q", p.q, p.dtype, p.heads, p.rows, 16);
    require_aligned("k", p.k, p.dtype, p.heads, p.rows, 16);
    require_aligned("v", p.v, p.dtype, p.heads, p.rows, 16);
    if (p.head_dim % 8 != 0 || p.head_dim > 128) {
      unsupported("head_dim is %d, the CUDA library profiles multiples of 8 up to 128", p.head_dim);
    }
    ProfileProblem problem{};
    problem.p = p;
    if (p.dtype == SVG_F16) {
      profile<f16>(problem, static_cast<cudaStream_t>(stream));
    } else if (p.dtype == SVG_BF16) {
      profile<bf16>(problem, static_cast<cudaStream_t>(stream));
    } else {
      unsupported("dtype is fp32, the CUDA library profiles fp16 and bf16");
    }
  });
}
