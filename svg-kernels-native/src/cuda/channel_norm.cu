// The Wan VAE's norm over channels, and SiLU: svg_channel_norm.
//
// Bytes: x once in and once out. Lanes of a warp share a row and have all of it in registers, so that it is read once;
// widths of three times a power of two, which that VAE has, take three pieces a lane and leave none idle. Rows that are
// longer, or not made of 16-byte pieces, are read twice, element by element.
#include "channels.cuh"
#include "launch.h"

namespace svg {
namespace {

constexpr int kThreads = 128, kMaxWidth = 16384;

struct ChannelNorm {
  svg_heads x, out;
  const void* weight;
  int weight_dtype, rows, width;
  float per_width, least;  // the least mean square
  bool silu;
};

/// What a row is multiplied with.
__device__ inline float factor(const ChannelNorm& p, float sum_of_squares) {
  const float mean = sum_of_squares * p.per_width;
  return rsqrtf(mean < p.least ? p.least : mean);  // NaN stays
}

/// Lanes a row, each Pieces pieces of 16 bytes, of Rows rows.
template <class T, int Lanes, int Pieces>
__global__ void __launch_bounds__(kThreads) normalise_pieces(const __grid_constant__ ChannelNorm p) {
  constexpr int V = kVector<T>, kGroups = kThreads / Lanes, Rows = Pieces > 2 ? 1 : 2;
  const int64_t first = int64_t(blockIdx.x) * (kGroups * Rows) + threadIdx.x / Lanes;
  const int lane = threadIdx.x % Lanes;
  const T* const x = static_cast<const T*>(p.x.data) + blockIdx.y * p.x.head_stride;
  T* const out = static_cast<T*>(p.out.data) + blockIdx.y * p.out.head_stride;
  const auto channel = [&](int i) { return (i * Lanes + lane) * V; };
  const auto within = [&](int r, int i) { return first + r * kGroups < p.rows && channel(i) < p.width; };
  Vector<T, V> pieces[Rows][Pieces];
#pragma unroll
  for (int r = 0; r < Rows; r++) {
#pragma unroll
    for (int i = 0; i < Pieces; i++) {
      pieces[r][i] = {};
      if (within(r, i)) pieces[r][i] = load<V>(x + (first + r * kGroups) * p.x.row_stride + channel(i));
    }
  }
  float sums[Rows];
#pragma unroll
  for (int r = 0; r < Rows; r++) {
    sums[r] = 0;
#pragma unroll
    for (int i = 0; i < Pieces; i++) {
      float values[V];
      widen(pieces[r][i], values);
#pragma unroll
      for (int j = 0; j < V; j++) sums[r] += values[j] * values[j];
    }
  }
  sums_over<Lanes>(sums);
#pragma unroll
  for (int i = 0; i < Pieces; i++) {
    float weight[V];
#pragma unroll
    for (int j = 0; j < V; j++) weight[j] = 1;
    if (p.weight != nullptr && channel(i) < p.width) elements<V>(p.weight, p.weight_dtype, channel(i), weight);
#pragma unroll
    for (int r = 0; r < Rows; r++) {
      if (!within(r, i)) continue;
      const float by = factor(p, sums[r]);
      float values[V];
      widen(pieces[r][i], values);
#pragma unroll
      for (int j = 0; j < V; j++) {
        values[j] *= by * weight[j];
        if (p.silu) values[j] *= logistic(values[j]);
      }
      store(out + (first + r * kGroups) * p.out.row_stride + channel(i), narrow<T, V>(values));
    }
  }
}

/// Any width and alignment: a block a row.
template <class T>
__global__ void __launch_bounds__(kThreads) normalise_elements(const __grid_constant__ ChannelNorm p) {
  const T* const x =
      static_cast<const T*>(p.x.data) + blockIdx.y * p.x.head_stride + int64_t(blockIdx.x) * p.x.row_stride;
  T* const out = static_cast<T*>(p.out.data) + blockIdx.y * p.out.head_stride + int64_t(blockIdx.x) * p.out.row_stride;
  float sum = 0;
  for (int i = threadIdx.x; i < p.width; i += kThreads) sum += to_float(x[i]) * to_float(x[i]);
  const float by = factor(p, sum_over_block(sum));
  for (int i = threadIdx.x; i < p.width; i += kThreads) {
    float weight[1] = {1};
    if (p.weight != nullptr) elements<1>(p.weight, p.weight_dtype, i, weight);
    float value = to_float(x[i]) * by * weight[0];
    if (p.silu) value *= logistic(value);
    out[i] = from_float<T>(value);
  }
}

template <class T, int Lanes, int Pieces>
void launch_pieces(const ChannelNorm& p, int heads, cudaStream_t stream) {
  constexpr int kRows = kThreads / Lanes * (Pieces > 2 ? 1 : 2);
  launch("normalising channels", normalise_pieces<T, Lanes, Pieces>, dim3(uint32_t(ceil_div(p.rows, kRows)), heads),
         kThreads, 0, stream, p);
}

template <class T>
void normalise(const ChannelNorm& p, int heads, bool pieces, cudaStream_t stream) {
  const int count = p.width / kVector<T>;
  if (!pieces || count > 128) {
    return launch("normalising channels by elements", normalise_elements<T>, dim3(p.rows, heads), kThreads, 0, stream,
                  p);
  }
  if (count == 12) return launch_pieces<T, 4, 3>(p, heads, stream);
  if (count == 24) return launch_pieces<T, 8, 3>(p, heads, stream);
  if (count == 48) return launch_pieces<T, 16, 3>(p, heads, stream);
  if (count <= 4) return launch_pieces<T, 4, 1>(p, heads, stream);
  if (count <= 8) return launch_pieces<T, 8, 1>(p, heads, stream);
  if (count <= 16) return launch_pieces<T, 16, 1>(p, heads, stream);
  if (count <= 32) return launch_pieces<T, 32, 1>(p, heads, stream);
  if (count <= 64) return launch_pieces<T, 32, 2>(p, heads, stream);
  if (count <= 96) return launch_pieces<T, 32, 3>(p, heads, stream);
  launch_pieces<T, 32, 4>(p, heads, stream);
}

}  // namespace
}  // namespace svg

int32_t svg_channel_norm(const svg_channel_norm_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_channel_norm_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("rows", p.rows, 1);
    in_range("width", p.width, 1, kMaxWidth);
    Arguments arguments;
    arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.width);
    arguments.read_weights("weight", p.weight, p.weight_dtype, p.width);
    arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.width);
    const ChannelNorm norm{p.x,        p.out,   p.weight,           p.weight_dtype,
                           p.rows,     p.width, 1 / float(p.width), 1e-24f / float(p.width),
                           p.silu != 0};
    const bool pieces = p.width * element_size(p.dtype) % 16 == 0 && aligned(p.x, p.dtype, p.heads, p.rows, 16) &&
                        aligned(p.out, p.dtype, p.heads, p.rows, 16) && reinterpret_cast<uintptr_t>(p.weight) % 16 == 0;
    with_type(p.dtype,
              [&](auto type) { normalise<decltype(type)>(norm, p.heads, pieces, static_cast<cudaStream_t>(stream)); });
  });
}
