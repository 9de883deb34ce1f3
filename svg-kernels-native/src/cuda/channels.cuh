// What kernels over rows of channels share: parameters of a type known at run time, sums over a block.
#pragma once

#include "vectors.cuh"

namespace svg {

/// N elements from i on, N * the element size a multiple of what the array is aligned to.
template <int N>
__device__ inline void elements(const void* array, int dtype, int64_t i, float (&values)[N]) {
  const auto read = [&](auto type) {
    using T = decltype(type);
    constexpr int kPart = N * sizeof(T) <= 16 ? N : 16 / sizeof(T);
#pragma unroll
    for (int part = 0; part < N; part += kPart) {
      const Vector<T, kPart> v = load<kPart>(static_cast<const T*>(array) + i + part);
#pragma unroll
      for (int j = 0; j < kPart; j++) values[part + j] = to_float(v.v[j]);
    }
  };
  if (dtype == SVG_F32) {
    read(float{});
  } else if (dtype == SVG_F16) {
    read(f16{});
  } else {
    read(bf16{});
  }
}

/// The sum over the block's threads; every warp calls it.
__device__ inline float sum_over_block(float x) {
  __shared__ float parts[32];
  x = sum_over(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  const int warps = blockDim.x / 32, lane = threadIdx.x % 32;
  return sum_over(lane < warps ? parts[lane] : 0);
}

}  // namespace svg
