// Element types, 16-byte vectors of them, and what warps reduce.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

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

/// x, or the largest number of T of its sign where x is beyond all of them: of the types here fp16 has so few. NaN
/// stays.
template <class T>
__device__ inline float within(float x) {
  if constexpr (std::is_same_v<T, f16>) {
    asm("min.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(65504.0f));
    asm("max.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(-65504.0f));
  }
  return x;
}

/// 2 to the power of x in one instruction, to about 2 units in the last place; results below 2^-126 become 0.
__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
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

/// Makes the compiler forget what it has computed from v: to widen it again takes less than to keep the floats.
template <class T, int N>
__device__ inline void forget(Vector<T, N>& v) {
  static_assert(sizeof v == 16);
  uint4& words = *reinterpret_cast<uint4*>(&v);
  asm volatile("" : "+r"(words.x), "+r"(words.y), "+r"(words.z), "+r"(words.w));
}

/// To float, an element an instruction, and back, two an instruction.
template <class T, int N>
__device__ inline void widen(const Vector<T, N>& from, float* to) {
  if constexpr (std::is_same_v<T, bf16> && N % 2 == 0) {
    uint32_t pairs[N / 2];
    __builtin_memcpy(pairs, from.v, sizeof pairs);
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
      to[2 * i] = __uint_as_float(pairs[i] << 16);
      to[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
    }
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) to[i] = to_float(from.v[i]);
  }
}
template <class T, int N>
__device__ inline Vector<T, N> narrow(const float* from) {
  Vector<T, N> result;
  if constexpr (sizeof(T) == 2 && N % 2 == 0) {
    using Pair = std::conditional_t<std::is_same_v<T, bf16>, __nv_bfloat162, __half2>;
    Pair pairs[N / 2];
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
      if constexpr (std::is_same_v<T, bf16>) {
        pairs[i] = __floats2bfloat162_rn(from[2 * i], from[2 * i + 1]);
      } else {
        pairs[i] = __floats2half2_rn(from[2 * i], from[2 * i + 1]);
      }
    }
    __builtin_memcpy(result.v, pairs, sizeof pairs);
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) result.v[i] = from_float<T>(from[i]);
  }
  return result;
}

template <int Lanes = 32>
__device__ inline float sum_over(float x) {
#pragma unroll
  for (int i = Lanes / 2; i > 0; i /= 2) x += __shfl_xor_sync(0xffffffffu, x, i);
  return x;
}
/// Several sums at once, which hides the latency of the shuffles.
template <int Lanes = 32, int N>
__device__ inline void sums_over(float (&x)[N]) {
#pragma unroll
  for (int i = Lanes / 2; i > 0; i /= 2) {
#pragma unroll
    for (int j = 0; j < N; j++) x[j] += __shfl_xor_sync(0xffffffffu, x[j], i);
  }
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
