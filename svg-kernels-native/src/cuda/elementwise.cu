// One value from one value: svg_gated_residual, svg_activation (with bias and casts).
//
// Bytes: every input once in, the output once out. A thread owns the channels of one access (16 bytes of the wider
// type, or one element where rows are not aligned) in several rows: what belongs to a channel is read once for them,
// there is hardly anything to divide, and all loads come before the first use.
#include "channels.cuh"
#include "launch.h"

namespace svg {
namespace {

constexpr int kThreads = 256;

/// How a block's threads lie over a head: `columns` pieces of channels by kThreads / columns rows, Rows times.
struct Grid {
  int columns, column_blocks;

  /// The first channel of this thread, of N.
  template <int N>
  __device__ int channel() const {
    return int(blockIdx.x % column_blocks * columns + threadIdx.x % columns) * N;
  }
  /// Its r-th row.
  template <int Rows>
  __device__ int64_t row(int r) const {
    const int height = kThreads / columns;
    return (int64_t(blockIdx.x / column_blocks) * Rows + r) * height + threadIdx.x / columns;
  }
};

/// 8 accesses of each thread under way in either kernel, if they are of 16 bytes.
constexpr int kGatedRows = 4, kActivatedRows = 8;

template <class T, int N>
__global__ void __launch_bounds__(kThreads, 3) add_gated(const svg_gated_residual_params p, const Grid grid) {
  const int head = blockIdx.y, channel = grid.channel<N>();
  if (channel >= p.width) return;
  const auto of_head = [&](const svg_heads& t) { return static_cast<T*>(t.data) + head * t.head_stride + channel; };
  const T *const x = of_head(p.x), *const y = of_head(p.y);
  T* const out = of_head(p.out);
  const auto row = [&](int r) { return grid.row<kGatedRows>(r); };
  Vector<T, N> xs[kGatedRows], ys[kGatedRows];
#pragma unroll
  for (int r = 0; r < kGatedRows; r++) {
    if (row(r) < p.rows) {
      xs[r] = load<N>(x + row(r) * p.x.row_stride);
      ys[r] = load<N>(y + row(r) * p.y.row_stride);
    }
  }
  const int64_t gate_at = head * p.gate.head_stride + channel;
  const bool per_row = p.gate.data != nullptr && p.gate.row_stride != 0;
  float gate[N];
#pragma unroll
  for (int j = 0; j < N; j++) gate[j] = 1;
  if (p.gate.data != nullptr && !per_row) elements<N>(p.gate.data, p.gate_dtype, gate_at, gate);
#pragma unroll
  for (int r = 0; r < kGatedRows; r++) {
    if (row(r) < p.rows) {
      if (per_row) elements<N>(p.gate.data, p.gate_dtype, gate_at + row(r) * p.gate.row_stride, gate);
      float sums[N], added[N];
      widen(xs[r], sums);
      widen(ys[r], added);
#pragma unroll
      for (int j = 0; j < N; j++) sums[j] += gate[j] * added[j];
      store(out + row(r) * p.out.row_stride, narrow<T, N>(sums));
    }
  }
}

template <int Kind>
__device__ inline float activated(float x) {
  if constexpr (Kind == SVG_GELU_TANH) {
    // x / 2 (1 + tanh(u)) = x / (1 + exp(-2 u)), u = sqrt(2 / pi) (x + 0.044715 x^3)
    return x * logistic(x * (1.5957691216f + 0.0713548163f * x * x));
  } else if constexpr (Kind == SVG_SILU) {
    return x * logistic(x);
  } else {
    return x;
  }
}

template <class From, class To, int N, int Kind>
__global__ void __launch_bounds__(kThreads, 3) activate(const svg_activation_params p, const Grid grid) {
  const int head = blockIdx.y, channel = grid.channel<N>();
  if (channel >= p.width) return;
  const From* const x = static_cast<const From*>(p.x.data) + head * p.x.head_stride + channel;
  To* const out = static_cast<To*>(p.out.data) + head * p.out.head_stride + channel;
  const auto row = [&](int r) { return grid.row<kActivatedRows>(r); };
  Vector<From, N> xs[kActivatedRows];
#pragma unroll
  for (int r = 0; r < kActivatedRows; r++) {
    if (row(r) < p.rows) xs[r] = load<N>(x + row(r) * p.x.row_stride);
  }
  float bias[N] = {};
  if (p.bias != nullptr) elements<N>(p.bias, p.bias_dtype, channel, bias);
#pragma unroll
  for (int r = 0; r < kActivatedRows; r++) {
    if (row(r) < p.rows) {
      float values[N];
      widen(xs[r], values);
#pragma unroll
      for (int j = 0; j < N; j++) values[j] = activated<Kind>(values[j] + bias[j]);
      store(out + row(r) * p.out.row_stride, narrow<To, N>(values));
    }
  }
}

/// N channels an access, Rows rows a thread.
template <int N, int Rows, class Params>
void launch_grid(const char* name, void (*kernel)(Params, Grid), const Params& p, cudaStream_t stream) {
  const int pieces = p.width / N;
  int columns = 1;
  while (columns < pieces && columns < 128) columns *= 2;
  const Grid grid{columns, int(ceil_div(pieces, columns))};
  const int64_t blocks = ceil_div(p.rows, kThreads / columns * Rows) * grid.column_blocks;
  if (blocks > INT32_MAX) unsupported("%d rows by %d are too many for one call", p.rows, p.width);
  launch(name, kernel, dim3(uint32_t(blocks), p.heads), kThreads, 0, stream, p, grid);
}

bool whole(const void* array) { return reinterpret_cast<uintptr_t>(array) % 16 == 0; }

}  // namespace
}  // namespace svg

int32_t svg_gated_residual(const svg_gated_residual_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_gated_residual_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("rows", p.rows, 1);
    at_least("width", p.width, 1);
    Arguments arguments;
    arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.width);
    arguments.read("y", p.y, p.dtype, p.heads, p.rows, p.width);
    arguments.read_broadcast("gate", p.gate, p.gate_dtype, p.heads, p.rows, p.width);
    arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.width);
    bool vectors = p.width * element_size(p.dtype) % 16 == 0;
    for (const svg_heads* t : {&p.x, &p.y, &p.out}) vectors = vectors && aligned(*t, p.dtype, p.heads, p.rows, 16);
    vectors = vectors && (p.gate.data == nullptr || aligned(p.gate, p.gate_dtype, p.heads, p.rows, 16));
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    with_type(p.dtype, [&](auto type) {
      using T = decltype(type);
      if (vectors) {
        launch_grid<kVector<T>, kGatedRows>("adding gated rows", add_gated<T, kVector<T>>, p, on);
      } else {
        launch_grid<1, kGatedRows>("adding gated elements", add_gated<T, 1>, p, on);
      }
    });
  });
}

int32_t svg_activation(const svg_activation_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_activation_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("rows", p.rows, 1);
    at_least("width", p.width, 1);
    in_range("kind", p.kind, SVG_IDENTITY, SVG_SILU);
    in_range("x_dtype", p.x_dtype, SVG_F32, SVG_BF16);
    in_range("out_dtype", p.out_dtype, SVG_F32, SVG_BF16);
    Arguments arguments;
    arguments.read("x", p.x, p.x_dtype, p.heads, p.rows, p.width);
    arguments.read_weights("bias", p.bias, p.bias_dtype, p.width);
    if (p.x_dtype == p.out_dtype) {
      arguments.write_over("out", p.out, "x", p.x, p.out_dtype, p.heads, p.rows, p.width);
    } else {
      arguments.write("out", p.out, p.out_dtype, p.heads, p.rows, p.width);
    }
    const int widest = p.x_dtype == SVG_F32 || p.out_dtype == SVG_F32 ? 4 : 2, channels = 16 / widest;
    const bool vectors = p.width % channels == 0 && whole(p.bias) &&
                         aligned(p.x, p.x_dtype, p.heads, p.rows, channels * element_size(p.x_dtype)) &&
                         aligned(p.out, p.out_dtype, p.heads, p.rows, channels * element_size(p.out_dtype));
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    with_type(p.x_dtype, [&](auto from) {
      with_type(p.out_dtype, [&](auto to) {
        using From = decltype(from);
        using To = decltype(to);
        constexpr int kChannels = 16 / (sizeof(From) > sizeof(To) ? sizeof(From) : sizeof(To));
        const auto activate_as = [&]<int Kind>(std::integral_constant<int, Kind>) {
          if (vectors) {
            launch_grid<kChannels, kActivatedRows>("activating rows", activate<From, To, kChannels, Kind>, p, on);
          } else {
            launch_grid<1, kActivatedRows>("activating elements", activate<From, To, 1, Kind>, p, on);
          }
        };
        if (p.kind == SVG_GELU_TANH) return activate_as(std::integral_constant<int, SVG_GELU_TANH>{});
        if (p.kind == SVG_SILU) return activate_as(std::integral_constant<int, SVG_SILU>{});
        activate_as(std::integral_constant<int, SVG_IDENTITY>{});
      });
    });
  });
}
