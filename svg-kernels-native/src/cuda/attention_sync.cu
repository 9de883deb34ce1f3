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
constexpr int kMaxParts = 2;  // warps that may share queries

constexpr int kKeys = 64;  // of a tile: their scores fit a thread's registers beside the output

template <class T>
__device__ inline T* row_of(const svg_heads& t, int64_t head, int64_t row) {
  return static_cast<T*>(t.data) + head * t.head_stride + row * t.row_stride;
}

__device__ inline void store(uint32_t shared, uint32_t word) {
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(shared), "r"(word) : "memory");
}
__device__ inline void store(uint32_t shared, const Words& w) {
  asm volatile("st.shared.v4.b32 [%0], {%1,%2,%3,%4};" ::"r"(shared), "r"(w.x), "r"(w.y), "r"(w.z), "r"(w.w)
               : "memory");
}
__device__ inline float load_float(uint32_t shared) {
  float x;
  asm volatile("ld.shared.f32 %0, [%1];" : "=f"(x) : "r"(shared) : "memory");
  return x;
}
__device__ inline Words load(uint32_t shared) {
  Words w;
  asm volatile("ld.shared.v4.b32 {%0,%1,%2,%3}, [%4];"
               : "=r"(w.x), "=r"(w.y), "=r"(w.z), "=r"(w.w)
               : "r"(shared)
               : "memory");
  return w;
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

// Sources of keys. tiles() is how many tiles a source has. prepare(), by all threads, for one tile after the other,
// comes a barrier before full(), which says whether the tile has rows for all of its positions, and row(), which names
// them: kNoRow where there is none, and everywhere past the last tile. hide() makes -infinity of the scores that the
// tile lacks, and of those that a query must not see. While a tile is in use, the two after it may be prepared.

/// Consecutive rows that every query sees.
class ConsecutiveKeys {
 public:
  __device__ explicit ConsecutiveKeys(Interval keys) : keys_(keys) {}

  __device__ int tiles() const { return (keys_.size() + kKeys - 1) / kKeys; }
  __device__ void prepare(int) const {}
  __device__ bool full(int tile) const { return keys_.size() >= (tile + 1) * kKeys; }
  template <int Step>
  __device__ void rows(int tile, int position, int (&rows)[kKeys / Step]) const {
#pragma unroll
    for (int i = 0; i < kKeys / Step; i++) rows[i] = keys_.first + tile * kKeys + position + i * Step;
  }
  __device__ int row(int tile, int position) const {
    const int row = keys_.first + tile * kKeys + position;
    return row < keys_.end ? row : kNoRow;
  }
  template <class Queries>
  __device__ void hide(int tile, Queries& queries) const {
    queries.hide_from(keys_.size() - tile * kKeys);
  }

 private:
  const Interval keys_;
};

/// SVG1's band: the intervals that the mask names for a query tile, each cut into tiles of its own. One thread cuts;
/// what only it needs is in shared memory, since registers are scarce.
class BandKeys {
 public:
  struct Shared {
    Interval queries, tiles[4];
    Interval intervals[BandMask::kIntervals], rest;  // rest: what is left of the latest interval
    int count, next, tile_count;
  };

  __device__ BandKeys(const BandMask& mask, Interval queries, Shared& shared) : mask_(mask), shared_(shared) {
    if (threadIdx.x != 0) return;
    shared_.queries = queries;
    shared_.count = mask.keys(queries, shared_.intervals);
    shared_.tile_count = 0;
    for (int i = 0; i < shared_.count; i++) shared_.tile_count += (shared_.intervals[i].size() + kKeys - 1) / kKeys;
    shared_.next = 0;
    shared_.rest = {0, 0};
  }

  __device__ int tiles() const { return shared_.tile_count; }
  __device__ void prepare(int tile) {
    if (threadIdx.x != 0) return;
    Interval rest = shared_.rest;
    if (rest.size() <= 0 && shared_.next < shared_.count) rest = shared_.intervals[shared_.next++];
    const int end = min(rest.first + kKeys, rest.end);
    shared_.tiles[tile % 4] = {rest.first, end};
    shared_.rest = {end, rest.end};
  }
  __device__ bool full(int tile) const { return keys(tile).size() == kKeys; }
  template <int Step>
  __device__ void rows(int tile, int position, int (&rows)[kKeys / Step]) const {
    const int first = keys(tile).first + position;
#pragma unroll
    for (int i = 0; i < kKeys / Step; i++) rows[i] = first + i * Step;
  }
  __device__ int row(int tile, int position) const {
    const Interval keys = this->keys(tile);
    return position < keys.size() ? keys.first + position : kNoRow;
  }
  template <class Queries>
  __device__ void hide(int tile, Queries& queries) const {
    const Interval keys = this->keys(tile);
    queries.hide_from(keys.size());
    if (mask_.allows_all(shared_.queries, keys)) return;
    queries.hide_outside(mask_.sink - keys.first, mask_.video - keys.first, [&](int row) {
      const Interval band = mask_.band(shared_.queries.first + row);
      return Interval{band.first - keys.first, band.end - keys.first};
    });
  }

 private:
  __device__ const Interval& keys(int tile) const { return shared_.tiles[tile % 4]; }

  const BandMask& mask_;
  Shared& shared_;
};

/// SVG2's kept clusters: rows of spans, packed across their borders, so that every tile but the last is full. The rows
/// of the next tiles are looked up together, a tile a warp, and left in shared memory.
class PackedKeys {
 public:
  static constexpr int kGroup = kWarps * kKeys;  // positions that are looked up together
  struct Shared {
    int rows[2 * kGroup];  // a ring
    const int2* spans;
    int count, total;  // spans, their rows
    int2 start[2];     // of groups of even and odd number: {a span that begins no later, its first position}
  };

  /// Sets what the block shares: by one thread, a barrier before the source is used.
  __device__ static void begin(const int2* spans, int2 list, Shared& shared) {
    shared.spans = spans;
    shared.count = list.x;
    shared.total = list.y;
    shared.start[0] = {0, 0};
  }

  __device__ explicit PackedKeys(Shared& shared) : shared_(shared) {}

  __device__ int tiles() const { return (shared_.total + kKeys - 1) / kKeys; }
  __device__ void prepare(int tile) {
    if (tile % kWarps == 0 && tile < tiles()) look_up(tile / kWarps);
  }
  __device__ bool full(int tile) const { return shared_.total >= (tile + 1) * kKeys; }
  template <int Step>
  __device__ void rows(int tile, int position, int (&rows)[kKeys / Step]) const {
#pragma unroll
    for (int i = 0; i < kKeys / Step; i++) rows[i] = row(tile, position + i * Step);
  }
  __device__ int row(int tile, int position) const { return shared_.rows[(tile * kKeys + position) % (2 * kGroup)]; }
  template <class Queries>
  __device__ void hide(int tile, Queries& queries) const {
    queries.hide_from(shared_.total - tile * kKeys);
  }

 private:
  /// The warp's tile of a group: 32 spans at a time, a lane each, among which each position finds its own by halving.
  __device__ void look_up(int group) {
    constexpr int kEach = kKeys / 32;
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const int first = group * kGroup + warp * kKeys, end = first + kKeys;
    int rows[kEach];
#pragma unroll
    for (int& row : rows) row = kNoRow;
    int2 start = shared_.start[group % 2];
    while (true) {
      const int2 span = start.x + lane < shared_.count ? shared_.spans[start.x + lane] : make_int2(0, 0);
      int span_end = span.y;
#pragma unroll
      for (int i = 1; i < 32; i *= 2) {
        const int before = __shfl_up_sync(kAll, span_end, i);
        if (lane >= i) span_end += before;
      }
      span_end += start.y;
      const int span_begin = span_end - span.y, last_end = __shfl_sync(kAll, span_end, 31);
#pragma unroll
      for (int i = 0; i < kEach; i++) {
        const int position = first + i * 32 + lane;
        int at = 0;  // the first span that ends behind the position
#pragma unroll
        for (int half = 16; half > 0; half /= 2) {
          if (__shfl_sync(kAll, span_end, at + half - 1) <= position) at += half;
        }
        const int row = __shfl_sync(kAll, span.x - span_begin, at) + position;
        if (position >= start.y && position < last_end) rows[i] = row;
      }
      if (last_end > end) {
        // Where the last warp's tile ends, the next group starts.
        const int passed = __popc(__ballot_sync(kAll, span_end <= end));
        if (warp == kWarps - 1 && lane == passed) shared_.start[(group + 1) % 2] = {start.x + lane, span_begin};
        break;
      }
      start = {start.x + 32, last_end};
      if (start.x >= shared_.count) break;
    }
#pragma unroll
    for (int i = 0; i < kEach; i++) shared_.rows[(first + i * 32 + lane) % (2 * kGroup)] = rows[i];
  }

  Shared& shared_;
};

/// The words of a lane of WarpQueries that another part of the same queries needs.
template <int Columns>
constexpr int kStateWords = 8 * (Columns / 8) + 8;

/// The 32 queries of a warp: their scores for one tile of keys, their outputs and the state of their softmax. Where a
/// block has fewer queries than its warps could take, Parts warps have the same ones, and each takes its part of every
/// tile of keys.
template <class T, int Columns, int Parts>
struct WarpQueries {
  using Rows = SharedRows<Columns>;
  static constexpr int kPartKeys = kKeys / Parts;

  float scores[2][kPartKeys / 8][4];
  uint32_t weights[2][kPartKeys / 16][4];  // as fragments of the second product
  float out[2][Columns / 8][4] = {};
  float most[4], sum[4] = {};

  __device__ WarpQueries() {
#pragma unroll
    for (float& m : most) m = -INFINITY;
  }

  __device__ static int part() { return threadIdx.x / 32 / (kWarps / Parts); }
  __device__ static int first_row() { return threadIdx.x / 32 % (kWarps / Parts) * kWarpRows; }
  /// The row, in the query tile, of the lane's scores and outputs [r / 2][…][r % 2 * 2 + {0, 1}].
  __device__ static int row(int r) { return first_row() + r / 2 * 16 + r % 2 * 8 + threadIdx.x % 32 / 4; }

  /// scores = q k^T
  __device__ void multiply_keys(Rows q, Rows k) {
    const int lane = threadIdx.x % 32;
    const SquareLane<Columns> a(q, first_row() + lane % 16, lane / 16),
        b(k, part() * kPartKeys + lane / 16 * 8 + lane % 8, lane / 8 % 2);
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
      for (int n = 0; n < kPartKeys / 8; n += 2) {
        const Words w = load_matrices(b.at(n * 8, 2 * step));
        mma<T>(scores[0][n], q0.x, q0.y, q0.z, q0.w, w.x, w.y);
        mma<T>(scores[1][n], q1.x, q1.y, q1.z, q1.w, w.x, w.y);
        mma<T>(scores[0][n + 1], q0.x, q0.y, q0.z, q0.w, w.z, w.w);
        mma<T>(scores[1][n + 1], q1.x, q1.y, q1.z, q1.w, w.z, w.w);
      }
    }
  }

  /// Hides what a tile of `count` keys lacks.
  __device__ void hide_from(int count) {
    if (count < kKeys) hide_outside(count, kKeys, [](int) { return Interval{0, 0}; });
  }

  /// Hides positions [first, end) but for those in the interval seen(row), for a row of the query tile.
  template <class Seen>
  __device__ void hide_outside(int first, int end, Seen seen) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const Interval in = seen(row(r));
#pragma unroll
      for (int n = 0; n < kPartKeys / 8; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          const int position = part() * kPartKeys + n * 8 + lane % 4 * 2 + i;
          const bool hidden = position >= first && position < end && (position < in.first || position >= in.end);
          if (hidden) scores[r / 2][n][r % 2 * 2 + i] = -INFINITY;
        }
      }
    }
  }

  /// weights = 2^(scale (score - maximum))
  __device__ void soften(float scale) {
    float top[4];
    bool ahead = false;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      top[r] = scores[r / 2][0][r % 2 * 2];
#pragma unroll
      for (int n = 0; n < kPartKeys / 8; n++) {
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
        const float shrink = now == -INFINITY ? 1 : exp2_fast(scale * (most[r] - now));
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
      for (int n = 0; n < kPartKeys / 8; n++) {
        const float* s = scores[r / 2][n] + r % 2 * 2;
        const float first = exp2_fast(s[0] * scale - offset), second = exp2_fast(s[1] * scale - offset);
        sum[r] += first + second;
        weights[r / 2][n / 2][n % 2 * 2 + r % 2] = packed<T>(first, second);
      }
    }
  }

  /// out += weights v
  __device__ void multiply_values(Rows v) {
    const int lane = threadIdx.x % 32;
    const SquareLane<Columns> b(v, part() * kPartKeys + lane % 16, lane / 16);
#pragma unroll
    for (int step = 0; step < kPartKeys / 16; step++) {
      const uint32_t(&p0)[4] = weights[0][step], (&p1)[4] = weights[1][step];
#pragma unroll
      for (int n = 0; n < Columns / 8; n += 2) {
        const Words w = load_matrices_transposed(b.at(step * 16, n));
        mma<T>(out[0][n], p0[0], p0[1], p0[2], p0[3], w.x, w.y);
        mma<T>(out[1][n], p1[0], p1[1], p1[2], p1[3], w.x, w.y);
        mma<T>(out[0][n + 1], p0[0], p0[1], p0[2], p0[3], w.z, w.w);
        mma<T>(out[1][n + 1], p1[0], p1[1], p1[2], p1[3], w.z, w.w);
      }
    }
  }

  /// Leaves what another part of the same queries needs in shared memory, word by word for all lanes.
  __device__ void leave(uint32_t shared) const {
    shared += threadIdx.x % 32 * 4;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      store(shared + 2 * r * 128, __float_as_uint(most[r]));
      store(shared + (2 * r + 1) * 128, __float_as_uint(sum[r]));
#pragma unroll
      for (int n = 0; n < Columns / 8; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          store(shared + (8 + (r * (Columns / 8) + n) * 2 + i) * 128, __float_as_uint(out[r / 2][n][r % 2 * 2 + i]));
        }
      }
    }
  }
  /// Adds what another part left.
  __device__ void join(uint32_t shared, float scale) {
    shared += threadIdx.x % 32 * 4;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      const float other = load_float(shared + 2 * r * 128), now = fmaxf(most[r], other);
      const float shrink = most[r] == -INFINITY ? 0 : exp2_fast(scale * (most[r] - now));
      const float other_shrink = other == -INFINITY ? 0 : exp2_fast(scale * (other - now));
      most[r] = now;
      sum[r] = sum[r] * shrink + load_float(shared + (2 * r + 1) * 128) * other_shrink;
#pragma unroll
      for (int n = 0; n < Columns / 8; n++) {
#pragma unroll
        for (int i = 0; i < 2; i++) {
          float& o = out[r / 2][n][r % 2 * 2 + i];
          o = o * shrink + load_float(shared + (8 + (r * (Columns / 8) + n) * 2 + i) * 128) * other_shrink;
        }
      }
    }
  }

  /// Normalises the outputs, and writes them to the warp's rows in shared memory.
  __device__ void finish(Rows to) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      sum[r] += __shfl_xor_sync(kAll, sum[r], 1);
      sum[r] += __shfl_xor_sync(kAll, sum[r], 2);
      const float norm = 1 / sum[r];
#pragma unroll
      for (int n = 0; n < Columns / 8; n++) {
        const float* o = out[r / 2][n] + r % 2 * 2;
        const uint32_t pair = sum[r] == 0 ? 0 : packed<T>(o[0] * norm, o[1] * norm);
        store(to.piece(row(r), n) + lane % 4 * 4, pair);
      }
    }
  }

  /// The log-sum-exp of the scaled scores, once finished, of the first `rows` rows of the query tile.
  __device__ void write_lse(float* to, int rows, float scale) const {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int r = 0; r < 4; r++) {
      if (lane % 4 == 0 && row(r) < rows) to[row(r)] = most[r] * scale + logf(sum[r]);
    }
  }
};

/// The rows of a head that a block works on. It lies in shared memory, since registers are scarce; aligned, so that one
/// 16-byte load of it fetches no neighbour that another thread is writing.
struct alignas(16) QueryTile {
  int head;
  Interval rows;
};

/// Attention of one query tile, of at most kQueryTile / Parts rows, by one block. lse is null or (H, q_rows).
template <class T, int Columns, int Parts, class Source>
__device__ void attend(const AttentionTensors& p, const QueryTile& queries, Source source, float* lse) {
  using Rows = SharedRows<Columns>;
  using Warp = WarpQueries<T, Columns, Parts>;
  constexpr int kRows = kQueryTile / Parts, kPieces = Rows::kPieces, kPassRows = kThreads / kPieces;
  static_assert(kKeys % kPassRows == 0, "a tile is whole passes");
  extern __shared__ __align__(256) char shared[];
  const Rows q_rows{shared_address(shared)};
  const int piece = threadIdx.x % kPieces, pass_row = threadIdx.x / kPieces;
  const bool inside = piece * 8 < p.dim;  // columns that a narrower head lacks are zeros

  if (!inside) {
    for (int row = pass_row; row < kQueryTile + kSlots * kKeys; row += kPassRows) {
      store(q_rows.piece(row, piece), make_uint4(0, 0, 0, 0));
    }
  } else {
    for (int row = pass_row; row < kRows; row += kPassRows) {
      const bool there = row < queries.rows.size();
      copy_async_or_zero(q_rows.piece(row, piece),
                         row_of<T>(p.q, queries.head, queries.rows.first + (there ? row : 0)) + piece * 8, there);
    }
  }

  source.prepare(0);
  source.prepare(1);
  __syncthreads();
  int slot = 0;  // of the ring: the next to be used
  const auto slot_rows = [&](int i) { return Rows{q_rows.base + (kQueryTile + i * kKeys) * Rows::kRowBytes}; };
  const auto fetch = [&](const svg_heads& from, int tile, int to_slot) {
    const char* first = reinterpret_cast<const char*>(row_of<const T>(from, queries.head, 0) + piece * 8);
    const int row_bytes = int(from.row_stride) * 2;
    const Rows to = slot_rows(to_slot);
    if (inside && source.full(tile)) {
      int rows[kKeys / kPassRows];
      source.template rows<kPassRows>(tile, pass_row, rows);
#pragma unroll
      for (int i = 0; i < kKeys / kPassRows; i++) {
        copy_async(to.piece(pass_row + i * kPassRows, piece), first + int64_t(rows[i]) * row_bytes);
      }
    } else if (inside && tile < source.tiles()) {
#pragma unroll 1
      for (int i = pass_row; i < kKeys; i += kPassRows) {
        const int row = source.row(tile, i);
        copy_async_or_zero(to.piece(i, piece), first + int64_t(max(row, 0)) * row_bytes, row != kNoRow);
      }
    }
    copy_async_commit();
  };
  // Waits for the ring's next tile, and fetches another one into the slot of the tile before, now that all warps are
  // through with that.
  const auto turn = [&](const svg_heads& from, int tile) {
    copy_async_wait<1>();
    __syncthreads();
    fetch(from, tile, slot > 0 ? slot - 1 : kSlots - 1);
    const Rows rows = slot_rows(slot);
    slot = slot < kSlots - 1 ? slot + 1 : 0;
    return rows;
  };

  const bool idle = Warp::first_row() >= queries.rows.size();
  Warp own;
  fetch(p.k, 0, 0);
  fetch(p.v, 0, 1);
#pragma unroll 1
  for (int tile = 0; tile < source.tiles(); tile++) {
    const Rows keys = turn(p.k, tile + 1);
    if (!idle) {
      own.multiply_keys(q_rows, keys);
      source.hide(tile, own);
      own.soften(p.scale * kLog2E);
    }
    const Rows values = turn(p.v, tile + 1);
    if (!idle) own.multiply_values(values);
    source.prepare(tile + 2);
  }
  copy_async_wait<0>();
  __syncthreads();  // without tiles, q may be on its way until here

  if constexpr (Parts > 1) {  // they meet behind the rows where the outputs go
    const auto state = [&](int part) {
      return q_rows.base + kRows * Rows::kRowBytes +
             ((part - 1) * kRows + Warp::first_row()) / kWarpRows * kStateWords<Columns> * 128;
    };
    static_assert((Parts - 1) * kRows / kWarpRows * kStateWords<Columns> * 128 <=
                      (kQueryTile - kRows + kSlots * kKeys) * Rows::kRowBytes,
                  "the states of the other parts fit behind the outputs");
    if (Warp::part() > 0) own.leave(state(Warp::part()));
    __syncthreads();
    if (Warp::part() > 0) return;
#pragma unroll 1
    for (int part = 1; part < Parts; part++) own.join(state(part), p.scale * kLog2E);
  }
  if (idle) return;
  own.finish(q_rows);
  __syncwarp();
  if (lse != nullptr)
    own.write_lse(lse + int64_t(queries.head) * p.q_rows + queries.rows.first, queries.rows.size(), p.scale);
  for (int i = threadIdx.x % 32 / kPieces; i < kWarpRows; i += 32 / kPieces) {
    const int row = Warp::first_row() + i;
    if (!inside || row >= queries.rows.size()) break;
    *reinterpret_cast<Words*>(row_of<T>(p.out, queries.head, queries.rows.first + row) + piece * 8) =
        load(q_rows.piece(row, piece));
  }
}

template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 2) attend_dense(const DenseProblem p) {
  __shared__ QueryTile queries;
  if (threadIdx.x == 0) queries = {int(blockIdx.y), p.tiles()[blockIdx.x]};
  __syncthreads();
  attend<T, Columns, 1>(p.tensors, queries, ConsecutiveKeys(p.keys(queries.head, queries.rows)), p.lse);
}

template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 2) attend_band(const BandProblem p) {
  __shared__ QueryTile queries;
  __shared__ BandKeys::Shared tiles;
  if (threadIdx.x == 0) queries = {int(blockIdx.y), p.mask.tiles()[blockIdx.x]};
  __syncthreads();
  attend<T, Columns, 1>(p.tensors, queries, BandKeys(p.mask, queries.rows, tiles), nullptr);
}

/// Blocks stay, and draw one item after the other: heads in order, so that their keys share the L2 cache, long lists
/// first, so that short ones fill the end. Of the few rows that end a cluster each is two warps', so that they take
/// less time than a full tile. They are a launch of their own, since the compiler does worse at both in one kernel;
/// each launch passes over the other's items.
template <class T, int Columns, int Parts>
__global__ void __launch_bounds__(kThreads, 2) attend_blocks(const BlocksProblem p) {
  __shared__ int drawn;
  __shared__ QueryTile queries;
  __shared__ PackedKeys::Shared rows;
  constexpr int kMost = kQueryTile / Parts, kLeast = Parts == kMaxParts ? 1 : kMost / 2 + 1;
  for (;;) {
    __syncthreads();
    if (threadIdx.x == 0) {
      BlockItem item{};
      do {
        drawn = atomicAdd(p.plan.next_item + (Parts - 1), 1);
        if (drawn >= *p.plan.item_count) break;
        item = p.plan.items[drawn];
      } while (item.rows < kLeast || item.rows > kMost);
      queries = {item.head, {item.first, item.first + item.rows}};
      const int64_t list = int64_t(item.head) * p.q_clusters + item.cluster;
      PackedKeys::begin(p.plan.spans + list * p.plan.span_capacity, p.plan.lists[list], rows);
    }
    __syncthreads();
    if (drawn >= *p.plan.item_count) return;
    attend<T, Columns, Parts>(p.tensors, queries, PackedKeys(rows), nullptr);
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
  static_assert(kMaxParts == BlockPlan::kCounters, "each launch has a counter of its own");
  with_shape(p.tensors, [&](auto type, auto columns) {
    const auto launch_parts = [&](auto parts) {
      const int blocks = std::min(p.plan.item_capacity, 2 * device.processors);
      launch("block attention (mma.sync)", attend_blocks<decltype(type), columns, parts>, blocks, kThreads,
             kSharedBytes<columns>, stream, p);
    };
    launch_parts(std::integral_constant<int, 1>());
    launch_parts(std::integral_constant<int, kMaxParts>());
  });
}

}  // namespace svg
