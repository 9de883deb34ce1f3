// Copies into shared memory that run beside the arithmetic: cp.async (sm_80), bulk copies and their barriers (sm_90).
#pragma once

#include <cuda.h>
#include <cuda_runtime.h>

#include <cstdint>

namespace svg {

__device__ inline uint32_t shared_address(const void* p) { return uint32_t(__cvta_generic_to_shared(p)); }

/// 16 bytes from global to shared memory.
__device__ inline void copy_async(uint32_t shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
}
__device__ inline void copy_async(void* shared, const void* global) { copy_async(shared_address(shared), global); }
/// The same, or zeros in place of what is not there (then global is any valid address).
__device__ inline void copy_async_or_zero(uint32_t shared, const void* global, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(there ? 16 : 0)
               : "memory");
}
__device__ inline void copy_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most `Pending` of the thread's latest groups are under way.
template <int Pending>
__device__ inline void copy_async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(Pending) : "memory");
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900

/// A barrier in shared memory that counts arrivals and bytes.
struct Barrier {
  uint64_t state;

  __device__ void init(int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(this)), "r"(arrivals) : "memory");
  }
  __device__ void arrive() {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(this)) : "memory");
  }
  /// Arrives once, and lets the phase wait for this many bytes of bulk copies.
  __device__ void arrive_expecting(int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(this)), "r"(bytes)
                 : "memory");
  }
  /// Waits until the phase of this parity is over.
  __device__ void wait(int parity) {
    asm volatile(
        "{\n"
        ".reg .pred done;\n"
        "wait:\n"
        "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
        "@done bra over;\n"
        "bra wait;\n"
        "over:\n"
        "}\n" ::"r"(shared_address(this)),
        "r"(parity)
        : "memory");
  }
};

/// Makes barrier initialisations visible to bulk copies.
__device__ inline void fence_barrier_init() { asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory"); }

/// Makes the thread's writes to shared memory visible to bulk copies and to the tensor cores, once a barrier follows.
__device__ inline void fence_async_proxy() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// A contiguous copy of a multiple of 16 bytes between 16-byte aligned addresses.
__device__ inline void copy_bulk(void* shared, const void* global, int bytes, Barrier& barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                   shared_address(shared)),
               "l"(global), "r"(bytes), "r"(shared_address(&barrier))
               : "memory");
}

/// A box of a tensor (columns, rows, heads), its first element at these coordinates; what lies outside of the tensor
/// arrives as zeros.
__device__ inline void copy_box(void* shared, const CUtensorMap& map, int column, int row, int head, Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4}], "
      "[%5];" ::"r"(shared_address(shared)),
      "l"(&map), "r"(column), "r"(row), "r"(head), "r"(shared_address(&barrier))
      : "memory");
}
/// The same of a tensor (channels, columns, rows, frames).
__device__ inline void copy_box(void* shared, const CUtensorMap& map, int channel, int column, int row, int frame,
                                Barrier& barrier) {
  asm volatile(
      "cp.async.bulk.tensor.4d.shared::cluster.global.tile.mbarrier::complete_tx::bytes [%0], [%1, {%2, %3, %4, %5}], "
      "[%6];" ::"r"(shared_address(shared)),
      "l"(&map), "r"(channel), "r"(column), "r"(row), "r"(frame), "r"(shared_address(&barrier))
      : "memory");
}

#endif

}  // namespace svg
