// Softmax of scores with a bias, for attention that is made of matrix products: svg_softmax.
//
// Bytes: scores once in, probabilities once out; the bias of T5 is small and stays in the caches. A warp, or for rows
// beyond 1024 scores a block, keeps its row in registers, an element of every thread's share at a time, so that rows
// of any width and alignment are read in whole lines. Beyond 16,384 scores a block reads its row twice.
#include "../common/softmax_bias.h"
#include "channels.cuh"
#include "launch.h"

namespace svg {
namespace {

constexpr float kLog2E = 1.44269504f;

/// Scores of one row, -infinity past its end, and what their exponents are.
class Row {
 public:
  __device__ Row(const svg_softmax_params& p, int head, int row)
      : p_(p),
        scores_(static_cast<const float*>(p.scores.data) + head * p.scores.head_stride + row * p.scores.row_stride),
        bias_(head * p.bias_strides[0] + row * p.bias_strides[1]) {}

  __device__ float score(int i) const { return i < p_.width ? scores_[i] : -INFINITY; }

  __device__ float exponent(int i, float score) const {
    float bias[1] = {0};
    if (p_.bias != nullptr && i < p_.width) elements<1>(p_.bias, p_.bias_dtype, bias_ + i * p_.bias_strides[2], bias);
    return p_.scale * score + bias[0];
  }

 private:
  const svg_softmax_params& p_;
  const float* const scores_;
  const int64_t bias_;
};

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

/// Sharing threads have a row, Share scores each. A block is one row, or its warps are one row each.
template <class T, int Sharing, int Share, int Block>
__global__ void __launch_bounds__(Block) softmax_in_registers(const svg_softmax_params p) {
  constexpr bool kWarps = Sharing == 32;
  const int head = blockIdx.y, row = kWarps ? int(blockIdx.x) * (Block / 32) + int(threadIdx.x / 32) : int(blockIdx.x);
  const int first = threadIdx.x % Sharing;
  if (row >= p.rows) return;  // whole warps
  const Row scores(p, head, row);
  float x[Share];
#pragma unroll
  for (int i = 0; i < Share; i++) x[i] = scores.score(first + i * Sharing);
  float most = -INFINITY;
#pragma unroll
  for (int i = 0; i < Share; i++) {
    x[i] = scores.exponent(first + i * Sharing, x[i]);
    most = fmaxf(most, x[i]);
  }
  most = origin(kWarps ? max_over_warp(most) : max_over_block(most));
  float sum = 0;
#pragma unroll
  for (int i = 0; i < Share; i++) {
    x[i] = first + i * Sharing < p.width ? power(x[i], most) : 0;
    sum += x[i];
  }
  const float by = inverse(kWarps ? sum_over(sum) : sum_over_block(sum));
  T* const out = static_cast<T*>(p.out.data) + head * p.out.head_stride + row * p.out.row_stride;
#pragma unroll
  for (int i = 0; i < Share; i++) {
    const int at = first + i * Sharing;
    if (at < p.width) out[at] = from_float<T>(x[i] * by);
  }
}

/// Any width: the maximum and the sum of what was read so far go together, then the row is read again.
template <class T>
__global__ void __launch_bounds__(1024) softmax_in_two_passes(const svg_softmax_params p) {
  const int head = blockIdx.y, row = blockIdx.x;
  const Row scores(p, head, row);
  float most = -INFINITY, sum = 0;
  for (int i = threadIdx.x; i < p.width; i += 1024) {
    const float x = scores.exponent(i, scores.score(i)), next = fmaxf(most, x);
    sum = sum * power(most, origin(next)) + power(x, origin(next));
    most = next;
  }
  const float greatest = origin(max_over_block(most));
  const float by = inverse(sum_over_block(sum * power(most, greatest)));
  T* const out = static_cast<T*>(p.out.data) + head * p.out.head_stride + row * p.out.row_stride;
  for (int i = threadIdx.x; i < p.width; i += 1024) {
    out[i] = from_float<T>(power(scores.exponent(i, scores.score(i)), greatest) * by);
  }
}

template <class T, int Sharing, int Share>
void launch_in_registers(const svg_softmax_params& p, cudaStream_t stream) {
  constexpr int kBlock = Sharing == 32 ? 128 : Sharing;
  launch("softmax of rows", softmax_in_registers<T, Sharing, Share, kBlock>,
         dim3(uint32_t(ceil_div(p.rows, kBlock / Sharing)), p.heads), kBlock, 0, stream, p);
}

template <class T>
void softmax(const svg_softmax_params& p, cudaStream_t stream) {
  if (p.width <= 32 * 4) return launch_in_registers<T, 32, 4>(p, stream);
  if (p.width <= 32 * 16) return launch_in_registers<T, 32, 16>(p, stream);
  if (p.width <= 32 * 32) return launch_in_registers<T, 32, 32>(p, stream);
  if (p.width <= 256 * 16) return launch_in_registers<T, 256, 16>(p, stream);
  if (p.width <= 1024 * 16) return launch_in_registers<T, 1024, 16>(p, stream);
  launch("softmax of long rows", softmax_in_two_passes<T>, dim3(p.rows, p.heads), 1024, 0, stream, p);
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
    with_type(p.dtype, [&](auto type) { softmax<decltype(type)>(p, static_cast<cudaStream_t>(stream)); });
  });
}
