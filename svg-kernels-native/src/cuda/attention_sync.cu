// Attention with mma.sync: every device since sm_80, all three modes.
//
// Arithmetic: 4 D operations per allowed pair on the tensor cores, and one exponential. A block of four warps holds 128
// queries, each warp 32 of them: two fragments of 16 rows, so that each fragment of keys and values read from shared
// memory feeds two products (with one it would be shared memory that limits, at 128 bytes a cycle). Scores and their
// exponentials stay in registers, where the first product leaves them as the second wants them. Two blocks share a
// multiprocessor, and one's softmax hides behind the other's products.
//
// Keys and values pass through one ring of tiles: K of tile 0, V of tile 0, K of tile 1, … Where their rows come from
// is the only difference between the modes: a source names the row behind every position of a tile, and the pairs of
// query and position to hide. Rows that no source names are never read.
#include <algorithm>

#include "async.cuh"
#include "attention.h"
#include "mma.cuh"

namespace svg {
namespace {

constexpr int kWarps = 4, kThreads = kWarps * 32, kWarpRows = kQueryTile / kWarps;
constexpr int kSlots = 3;  // of the ring: a tile in use, the next two on their way
constexpr int kNoRow = -1;
constexpr uint32_t kAll = 0xffffffffu;
static_assert(kWarpRows == 32, "a warp's rows are two fragments of 16");

constexpr int kKeys = 64;  // of a tile: their scores fit a thread's registers beside the output

/// Running maxima lag behind the true ones by up to 2^8, so that outputs are seldom rescaled.
constexpr float kLag = 8;

__device__ inline float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

template <class T>
__device__ inline T* row_of(const svg_heads& t, int64_t head, int64_t row) {
  return static_cast<T*>(t.data) + head * t.head_stride + row * t.row_stride;
}

/// Rows of Columns elements in shared memory. Piece p of 16 bytes of row r lies at p ^ r % 8, so that eight rows of one
/// piece touch every bank once, as do the pieces of one row.
template <int Columns>
struct SharedRows {
  static constexpr int kRowBytes = Columns * 2, kPieces = Columns / 8;
  static_assert(kPieces % 8 == 0, "the swizzle permutes eight pieces");
  uint32_t base;

  __device__ uint32_t piece(int row, int piece) const { return base + row * kRowBytes + (piece ^ row % 8) * 16; }
};

/// A lane's address within squares of 16 rows by 2 pieces, for load_matrices. Rows start at multiples of their size, so
/// that the swizzle can be undone in the address itself.
template <int Columns>
struct SquareLane {
  uint32_t address;

  __device__ SquareLane(SharedRows<Columns> rows, int row, int piece) : address(rows.piece(row, piece)) {}
  /// Of the square that starts `row` rows (a multiple of 8) and `piece` pieces (an even number) further.
  __device__ uint32_t at(int row, int piece) const {
    return (address ^ piece * 16) + row * SharedRows<Columns>::kRowBytes;
  }
};

// Sources of keys. tiles() is how many tiles a source has. For the loader, next() goes on to the next tile, from the
// first on, and row() is the row at position 32 block + position of it, where block is known to the compiler and
// position differs by lane; past the last tile there are no rows. For the scores, hide() makes -infinity of what a tile
// lacks and of what a query must not see.

/// Consecutive rows that every query sees.
class ConsecutiveKeys {
 public:
  __device__ explicit ConsecutiveKeys(Interval keys) : size_(keys.size()), loading_{keys.first - kKeys, keys.end} {}

  __device__ int tiles() const { return (size_ + kKeys - 1) / kKeys; }
  __device__ void next() { loading_.first += kKeys; }
  __device__ int row(int block, int position) const {
    const int row = loading_.first + block * 32 + position;
    return row < loading_.end ? row : kNoRow;
  }
  template <class Queries>
  __device__ void hide(int tile, Queries& queries) const {
    queries.hide_from(size_ - tile * kKeys);
  }

 private:
  int size_;
  Interval loading_;
};

/// SVG1's band: the intervals that the mask names for a query tile, each cut into tiles of its own.
class BandKeys {
 public:
  __device__ BandKeys(const BandMask& mask, Interval queries) : mask_(mask), queries_(queries) {
    Interval found[BandMask::kMaxIntervals];
    const int count = mask.keys(queries, found);
#pragma unroll
    for (int i = 0; i < BandMask::kMaxIntervals; i++) intervals_[i] = i < count ? found[i] : Interval{0, 0};
  }

  __device__ int tiles() const {
    int sum = 0;
#pragma unroll
    for (const Interval& interval : intervals_) sum += tiles_of(interval);
    return sum;
  }
  __device__ void next() { loading_ = rows_of(++loaded_); }
  __device__ int row(int block, int position) const {
    const int row = loading_.first + block * 32 + position;
    return row < loading_.end ? row : kNoRow;
  }
  template <class Queries>
  __device__ void hide(int tile, Queries& queries) const {
    const Interval keys = rows_of(tile);
    queries.hide_from(keys.size());
    if (mask_.allows_all(queries_, keys)) return;
    queries.for_each_score([&](float& score, int row, int position) {
      if (!mask_.allows(queries_.first + row, keys.first + position)) score = -INFINITY;
    });
  }

 private:
  __device__ static int tiles_of(Interval interval) { return (interval.size() + kKeys - 1) / kKeys; }
  __device__ Interval rows_of(int tile) const {
    Interval result{0, 0};
#pragma unroll
    for (const Interval& interval : intervals_) {
      const int first = interval.first + tile * kKeys;
      if (tile >= 0 && first < interval.end) result = {first, min(first + kKeys, interval.end)};
      tile -= tiles_of(interval);
    }
    return result;
  }

  const BandMask& mask_;
  Interval queries_, intervals_[BandMask::kMaxIntervals], loading_{0, 0};
  int loaded_ = -1;
};

/// SVG2's kept clusters: rows of spans, packed across their borders, so that every tile but the last is full. Each
/// warp walks the spans, 32 at a time in its lanes.
class PackedKeys {
 public:
  __device__ PackedKeys(const int2* spans, int2 list)
      : spans_(spans), count_(list.x), total_(list.y), lane_(threadIdx.x % 32) {
    read_window();
  }

  __device__ int tiles() const { return (total_ + kKeys - 1) / kKeys; }
  __device__ void next() {
#pragma unroll
    for (int& row : rows_) row = kNoRow;
    int filled = 0;
    while (filled < kKeys && window_ + at_ < count_) {
      const int first = __shfl_sync(kAll, span_.x, at_), size = __shfl_sync(kAll, span_.y, at_);
      const int taken = min(size - used_, kKeys - filled);
#pragma unroll
      for (int block = 0; block < kKeys / 32; block++) {
        const int i = block * 32 + lane_ - filled;
        if (i >= 0 && i < taken) rows_[block] = first + used_ + i;
      }
      filled += taken;
      used_ += taken;
      if (used_ < size) continue;
      used_ = 0;
      if (++at_ == 32) {
        window_ += 32;
        at_ = 0;
        read_window();
      }
    }
  }
  __device__ int row(int block, int position) const { return __shfl_sync(kAll, rows_[block], position); }
  template <class Queries>
  __device__ void hide(int tile, Queries& queries) const {
    queries.hide_from(total_ - tile * kKeys);
  }

 private:
  __device__ void read_window() { span_ = window_ + lane_ < count_ ? spans_[window_ + lane_] : make_int2(0, 0); }

  const int2* spans_;
  int count_, total_, lane_;
  int window_ = 0, at_ = 0, used_ = 0;  // spans before the lanes', the current lane, its rows that are taken
  int2 span_;
  int rows_[kKeys / 32];  // position 32 i + lane of the tile that is being loaded
};

/// The 32 queries of a warp: their scores for one tile of keys, their outputs and the state of their softmax. Row r of
/// the four that a lane has parts of is row r / 2 * 16 + r % 2 * 8 + lane / 4 of the warp's.
template <class T, int Columns>
struct WarpQueries {
  using Rows = SharedRows<Columns>;

  float scores[2][kKeys / 8][4];
  float out[2][Columns / 8][4] = {};
  float most[4], sum[4] = {};

  __device__ WarpQueries() {
#pragma unroll
    for (float& m : most) m = -INFINITY;
  }

  /// scores = q k^T
  __device__ void multiply_keys(Rows q, Rows k) {
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * kWarpRows;
    const SquareLane<Columns> a(q, first_row + lane % 16, lane / 16), b(k, lane % 8 + lane / 16 * 8, lane / 8 % 2);
#pragma unroll
    for (auto& half : scores) {
#pragma unroll
      for (auto& tile : half) {
#pragma unroll
        for (float& s : tile) s = 0;
      }
    }
#pragma unroll
    for (int step = 0; step < Columns / 16; step++) {
      const Words q0 = load_matrices(a.at(0, 2 * step)), q1 = load_matrices(a.at(16, 2 * step));
#pragma unroll
      for (int n = 0; n < kKeys / 8; n += 2) {
        const Words w = load_matrices(b.at(n * 8, 2 * step));
        mma<T>(scores[0][n], q0.x, q0.y, q0.z, q0.w, w.x, w.y);
        mma<T>(scores[1][n], q1.x, q1.y, q1.z, q1.w, w.x, w.y);
        mma<T>(scores[0][n + 1], q0.x, q0.y, q0.z, q0.w, w.z, w.w);
        mma<T>(scores[1][n + 1], q1.x, q1.y, q1.z, q1.w, w.z, w.w);
      }
    }
  }

  /// Calls body(score, row in the query tile, position in the key tile) for every score of the lane.
  template <class Body>
  __device__ void for_each_score(Body body) {
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * kWarpRows;
#pragma unroll
    for (int r = 0; r < 4; r++) {
#pragma unroll
      for (int n = 0; n < kKeys / 8; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          body(scores[r / 2][n][r % 2 * 2 + i], first_row + r / 2 * 16 + r % 2 * 8 + lane / 4,
               n * 8 + lane % 4 * 2 + i);
        }
      }
    }
  }

  /// Hides what a tile of `count` keys lacks.
  __device__ void hide_from(int count) {
    if (count >= kKeys) return;
    for_each_score([&](float& score, int, int position) {
      if (position >= count) score = -INFINITY;
    });
  }

  /// Scores become 2^(scale (score - maximum)).
  __device__ void soften(float scale) {
    float top[4];
    bool ahead = false;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      top[r] = scores[r / 2][0][r % 2 * 2];
#pragma unroll
      for (int n = 0; n < kKeys / 8; n++) {
        top[r] = fmaxf(top[r], fmaxf(scores[r / 2][n][r % 2 * 2], scores[r / 2][n][r % 2 * 2 + 1]));
      }
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAll, top[r], 1));
      top[r] = fmaxf(top[r], __shfl_xor_sync(kAll, top[r], 2));
      ahead = ahead || (top[r] - most[r]) * scale > kLag;
    }
    if (__any_sync(kAll, ahead)) {
#pragma unroll
      for (int r = 0; r < 4; r++) {
        const float now = fmaxf(most[r], top[r]);
        const float shrink = now == -INFINITY ? 1 : exp2_approximate(scale * (most[r] - now));
        most[r] = now;
        sum[r] *= shrink;
#pragma unroll
        for (auto& o : out[r / 2]) {
          o[r % 2 * 2] *= shrink;
          o[r % 2 * 2 + 1] *= shrink;
        }
      }
    }
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const float offset = most[r] == -INFINITY ? 0 : most[r] * scale;  // no key seen yet: -inf - 0, not NaN
#pragma unroll
      for (auto& s : scores[r / 2]) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          float& p = s[r % 2 * 2 + i];
          p = exp2_approximate(p * scale - offset);
          sum[r] += p;
        }
      }
    }
  }

  /// out += scores v
  __device__ void multiply_values(Rows v) {
    const int lane = threadIdx.x % 32;
    const SquareLane<Columns> b(v, lane % 16, lane / 16);
#pragma unroll
    for (int step = 0; step < kKeys / 16; step++) {
      uint32_t p[2][4];
#pragma unroll
      for (int half = 0; half < 2; half++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const float* s = scores[half][2 * step + i / 2] + i % 2 * 2;
          p[half][i] = packed<T>(s[0], s[1]);
        }
      }
#pragma unroll
      for (int n = 0; n < Columns / 8; n += 2) {
        const Words w = load_matrices_transposed(b.at(step * 16, n));
        mma<T>(out[0][n], p[0][0], p[0][1], p[0][2], p[0][3], w.x, w.y);
        mma<T>(out[1][n], p[1][0], p[1][1], p[1][2], p[1][3], w.x, w.y);
        mma<T>(out[0][n + 1], p[0][0], p[0][1], p[0][2], p[0][3], w.z, w.w);
        mma<T>(out[1][n + 1], p[1][0], p[1][1], p[1][2], p[1][3], w.z, w.w);
      }
    }
  }

  /// Normalises the outputs, and writes them to the warp's rows in shared memory.
  __device__ void finish(Rows to) {
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * kWarpRows;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      sum[r] += __shfl_xor_sync(kAll, sum[r], 1);
      sum[r] += __shfl_xor_sync(kAll, sum[r], 2);
      const float norm = 1 / sum[r];
      const int row = first_row + r / 2 * 16 + r % 2 * 8 + lane / 4;
#pragma unroll
      for (int n = 0; n < Columns / 8; n++) {
        const float* o = out[r / 2][n] + r % 2 * 2;
        const uint32_t pair = sum[r] == 0 ? 0 : packed<T>(o[0] * norm, o[1] * norm);
        asm volatile("st.shared.b32 [%0], %1;" ::"r"(to.piece(row, n) + lane % 4 * 4), "r"(pair) : "memory");
      }
    }
  }

  /// The log-sum-exp of the scaled scores, once finished, of the first `rows` rows of the query tile.
  __device__ void write_lse(float* to, int rows, float scale) const {
    const int lane = threadIdx.x % 32, first_row = threadIdx.x / 32 * kWarpRows;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const int row = first_row + r / 2 * 16 + r % 2 * 8 + lane / 4;
      if (lane % 4 == 0 && row < rows) to[row] = most[r] * scale + logf(sum[r]);
    }
  }
};

/// Attention of one query tile by one block. lse is null or (H, q_rows).
template <class T, int Columns, class Source>
__device__ void attend(const AttentionTensors& p, int head, Interval queries, Source source, float* lse) {
  using Rows = SharedRows<Columns>;
  constexpr int kPieces = Rows::kPieces, kPassRows = kThreads / kPieces;
  static_assert(32 % kPassRows == 0, "the rows of a pass lie in one block of 32 positions");
  extern __shared__ __align__(256) char shared[];
  const Rows q_rows{shared_address(shared)};
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int piece = threadIdx.x % kPieces;
  const bool inside = piece * 8 < p.dim;  // columns that a narrower head lacks are zeros

  // Every warp copies the rows of q and of the output that it computes with: kWarpPass at a time.
  constexpr int kWarpPass = 32 / kPieces;
  const auto for_own_pieces = [&](auto body) {
#pragma unroll
    for (int i = 0; i < kWarpRows; i += kWarpPass) {
      const int row = warp * kWarpRows + i + lane / kPieces;
      body(row, inside && row < queries.size());
    }
  };
  for_own_pieces([&](int row, bool there) {
    copy_async_or_zero(q_rows.piece(row, piece),
                       row_of<T>(p.q, head, there ? queries.first + row : 0) + (there ? piece * 8 : 0), there);
  });

  int slot = 0;  // of the ring: the next to be used
  const auto slot_rows = [&](int i) { return Rows{q_rows.base + (kQueryTile + i * kKeys) * Rows::kRowBytes}; };
  const auto fetch = [&](const svg_heads& from, int to_slot) {
    const T* first = row_of<const T>(from, head, 0);
    const Rows to = slot_rows(to_slot);
#pragma unroll 4  // more would want more registers
    for (int i = 0; i < kKeys; i += kPassRows) {
      const int pass_row = threadIdx.x / kPieces, row = source.row(i / 32, i % 32 + pass_row);
      const bool there = inside && row != kNoRow;
      copy_async_or_zero(to.piece(i + pass_row, piece), there ? first + row * from.row_stride + piece * 8 : first,
                         there);
    }
    copy_async_commit();
  };
  // Waits for the ring's next tile, and fetches another one into the slot of the tile before, now that all warps are
  // through with that.
  const auto turn = [&](const svg_heads& from) {
    copy_async_wait<1>();
    __syncthreads();
    fetch(from, slot > 0 ? slot - 1 : kSlots - 1);
    const Rows rows = slot_rows(slot);
    slot = slot < kSlots - 1 ? slot + 1 : 0;
    return rows;
  };

  const bool idle = warp * kWarpRows >= queries.size();
  WarpQueries<T, Columns> own;
  source.next();
  fetch(p.k, 0);
  fetch(p.v, 1);
  const int tiles = source.tiles();
#pragma unroll 1
  for (int tile = 0; tile < tiles; tile++) {
    source.next();
    const Rows keys = turn(p.k);
    if (!idle) {
      own.multiply_keys(q_rows, keys);
      source.hide(tile, own);
      own.soften(p.scale * 1.4426950409f);
    }
    const Rows values = turn(p.v);
    if (!idle) own.multiply_values(values);
  }
  if (idle) return;

  copy_async_wait<0>();
  __syncwarp();
  own.finish(q_rows);
  __syncwarp();
  if (lse != nullptr) own.write_lse(lse + int64_t(head) * p.q_rows + queries.first, queries.size(), p.scale);
  for_own_pieces([&](int row, bool there) {
    Words w;
    asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
                 : "r"(q_rows.piece(row, piece)));
    if (there) *reinterpret_cast<Words*>(row_of<T>(p.out, head, queries.first + row) + piece * 8) = w;
  });
}

template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 2) attend_dense(const DenseProblem p) {
  const int head = blockIdx.y;
  const Interval queries = p.tiles()[blockIdx.x];
  attend<T, Columns>(p.tensors, head, queries, ConsecutiveKeys(p.keys(head, queries)), p.lse);
}

template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 2) attend_band(const BandProblem p) {
  const Interval queries = p.mask.tiles()[blockIdx.x];
  attend<T, Columns>(p.tensors, blockIdx.y, queries, BandKeys(p.mask, queries), nullptr);
}

/// Blocks stay, and draw one item after the other: heads in order, so that their keys share the L2 cache, long lists
/// first, so that short ones fill the end.
template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 2) attend_blocks(const BlocksProblem p) {
  __shared__ int drawn;
  const int count = *p.plan.item_count;
  for (;;) {
    __syncthreads();
    if (threadIdx.x == 0) drawn = atomicAdd(p.plan.next_item, 1);
    __syncthreads();
    if (drawn >= count) return;
    const BlockItem item = p.plan.items[drawn];
    const int64_t list = int64_t(item.head) * p.q_clusters + item.cluster;
    const PackedKeys keys(p.plan.spans + list * p.plan.span_capacity, p.plan.lists[list]);
    attend<T, Columns>(p.tensors, item.head, {item.first, item.first + item.rows}, keys, nullptr);
  }
}

template <int Columns>
constexpr int kSharedBytes = (kQueryTile + kSlots * kKeys) * Columns * 2;

/// Calls body(T{}, columns) with the element type and the padded head dimension.
template <class Body>
void with_shape(const AttentionTensors& p, Body body) {
  const auto with_columns = [&](auto type) {
    if (p.dim <= 64) return body(type, std::integral_constant<int, 64>());
    body(type, std::integral_constant<int, 128>());
  };
  p.dtype == SVG_F16 ? with_columns(f16{}) : with_columns(bf16{});
}

}  // namespace

void attention_sync(const DenseProblem& p, const Device&, cudaStream_t stream) {
  with_shape(p.tensors, [&](auto type, auto columns) {
    launch("dense attention (mma.sync)", attend_dense<decltype(type), columns>,
           dim3(p.tiles().count(), p.tensors.heads), kThreads, kSharedBytes<columns>, stream, p);
  });
}

void attention_sync(const BandProblem& p, const Device&, cudaStream_t stream) {
  with_shape(p.tensors, [&](auto type, auto columns) {
    launch("band attention (mma.sync)", attend_band<decltype(type), columns>,
           dim3(p.mask.tiles().count(), p.tensors.heads), kThreads, kSharedBytes<columns>, stream, p);
  });
}

void attention_sync(const BlocksProblem& p, const Device& device, cudaStream_t stream) {
  with_shape(p.tensors, [&](auto type, auto columns) {
    const int blocks = std::min(p.plan.item_capacity, 2 * device.processors);
    launch("block attention (mma.sync)", attend_blocks<decltype(type), columns>, blocks, kThreads,
           kSharedBytes<columns>, stream, p);
  });
}

}  // namespace svg
