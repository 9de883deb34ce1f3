// Rotary position embedding, alone and behind RMSNorm: svg_rope, svg_norm_rope.
//
// Bytes: x once in and once out, and the tables, which several heads share: a thread keeps its part of a row's tables
// in registers while it goes through four heads. A thread holds 16 bytes of the first half of the channels and 16 of
// the second, which is what half-split pairs need; interleaved pairs lie within either.
#include "channels.cuh"
#include "launch.h"

namespace svg {
namespace {

constexpr int kThreads = 256, kHeads = 4;  // heads of a thread

struct RopeProblem {
  svg_heads x, out;
  int heads, rows, dim, rotated_rows;
  bool halves;
  const float *cos_table, *sin_table;
  // svg_norm_rope
  const void* weight;
  int weight_dtype;
  float epsilon;
};

template <int V>
struct Angles {
  float cos[V], sin[V];  // interleaved: of the first half's pairs, then of the second's; else of the pairs in order
};

template <int V>
__device__ inline Angles<V> angles(const RopeProblem& p, int row, int lane) {
  Angles<V> a;
  const int64_t base = int64_t(row) * (p.dim / 2);
  const int first = p.halves ? lane * V : lane * V / 2;
  const int second = p.halves ? first + V / 2 : first + p.dim / 4;
  const auto read = [](const float* from, float* to) {
    const Vector<float, V / 2> values = load<V / 2>(from);
#pragma unroll
    for (int i = 0; i < V / 2; i++) to[i] = values.v[i];
  };
  read(p.cos_table + base + first, a.cos);
  read(p.cos_table + base + second, a.cos + V / 2);
  read(p.sin_table + base + first, a.sin);
  read(p.sin_table + base + second, a.sin + V / 2);
  return a;
}

/// Turns the pairs of V channels of the first half and V of the second.
template <int V>
__device__ inline void turn(const Angles<V>& angle, bool halves, float (&first)[V], float (&second)[V]) {
  const auto rotate = [](float& a, float& b, float cos, float sin) {
    const float turned = a * cos - b * sin;
    b = b * cos + a * sin;
    a = turned;
  };
  if (halves) {
#pragma unroll
    for (int i = 0; i < V; i++) rotate(first[i], second[i], angle.cos[i], angle.sin[i]);
  } else {
#pragma unroll
    for (int i = 0; i < V / 2; i++) {
      rotate(first[2 * i], first[2 * i + 1], angle.cos[i], angle.sin[i]);
      rotate(second[2 * i], second[2 * i + 1], angle.cos[V / 2 + i], angle.sin[V / 2 + i]);
    }
  }
}

template <class T, int V>
__device__ inline void widen(const Vector<T, V>& from, float (&to)[V]) {
#pragma unroll
  for (int i = 0; i < V; i++) to[i] = to_float(from.v[i]);
}
template <class T, int V>
__device__ inline void narrow_to(T* out, const float (&from)[V]) {
  Vector<T, V> v;
#pragma unroll
  for (int i = 0; i < V; i++) v.v[i] = from_float<T>(from[i]);
  store_streaming(out, v);
}

/// Lanes hold a row of one head; the norm, if any, is over it.
template <class T, int Lanes, bool Norm>
__global__ void __launch_bounds__(kThreads) rope_heads(const RopeProblem p) {
  constexpr int V = kVector<T>;
  const int lane = threadIdx.x % Lanes;
  const int row = blockIdx.x * (kThreads / Lanes) + threadIdx.x / Lanes;
  const int first_head = blockIdx.y * kHeads, channel = lane * V;
  const bool mine = row < p.rows && channel < p.dim / 2;
  Vector<T, V> loaded[kHeads][2];
#pragma unroll
  for (int h = 0; h < kHeads; h++) {
    if (mine && first_head + h < p.heads) {
      const T* x =
          static_cast<const T*>(p.x.data) + (first_head + h) * p.x.head_stride + row * p.x.row_stride + channel;
      loaded[h][0] = load_streaming<V>(x);
      loaded[h][1] = load_streaming<V>(x + p.dim / 2);
    }
  }
  const bool turned = mine && row < p.rotated_rows;
  Angles<V> angle{};
  if (turned) angle = angles<V>(p, row, lane);
#pragma unroll
  for (int h = 0; h < kHeads; h++) {
    float first[V] = {}, second[V] = {};
    const bool here = mine && first_head + h < p.heads;
    if (here) {
      widen(loaded[h][0], first);
      widen(loaded[h][1], second);
    }
    if constexpr (Norm) {
      float squares = 0;
#pragma unroll
      for (int i = 0; i < V; i++) squares += first[i] * first[i] + second[i] * second[i];
      const float factor = rsqrtf(sum_over<Lanes>(squares) / float(p.dim) + p.epsilon);
      float weight[2][V];
#pragma unroll
      for (int i = 0; i < V; i++) weight[0][i] = weight[1][i] = 1;
      if (p.weight != nullptr && here) {
        elements<V>(p.weight, p.weight_dtype, channel, weight[0]);
        elements<V>(p.weight, p.weight_dtype, channel + p.dim / 2, weight[1]);
      }
#pragma unroll
      for (int i = 0; i < V; i++) {
        first[i] *= factor * weight[0][i];
        second[i] *= factor * weight[1][i];
      }
    }
    if (turned) turn(angle, p.halves, first, second);
    if (here) {
      T* out = static_cast<T*>(p.out.data) + (first_head + h) * p.out.head_stride + row * p.out.row_stride + channel;
      narrow_to<T, V>(out, first);
      narrow_to<T, V>(out + p.dim / 2, second);
    }
  }
}

/// A block holds a row of all heads, a thread up to Parts parts of it; the norm is over all of them.
template <class T, int Parts>
__global__ void __launch_bounds__(512) norm_rope_row(const RopeProblem p) {
  constexpr int V = kVector<T>;
  const int row = blockIdx.x, lanes = p.dim / (2 * V), count = p.heads * lanes;
  float first[Parts][V], second[Parts][V];
  float squares = 0;
#pragma unroll
  for (int i = 0; i < Parts; i++) {
    const int part = i * blockDim.x + threadIdx.x;
    if (part < count) {
      const T* x =
          static_cast<const T*>(p.x.data) + part / lanes * p.x.head_stride + row * p.x.row_stride + part % lanes * V;
      widen(load_streaming<V>(x), first[i]);
      widen(load_streaming<V>(x + p.dim / 2), second[i]);
#pragma unroll
      for (int j = 0; j < V; j++) squares += first[i][j] * first[i][j] + second[i][j] * second[i][j];
    }
  }
  const float factor = rsqrtf(sum_over_block(squares) / (float(p.heads) * float(p.dim)) + p.epsilon);
#pragma unroll
  for (int i = 0; i < Parts; i++) {
    const int part = i * blockDim.x + threadIdx.x;
    if (part < count) {
      const int head = part / lanes, lane = part % lanes, channel = lane * V;
      float weight[2][V];
#pragma unroll
      for (int j = 0; j < V; j++) weight[0][j] = weight[1][j] = 1;
      if (p.weight != nullptr) {
        elements<V>(p.weight, p.weight_dtype, int64_t(head) * p.dim + channel, weight[0]);
        elements<V>(p.weight, p.weight_dtype, int64_t(head) * p.dim + channel + p.dim / 2, weight[1]);
      }
#pragma unroll
      for (int j = 0; j < V; j++) {
        first[i][j] *= factor * weight[0][j];
        second[i][j] *= factor * weight[1][j];
      }
      if (row < p.rotated_rows) turn(angles<V>(p, row, lane), p.halves, first[i], second[i]);
      T* out = static_cast<T*>(p.out.data) + head * p.out.head_stride + row * p.out.row_stride + channel;
      narrow_to<T, V>(out, first[i]);
      narrow_to<T, V>(out + p.dim / 2, second[i]);
    }
  }
}

template <class T, int Lanes, bool Norm>
void launch_heads(const RopeProblem& p, cudaStream_t stream) {
  const dim3 grid(uint32_t(ceil_div(p.rows, kThreads / Lanes)), uint32_t(ceil_div(p.heads, kHeads)));
  launch("turning rows", rope_heads<T, Lanes, Norm>, grid, kThreads, 0, stream, p);
}

template <class T, bool Norm>
void rope_by_heads(const RopeProblem& p, cudaStream_t stream) {
  const int lanes = p.dim / (2 * kVector<T>);
  if (lanes <= 2) return launch_heads<T, 2, Norm>(p, stream);
  if (lanes <= 4) return launch_heads<T, 4, Norm>(p, stream);
  if (lanes <= 8) return launch_heads<T, 8, Norm>(p, stream);
  if (lanes <= 16) return launch_heads<T, 16, Norm>(p, stream);
  launch_heads<T, 32, Norm>(p, stream);
}

template <class T>
void norm_rope_across(const RopeProblem& p, cudaStream_t stream) {
  const int count = p.heads * (p.dim / (2 * kVector<T>));
  const int threads = int(ceil_div(ceil_div(count, 2), 32)) * 32;
  if (threads <= 512) {
    launch("normalising and turning rows", norm_rope_row<T, 2>, uint32_t(p.rows), threads, 0, stream, p);
  } else {
    launch("normalising and turning rows", norm_rope_row<T, 4>, uint32_t(p.rows),
           int(ceil_div(ceil_div(count, 4), 32)) * 32, 0, stream, p);
  }
}

template <class Params>
RopeProblem checked(const Params& p, Arguments& arguments) {
  in_range("heads", p.heads, 1, 65535);
  at_least("rows", p.rows, 1);
  at_least("head_dim", p.head_dim, 2);
  in_range("pairs", p.pairs, SVG_ROPE_INTERLEAVED, SVG_ROPE_HALVES);
  in_range("rotated_rows", p.rotated_rows, 0, p.rows);
  if (p.head_dim % 2 != 0) refuse("head_dim is %d, expected pairs of channels", p.head_dim);
  arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
  const int64_t table = int64_t(p.rotated_rows) * (p.head_dim / 2);
  if (table > 0) {
    arguments.read("cos_table", p.cos_table, table);
    arguments.read("sin_table", p.sin_table, table);
    if ((reinterpret_cast<uintptr_t>(p.cos_table) | reinterpret_cast<uintptr_t>(p.sin_table)) % 16 != 0) {
      refuse("cos_table is %p and sin_table %p, expected multiples of 16 bytes", static_cast<const void*>(p.cos_table),
             static_cast<const void*>(p.sin_table));
    }
  }
  arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
  require_aligned("x", p.x, p.dtype, p.heads, p.rows, 16);
  require_aligned("out", p.out, p.dtype, p.heads, p.rows, 16);
  if (p.head_dim % 16 != 0 || p.head_dim > 256) {
    unsupported("head_dim is %d, the CUDA library turns multiples of 16 up to 256", p.head_dim);
  }
  RopeProblem problem{};
  problem.x = p.x;
  problem.out = p.out;
  problem.heads = p.heads;
  problem.rows = p.rows;
  problem.dim = p.head_dim;
  problem.rotated_rows = p.rotated_rows;
  problem.halves = p.pairs == SVG_ROPE_HALVES;
  problem.cos_table = p.cos_table;
  problem.sin_table = p.sin_table;
  return problem;
}

}  // namespace
}  // namespace svg

int32_t svg_rope(const svg_rope_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_rope_params& p) {
    Arguments arguments;
    const RopeProblem problem = checked(p, arguments);
    with_type(p.dtype,
              [&](auto type) { rope_by_heads<decltype(type), false>(problem, static_cast<cudaStream_t>(stream)); });
  });
}

int32_t svg_norm_rope(const svg_norm_rope_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_norm_rope_params& p) {
    Arguments arguments;
    if (!(p.epsilon >= 0) || !(p.epsilon < INFINITY)) refuse("epsilon is %g, expected at least 0", double(p.epsilon));
    RopeProblem problem = checked(p, arguments);
    const bool across = p.across_heads != 0;
    arguments.read_weights("weight", p.weight, p.weight_dtype, int64_t(across ? p.heads : 1) * p.head_dim);
    if (reinterpret_cast<uintptr_t>(p.weight) % 16 != 0) {
      refuse("weight is %p, expected a multiple of 16 bytes", p.weight);
    }
    if (across && int64_t(p.heads) * p.head_dim > 16384) {
      unsupported("%d heads of %d channels, the CUDA library normalises at most 16384 together", p.heads, p.head_dim);
    }
    problem.weight = p.weight;
    problem.weight_dtype = p.weight_dtype;
    problem.epsilon = p.epsilon;
    with_type(p.dtype, [&](auto type) {
      if (across) {
        norm_rope_across<decltype(type)>(problem, static_cast<cudaStream_t>(stream));
      } else {
        rope_by_heads<decltype(type), true>(problem, static_cast<cudaStream_t>(stream));
      }
    });
  });
}
