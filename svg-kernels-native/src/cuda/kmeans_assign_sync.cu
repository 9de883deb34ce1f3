// The assignment of k-means with mma.sync: every device since sm_80, and fp32 rows (as tf32) everywhere.
//
// The same sums as kmeans_assign_wgmma.cu: a block keeps its rows of x as fragments in registers and passes the head's
// centroids by them in tiles of 64, two in shared memory at a time.
#include "async.cuh"
#include "kmeans.h"
#include "mma.cuh"

namespace svg {
namespace {

constexpr int kWarps = 8;

template <class T>
constexpr int kWarpRows = sizeof(T) == 2 ? 32 : 16;  // what fits the registers at 128 columns

template <class T, int Columns>
__global__ void __launch_bounds__(kWarps * 32) assign(const AssignProblem p) {
  constexpr int kGroups = Columns * sizeof(T) / 64, kHalves = kWarpRows<T> / 16;
  constexpr int kPitch = conflict_free_pitch(Columns * sizeof(T));
  constexpr int kPieces = Columns * sizeof(T) / 16;  // of 16 bytes a row
  if (p.skip != nullptr && *p.skip != 0) return;
  extern __shared__ __align__(16) char shared[];
  char* tiles = shared;                                                       // [2][kSyncTile][kPitch]
  float* biases = reinterpret_cast<float*>(shared + 2 * kSyncTile * kPitch);  // [2][kSyncTile]

  const int head = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32, quad = lane % 4;
  const int first = (blockIdx.x * kWarps + warp) * kWarpRows<T>;
  const char* image =
      static_cast<const char*>(p.centroids.data) + int64_t(head) * p.centroids.clusters * Columns * sizeof(T);
  const float* bias = p.centroids.bias + int64_t(head) * p.centroids.clusters;

  const auto fetch = [&](int tile, int slot) {
    for (int i = threadIdx.x; i < kSyncTile * kPieces; i += kWarps * 32) {
      copy_async(tiles + (slot * kSyncTile + i / kPieces) * kPitch + i % kPieces * 16,
                 image + (int64_t(tile) * kSyncTile * kPieces + i) * 16);
    }
    if (threadIdx.x < kSyncTile / 4) {
      copy_async(biases + slot * kSyncTile + threadIdx.x * 4, bias + tile * kSyncTile + threadIdx.x * 4);
    }
    copy_async_commit();
  };
  fetch(0, 0);

  Words x[2 * kHalves][kGroups];  // rows 0, 8, 16, 24
#pragma unroll
  for (int r = 0; r < 2 * kHalves; r++) {
    const int row = min(first + r * 8 + lane / 4, p.rows - 1);
    const T* from = static_cast<const T*>(p.x.data) + head * p.x.head_stride + row * p.x.row_stride;
#pragma unroll
    for (int g = 0; g < kGroups; g++) {
      constexpr int kLane = 16 / sizeof(T);
      const int column = (g * 4 + quad) * kLane;
      x[r][g] = column < p.dim ? *reinterpret_cast<const Words*>(from + column) : make_uint4(0, 0, 0, 0);
      if constexpr (sizeof(T) == 4) {
        x[r][g].x = __float_as_uint(operand<T>(__uint_as_float(x[r][g].x)));
        x[r][g].y = __float_as_uint(operand<T>(__uint_as_float(x[r][g].y)));
        x[r][g].z = __float_as_uint(operand<T>(__uint_as_float(x[r][g].z)));
        x[r][g].w = __float_as_uint(operand<T>(__uint_as_float(x[r][g].w)));
      }
    }
  }

  float best[2 * kHalves];
  int label[2 * kHalves];
#pragma unroll
  for (int r = 0; r < 2 * kHalves; r++) best[r] = -INFINITY, label[r] = 0;
  const int count = p.centroids.clusters / kSyncTile;
  for (int tile = 0; tile < count; tile++) {
    const int slot = tile % 2;
    if (tile + 1 < count) {
      fetch(tile + 1, slot ^ 1);
      copy_async_wait<1>();
    } else {
      copy_async_wait<0>();
    }
    __syncthreads();
#pragma unroll 2
    for (int j = 0; j < kSyncTile; j += 16) {
      float scores[2][kHalves][4] = {};
#pragma unroll
      for (int g = 0; g < kGroups; g++) {
#pragma unroll
        for (int n = 0; n < 2; n++) {
          const Words c = *reinterpret_cast<const Words*>(tiles + (slot * kSyncTile + j + n * 8 + lane / 4) * kPitch +
                                                          g * 64 + quad * 16);
#pragma unroll
          for (int h = 0; h < kHalves; h++) mma_group<T>(scores[n][h], x[2 * h][g], x[2 * h + 1][g], c);
        }
      }
#pragma unroll
      for (int n = 0; n < 2; n++) {
        const int column = j + n * 8 + 2 * quad;
        const float2 b = *reinterpret_cast<const float2*>(biases + slot * kSyncTile + column);
        const int cluster = tile * kSyncTile + column;
#pragma unroll
        for (int r = 0; r < 2 * kHalves; r++) {
          const float s0 = scores[n][r / 2][r % 2 * 2] + b.x, s1 = scores[n][r / 2][r % 2 * 2 + 1] + b.y;
          if (s0 > best[r]) best[r] = s0, label[r] = cluster;
          if (s1 > best[r]) best[r] = s1, label[r] = cluster + 1;
        }
      }
    }
    __syncthreads();
  }

#pragma unroll
  for (int r = 0; r < 2 * kHalves; r++) {
#pragma unroll
    for (int i = 1; i < 4; i *= 2) {
      const float other = __shfl_xor_sync(0xffffffffu, best[r], i);
      const int other_label = __shfl_xor_sync(0xffffffffu, label[r], i);
      if (other > best[r] || (other == best[r] && other_label < label[r])) {
        best[r] = other;
        label[r] = other_label;
      }
    }
    const int row = first + r * 8 + lane / 4;
    if (quad == 0 && row < p.rows) p.labels[int64_t(head) * p.rows + row] = label[r];
  }
}

template <class T, int Columns>
void launch_assign(const AssignProblem& p, cudaStream_t stream) {
  const int shared = 2 * kSyncTile * (conflict_free_pitch(Columns * sizeof(T)) + 4);
  const dim3 grid(uint32_t(ceil_div(p.rows, kWarps * kWarpRows<T>)), p.heads);
  launch("assigning rows to centroids (mma.sync)", assign<T, Columns>, grid, kWarps * 32, shared, stream, p);
}

}  // namespace

void assign_sync(const AssignProblem& problem, int32_t dtype, cudaStream_t stream) {
  with_type(dtype, [&](auto type) {
    using T = decltype(type);
    switch (problem.centroids.columns) {
      case 32:
        return launch_assign<T, 32>(problem, stream);
      case 64:
        return launch_assign<T, 64>(problem, stream);
      case 96:
        return launch_assign<T, 96>(problem, stream);
      default:
        return launch_assign<T, 128>(problem, stream);
    }
  });
}

}  // namespace svg
