// Element types, 16-byte vectors of them, and what warps reduce.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#include "svg_kernels.h"

namespace svg {

using bf16 = __nv_bfloat16;
using f16 = __half;

__device__ inline float to_float(float x) { return x; }
__device__ inline float to_float(f16 x) { return __half2float(x); }
__device__ inline float to_float(bf16 x) { return __bfloat162float(x); }

template <class T>
__device__ inline T from_float(float x) {
  if constexpr (sizeof(T) == 4) {
    return x;
  } else if constexpr (std::is_same_v<T, f16>) {
    return __float2half_rn(x);
  } else {
    return __float2bfloat16_rn(x);
  }
}

/// N elements that are loaded and stored in one access.
template <class T, int N>
struct alignas(sizeof(T) * N) Vector {
  static_assert(sizeof(T) * N <= 16, "a vector is one access of at most 16 bytes");
  T v[N];
};

/// The most elements of T in one access.
template <class T>
constexpr int kVector = 16 / sizeof(T);

template <int N, class T>
__device__ inline Vector<T, N> load(const T* p) {
  return *reinterpret_cast<const Vector<T, N>*>(p);
}
template <int N, class T>
__device__ inline void store(T* p, const Vector<T, N>& v) {
  *reinterpret_cast<Vector<T, N>*>(p) = v;
}
/// For data that is read once: it does not push out what the caches should keep.
template <int N, class T>
__device__ inline Vector<T, N> load_streaming(const T* p) {
  Vector<T, N> result;
  if constexpr (sizeof(result) == 16) {
    *reinterpret_cast<int4*>(&result) = __ldcs(reinterpret_cast<const int4*>(p));
  } else if constexpr (sizeof(result) == 8) {
    *reinterpret_cast<int2*>(&result) = __ldcs(reinterpret_cast<const int2*>(p));
  } else {
    result = load<N>(p);
  }
  return result;
}
template <int N, class T>
__device__ inline void store_streaming(T* p, const Vector<T, N>& v) {
  if constexpr (sizeof(v) == 16) {
    __stcs(reinterpret_cast<int4*>(p), *reinterpret_cast<const int4*>(&v));
  } else if constexpr (sizeof(v) == 8) {
    __stcs(reinterpret_cast<int2*>(p), *reinterpret_cast<const int2*>(&v));
  } else {
    store(p, v);
  }
}

template <int Lanes = 32>
__device__ inline float sum_over(float x) {
#pragma unroll
  for (int i = Lanes / 2; i > 0; i /= 2) x += __shfl_xor_sync(0xffffffffu, x, i);
  return x;
}
__device__ inline float max_over_warp(float x) {
#pragma unroll
  for (int i = 16; i > 0; i /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, i));
  return x;
}

/// Calls body(T{}) with the element type of a svg_dtype.
template <class Body>
void with_type(int32_t dtype, Body body) {
  switch (dtype) {
    case SVG_F32:
      return body(float{});
    case SVG_F16:
      return body(f16{});
    default:
      return body(bf16{});
  }
}

}  // namespace svg
