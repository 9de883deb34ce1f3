// Rotary position embedding, alone and behind RMSNorm: svg_rope, svg_norm_rope.
//
// Bytes: x once in and once out, the tables once (2.5 % of x for 40 heads of 128 channels in bf16), and with a
// permutation its order. Head by head, a thread keeps a token's part of the tables in registers while it goes through
// the token's heads. Token by token, for a norm across heads and for token-major rows, a block has all of a token.
//
// With a permutation, threads go along the rows of x all the same, so that tables are read once and a norm across heads
// is possible, and write where the inverse permutation says. The order is turned around first.
#include <algorithm>

#include "channels.cuh"
#include "launch.h"

namespace svg {
namespace {

constexpr int kThreads = 256;

struct RopeProblem {
  svg_heads x, out;
  int heads, rows, dim, rotated_rows;
  bool halves;
  const float *cos_table, *sin_table;
  // svg_norm_rope
  const void* weight;
  int weight_dtype;
  float epsilon, per_width;
  const int32_t* places;  // (H, permuted_rows): the row of out that a row of x goes to, -1 for none; or null
  int permuted_rows;

  /// The row of out for this row of x; -1 for none.
  __device__ int place(int head, int row) const {
    return places == nullptr || row >= permuted_rows ? row : places[int64_t(head) * permuted_rows + row];
  }
};

__device__ inline void rotate(float& a, float& b, float cos, float sin) {
  const float turned = a * cos - b * sin;
  b = b * cos + a * sin;
  a = turned;
}
/// N channels of interleaved pairs, by N / 2 angles.
template <int N>
__device__ inline void rotate_pairs(float (&x)[N], const float* cos, const float* sin) {
  const Vector<float, N / 2> c = load<N / 2>(cos), s = load<N / 2>(sin);
#pragma unroll
  for (int i = 0; i < N / 2; i++) rotate(x[2 * i], x[2 * i + 1], c.v[i], s.v[i]);
}
/// N channels of the first half and the N across from them, by N angles.
template <int N>
__device__ inline void rotate_halves(float (&x)[2][N], const float* cos, const float* sin) {
#pragma unroll
  for (int i = 0; i < N; i += 4) {
    const Vector<float, 4> c = load<4>(cos + i), s = load<4>(sin + i);
#pragma unroll
    for (int j = 0; j < 4; j++) rotate(x[0][i + j], x[1][i + j], c.v[j], s.v[j]);
  }
}

/// Lanes hold a token, 8 channels of a head each, and go through a group of its heads; the norm, if any, is over each
/// head.
template <class T, int Lanes, bool Norm, bool Halves>
__global__ void __launch_bounds__(kThreads, 4)
    rope_heads(const RopeProblem p, const int groups, const int heads_per_group) {
  constexpr int N = 8, V = kVector<T>, kVectors = N / V;
  const int lane = threadIdx.x % Lanes, channel = lane * N;
  const int row = blockIdx.x / groups * (kThreads / Lanes) + threadIdx.x / Lanes;
  const int first = blockIdx.x % groups * heads_per_group, end = min(first + heads_per_group, p.heads);
  const bool mine = row < p.rows && channel < p.dim, turned = mine && row < p.rotated_rows;
  // Half-split pairs: the other channel of each of this lane's pairs is `partner`'s, and the first half's sine is
  // minus.
  const int half_lanes = p.dim / (2 * N);
  const bool second = lane >= half_lanes;
  const int partner = second ? lane - half_lanes : lane + half_lanes;
  constexpr int kAngles = Halves ? N : N / 2;
  float cos[kAngles], sin[kAngles];
  if (turned) {
    const int64_t at = int64_t(row) * (p.dim / 2) + (Halves ? min(lane, partner) : lane) * kAngles;
    elements<kAngles>(p.cos_table, SVG_F32, at, cos);
    elements<kAngles>(p.sin_table, SVG_F32, at, sin);
#pragma unroll
    for (int i = 0; i < kAngles; i++) sin[i] = Halves && !second ? -sin[i] : sin[i];
  }
  float weight[N];
#pragma unroll
  for (int i = 0; i < N; i++) weight[i] = 1;
  if (Norm && mine && p.weight != nullptr) elements<N>(p.weight, p.weight_dtype, channel, weight);
  const T* x = static_cast<const T*>(p.x.data) + first * p.x.head_stride + row * p.x.row_stride + channel;
  T* const out = static_cast<T*>(p.out.data) + channel;
  for (int head = first; head < end; head++, x += p.x.head_stride) {
    float values[N] = {};
    int place = -1;
    if (mine) {
#pragma unroll
      for (int i = 0; i < kVectors; i++) widen(load<V>(x + i * V), values + i * V);
      place = Norm ? p.place(head, row) : row;
    }
    if constexpr (Norm) {
      float squares = 0;
#pragma unroll
      for (int i = 0; i < N; i++) squares += values[i] * values[i];
      const float by = rsqrtf(sum_over<Lanes>(squares) * p.per_width + p.epsilon);
#pragma unroll
      for (int i = 0; i < N; i++) values[i] *= by * weight[i];
    }
    if constexpr (Halves) {
#pragma unroll
      for (int i = 0; i < N; i++) {
        const float other = __shfl_sync(0xffffffffu, values[i], partner, Lanes);
        if (turned) values[i] = values[i] * cos[i] + other * sin[i];
      }
    } else if (turned) {
#pragma unroll
      for (int i = 0; i < N / 2; i++) rotate(values[2 * i], values[2 * i + 1], cos[i], sin[i]);
    }
    if (uint32_t(place) < uint32_t(p.rows)) {
      T* const to = out + head * p.out.head_stride + place * p.out.row_stride;
#pragma unroll
      for (int i = 0; i < kVectors; i++) store(to + i * V, narrow<T, V>(values + i * V));
    }
  }
}

/// A block holds a whole token, 16 channels a thread: parts of 16 bytes of the first half of a head and 16 bytes of the
/// second, `lanes` to a head. It reads the next token ahead, and its tables into slots that all threads read: behind a
/// step's barrier, until that of the next step. Across: the norm is over all heads.
template <class T, bool Across>
__global__ void __launch_bounds__(1024)
    norm_rope_tokens(const RopeProblem p, const int lanes, const int rows_per_block) {
  constexpr int V = kVector<T>, kParts = 8 / V, kTables = 3;
  extern __shared__ uint4 ahead_memory[];
  __shared__ float sums_of_warps[2][32];
  const int threads = blockDim.x, half = p.dim / 2;
  float* const tables = reinterpret_cast<float*>(ahead_memory + ReadAhead<2 * kParts>::bytes(threads) / 16);
  const int first = blockIdx.x * rows_per_block, end = min(first + rows_per_block, p.rows);
  int head[kParts], channel[kParts];
  bool within[kParts];
#pragma unroll
  for (int i = 0; i < kParts; i++) {
    const int part = i * threads + int(threadIdx.x);
    head[i] = part / lanes;
    channel[i] = part % lanes * V;
    within[i] = head[i] < p.heads && channel[i] < half;
  }
  ReadAhead<2 * kParts> ahead(ahead_memory);
  const auto start = [&](int row, int table) {  // a table: cosines, then sines
    if (row < min(end, p.rotated_rows)) {
      for (int i = threadIdx.x * 4; i < p.dim; i += threads * 4) {
        const int64_t line = int64_t(row) * half;
        copy_async(tables + table * p.dim + i, i < half ? p.cos_table + line + i : p.sin_table + line + i - half);
      }
    }
    ahead.start([&](int piece) -> const T* {
      const int i = piece / 2;
      if (row >= end || !within[i]) return nullptr;
      return static_cast<const T*>(p.x.data) + head[i] * p.x.head_stride + row * p.x.row_stride + channel[i] +
             piece % 2 * half;
    });
  };
  const auto place = [&](int i, int row) { return row < end && within[i] ? p.place(head[i], row) : -1; };
  int table = 0, turn = 0, places[kParts];
  start(first, table);
  float weight[kParts][2][V];
#pragma unroll
  for (int i = 0; i < kParts; i++) {
#pragma unroll
    for (int j = 0; j < V; j++) weight[i][0][j] = weight[i][1][j] = 1;
    if (within[i] && p.weight != nullptr) {
      const int64_t at = (Across ? int64_t(head[i]) * p.dim : 0) + channel[i];
      elements<V>(p.weight, p.weight_dtype, at, weight[i][0]);
      elements<V>(p.weight, p.weight_dtype, at + half, weight[i][1]);
    }
    places[i] = place(i, first);
  }
  for (int row = first; row < end; row++, turn ^= 1) {
    const int next_table = table == kTables - 1 ? 0 : table + 1;
    start(row + 1, next_table);
    ahead.finish();
    float sums[kParts] = {};
#pragma unroll
    for (int i = 0; i < kParts; i++) {
      if (within[i]) {
#pragma unroll
        for (int which = 0; which < 2; which++) {
          float values[V];
          widen(ahead.template piece<Vector<T, V>>(2 * i + which), values);
#pragma unroll
          for (int j = 0; j < V; j++) sums[i] += values[j] * values[j];
        }
      }
    }
    if constexpr (Across) {
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kParts; i++) sum += sums[i];
      sum = sum_over(sum);
      const int lane = threadIdx.x % 32;
      if (lane == 0) sums_of_warps[turn][threadIdx.x / 32] = sum;
      __syncthreads();
      sum = sum_over(lane < threads / 32 ? sums_of_warps[turn][lane] : 0);
#pragma unroll
      for (int i = 0; i < kParts; i++) sums[i] = sum;
    } else {
      for (int i = lanes / 2; i > 0; i /= 2) {
#pragma unroll
        for (int j = 0; j < kParts; j++) sums[j] += __shfl_xor_sync(0xffffffffu, sums[j], i);
      }
      __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < kParts; i++) {
      const int to_row = places[i];
      places[i] = place(i, row + 1);
      if (uint32_t(to_row) >= uint32_t(p.rows)) continue;
      const float by = rsqrtf(sums[i] * p.per_width + p.epsilon);
      float values[2][V];
#pragma unroll
      for (int which = 0; which < 2; which++) {
        widen(ahead.template piece<Vector<T, V>>(2 * i + which), values[which]);
#pragma unroll
        for (int j = 0; j < V; j++) values[which][j] *= by * weight[i][which][j];
      }
      if (row < p.rotated_rows) {
        const float *const cos = tables + table * p.dim, *const sin = cos + half;
        if (p.halves) {
          rotate_halves(values, cos + channel[i], sin + channel[i]);
        } else {
          rotate_pairs(values[0], cos + channel[i] / 2, sin + channel[i] / 2);
          rotate_pairs(values[1], cos + (half + channel[i]) / 2, sin + (half + channel[i]) / 2);
        }
      }
      T* const to = static_cast<T*>(p.out.data) + head[i] * p.out.head_stride + to_row * p.out.row_stride + channel[i];
      store(to, narrow<T, V>(values[0]));
      store(to + half, narrow<T, V>(values[1]));
    }
    table = next_table;
  }
}

/// places[h][order[h][i]] = i, -1 where no entry leads. A block makes a slice of places in shared memory, and goes
/// through the head's whole order for it: scattered writes to device memory would take longer.
constexpr int kSlice = 16384;

__global__ void __launch_bounds__(1024) invert_order(const int32_t* order, const int rows, int32_t* places) {
  extern __shared__ int32_t slice[];
  order += int64_t(blockIdx.y) * rows;
  places += int64_t(blockIdx.y) * rows;
  const int first = blockIdx.x * kSlice, count = min(rows - first, kSlice);
  for (int i = threadIdx.x; i < count; i += blockDim.x) slice[i] = -1;
  __syncthreads();
#pragma unroll 8
  for (int i = threadIdx.x; i < rows; i += blockDim.x) {
    const uint32_t at = uint32_t(order[i]) - uint32_t(first);
    if (at < uint32_t(count)) slice[at] = i;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < count; i += blockDim.x) places[first + i] = slice[i];
}

template <class T, int Lanes, bool Norm, bool Halves>
void launch_heads(RopeProblem p, cudaStream_t stream) {
  const int64_t row_blocks = ceil_div(p.rows, kThreads / Lanes);
  // A thread goes through as many heads as leave enough blocks to fill the device a few times.
  const int64_t wanted = ceil_div(Device::current().processors * 16, row_blocks);
  const int heads = int(ceil_div(p.heads, std::min<int64_t>(wanted, p.heads))), groups = int(ceil_div(p.heads, heads));
  p.per_width = 1 / float(p.dim);
  launch("turning rows", rope_heads<T, Lanes, Norm, Halves>, uint32_t(row_blocks * groups), kThreads, 0, stream, p,
         groups, heads);
}

template <class T, bool Norm, bool Halves>
void rope_by_heads(const RopeProblem& p, cudaStream_t stream) {
  const int lanes = p.dim / 8;
  if (lanes <= 2) return launch_heads<T, 2, Norm, Halves>(p, stream);
  if (lanes <= 4) return launch_heads<T, 4, Norm, Halves>(p, stream);
  if (lanes <= 8) return launch_heads<T, 8, Norm, Halves>(p, stream);
  if (lanes <= 16) return launch_heads<T, 16, Norm, Halves>(p, stream);
  launch_heads<T, 32, Norm, Halves>(p, stream);
}

template <class T, bool Norm>
void rope_by_heads(const RopeProblem& p, cudaStream_t stream) {
  p.halves ? rope_by_heads<T, Norm, true>(p, stream) : rope_by_heads<T, Norm, false>(p, stream);
}

/// norm_rope_tokens, if a token is not too wide for a block; else false.
template <class T, bool Across>
bool norm_rope_by_tokens(RopeProblem p, cudaStream_t stream) {
  constexpr int V = kVector<T>;
  int lanes = p.dim / (2 * V);
  if (!Across) {
    while ((lanes & (lanes - 1)) != 0) lanes++;  // sums over a head go by halves
  }
  const int64_t threads = ceil_div(ceil_div(p.heads * int64_t(lanes), 8 / V), 32) * 32;
  const size_t shared = ReadAhead<16 / V>::bytes(int(threads)) + 3 * p.dim * sizeof(float);
  const Device device = Device::current();
  if (threads > 1024 || shared + 1024 > size_t(device.block_shared)) return false;  // with the array for sums
  p.per_width = 1 / (Across ? float(p.heads) * float(p.dim) : float(p.dim));
  // Many blocks, so that slower and faster processors end together, but for few rows several to read ahead.
  const int rows = int(
      std::max(ceil_div(p.rows, 96 * device.processors), std::min<int64_t>(4, ceil_div(p.rows, device.processors))));
  launch("normalising and turning rows", norm_rope_tokens<T, Across>, uint32_t(ceil_div(p.rows, rows)),
         uint32_t(threads), shared, stream, p, lanes, rows);
  return true;
}

/// Checks what both functions share, but the memory of out.
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
    arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
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
    problem.weight = p.weight;
    problem.weight_dtype = p.weight_dtype;
    problem.epsilon = p.epsilon;
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    Workspace workspace(on);
    in_range("permuted_rows", p.permuted_rows, 0, p.rows);
    if (p.permuted_rows > 0) {
      arguments.read("order", p.order, int64_t(p.heads) * p.permuted_rows);
      arguments.write("out", p.out, p.dtype, p.heads, p.rows, p.head_dim);
      int32_t* places;
      workspace.add(places, int64_t(p.heads) * p.permuted_rows);
      workspace.allocate();
      launch("turning an order around", invert_order, dim3(uint32_t(ceil_div(p.permuted_rows, kSlice)), p.heads), 1024,
             kSlice * sizeof(int32_t), on, p.order, p.permuted_rows, places);
      problem.places = places;
      problem.permuted_rows = p.permuted_rows;
    } else {
      arguments.write_over("out", p.out, "x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
    }
    with_type(p.dtype, [&](auto type) {
      using T = decltype(type);
      // Threads go the way that x lies, if they can.
      const bool token_major = p.x.head_stride < p.x.row_stride;
      const bool done = across ? norm_rope_by_tokens<T, true>(problem, on)
                               : token_major && norm_rope_by_tokens<T, false>(problem, on);
      if (!done && across) {
        unsupported("%d heads of %d channels, more than the CUDA library normalises together on this device", p.heads,
                    p.head_dim);
      }
      if (!done) rope_by_heads<T, true>(problem, on);
    });
  });
}
