// RMSNorm and LayerNorm over the last dimension, with what follows them: svg_rms_norm, svg_layer_norm.
//
// Bytes: x once in and once out; nothing else of that size. What is the same for all rows (weight, bias, scale and
// shift) becomes one factor and one offset a channel, which a thread that owns the channel in several rows computes
// once. Up to 512 bytes, lanes of a warp share a row and have a few in registers. Beyond, a block shares a row and
// reads ahead into shared memory. Rows whose width or strides do not allow 16-byte accesses are read two or three
// times, element by element.
#include <algorithm>

#include "channels.cuh"
#include "launch.h"

namespace svg {
namespace {

struct NormProblem {
  svg_heads x, out, scale, shift;
  const void *weight, *bias;
  int weight_dtype, modulation_dtype;
  int heads, rows, width;
  float epsilon, per_width;
  bool centred;  // LayerNorm
};

constexpr int kMaxWidth = 16384, kThreads = 256, kWarpsThreads = 128;
/// Rows of a step of normalise_in_blocks.
template <class T>
constexpr int kBlockRows = 4 / sizeof(T);

/// weight, bias, scale and shift of N channels: n * factor + offset.
template <int N>
__device__ inline void affine(const NormProblem& p, int head, int row, int channel, float (&factor)[N],
                              float (&offset)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) factor[i] = 1, offset[i] = 0;
  if (p.weight != nullptr) elements<N>(p.weight, p.weight_dtype, channel, factor);
  if (p.bias != nullptr) elements<N>(p.bias, p.weight_dtype, channel, offset);
  float by[N];
  if (p.scale.data != nullptr) {
    elements<N>(p.scale.data, p.modulation_dtype, head * p.scale.head_stride + row * p.scale.row_stride + channel, by);
#pragma unroll
    for (int i = 0; i < N; i++) factor[i] *= 1 + by[i], offset[i] *= 1 + by[i];
  }
  if (p.shift.data != nullptr) {
    elements<N>(p.shift.data, p.modulation_dtype, head * p.shift.head_stride + row * p.shift.row_stride + channel, by);
#pragma unroll
    for (int i = 0; i < N; i++) offset[i] += by[i];
  }
}

/// Lanes of a warp share a row, a vector each, of Rows rows. Kept: no parameter differs from row to row.
///
/// LayerNorm sums differences from one of the row's values and their squares: of n values, the variance loses at most a
/// factor of n of fp32's accuracy to that, and both sums run at once.
template <class T, int Lanes, int Rows, int MinBlocks, bool Centred, bool Kept>
__global__ void __launch_bounds__(kWarpsThreads, MinBlocks) normalise_in_warps(const NormProblem p) {
  constexpr int V = kVector<T>, kGroups = kWarpsThreads / Lanes;
  const int head = blockIdx.y, channel = threadIdx.x % Lanes * V;
  const int first = blockIdx.x * (kGroups * Rows) + threadIdx.x / Lanes;
  const bool within = channel < p.width;
  const int count = within ? p.rows - first : 0;  // rows from here on
  const T* const x = static_cast<const T*>(p.x.data) + head * p.x.head_stride + first * p.x.row_stride + channel;
  T* const out = static_cast<T*>(p.out.data) + head * p.out.head_stride + first * p.out.row_stride + channel;
  Vector<T, V> rows[Rows];
#pragma unroll
  for (int r = 0; r < Rows; r++) {
    rows[r] = {};
    if (r * kGroups < count) rows[r] = load<V>(x + r * kGroups * p.x.row_stride);
  }
  float factor[V], offset[V];
  if (Kept && within) affine<V>(p, head, 0, channel, factor, offset);
  float sums[Centred ? 2 * Rows : Rows];
#pragma unroll
  for (int r = 0; r < Rows; r++) {
    float values[V];
    widen(rows[r], values);
    const float pivot = Centred ? __shfl_sync(0xffffffffu, values[0], 0, Lanes) : 0;
    float sum = 0, squares = 0;
#pragma unroll
    for (int j = 0; j < V; j++) {
      const float value = values[j] - pivot;
      squares += value * value;
      sum += value;
    }
    sums[r] = within ? squares : 0;
    if constexpr (Centred) sums[Rows + r] = within ? sum : 0;
  }
  sums_over<Lanes>(sums);
#pragma unroll
  for (int r = 0; r < Rows; r++) {
    float mean = Centred ? sums[Rows + r] * p.per_width : 0;
    const float by = rsqrtf(fmaxf(sums[r] * p.per_width - mean * mean, 0) + p.epsilon);
    if constexpr (Centred) mean += __shfl_sync(0xffffffffu, to_float(rows[r].v[0]), 0, Lanes);
    if (r * kGroups < count) {
      if constexpr (!Kept) affine<V>(p, head, first + r * kGroups, channel, factor, offset);
      forget(rows[r]);
      float values[V];
      widen(rows[r], values);
#pragma unroll
      for (int j = 0; j < V; j++) {
        values[j] = Centred ? (values[j] * by - mean * by) * factor[j] + offset[j] : values[j] * by * factor[j];
      }
      store(out + r * kGroups * p.out.row_stride, narrow<T, V>(values));
    }
  }
}

/// A block shares a row, 16 channels a thread, and reads a step of rows ahead.
template <class T, bool Centred, bool Kept>
__global__ void __launch_bounds__(1024) normalise_in_blocks(const NormProblem p) {
  constexpr int V = kVector<T>, kVectors = 16 / V, Rows = kBlockRows<T>, kSums = Centred ? 2 * Rows : Rows;
  extern __shared__ uint4 ahead_memory[];
  __shared__ float parts[2][kSums][32], counts[32];
  const int head = blockIdx.y, threads = blockDim.x, warps = threads / 32;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t rows = p.rows, step = gridDim.x * Rows;
  const auto channel = [&](int i) { return (i * threads + int(threadIdx.x)) * V; };
  const auto within = [&](int i) { return channel(i) < p.width; };
  const T* const x = static_cast<const T*>(p.x.data) + head * p.x.head_stride;
  T* const out = static_cast<T*>(p.out.data) + head * p.out.head_stride;

  ReadAhead<Rows * kVectors> ahead(ahead_memory);
  const auto start = [&](uint32_t first) {
    ahead.start([&](int piece) {
      const uint32_t row = first + piece / kVectors;
      const int i = piece % kVectors;
      return row < rows && within(i) ? x + row * p.x.row_stride + channel(i) : nullptr;
    });
  };
  const auto widen_piece = [&](int r, int i, float(&values)[V]) {
    widen(ahead.template piece<Vector<T, V>>(r * kVectors + i), values);
  };
  uint32_t first = blockIdx.x * Rows;
  start(first);
  float factor[kVectors][V], offset[kVectors][V];
  float count[1] = {0};  // the warp's channels
#pragma unroll
  for (int i = 0; i < kVectors; i++) {
    if (within(i)) {
      if constexpr (Kept) affine<V>(p, head, 0, channel(i), factor[i], offset[i]);
      count[0] += V;
    }
  }
  if constexpr (Centred) {
    sums_over(count);
    if (lane == 0) counts[warp] = count[0];
  }

  for (int turn = 0; first < rows; first += step, turn ^= 1) {
    start(first + step);
    ahead.finish();
    float sums[kSums], pivots[Rows];
#pragma unroll
    for (int r = 0; r < Rows; r++) {
      sums[r] = pivots[r] = 0;
      if constexpr (Centred) sums[Rows + r] = 0;
#pragma unroll
      for (int i = 0; i < kVectors; i++) {
        float values[V];
        if (within(i)) widen_piece(r, i, values);
        if (Centred && i == 0) pivots[r] = __shfl_sync(0xffffffffu, values[0], 0);
        if (within(i)) {
#pragma unroll
          for (int j = 0; j < V; j++) {
            const float value = values[j] - pivots[r];
            sums[r] += value * value;
            if constexpr (Centred) sums[Rows + r] += value;
          }
        }
      }
    }
    sums_over(sums);
    if (lane == 0) {
#pragma unroll
      for (int r = 0; r < Rows; r++) {
        if constexpr (Centred) {  // the warp's mean, and its sum of squares around it
          const float mean = __fdividef(sums[Rows + r], counts[warp]);
          parts[turn][Rows + r][warp] = pivots[r] + mean;
          parts[turn][r][warp] = sums[r] - sums[Rows + r] * mean;
        } else {
          parts[turn][r][warp] = sums[r];
        }
      }
    }
    __syncthreads();
#pragma unroll
    for (int r = 0; r < Rows; r++) {
      sums[r] = lane < warps ? parts[turn][r][lane] : 0;
      if constexpr (Centred) {
        pivots[r] = parts[turn][Rows + r][0];
        const float n = lane < warps ? counts[lane] : 0,
                    mean = lane < warps ? parts[turn][Rows + r][lane] - pivots[r] : 0;
        sums[r] += n * mean * mean;
        sums[Rows + r] = n * mean;
      }
    }
    sums_over(sums);
#pragma unroll
    for (int r = 0; r < Rows; r++) {
      float mean = 0, by = sums[r] * p.per_width;
      if constexpr (Centred) {
        mean = sums[Rows + r] * p.per_width;
        by = fmaxf(by - mean * mean, 0);
        mean += pivots[r];
      }
      by = rsqrtf(by + p.epsilon);
#pragma unroll
      for (int i = 0; i < kVectors; i++) {
        if (first + r < rows && within(i)) {
          if constexpr (!Kept) affine<V>(p, head, int(first + r), channel(i), factor[i], offset[i]);
          float values[V];
          widen_piece(r, i, values);
#pragma unroll
          for (int j = 0; j < V; j++) {
            values[j] =
                Centred ? (values[j] * by - mean * by) * factor[i][j] + offset[i][j] : values[j] * by * factor[i][j];
          }
          store(out + (first + r) * p.out.row_stride + channel(i), narrow<T, V>(values));
        }
      }
    }
  }
}

/// Any width and alignment: a block reads its row again for each step.
template <class T>
__global__ void __launch_bounds__(kThreads) normalise_elements(const NormProblem p) {
  const int head = blockIdx.y, row = blockIdx.x;
  const T* x = static_cast<const T*>(p.x.data) + head * p.x.head_stride + row * p.x.row_stride;
  T* out = static_cast<T*>(p.out.data) + head * p.out.head_stride + row * p.out.row_stride;
  float mean = 0, sum = 0;
  if (p.centred) {
    for (int i = threadIdx.x; i < p.width; i += kThreads) sum += to_float(x[i]);
    mean = sum_over_block(sum) / float(p.width);
    sum = 0;
  }
  for (int i = threadIdx.x; i < p.width; i += kThreads) {
    const float difference = to_float(x[i]) - mean;
    sum += difference * difference;
  }
  const float by = rsqrtf(sum_over_block(sum) / float(p.width) + p.epsilon);
  for (int i = threadIdx.x; i < p.width; i += kThreads) {
    float factor[1], offset[1];
    affine<1>(p, head, row, i, factor, offset);
    out[i] = from_float<T>((to_float(x[i]) - mean) * by * factor[0] + offset[0]);
  }
}

template <class T>
void normalise_by_elements(const NormProblem& p, cudaStream_t stream) {
  launch("normalising rows by elements", normalise_elements<T>, dim3(p.rows, p.heads), kThreads, 0, stream, p);
}

template <class T, int Lanes, bool Centred, bool Kept>
void launch_in_warps(const NormProblem& p, cudaStream_t stream) {
  // LayerNorm's parameters are worth more rows a thread, RMSNorm does better with more threads.
  constexpr int kRows = Centred ? 4 : 2, kMinBlocks = !Centred ? 12 : Kept ? 7 : 6;
  const int64_t blocks = ceil_div(p.rows, kWarpsThreads / Lanes * kRows);
  launch("normalising rows", normalise_in_warps<T, Lanes, kRows, kMinBlocks, Centred, Kept>,
         dim3(uint32_t(blocks), p.heads), kWarpsThreads, 0, stream, p);
}

template <class T, bool Centred, bool Kept>
void normalise_vectors(const NormProblem& p, cudaStream_t stream) {
  const int count = p.width / kVector<T>;
  if (count <= 4) return launch_in_warps<T, 4, Centred, Kept>(p, stream);
  if (count <= 8) return launch_in_warps<T, 8, Centred, Kept>(p, stream);
  if (count <= 16) return launch_in_warps<T, 16, Centred, Kept>(p, stream);
  if (count <= 32) return launch_in_warps<T, 32, Centred, Kept>(p, stream);
  const Device device = Device::current();
  const int threads = int(ceil_div(ceil_div(p.width, 16), 32)) * 32;
  const int shared = ReadAhead<kBlockRows<T> * 16 / kVector<T>>::bytes(threads);
  if (shared + 8192 > device.block_shared) return normalise_by_elements<T>(p, stream);  // with the arrays for sums
  // Several times the blocks that run at once, so that slower and faster processors end together; not so many that
  // loading the parameters shows.
  const int64_t steps = ceil_div(p.rows, kBlockRows<T>), most = ceil_div(device.processors * 64, p.heads);
  launch("normalising rows", normalise_in_blocks<T, Centred, Kept>, dim3(uint32_t(std::min(steps, most)), p.heads),
         threads, shared, stream, p);
}

template <class T>
void normalise_as(const NormProblem& p, bool vectors, cudaStream_t stream) {
  if (!vectors) return normalise_by_elements<T>(p, stream);
  if (!p.centred) return normalise_vectors<T, false, true>(p, stream);
  const auto per_row = [](const svg_heads& t) { return t.data != nullptr && t.row_stride != 0; };
  if (per_row(p.scale) || per_row(p.shift)) return normalise_vectors<T, true, false>(p, stream);
  normalise_vectors<T, true, true>(p, stream);
}

/// Checks what both functions share, and runs.
template <class Params>
void normalise_checked(const Params& p, NormProblem problem, Arguments& arguments, cudaStream_t stream) {
  in_range("heads", p.heads, 1, 65535);
  at_least("rows", p.rows, 1);
  in_range("width", p.width, 1, kMaxWidth);
  if (!(p.epsilon >= 0) || !(p.epsilon < INFINITY)) refuse("epsilon is %g, expected at least 0", double(p.epsilon));
  arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.width);
  arguments.read_weights("weight", p.weight, p.weight_dtype, p.width);
  arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.width);
  problem.x = p.x;
  problem.out = p.out;
  problem.weight = p.weight;
  problem.weight_dtype = p.weight_dtype;
  problem.heads = p.heads;
  problem.rows = p.rows;
  problem.width = p.width;
  problem.per_width = 1 / float(p.width);
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
