// One value from one value: svg_gated_residual, svg_activation (with bias and casts).
//
// Bytes: every input once in, the output once out. A thread has four accesses of each tensor under way, 16 bytes of the
// wider type each, or one element where rows are not aligned.
#include "channels.cuh"
#include "launch.h"

namespace svg {
namespace {

constexpr int kThreads = 256, kBatch = 4;

struct Item {
  int head, row, channel;
};

/// Item `index` of a (heads, rows, pieces) grid, N channels a piece.
template <int N>
__device__ inline Item item(uint32_t index, uint32_t rows, uint32_t pieces) {
  const uint32_t line = index / pieces, head = line / rows;
  return {int(head), int(line - head * rows), int(index - line * pieces) * N};
}

template <class T>
__device__ inline T* at(const svg_heads& t, const Item& i) {
  return static_cast<T*>(t.data) + i.head * t.head_stride + i.row * t.row_stride + i.channel;
}

template <class T, int N>
__global__ void __launch_bounds__(kThreads) add_gated(const svg_gated_residual_params p, const uint32_t count) {
  const int pieces = p.width / N;
  const uint32_t first = blockIdx.x * uint32_t(kThreads * kBatch) + threadIdx.x;
  Vector<T, N> x[kBatch], y[kBatch];
  Item items[kBatch];
#pragma unroll
  for (int b = 0; b < kBatch; b++) {
    if (first + b * kThreads < count) {
      const Item i = items[b] = item<N>(first + b * kThreads, p.rows, pieces);
      x[b] = load_streaming<N>(at<const T>(p.x, i));
      y[b] = load_streaming<N>(at<const T>(p.y, i));
    }
  }
#pragma unroll
  for (int b = 0; b < kBatch; b++) {
    if (first + b * kThreads < count) {
      const Item i = items[b];
      float gate[N];
#pragma unroll
      for (int j = 0; j < N; j++) gate[j] = 1;
      if (p.gate.data != nullptr) {
        elements<N>(p.gate.data, p.gate_dtype, i.head * p.gate.head_stride + i.row * p.gate.row_stride + i.channel,
                    gate);
      }
      Vector<T, N> out;
#pragma unroll
      for (int j = 0; j < N; j++) out.v[j] = from_float<T>(to_float(x[b].v[j]) + gate[j] * to_float(y[b].v[j]));
      store_streaming(at<T>(p.out, i), out);
    }
  }
}

__device__ inline float activated(int kind, float x) {
  if (kind == SVG_GELU_TANH) {
    const float inner = 0.7978845608f * (x + 0.044715f * x * x * x);
    return __fdividef(x, 1 + __expf(-2 * inner));  // x / 2 (1 + tanh(inner))
  }
  return kind == SVG_SILU ? __fdividef(x, 1 + __expf(-x)) : x;
}

template <class From, class To, int N>
__global__ void __launch_bounds__(kThreads) activate(const svg_activation_params p, const uint32_t count) {
  const int pieces = p.width / N;
  const uint32_t first = blockIdx.x * uint32_t(kThreads * kBatch) + threadIdx.x;
  Vector<From, N> x[kBatch];
  Item items[kBatch];
#pragma unroll
  for (int b = 0; b < kBatch; b++) {
    if (first + b * kThreads < count) {
      items[b] = item<N>(first + b * kThreads, p.rows, pieces);
      x[b] = load_streaming<N>(at<const From>(p.x, items[b]));
    }
  }
#pragma unroll
  for (int b = 0; b < kBatch; b++) {
    if (first + b * kThreads < count) {
      const Item i = items[b];
      float values[N] = {};
      if (p.bias != nullptr) elements<N>(p.bias, p.bias_dtype, i.channel, values);
      Vector<To, N> out;
#pragma unroll
      for (int j = 0; j < N; j++) out.v[j] = from_float<To>(activated(p.kind, to_float(x[b].v[j]) + values[j]));
      store_streaming(at<To>(p.out, i), out);
    }
  }
}

template <class Params>
void launch_items(const char* name, void (*kernel)(Params, uint32_t), const Params& p, int channels,
                  cudaStream_t stream) {
  const int64_t count = int64_t(p.heads) * p.rows * (p.width / channels);
  const int64_t blocks = ceil_div(count, kThreads * kBatch);
  if (blocks * kThreads * kBatch > UINT32_MAX) {
    unsupported("%d heads of %d rows by %d are too many for one call", p.heads, p.rows, p.width);
  }
  launch(name, kernel, uint32_t(blocks), kThreads, 0, stream, p, count);
}

bool whole(const void* array) { return reinterpret_cast<uintptr_t>(array) % 16 == 0; }

}  // namespace
}  // namespace svg

int32_t svg_gated_residual(const svg_gated_residual_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_gated_residual_params& p) {
    at_least("heads", p.heads, 1);
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
        launch_items("adding gated rows", add_gated<T, kVector<T>>, p, kVector<T>, on);
      } else {
        launch_items("adding gated elements", add_gated<T, 1>, p, 1, on);
      }
    });
  });
}

int32_t svg_activation(const svg_activation_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_activation_params& p) {
    at_least("heads", p.heads, 1);
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
        if (vectors) {
          launch_items("activating rows", activate<From, To, kChannels>, p, kChannels, on);
        } else {
          launch_items("activating elements", activate<From, To, 1>, p, 1, on);
        }
      });
    });
  });
}
