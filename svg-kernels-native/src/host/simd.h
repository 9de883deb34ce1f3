// Vectors and instruction sets.
//
// Hot loops are templates over an instruction set's vector length and register tile. Each is compiled once per set in
// SVG_DISPATCH and chosen at run time, so one library serves every x86-64 machine and uses the registers it finds.
// Vectors are GCC's: lane-wise operators on a fixed number of floats, which other architectures have as well.
#pragma once

#include <cstdint>

namespace svg {

#define SVG_INLINE inline __attribute__((always_inline))

enum class InstructionSet { kBaseline, kV3, kV4 };

/// The best set that the machine has, or the lower one that the environment variable SVG_KERNELS_ISA names
/// (x86-64-v3 or baseline), which tests use to reach every variant.
InstructionSet instruction_set();
const char* instruction_set_name();

/// N floats in one register, and R rows of two registers each as the tile that products accumulate in: enough
/// independent sums to hide the latency of multiply-add, few enough to stay in the register file.
template <int N, int R>
struct Lanes {
  static constexpr int kFloats = N;
  static constexpr int kTileRows = R;
  typedef float Float __attribute__((vector_size(N * sizeof(float)), may_alias));
  typedef int32_t Int __attribute__((vector_size(N * sizeof(int32_t)), may_alias));

  static SVG_INLINE Float& at(float* p) { return *reinterpret_cast<Float*>(p); }
  static SVG_INLINE const Float& at(const float* p) { return *reinterpret_cast<const Float*>(p); }
  static SVG_INLINE const Int& at(const int32_t* p) { return *reinterpret_cast<const Int*>(p); }
  static SVG_INLINE Int& at(int32_t* p) { return *reinterpret_cast<Int*>(p); }
};

using BaselineLanes = Lanes<4, 4>;  // 16 registers of 4
using V3Lanes = Lanes<8, 4>;        // 16 registers of 8
using V4Lanes = Lanes<16, 8>;       // 32 registers of 16

/// Scratch memory is aligned to the longest vector, and its rows are as long as a multiple of it, so that no product
/// and no transpose has a remainder over dimensions.
constexpr int kAlignment = 64;
constexpr int kMaxLanes = 16;
constexpr int padded(int dim) { return (dim + kMaxLanes - 1) / kMaxLanes * kMaxLanes; }

#if defined(__x86_64__)
#define SVG_DISPATCH(name, body, Argument)                                                                         \
  __attribute__((target("arch=x86-64-v4"))) static void name##_v4(Argument& argument) { body<V4Lanes>(argument); } \
  __attribute__((target("arch=x86-64-v3"))) static void name##_v3(Argument& argument) { body<V3Lanes>(argument); } \
  static void name##_baseline(Argument& argument) { body<BaselineLanes>(argument); }                               \
  void name(Argument& argument) {                                                                                  \
    switch (instruction_set()) {                                                                                   \
      case InstructionSet::kV4:                                                                                    \
        return name##_v4(argument);                                                                                \
      case InstructionSet::kV3:                                                                                    \
        return name##_v3(argument);                                                                                \
      case InstructionSet::kBaseline:                                                                              \
        return name##_baseline(argument);                                                                          \
    }                                                                                                              \
  }
#define SVG_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define SVG_DISPATCH(name, body, Argument) \
  void name(Argument& argument) { body<BaselineLanes>(argument); }
#define SVG_CLONES
#endif

/// 2^x for x <= 0. Below 2^-125 it is 0, NaN stays NaN. Relative error below 2e-7: a minimax polynomial of 2^f on
/// [-0.5, 0.5] (2e-9) in single precision, times 2^n by adding n to the exponent.
template <class L>
SVG_INLINE typename L::Float exp2_nonpositive(typename L::Float x) {
  using Float = typename L::Float;
  using Int = typename L::Int;
  constexpr float kLeast = -125.0f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, which its low bits then hold
  const Float least = kLeast - Float{};
  const Float clamped = x < least ? least : x;  // NaN passes
  const Float shifted = clamped + kRound;
  const Float f = clamped - (shifted - kRound);
  Float p = 1.5345812425948679e-4f * f + 1.3399930903688073e-3f;
  p = p * f + 9.618489071726799e-3f;
  p = p * f + 5.550328642129898e-2f;
  p = p * f + 2.4022646248340607e-1f;
  p = p * f + 6.931471824645996e-1f;
  p = p * f + 1.0f;
  const Float scaled = (Float)((Int)p + ((Int)shifted << 23));
  return x >= least ? scaled : clamped - kLeast;  // 0 where clamped, NaN where x is NaN
}

/// Transposes a square of vectors: swaps the off-diagonal quarters of 2 x 2, then of 4 x 4 and so on.
template <class L>
SVG_INLINE void transpose(typename L::Float (&square)[L::kFloats]) {
  using Int = typename L::Int;
  constexpr int N = L::kFloats;
  Int lane{};
  for (int i = 0; i < N; i++) lane[i] = i;
#pragma GCC unroll 4
  for (int half = 1; half < N; half *= 2) {
    // __builtin_shuffle counts through both vectors; lanes with the bit `half` cleared are a quarter's left half.
    const Int upper = (lane & half) == 0 ? lane : lane + (N - half);
    const Int lower = (lane & half) == 0 ? lane + half : lane + N;
#pragma GCC unroll 16
    for (int i = 0; i < N; i++) {
      if ((i & half) != 0) continue;
      const auto a = square[i], b = square[i + half];
      square[i] = __builtin_shuffle(a, b, upper);
      square[i + half] = __builtin_shuffle(a, b, lower);
    }
  }
}

}  // namespace svg
