// Video to patches and back: svg_patchify.
//
// Bytes: every element once in and once out. Threads go along the tokens, 16 bytes each, and gather (or scatter) the
// elements from the rows of the video, a few neighbouring ones of each: a block's tokens are neighbours too, so whole
// sectors come together in the caches. Where an element lies in its patch is in a table in shared memory.
#include "../common/patches.h"
#include "launch.h"
#include "vectors.cuh"

namespace svg {
namespace {

constexpr int kThreads = 256;

struct PatchMove {
  Patches patches;
  void* video;
  svg_heads tokens;
};

template <class T, int N, bool kInverse>
__global__ void __launch_bounds__(kThreads) move_patches(const PatchMove m, const uint32_t count) {
  extern __shared__ int32_t offsets[];
  for (int i = threadIdx.x; i < m.patches.elements; i += kThreads) offsets[i] = int32_t(m.patches.offset(i));
  __syncthreads();
  const uint32_t pieces = m.patches.elements / N;
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads) {
    const uint32_t token = i / pieces, first = i % pieces * N;
    T* patch = static_cast<T*>(m.video) + m.patches.start(token);
    T* row = static_cast<T*>(m.tokens.data) + int64_t(token) * m.tokens.row_stride + first;
    if constexpr (kInverse) {
      const Vector<T, N> piece = load_streaming<N>(row);
#pragma unroll
      for (int j = 0; j < N; j++) patch[offsets[first + j]] = piece.v[j];
    } else {
      Vector<T, N> piece;
#pragma unroll
      for (int j = 0; j < N; j++) piece.v[j] = patch[offsets[first + j]];
      store_streaming(row, piece);
    }
  }
}

template <class T>
void move(const PatchMove& m, int32_t dtype, bool inverse, cudaStream_t stream) {
  constexpr int N = 16 / sizeof(T);
  const bool vectors = m.patches.elements % N == 0 && aligned(m.tokens, dtype, 1, m.patches.tokens, 16);
  const int64_t count = int64_t(m.patches.tokens) * (m.patches.elements / (vectors ? N : 1));
  const int64_t most = int64_t(Device::current().processors) * 8, needed = ceil_div(count, kThreads);
  const auto kernel = vectors ? (inverse ? move_patches<T, N, true> : move_patches<T, N, false>)
                              : (inverse ? move_patches<T, 1, true> : move_patches<T, 1, false>);
  launch("moving patches", kernel, uint32_t(needed < most ? needed : most), kThreads,
         m.patches.elements * sizeof(int32_t), stream, m, count);
}

}  // namespace
}  // namespace svg

int32_t svg_patchify(const svg_patchify_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_patchify_params& p) {
    const Patches patches(p);
    const svg_heads video{p.video, 0, patches.elements};  // as rows, for the checks
    Arguments arguments;
    if (p.inverse != 0) {
      arguments.read("tokens", p.tokens, p.dtype, 1, patches.tokens, patches.elements);
      arguments.write("video", video, p.dtype, 1, patches.tokens, patches.elements);
    } else {
      arguments.read("video", video, p.dtype, 1, patches.tokens, patches.elements);
      arguments.write("tokens", p.tokens, p.dtype, 1, patches.tokens, patches.elements);
    }
    if (patches.elements > 16384) {
      unsupported("tokens of %d elements, the CUDA library has patches of at most 16384", patches.elements);
    }
    if (int64_t(patches.tokens) * patches.elements > INT32_MAX) {
      unsupported("%d tokens of %d elements are too many for one call", patches.tokens, patches.elements);
    }
    PatchMove m{patches, p.video, p.tokens};
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    // Two neighbours of 2 bytes move as one of 4 where they stay together.
    const bool pairs = p.dtype != SVG_F32 && p.order == SVG_PATCH_CTHW && p.patch_width % 2 == 0 &&
                       reinterpret_cast<uintptr_t>(p.video) % 4 == 0 &&
                       aligned(p.tokens, p.dtype, 1, patches.tokens, 4);
    if (pairs) {
      m.patches.width /= 2;
      m.patches.patch_width /= 2;
      m.patches.elements /= 2;
      m.tokens.row_stride /= 2;
    }
    if (pairs || p.dtype == SVG_F32) {
      move<uint32_t>(m, SVG_F32, p.inverse != 0, on);
    } else {
      move<uint16_t>(m, p.dtype, p.inverse != 0, on);
    }
  });
}
