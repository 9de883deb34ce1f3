// Softmax of scores with a bias, for attention that is made of matrix products: svg_softmax.
//
// Bytes: scores once in, probabilities once out; the bias of T5 is small and stays in the caches. A warp keeps a row of
// up to 1024 scores in registers, a block a longer one in shared memory, as much as it has; beyond (some 57,000 scores)
// the row is read twice. Threads side by side read scores side by side, four at a time where rows are aligned.
#include "../common/softmax_bias.h"
#include "channels.cuh"
#include "launch.h"

namespace svg {
namespace {

constexpr float kLog2E = 1.44269504f;
constexpr int kWarps = 4, kThreads = 512;
/// Accesses of a thread that are under way together.
constexpr int kAhead = 4;

/// One row of scores, N at a time.
class Row {
 public:
  __device__ Row(const svg_softmax_params& p, int head, int row)
      : p_(p),
        scores_(static_cast<const float*>(p.scores.data) + head * p.scores.head_stride + row * p.scores.row_stride),
        bias_(head * p.bias_strides[0] + row * p.bias_strides[1]) {}

  /// Scores, -infinity past the end. Several such calls should come before the first use.
  template <int N>
  __device__ void read(int at, float* x) const {
    Vector<float, N> scores;
#pragma unroll
    for (int j = 0; j < N; j++) scores.v[j] = -INFINITY;
    if (at < p_.width) scores = load<N>(scores_ + at);
    widen(scores, x);
  }
  /// Makes scores exponents: times scale, plus the bias.
  template <int N>
  __device__ void scale(int at, float* x) const {
    if (at >= p_.width) return;
#pragma unroll
    for (int j = 0; j < N; j++) x[j] *= p_.scale;
    if (p_.bias == nullptr) return;
#pragma unroll
    for (int j = 0; j < N; j++) {
      float bias[1];
      elements<1>(p_.bias, p_.bias_dtype, bias_ + (at + j) * p_.bias_strides[2], bias);
      x[j] += bias[0];
    }
  }

 private:
  const svg_softmax_params& p_;
  const float* const scores_;
  const int64_t bias_;
};

template <class T>
__device__ inline T* out_row(const svg_softmax_params& p, int head, int row) {
  return static_cast<T*>(p.out.data) + head * p.out.head_stride + row * p.out.row_stride;
}

/// e to the power of x; x - origin comes first, so that great weights have small errors.
__device__ inline float power(float x, float origin) { return exp2_fast((x - origin) * kLog2E); }

/// What is subtracted of exponents: their maximum, or 0 where every one is -infinity.
__device__ inline float origin(float most) { return most == -INFINITY ? 0 : most; }

__device__ inline float inverse(float sum) { return sum == 0 ? 0 : 1 / sum; }

/// The greatest over the block's threads; every warp calls it.
__device__ inline float max_over_block(float x) {
  __shared__ float parts[32];
  x = max_over_warp(x);
  __syncthreads();
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = x;
  __syncthreads();
  const int warps = blockDim.x / 32, lane = threadIdx.x % 32;
  return max_over_warp(lane < warps ? parts[lane] : -INFINITY);
}

/// A row a warp, Share scores a lane, N in one access.
template <class T, int Share, int N>
__global__ void __launch_bounds__(kWarps * 32) softmax_in_warps(const svg_softmax_params p) {
  static_assert(Share % N == 0, "a lane's share is whole accesses");
  const int head = blockIdx.y, row = blockIdx.x * kWarps + threadIdx.x / 32;
  if (row >= p.rows) return;  // whole warps
  const Row scores(p, head, row);
  const auto column = [](int i) { return int(threadIdx.x % 32 * N) + i * 32; };
  float x[Share], most = -INFINITY, sum = 0;
#pragma unroll
  for (int i = 0; i < Share; i += N) scores.read<N>(column(i), x + i);
#pragma unroll
  for (int i = 0; i < Share; i += N) scores.scale<N>(column(i), x + i);
#pragma unroll
  for (int i = 0; i < Share; i++) most = fmaxf(most, x[i]);
  most = origin(max_over_warp(most));
#pragma unroll
  for (int i = 0; i < Share; i++) sum += x[i] = power(x[i], most);
  const float by = inverse(sum_over(sum));
  T* const out = out_row<T>(p, head, row);
#pragma unroll
  for (int i = 0; i < Share; i += N) {
#pragma unroll
    for (int j = 0; j < N; j++) x[i + j] *= by;
    if (column(i) < p.width) store(out + column(i), narrow<T, N>(x + i));
  }
}

/// A row a block, in shared memory. Every thread comes back to the scores that it has read.
template <class T, int N>
__global__ void __launch_bounds__(kThreads) softmax_in_blocks(const svg_softmax_params p) {
  extern __shared__ float4 row_memory[];
  float* const x = reinterpret_cast<float*>(row_memory);
  const int head = blockIdx.y, row = blockIdx.x, first = threadIdx.x * N;
  const Row scores(p, head, row);
  float most = -INFINITY, sum = 0;
  for (int start = first; start < p.width; start += kAhead * kThreads * N) {
    const auto at = [&](int i) { return start + i * kThreads * N; };
    Vector<float, N> ahead[kAhead];
#pragma unroll
    for (int i = 0; i < kAhead; i++) scores.read<N>(at(i), ahead[i].v);
#pragma unroll
    for (int i = 0; i < kAhead; i++) {
      scores.scale<N>(at(i), ahead[i].v);
#pragma unroll
      for (int j = 0; j < N; j++) most = fmaxf(most, ahead[i].v[j]);
      if (at(i) < p.width) store(x + at(i), ahead[i]);
    }
  }
  most = origin(max_over_block(most));
  for (int at = first; at < p.width; at += kThreads * N) {
    Vector<float, N> here = load<N>(x + at);
#pragma unroll
    for (int j = 0; j < N; j++) sum += here.v[j] = power(here.v[j], most);
    store(x + at, here);
  }
  const float by = inverse(sum_over_block(sum));
  T* const out = out_row<T>(p, head, row);
  for (int at = first; at < p.width; at += kThreads * N) {
    Vector<float, N> here = load<N>(x + at);
#pragma unroll
    for (int j = 0; j < N; j++) here.v[j] *= by;
    store(out + at, narrow<T, N>(here.v));
  }
}

/// Any width: the maximum and the sum of what was read so far go together, then the row is read again.
template <class T>
__global__ void __launch_bounds__(kThreads) softmax_in_two_passes(const svg_softmax_params p) {
  const int head = blockIdx.y, row = blockIdx.x;
  const Row scores(p, head, row);
  float most = -INFINITY, sum = 0, x;
  for (int at = threadIdx.x; at < p.width; at += kThreads) {
    scores.read<1>(at, &x);
    scores.scale<1>(at, &x);
    const float next = fmaxf(most, x);
    sum = sum * power(most, origin(next)) + power(x, origin(next));
    most = next;
  }
  const float greatest = origin(max_over_block(most));
  const float by = inverse(sum_over_block(sum * power(most, greatest)));
  T* const out = out_row<T>(p, head, row);
  for (int at = threadIdx.x; at < p.width; at += kThreads) {
    scores.read<1>(at, &x);
    scores.scale<1>(at, &x);
    out[at] = from_float<T>(power(x, greatest) * by);
  }
}

template <class T, int N>
void softmax(const svg_softmax_params& p, cudaStream_t stream) {
  const auto in_warps = [&](auto kernel) {
    launch("softmax of rows", kernel, dim3(uint32_t(ceil_div(p.rows, kWarps)), p.heads), kWarps * 32, 0, stream, p);
  };
  if (p.width <= 32 * 4) return in_warps(softmax_in_warps<T, 4, N>);
  if (p.width <= 32 * 16) return in_warps(softmax_in_warps<T, 16, N>);
  if (p.width <= 32 * 32) return in_warps(softmax_in_warps<T, 32, N>);
  const size_t bytes = size_t(p.width) * sizeof(float), sums = 1024;
  const bool fits = bytes + sums <= size_t(Device::current().block_shared);
  launch("softmax of long rows", fits ? softmax_in_blocks<T, N> : softmax_in_two_passes<T>, dim3(p.rows, p.heads),
         kThreads, fits ? bytes : 0, stream, p);
}

}  // namespace
}  // namespace svg

int32_t svg_softmax(const svg_softmax_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_softmax_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("rows", p.rows, 1);
    at_least("width", p.width, 1);
    finite("scale", p.scale);
    Arguments arguments;
    arguments.read("scores", p.scores, SVG_F32, p.heads, p.rows, p.width);
    read_bias(arguments, p);
    if (p.dtype == SVG_F32) {
      arguments.write_over("out", p.out, "scores", p.scores, p.dtype, p.heads, p.rows, p.width);
    } else {
      arguments.write("out", p.out, p.dtype, p.heads, p.rows, p.width);
    }
    constexpr int kMaxWidth = 1 << 30;  // so that columns and steps stay in int
    if (p.width > kMaxWidth) unsupported("width is %d, the CUDA library has softmax of at most %d", p.width, kMaxWidth);
    with_type(p.dtype, [&](auto type) {
      using T = decltype(type);
      constexpr int kScores = 4;
      const bool vectors = p.width % kScores == 0 && aligned(p.scores, SVG_F32, p.heads, p.rows, 16) &&
                           aligned(p.out, p.dtype, p.heads, p.rows, kScores * int(sizeof(T)));
      const cudaStream_t on = static_cast<cudaStream_t>(stream);
      vectors ? softmax<T, kScores>(p, on) : softmax<T, 1>(p, on);
    });
  });
}
