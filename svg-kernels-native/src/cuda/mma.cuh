// Matrix products of one warp (mma.sync, sm_80 and later), and their operands from shared memory.
#pragma once

#include "vectors.cuh"

namespace svg {

/// One lane's 16 bytes of a row.
using Words = uint4;

__device__ inline uint32_t word(const Words& w, int i) { return i == 0 ? w.x : i == 1 ? w.y : i == 2 ? w.z : w.w; }

/// d += a b^T for 16 rows (lane / 4 and lane / 4 + 8) and 8 columns (lane / 4 holds b, 2 (lane % 4) + {0, 1} hold d).
template <class T>
__device__ inline void mma(float (&d)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0,
                           uint32_t b1) {
  if constexpr (std::is_same_v<T, bf16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else if constexpr (std::is_same_v<T, f16>) {
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  } else {
    static_assert(std::is_same_v<T, float>, "products are of bf16, f16 or tf32");
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
  }
}

/// The two steps of a 64-byte group: a of row lane / 4, a8 of the row 8 below, b of column lane / 4.
///
/// A scalar product does not depend on the order of its terms. So instead of the fragments' own order of columns, every
/// lane takes 16 contiguous bytes of a row, and both operands agree on which step they go to: with q = lane % 4, group
/// g of 64 bytes feeds two steps, and lane q holds bytes [64 g + 16 q, + 16) of its rows: words 0 and 1 for the first
/// step, 2 and 3 for the second. No ldmatrix, no rearranging.
template <class T>
__device__ inline void mma_group(float (&d)[4], const Words& a, const Words& a8, const Words& b) {
  mma<T>(d, a.x, a8.x, a.y, a8.y, b.x, b.y);
  mma<T>(d, a.z, a8.z, a.w, a8.w, b.z, b.w);
}

/// Four 8 x 8 matrices of 2-byte elements from shared memory, in the order of the products' fragments. Lane i holds the
/// address of row i % 8 of matrix i / 8.
__device__ inline Words load_matrices(uint32_t shared) {
  Words w;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
               : "r"(shared)
               : "memory");
  return w;
}
/// The same, transposed.
__device__ inline Words load_matrices_transposed(uint32_t shared) {
  Words w;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
               : "r"(shared)
               : "memory");
  return w;
}

/// Two elements of T as one word, the first one low.
template <class T>
__device__ inline uint32_t packed(float first, float second) {
  if constexpr (std::is_same_v<T, bf16>) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
    return *reinterpret_cast<const uint32_t*>(&pair);
  } else {
    const __half2 pair = __floats2half2_rn(first, second);
    return *reinterpret_cast<const uint32_t*>(&pair);
  }
}

/// x as the products read it: float is rounded to tf32, the others are exact.
template <class T>
__device__ inline T operand(float x) {
  if constexpr (sizeof(T) == 4) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return __uint_as_float(bits);
  } else {
    return from_float<T>(x);
  }
}

/// Bytes from row to row in shared memory, so that a quarter warp (2 rows of 64 bytes) touches every bank once.
constexpr int conflict_free_pitch(int row_bytes) { return (row_bytes + 63) / 128 * 128 + 64; }
static_assert(conflict_free_pitch(256) == 320 && conflict_free_pitch(64) == 64 && conflict_free_pitch(192) == 192,
              "a pitch is 64 more than a multiple of 128 bytes, and holds the row");

}  // namespace svg
