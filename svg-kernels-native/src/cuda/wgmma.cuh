// Matrix products of a warpgroup (wgmma, sm_90a): 64 rows from registers or shared memory by N columns from shared
// memory.
//
// Lane l of warp w holds rows 16 w + l / 4 (and 8 below), and of the result columns 8 j + 2 (l % 4) + {0, 1} at
// d[4 j + {0, 1}] (and d[4 j + {2, 3}] for the row below).
#pragma once

#include "vectors.cuh"

namespace svg {

/// Shared memory rows are stored in panels of this many 2-byte columns; a panel row is one swizzle span.
constexpr int panel_columns(int columns) { return columns % 64 == 0 ? 64 : 32; }

/// Byte offset of an element within a panel of rows of `columns` 2-byte elements: the tensor cores expect the 16-byte
/// pieces of a row exchanged by the row's number.
__host__ __device__ constexpr int swizzled(int row, int column, int columns) {
  const int offset = (row * columns + column) * 2;
  return columns == 64 ? offset ^ (offset >> 3 & 0x70) : offset ^ (offset >> 3 & 0x30);
}

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

/// What wgmma needs to know of an operand in shared memory: every 8 rows of a panel's columns lie one behind the other,
/// the next 8 rows group_bytes further. The swizzle goes by addresses, so that the operand may begin at any row.
template <int PanelColumns>
__device__ inline uint64_t rows_descriptor(uint32_t address, uint32_t group_bytes) {
  static_assert(PanelColumns == 64 || PanelColumns == 32, "a panel row is a swizzle span of 128 or 64 bytes");
  constexpr uint64_t swizzle = PanelColumns == 64 ? 1 : 2;
  return uint64_t((address & 0x3ffff) >> 4) | 1ull << 16 | uint64_t(group_bytes >> 4) << 32 | swizzle << 62;
}

/// The same of a whole panel.
template <int PanelColumns>
__device__ inline uint64_t panel_descriptor(uint32_t address) {
  return rows_descriptor<PanelColumns>(address, 8 * PanelColumns * 2);
}

/// The same of a panel whose 64 columns are the operand's N and whose rows are the 16 of its K: the operand is read
/// transposed. The next 64 of N lie `panel_bytes` further.
__device__ inline uint64_t transposed_descriptor(uint32_t address, uint32_t panel_bytes) {
  constexpr uint64_t eight_rows = 8 * 64 * 2 >> 4;
  return uint64_t((address & 0x3ffff) >> 4) | uint64_t(panel_bytes >> 4) << 16 | eight_rows << 32 | 1ull << 62;
}

/// Moves registers between the warpgroups of a block.
template <int Registers>
__device__ inline void more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(Registers));
}
template <int Registers>
__device__ inline void fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(Registers));
}

__device__ inline void wgmma_begin() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ inline void wgmma_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int Pending>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(Pending) : "memory");
}
/// Ties registers that a product reads or writes to this place in the program: without it the compiler, which takes an
/// asynchronous product for a finished one, may move their uses across a wait.
template <class T, int N>
__device__ inline void wgmma_hold(T (&registers)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) {
    if constexpr (std::is_same_v<T, float>) {
      asm volatile("" : "+f"(registers[i])::"memory");
    } else {
      asm volatile("" : "+r"(registers[i])::"memory");
    }
  }
}

#define SVG_D4(d, i) "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3])
#define SVG_D16(d, i) SVG_D4(d, i), SVG_D4(d, i + 4), SVG_D4(d, i + 8), SVG_D4(d, i + 12)
#define SVG_D64(d) SVG_D16(d, 0), SVG_D16(d, 16), SVG_D16(d, 32), SVG_D16(d, 48)
#define SVG_REGISTERS_8 "%0, %1, %2, %3, %4, %5, %6, %7"
#define SVG_REGISTERS_32                                                                                           \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31"
#define SVG_REGISTERS_48                                                                                           \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, " \
  "%46, %47"
#define SVG_REGISTERS_52                                                                                           \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, " \
  "%46, %47, %48, %49, %50, %51"
#define SVG_REGISTERS_64                                                                                           \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, " \
  "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define SVG_REGISTERS_88                                                                                           \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, " \
  "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, " \
  "%68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87"
#define SVG_REGISTERS_96                                                                                           \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, %16, %17, %18, %19, %20, %21, %22, %23, " \
  "%24, %25, %26, %27, %28, %29, %30, %31, %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, " \
  "%46, %47, %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, " \
  "%68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, " \
  "%90, %91, %92, %93, %94, %95"

/// d (+)= a b^T with a the fragments of 64 x 16, b a descriptor of N x 16; with Transposed, b is 16 x N.
template <class T, int N, bool Transposed = false>
struct Wgmma;

/// d (+)= a b^T with a a descriptor of 64 x 16, b one of N x 16.
template <class T, int N>
struct WgmmaShared;

// One instruction is one type: N columns of the result in COUNT registers, which come first among the operands.
#define SVG_WGMMA(T, TYPE, N, COUNT, TRANSPOSED, TRANSPOSE, A, B, ACCUMULATE, ...)                            \
  template <>                                                                                                 \
  struct Wgmma<T, N, TRANSPOSED> {                                                                            \
    static __device__ void run(float (&d)[COUNT], const uint32_t a0, const uint32_t a1, const uint32_t a2,    \
                               const uint32_t a3, const uint64_t b, const int accumulate) {                   \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " ACCUMULATE                                             \
                   ", 0;\n"                                                                                   \
                   "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" SVG_REGISTERS_##COUNT \
                   "}, {" A "}, " B ", p, 1, 1, " TRANSPOSE ";\n}\n"                                          \
                   : __VA_ARGS__                                                                              \
                   : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(b), "r"(accumulate));                            \
    }                                                                                                         \
  };
#define SVG_WGMMA_SHARED(T, TYPE, N, COUNT, A, B, ACCUMULATE, ...)                                            \
  template <>                                                                                                 \
  struct WgmmaShared<T, N> {                                                                                  \
    static __device__ void run(float (&d)[COUNT], const uint64_t a, const uint64_t b, const int accumulate) { \
      asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " ACCUMULATE                                             \
                   ", 0;\n"                                                                                   \
                   "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE " {" SVG_REGISTERS_##COUNT \
                   "}, " A ", " B ", p, 1, 1, 0, 0;\n}\n"                                                     \
                   : __VA_ARGS__                                                                              \
                   : "l"(a), "l"(b), "r"(accumulate));                                                        \
    }                                                                                                         \
  };
#define SVG_WGMMA_TYPES(T, TYPE)                                                                             \
  SVG_WGMMA(T, TYPE, 104, 52, false, "0", "%52, %53, %54, %55", "%56", "%57", SVG_D16(d, 0), SVG_D16(d, 16), \
            SVG_D16(d, 32), SVG_D4(d, 48))                                                                   \
  SVG_WGMMA(T, TYPE, 128, 64, false, "0", "%64, %65, %66, %67", "%68", "%69", SVG_D64(d))                    \
  SVG_WGMMA(T, TYPE, 176, 88, false, "0", "%88, %89, %90, %91", "%92", "%93", SVG_D64(d), SVG_D16(d, 64),    \
            SVG_D4(d, 80), SVG_D4(d, 84))                                                                    \
  SVG_WGMMA(T, TYPE, 64, 32, true, "1", "%32, %33, %34, %35", "%36", "%37", SVG_D16(d, 0), SVG_D16(d, 16))   \
  SVG_WGMMA(T, TYPE, 128, 64, true, "1", "%64, %65, %66, %67", "%68", "%69", SVG_D64(d))                     \
  SVG_WGMMA_SHARED(T, TYPE, 16, 8, "%8", "%9", "%10", SVG_D4(d, 0), SVG_D4(d, 4))                            \
  SVG_WGMMA_SHARED(T, TYPE, 96, 48, "%48", "%49", "%50", SVG_D16(d, 0), SVG_D16(d, 16), SVG_D16(d, 32))      \
  SVG_WGMMA_SHARED(T, TYPE, 192, 96, "%96", "%97", "%98", SVG_D64(d), SVG_D16(d, 64), SVG_D16(d, 80))        \
  SVG_WGMMA_SHARED(T, TYPE, 64, 32, "%32", "%33", "%34", SVG_D16(d, 0), SVG_D16(d, 16))                      \
  SVG_WGMMA_SHARED(T, TYPE, 176, 88, "%88", "%89", "%90", SVG_D64(d), SVG_D16(d, 64), SVG_D4(d, 80), SVG_D4(d, 84))
SVG_WGMMA_TYPES(bf16, "bf16")
SVG_WGMMA_TYPES(f16, "f16")

#undef SVG_WGMMA_TYPES
#undef SVG_WGMMA_SHARED
#undef SVG_WGMMA
#undef SVG_REGISTERS_8
#undef SVG_REGISTERS_32
#undef SVG_REGISTERS_48
#undef SVG_REGISTERS_52
#undef SVG_REGISTERS_64
#undef SVG_REGISTERS_88
#undef SVG_REGISTERS_96
#undef SVG_D64
#undef SVG_D16
#undef SVG_D4

#endif

}  // namespace svg
