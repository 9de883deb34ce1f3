// What kernels over rows of channels share: parameters of a type known at run time, reading ahead, the logistic
// function, sums over a block.
#pragma once

#include "async.cuh"
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
      widen(load<kPart>(static_cast<const T*>(array) + i + part), values + part);
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

/// A thread's pieces of 16 bytes of the rows that it works on and of those that come next, which are on their way into
/// shared memory meanwhile: so many bytes would not fit into registers. No other thread reads them, so that there are
/// no barriers.
template <int Pieces>
class ReadAhead {
 public:
  static constexpr int bytes(int threads) { return 2 * Pieces * 16 * threads; }

  /// memory has bytes(threads) bytes.
  __device__ explicit ReadAhead(void* memory) : slots_(static_cast<uint4*>(memory) + threadIdx.x) {}

  /// Starts with the next rows: address(i) is where piece i is, or null for none.
  template <class Address>
  __device__ void start(Address address) {
#pragma unroll
    for (int i = 0; i < Pieces; i++) {
      if (const void* piece = address(i)) copy_async(&slots_[(next_ + i) * blockDim.x], piece);
    }
    copy_async_commit();
    next_ = Pieces - next_;
  }
  /// Waits for the rows that came before those; what start() is called for next takes their place.
  __device__ void finish() const { copy_async_wait<1>(); }
  /// Reads it anew each time: kept in registers, the pieces would be too many.
  template <class V>
  __device__ V piece(int i) const {
    static_assert(sizeof(V) == 16);
    uint4 v;
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
                 : "r"(shared_address(&slots_[(next_ + i) * blockDim.x])));
    return *reinterpret_cast<V*>(&v);
  }

 private:
  uint4* const slots_;
  int next_ = 0;  // 0 or Pieces: where start() puts the next rows
};

/// 1 / (1 + exp(-x)); exp and the reciprocal in one instruction each, about 2 ulp.
__device__ inline float logistic(float x) {
  float power, result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(power) : "f"(x * -1.44269504f));
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(1 + power));
  return result;
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
