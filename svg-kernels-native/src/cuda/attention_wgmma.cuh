// The core of attention on Hopper, for every mode: what a mode adds is a source of work and of keys.
//
// A block is persistent. Its work is up to 128 query rows of one head and a list of key rows, which a producer
// warpgroup packs into tiles of Tile::kKeys rows in shared memory: one warp for keys, one for values, through the bulk
// copy engine. Two consumer warpgroups of 64 query rows each take every tile: S = Q K^T, softmax in registers, O += P V
// with P in registers. The first product of a tile is issued together with the second of the tile before, and the two
// warpgroups take turns at issuing, so that one's softmax runs beside the other's products.
//
// Arithmetic: 4 D operations per pair of a query and a key. Shared memory: Q, and kStages tiles of keys and of values.
// From L2: 4 D bytes per key row and 128 queries, 5 TB/s at 640 TFLOP/s. What limits it on an H200 is the card's 700 W.
#pragma once

#include <cfloat>

#include "attention_tiles.cuh"
#include "mma.cuh"
#include "wgmma.cuh"

namespace svg {

/// Up to so many keys, the end of a work matters more than the size of a tile.
constexpr int kShortList = 8192;

/// What every mode passes to the kernel.
template <class T>
struct AttentionOperands {
  CUtensorMap q;  // boxes of kGroupRows
  RowBoxes k, v;
  Rows<T> out;
  float* lse;  // (H, q_rows), or null
  int q_rows;
  float scale;  // by log2(e)
};

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

enum Listener { kGroup0, kGroup1, kKeyWarp, kValueWarp, kListeners };

template <class Tile>
struct AttentionBarriers {
  Barrier k_full[Tile::kStages], k_free[Tile::kStages], v_full[Tile::kStages], v_free[Tile::kStages];
  WorkSlot slots[kListeners];
};

/// What all lanes of a warp hold, said so that the compiler knows it.
__device__ inline int uniform(int x) { return __shfl_sync(0xffffffffu, x, 0); }
__device__ inline Work uniform(const Work& w) {
  return {uniform(w.head), uniform(w.query_row), uniform(w.query_rows),
          uniform(w.keys), uniform(w.spans),     uniform(w.list)};
}

/// The running softmax of a thread's two rows, in units of log2. The maximum that the sums are relative to may lag
/// (kLag).
struct RunningSoftmax {
  static constexpr float kNone = -FLT_MAX;
  float maximum[2] = {kNone, kNone}, sum[2] = {0, 0};

  /// Turns scores into probabilities; returns whether what was accumulated before must be multiplied by factor. At a
  /// work's start that is nothing, and factor stays as it is.
  template <int N>
  __device__ bool update(float (&s)[N], float scale, bool starts, float (&factor)[2]) {
    float peak[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      peak[0] = fmaxf(peak[0], fmaxf(s[i], s[i + 1]));
      peak[1] = fmaxf(peak[1], fmaxf(s[i + 2], s[i + 3]));
    }
    bool grows = false;
#pragma unroll
    for (int r = 0; r < 2; r++) {
      peak[r] = fmaxf(peak[r], __shfl_xor_sync(0xffffffffu, peak[r], 1));
      peak[r] = fmaxf(peak[r], __shfl_xor_sync(0xffffffffu, peak[r], 2)) * scale;
      grows |= peak[r] > maximum[r] + kLag;
    }
    grows = __any_sync(0xffffffffu, grows);
    if (grows) {
#pragma unroll
      for (int r = 0; r < 2; r++) {
        const float larger = fmaxf(maximum[r], peak[r]);
        const float shrink = exp2_fast(maximum[r] - larger);
        if (!starts) factor[r] = shrink;
        sum[r] *= shrink;
        maximum[r] = larger;
      }
    }
    float partial[4] = {0, 0, 0, 0};
#pragma unroll
    for (int i = 0; i < N; i += 4) {
#pragma unroll
      for (int e = 0; e < 4; e++) {
        s[i + e] = exp2_fast(fmaf(s[i + e], scale, -maximum[e / 2]));
        partial[e] += s[i + e];
      }
    }
    sum[0] += partial[0] + partial[1];
    sum[1] += partial[2] + partial[3];
    return grows;
  }
};

/// Two warpgroups that take turns at issuing products.
struct Turns {
  int group;
  __device__ void wait() const {
    if (group == 0) {
      asm volatile("bar.sync 1, 256;" ::: "memory");
    } else {
      asm volatile("bar.sync 2, 256;" ::: "memory");
    }
  }
  __device__ void pass() const {
    if (group == 0) {
      asm volatile("bar.arrive 2, 256;" ::: "memory");
    } else {
      asm volatile("bar.arrive 1, 256;" ::: "memory");
    }
  }
};

/// A warpgroup's queries as the first product's operand: in shared memory, or as a thread's fragments of them.
template <class T, class Tile>
class Queries {
 public:
  /// The tile of this warpgroup's queries.
  __device__ explicit Queries(const char* tile) : tile_(uniform(shared_address(tile))) {}

  /// Takes what is in the tile now.
  __device__ void load() {
    if constexpr (Tile::kQueriesInRegisters) {
      const int row = threadIdx.x / 32 % 4 * 16 + threadIdx.x % 16, column = threadIdx.x % 32 / 16 * 8;
#pragma unroll
      for (int step = 0; step < kSteps; step++) {
        fragments_[step] = load_matrices(tile_ + panel(step) + swizzled(row, column + step * 16 % kPanel, kPanel));
      }
    }
  }

  /// S = Q K^T.
  __device__ void multiply(float (&s)[Tile::kKeys / 2], uint32_t k) {
    const uint64_t a = panel_descriptor<kPanel>(tile_), b = panel_descriptor<kPanel>(k);
    wgmma_begin();
#pragma unroll
    for (int step = 0; step < kSteps; step++) {
      const uint64_t keys = b + ((step * 16 / kPanel * Tile::kPanelBytes + step * 16 % kPanel * 2) >> 4);
      if constexpr (Tile::kQueriesInRegisters) {
        const Words q = fragments_[step];
        Wgmma<T, Tile::kKeys>::run(s, q.x, q.y, q.z, q.w, keys, step != 0);
      } else {
        WgmmaShared<T, Tile::kKeys>::run(s, a + ((panel(step) + step * 16 % kPanel * 2) >> 4), keys, step != 0);
      }
    }
    wgmma_commit();
  }

 private:
  static constexpr int kSteps = Tile::kDim / 16;
  static __device__ constexpr int panel(int step) { return step * 16 / kPanel * Tile::kQueryPanelBytes; }
  uint32_t tile_;
  Words fragments_[Tile::kQueriesInRegisters ? kSteps : 1];
};

/// O += P V.
template <class T, class Tile>
__device__ inline void multiply_values(float (&o)[Tile::kDim / 2], const uint32_t (&p)[Tile::kKeys / 4], uint32_t v) {
  const uint64_t b = transposed_descriptor(v, Tile::kPanelBytes);
  wgmma_begin();
#pragma unroll
  for (int key = 0; key < Tile::kKeys; key += 16) {
    Wgmma<T, Tile::kDim, true>::run(o, p[key / 4], p[key / 4 + 1], p[key / 4 + 2], p[key / 4 + 3],
                                    b + (key * kPanel * 2 >> 4), 1);
  }
  wgmma_commit();
}

/// Scores of a thread's two rows that the mask or the list's end rules out become -infinity.
template <class Tile, class Source>
__device__ inline void mask_scores(float (&s)[Tile::kKeys / 2], const Source& source, const Work& work, int first,
                                   int row) {
  const int lane_column = threadIdx.x % 4 * 2;
  const int last = min(Tile::kKeys, work.keys - first);
  if constexpr (Source::kMasked) {
    const int warp_row = row - threadIdx.x % 32 / 4;
    if (!source.allows_all(work, {warp_row, warp_row + 16}, {first, first + last})) {
#pragma unroll
      for (int i = 0; i < Tile::kKeys / 2; i++) {
        const int column = i / 4 * 8 + lane_column + i % 2;
        if (column >= last || !source.allows(work, row + i % 4 / 2 * 8, first + column)) s[i] = -INFINITY;
      }
      return;
    }
  }
  if (last < Tile::kKeys) {
#pragma unroll
    for (int i = 0; i < Tile::kKeys / 2; i++) {
      if (i / 4 * 8 + lane_column + i % 2 >= last) s[i] = -INFINITY;
    }
  }
}

/// Where a thread's two accumulated rows go.
template <class T>
struct Output {
  T* row;          // the first; the second is 8 below
  bool inside[2];  // whether the work has these rows
};

/// The end of a work's softmax: by what its rows are multiplied, their log-sum-exp, and where they go.
template <class T>
__device__ inline Output<T> finish(const AttentionOperands<T>& p, const Work& work, const RunningSoftmax& softmax,
                                   int row, float (&factor)[2]) {
  const int left = work.query_row + work.query_rows - row;
#pragma unroll
  for (int r = 0; r < 2; r++) {
    float sum = softmax.sum[r];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    factor[r] = sum == 0 ? 0 : 1 / sum;
    if (p.lse != nullptr && r * 8 < left && threadIdx.x % 4 == 0) {
      p.lse[int64_t(work.head) * p.q_rows + row + r * 8] =
          sum == 0 ? -INFINITY : (softmax.maximum[r] + log2f(sum)) * kLn2;
    }
  }
  return {p.out.row(work.head, row), {left > 0, left > 8}};
}

template <int N>
__device__ inline void scale_rows(float (&o)[N], const float (&factor)[2]) {
#pragma unroll
  for (int i = 0; i < N; i++) o[i] *= factor[i % 4 / 2];
}

/// Writes a thread's two rows: the four lanes that share them exchange what they hold, so that each has 16 bytes of a
/// row.
template <class T, int N>
__device__ inline void store(const float (&o)[N], const Output<T>& output, int64_t row_stride) {
  const int quad = threadIdx.x % 4;
#pragma unroll
  for (int r = 0; r < 2; r++) {
#pragma unroll
    for (int column = 0; column < 2 * N; column += 32) {
      uint32_t words[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int at = (column / 8 + i) * 4 + r * 2;
        words[i] = packed<T>(o[at], o[at + 1]);
      }
      exchange(words);
      if (output.inside[r]) {
        *reinterpret_cast<uint4*>(output.row + r * 8 * row_stride + column + quad * 8) =
            make_uint4(words[0], words[1], words[2], words[3]);
      }
    }
  }
}

template <class T, class Tile, class Source>
__global__ void __launch_bounds__(kAttentionThreads, 1)
    attention(const __grid_constant__ AttentionOperands<T> p, const __grid_constant__ Source source) {
  extern __shared__ char unaligned[];
  char* q_tile = unaligned + (-shared_address(unaligned) & 1023);  // [group][panel][row][kPanel]
  char* k_tiles = q_tile + Tile::kQueryBytes;                      // [stage][panel][row][kPanel]
  char* v_tiles = k_tiles + Tile::kStages * Tile::kBytes;
  auto& barriers = *reinterpret_cast<AttentionBarriers<Tile>*>(v_tiles + Tile::kStages * Tile::kBytes);
  static_assert(sizeof(barriers) <= 512, "barriers have room");

  const int group = uniform(threadIdx.x / 128), warp = uniform(threadIdx.x / 32 % 4), lane = threadIdx.x % 32;
  if (threadIdx.x == 0) {
    for (int i = 0; i < Tile::kStages; i++) {
      barriers.k_full[i].init(1);
      barriers.k_free[i].init(kConsumers * 4);
      barriers.v_full[i].init(1);
      barriers.v_free[i].init(kConsumers * 4);
    }
    for (int listener = 0; listener < kListeners; listener++) {
      barriers.slots[listener].full.init(1);
      barriers.slots[listener].free.init(listener < kConsumers ? 128 : 32);  // every thread that reads
    }
    fence_barrier_init();
  }
  __syncthreads();

  if (group == kConsumers) {
    fewer_registers<40>();
    if (warp == 0) {  // fetches work, and brings queries
      int parity = 1;
      for (int ticket = source.first_ticket();; ticket = source.next_ticket(ticket), parity ^= 1) {
        Work work = {};
        source.work(ticket, work);
        for (const int listener : {kKeyWarp, kValueWarp, kGroup0, kGroup1}) {
          WorkSlot& slot = barriers.slots[listener];
          slot.free.wait(parity);
          if (lane != 0) continue;
          slot.work = work;
          if (listener < kConsumers && work.query_rows > listener * kGroupRows) {
            slot.full.arrive_expecting(Tile::kQueryGroupBytes);
            for (int panel = 0; panel < Tile::kPanels; panel++) {
              copy_box(q_tile + listener * Tile::kQueryGroupBytes + panel * Tile::kQueryPanelBytes, p.q, panel * kPanel,
                       work.query_row + listener * kGroupRows, work.head, slot.full);
            }
          } else {
            slot.full.arrive();
          }
        }
        __syncwarp();
        if (work.query_rows == 0) break;
      }
    } else if (warp == 1) {
      bring_tiles<Tile>(source, barriers.slots[kKeyWarp], p.k, k_tiles, barriers.k_full, barriers.k_free);
    } else if (warp == 2) {
      bring_tiles<Tile>(source, barriers.slots[kValueWarp], p.v, v_tiles, barriers.v_full, barriers.v_free);
    }
    return;
  }

  more_registers<232>();
  const Turns turns{group};
  if (group == 1) turns.pass();                               // the first turn is the first group's
  const int row = group * kGroupRows + warp * 16 + lane / 4;  // of the work's; and 8 below
  Ring<Tile::kStages> ring(0);
  Queries<T, Tile> queries(q_tile + group * Tile::kQueryGroupBytes);
  WorkSlot& slot = barriers.slots[group];
  int work_parity = 0;
  const auto receive_work = [&] {
    slot.full.wait(work_parity);
    work_parity ^= 1;
    return uniform(slot.work);
  };
  const auto k_tile = [&](int stage) { return shared_address(k_tiles + stage * Tile::kBytes); };
  const auto v_tile = [&](int stage) { return shared_address(v_tiles + stage * Tile::kBytes); };

  float s[Tile::kKeys / 2], o[Tile::kDim / 2];
  uint32_t probabilities[Tile::kKeys / 4];
  Work work = receive_work();
  while (work.query_rows != 0) {
    const bool rows = work.query_rows > group * kGroupRows;
    if (!rows || work.keys == 0) {  // nothing to multiply for this group: let the tiles pass
      if (rows) {
#pragma unroll
        for (float& x : o) x = 0;
        float none[2];
        store(o, finish(p, work, RunningSoftmax(), work.query_row + row, none), p.out.row_stride);
      }
      slot.free.arrive();
      for (int first = 0; first < work.keys; first += Tile::kKeys, ring.next()) {
        barriers.k_full[ring.stage].wait(ring.parity);
        release(barriers.k_free[ring.stage]);
        barriers.v_full[ring.stage].wait(ring.parity);
        release(barriers.v_free[ring.stage]);
      }
      work = receive_work();
      continue;
    }

    const auto to_probabilities = [&] {
#pragma unroll
      for (int i = 0; i < Tile::kKeys / 4; i++) probabilities[i] = packed<T>(s[2 * i], s[2 * i + 1]);
    };
    RunningSoftmax softmax;
    float factor[2];
    int first = 0;  // keys [first, first + Tile::kKeys) are in s, then in probabilities
    queries.load();
    if (Tile::kQueriesInRegisters) slot.free.arrive();
    barriers.k_full[ring.stage].wait(ring.parity);
    queries.multiply(s, k_tile(ring.stage));
    wgmma_wait<0>();
    wgmma_hold(s);
    release(barriers.k_free[ring.stage]);
    if (!Tile::kQueriesInRegisters && work.keys <= Tile::kKeys) slot.free.arrive();
    mask_scores<Tile>(s, source, work, first, work.query_row + row);
    softmax.update(s, p.scale, true, factor);
    to_probabilities();
#pragma unroll
    for (float& x : o) x = 0;

    // One tile after the other, and from one work to the next as long as each has something for this group: the first
    // product of a tile runs beside the second of the tile before, whichever work that is of.
    while (true) {
      const bool last = work.keys - first <= Tile::kKeys, both = work.query_rows > kGroupRows;
      Work next = work;
      if (last) {
        next = receive_work();
        if (next.query_rows <= group * kGroupRows || next.keys == 0) {
          barriers.v_full[ring.stage].wait(ring.parity);
          if (both) turns.wait();
          wgmma_hold(o);
          wgmma_hold(probabilities);
          multiply_values<T, Tile>(o, probabilities, v_tile(ring.stage));
          if (both) turns.pass();
          wgmma_wait<0>();
          wgmma_hold(o);
          release(barriers.v_free[ring.stage]);
          ring.next();
          const Output<T> output = finish(p, work, softmax, work.query_row + row, factor);
          scale_rows(o, factor);
          store(o, output, p.out.row_stride);
          work = next;
          break;
        }
        queries.load();
        if (Tile::kQueriesInRegisters) slot.free.arrive();
      }
      const Ring<Tile::kStages> k_ring = ring.following();
      barriers.k_full[k_ring.stage].wait(k_ring.parity);
      if (both) turns.wait();
      wgmma_hold(o);
      wgmma_hold(probabilities);
      queries.multiply(s, k_tile(k_ring.stage));
      barriers.v_full[ring.stage].wait(ring.parity);
      multiply_values<T, Tile>(o, probabilities, v_tile(ring.stage));
      if (both) turns.pass();

      Output<T> output;
      first += Tile::kKeys;
      if (last) {
        output = finish(p, work, softmax, work.query_row + row, factor);
        softmax = RunningSoftmax();
        work = next;
        first = 0;
      }
      wgmma_wait<1>();
      wgmma_hold(s);
      release(barriers.k_free[k_ring.stage]);
      if (!Tile::kQueriesInRegisters && work.keys - first <= Tile::kKeys) slot.free.arrive();
      mask_scores<Tile>(s, source, work, first, work.query_row + row);
      const bool shrinks = softmax.update(s, p.scale, last, factor);
      wgmma_hold(s);  // so that the softmax runs beside the product with values
      wgmma_wait<0>();
      wgmma_hold(o);
      wgmma_hold(probabilities);
      release(barriers.v_free[ring.stage]);
      ring.next();
      if (last || shrinks) scale_rows(o, factor);
      if (last) {
        store(o, output, p.out.row_stride);
#pragma unroll
        for (float& x : o) x = 0;
      }
      to_probabilities();
    }
  }
}

#endif

/// Attention with the keys of a source, in `items` pieces of work at most.
template <class T, class Tile, class Source>
void launch_attention(const char* name, const AttentionTensors& t, float* lse, const Source& source, int64_t items,
                      const Device& device, cudaStream_t stream) {
  if (items > INT32_MAX / 2) {
    unsupported("%d heads of %d query rows make %lld tiles, the CUDA library has at most %d for one call", t.heads,
                t.q_rows, (long long)items, INT32_MAX / 2);
  }
  const AttentionOperands<T> operands{tensor_map(t.q, t.dtype, t.heads, t.q_rows, t.dim, kGroupRows, kPanel),
                                      row_boxes(t.k, t),
                                      row_boxes(t.v, t),
                                      Rows<T>(t.out),
                                      lse,
                                      t.q_rows,
                                      t.scale * kLog2E};
  launch(name, attention<T, Tile, Source>, unsigned(items < device.processors ? items : device.processors),
         kAttentionThreads, Tile::kShared, stream, operands, source);
}

/// The same, with the tile that suits the shape: long lists want tiles as large as fit; where a work is over after a
/// few tiles, the queries of the next must be there already.
template <class Source>
void launch_attention(const char* name, const AttentionTensors& t, float* lse, const Source& source, int64_t items,
                      const Device& device, cudaStream_t stream) {
  const auto pick = [&](auto type) {
    using T = decltype(type);
    if (t.dim == 64) {
      launch_attention<T, KeyTile<64, 176, 3, true>>(name, t, lse, source, items, device, stream);
    } else if (t.k_rows <= kShortList) {
      launch_attention<T, KeyTile<128, 128, 3, true>>(name, t, lse, source, items, device, stream);
    } else {
      launch_attention<T, KeyTile<128, 176, 2, false>>(name, t, lse, source, items, device, stream);
    }
  };
  if (t.dtype == SVG_F16) {
    pick(f16{});
  } else {
    pick(bf16{});
  }
}

}  // namespace svg
