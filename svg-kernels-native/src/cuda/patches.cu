// Video to patches and back: svg_patchify.
//
// Bytes: every element once in and once out. A thread holds 16 bytes of a token, which are a few neighbouring elements
// from each of some rows of the video; where these lie in a patch is in a table in shared memory. To patches, a warp's
// threads go along the tokens' memory and the caches bring together what the rows' sectors hold; from patches, each has
// a token of its own, so that what a warp writes to a row is contiguous.
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

/// The first element of a token's patch.
__device__ inline int64_t patch_start(const Patches& p, uint32_t token) {
  const uint32_t across = p.width / p.patch_width, down = p.height / p.patch_height, line = token / across;
  return p.in_video(0, line / down * p.patch_frames, line % down * p.patch_height, token % across * p.patch_width);
}

template <class T, int N, bool kInverse>
__global__ void __launch_bounds__(kThreads) move_patches(const PatchMove m) {
  extern __shared__ int32_t offsets[];  // in the video, of a token's elements
  const Patches& p = m.patches;
  for (int i = threadIdx.x; i < p.elements; i += kThreads) {
    const int w = i % p.patch_width, row = i / p.patch_width, h = row % p.patch_height,
              t = row / p.patch_height % p.patch_frames, c = row / p.patch_height / p.patch_frames;
    offsets[p.in_token(c, t, h, w)] = int32_t(p.in_video(c, t, h, w));
  }
  __syncthreads();
  T *video = static_cast<T*>(m.video), *tokens = static_cast<T*>(m.tokens.data);
  const uint32_t pieces = p.elements / N, count = uint32_t(p.tokens) * (kInverse ? 1 : pieces);
  for (uint32_t i = blockIdx.x * kThreads + threadIdx.x; i < count; i += gridDim.x * kThreads) {
    if constexpr (kInverse) {
      T* patch = video + patch_start(p, i);
      const T* token = tokens + i * m.tokens.row_stride;
#pragma unroll 4
      for (int first = 0; first < p.elements; first += N) {
        const Vector<T, N> piece = load<N>(token + first);
#pragma unroll
        for (int j = 0; j < N; j++) patch[offsets[first + j]] = piece.v[j];
      }
    } else {
      const T* patch = video + patch_start(p, i / pieces);
      const int first = i % pieces * N;
      Vector<T, N> piece;
#pragma unroll
      for (int j = 0; j < N; j++) piece.v[j] = patch[offsets[first + j]];
      store_streaming(tokens + i / pieces * m.tokens.row_stride + first, piece);
    }
  }
}

template <class T>
void move(const PatchMove& m, int32_t dtype, bool inverse, cudaStream_t stream) {
  constexpr int N = 16 / sizeof(T);
  const Patches& p = m.patches;
  const bool vectors = p.elements % N == 0 && aligned(m.tokens, dtype, 1, p.tokens, 16);
  const auto kernel = vectors ? (inverse ? move_patches<T, N, true> : move_patches<T, N, false>)
                              : (inverse ? move_patches<T, 1, true> : move_patches<T, 1, false>);
  const int64_t count = inverse ? p.tokens : int64_t(p.tokens) * p.elements / (vectors ? N : 1);
  const int64_t most = int64_t(Device::current().processors) * 8, needed = ceil_div(count, kThreads);
  launch("moving patches", kernel, uint32_t(needed < most ? needed : most), kThreads, p.elements * sizeof(int32_t),
         stream, m);
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
