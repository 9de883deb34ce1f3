// RMSNorm and LayerNorm over the last dimension, with what follows them: svg_rms_norm, svg_layer_norm.
//
// Bytes: x once in and once out; nothing else of that size. A row is held in registers between the sums and the output:
// by 4 to 32 lanes of a warp up to 128 vectors of 16 bytes, by a block beyond. Rows whose width or strides do not allow
// 16-byte accesses are read two or three times, element by element.
#include "channels.cuh"
#include "launch.h"

namespace svg {
namespace {

struct NormProblem {
  svg_heads x, out, scale, shift;
  const void *weight, *bias;
  int weight_dtype, modulation_dtype;
  int64_t rows;  // of all heads
  int rows_per_head, width;
  float epsilon;
  bool centred;  // LayerNorm
};

constexpr int kMaxWidth = 16384;

/// weight, bias, scale and shift of N channels.
template <int N>
__device__ inline void affine(const NormProblem& p, int head, int row, int channel, float (&values)[N]) {
  float by[N];
  if (p.weight != nullptr) {
    elements<N>(p.weight, p.weight_dtype, channel, by);
#pragma unroll
    for (int i = 0; i < N; i++) values[i] *= by[i];
  }
  if (p.bias != nullptr) {
    elements<N>(p.bias, p.weight_dtype, channel, by);
#pragma unroll
    for (int i = 0; i < N; i++) values[i] += by[i];
  }
  if (p.scale.data != nullptr) {
    elements<N>(p.scale.data, p.modulation_dtype, head * p.scale.head_stride + row * p.scale.row_stride + channel, by);
#pragma unroll
    for (int i = 0; i < N; i++) values[i] *= 1 + by[i];
  }
  if (p.shift.data != nullptr) {
    elements<N>(p.shift.data, p.modulation_dtype, head * p.shift.head_stride + row * p.shift.row_stride + channel, by);
#pragma unroll
    for (int i = 0; i < N; i++) values[i] += by[i];
  }
}

/// Lanes > 0: that many lanes of a warp hold a row, Vectors each. Lanes == 0: a block holds a row.
template <class T, int Lanes, int Vectors>
__global__ void __launch_bounds__(Lanes == 0 ? 1024 : 256) normalise(const NormProblem p) {
  constexpr int V = kVector<T>;
  const int lanes = Lanes == 0 ? int(blockDim.x) : Lanes, lane = int(threadIdx.x) % lanes;
  const int64_t at =
      Lanes == 0 ? blockIdx.x : blockIdx.x * int64_t(256 / (Lanes == 0 ? 1 : Lanes)) + threadIdx.x / lanes;
  const bool inside = at < p.rows;
  const int head = inside ? int(at / p.rows_per_head) : 0, row = inside ? int(at % p.rows_per_head) : 0;
  const auto total = [](float x) {
    if constexpr (Lanes == 0) {
      return sum_over_block(x);
    } else {
      return sum_over<Lanes>(x);
    }
  };
  const T* x = static_cast<const T*>(p.x.data) + head * p.x.head_stride + row * p.x.row_stride;
  float values[Vectors][V];
  float sum = 0;
#pragma unroll
  for (int i = 0; i < Vectors; i++) {
    const int channel = (i * lanes + lane) * V;
    Vector<T, V> v;
    const bool mine = inside && channel < p.width;
    if (mine) v = load_streaming<V>(x + channel);
#pragma unroll
    for (int j = 0; j < V; j++) {
      values[i][j] = mine ? to_float(v.v[j]) : 0;
      sum += p.centred ? values[i][j] : values[i][j] * values[i][j];
    }
  }
  float mean = 0;
  sum = total(sum);
  if (p.centred) {
    mean = sum / float(p.width);
    sum = 0;
#pragma unroll
    for (int i = 0; i < Vectors; i++) {
      const bool mine = (i * lanes + lane) * V < p.width;
#pragma unroll
      for (int j = 0; j < V; j++) {
        const float difference = values[i][j] - mean;
        sum += mine ? difference * difference : 0;
      }
    }
    sum = total(sum);
  }
  const float factor = rsqrtf(sum / float(p.width) + p.epsilon);
  if (!inside) return;
  T* out = static_cast<T*>(p.out.data) + head * p.out.head_stride + row * p.out.row_stride;
#pragma unroll
  for (int i = 0; i < Vectors; i++) {
    const int channel = (i * lanes + lane) * V;
    if (channel < p.width) {
      float n[V];
#pragma unroll
      for (int j = 0; j < V; j++) n[j] = (values[i][j] - mean) * factor;
      affine<V>(p, head, row, channel, n);
      Vector<T, V> v;
#pragma unroll
      for (int j = 0; j < V; j++) v.v[j] = from_float<T>(n[j]);
      store_streaming(out + channel, v);
    }
  }
}

/// Any width and alignment: a block reads its row again for each step.
template <class T>
__global__ void __launch_bounds__(256) normalise_elements(const NormProblem p) {
  const int head = int(blockIdx.x / p.rows_per_head), row = int(blockIdx.x % p.rows_per_head);
  const T* x = static_cast<const T*>(p.x.data) + head * p.x.head_stride + row * p.x.row_stride;
  T* out = static_cast<T*>(p.out.data) + head * p.out.head_stride + row * p.out.row_stride;
  float mean = 0, sum = 0;
  if (p.centred) {
    for (int i = threadIdx.x; i < p.width; i += 256) sum += to_float(x[i]);
    mean = sum_over_block(sum) / float(p.width);
    sum = 0;
  }
  for (int i = threadIdx.x; i < p.width; i += 256) {
    const float difference = to_float(x[i]) - mean;
    sum += difference * difference;
  }
  const float factor = rsqrtf(sum_over_block(sum) / float(p.width) + p.epsilon);
  for (int i = threadIdx.x; i < p.width; i += 256) {
    float value[1] = {(to_float(x[i]) - mean) * factor};
    affine<1>(p, head, row, i, value);
    out[i] = from_float<T>(value[0]);
  }
}

template <class T, int Lanes, int Vectors>
void launch_rows(const NormProblem& p, cudaStream_t stream) {
  const int64_t blocks = ceil_div(p.rows, 256 / Lanes);
  launch("normalising rows", normalise<T, Lanes, Vectors>, uint32_t(blocks), 256, 0, stream, p);
}

template <class T>
void normalise_as(const NormProblem& p, bool vectors, cudaStream_t stream) {
  if (!vectors) {
    return launch("normalising rows by elements", normalise_elements<T>, uint32_t(p.rows), 256, 0, stream, p);
  }
  const int count = p.width / kVector<T>;
  if (count <= 4) return launch_rows<T, 4, 1>(p, stream);
  if (count <= 8) return launch_rows<T, 8, 1>(p, stream);
  if (count <= 16) return launch_rows<T, 16, 1>(p, stream);
  if (count <= 32) return launch_rows<T, 32, 1>(p, stream);
  if (count <= 64) return launch_rows<T, 32, 2>(p, stream);
  if (count <= 128) return launch_rows<T, 32, 4>(p, stream);
  const int threads = int(ceil_div(ceil_div(count, 4), 32)) * 32;
  launch("normalising rows", normalise<T, 0, 4>, uint32_t(p.rows), threads, 0, stream, p);
}

/// Checks what both functions share, and runs.
template <class Params>
void normalise_checked(const Params& p, NormProblem problem, Arguments& arguments, cudaStream_t stream) {
  in_range("heads", p.heads, 1, 65535);
  at_least("rows", p.rows, 1);
  in_range("width", p.width, 1, kMaxWidth);
  in_range("heads * rows", int64_t(p.heads) * p.rows, 1, INT32_MAX);
  if (!(p.epsilon >= 0) || !(p.epsilon < INFINITY)) refuse("epsilon is %g, expected at least 0", double(p.epsilon));
  arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.width);
  arguments.read_weights("weight", p.weight, p.weight_dtype, p.width);
  arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.width);
  problem.x = p.x;
  problem.out = p.out;
  problem.weight = p.weight;
  problem.weight_dtype = p.weight_dtype;
  problem.rows = int64_t(p.heads) * p.rows;
  problem.rows_per_head = p.rows;
  problem.width = p.width;
  problem.epsilon = p.epsilon;
  const auto whole = [](const void* array) { return reinterpret_cast<uintptr_t>(array) % 16 == 0; };
  bool vectors = p.width * element_size(p.dtype) % 16 == 0 && aligned(p.x, p.dtype, p.heads, p.rows, 16) &&
                 aligned(p.out, p.dtype, p.heads, p.rows, 16) && whole(p.weight) && whole(problem.bias);
  for (const svg_heads* t : {&problem.scale, &problem.shift}) {
    vectors = vectors && (t->data == nullptr || aligned(*t, problem.modulation_dtype, p.heads, p.rows, 16));
  }
  with_type(p.dtype, [&](auto type) { normalise_as<decltype(type)>(problem, vectors, stream); });
}

}  // namespace
}  // namespace svg

int32_t svg_rms_norm(const svg_rms_norm_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_rms_norm_params& p) {
    Arguments arguments;
    normalise_checked(p, NormProblem{}, arguments, static_cast<cudaStream_t>(stream));
  });
}

int32_t svg_layer_norm(const svg_layer_norm_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_layer_norm_params& p) {
    Arguments arguments;
    NormProblem problem{};
    problem.centred = true;
    problem.bias = p.bias;
    problem.scale = p.scale;
    problem.shift = p.shift;
    problem.modulation_dtype = p.modulation_dtype;
    arguments.read_weights("bias", p.bias, p.weight_dtype, p.width);
    arguments.read_broadcast("scale", p.scale, p.modulation_dtype, p.heads, p.rows, p.width);
    arguments.read_broadcast("shift", p.shift, p.modulation_dtype, p.heads, p.rows, p.width);
    normalise_checked(p, problem, arguments, static_cast<cudaStream_t>(stream));
  });
}
