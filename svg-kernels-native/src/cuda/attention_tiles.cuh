// Tiles of keys and of values in shared memory, filled with rows from anywhere: the producer's half of
// attention_wgmma.cuh.
//
// A list of keys is a row of spans. They are packed into tiles without gaps, each span in boxes of a power of two of
// rows, so that a tile takes a few bulk copies whatever the spans' lengths. The swizzle of a box depends on where it
// lands only; so a box may begin at any row of the tile.
#pragma once

#include "async.cuh"
#include "attention.h"
#include "launch.h"

namespace svg {

constexpr int kConsumers = 2;
constexpr int kGroupRows = 64;  // query rows of a warpgroup
static_assert(kConsumers * kGroupRows == kQueryTile, "the warpgroups share a tile of queries");
constexpr int kAttentionThreads = (kConsumers + 1) * 128;
constexpr int kPanel = 64;  // columns of a swizzle span

/// The sizes of a tile of keys, how many tiles of keys and of values a block holds, and whether queries are copied from
/// shared memory to registers: where there is room for them, the next work's have a whole work's time to arrive.
template <int Dim, int Keys, int Stages, bool QueriesInRegisters>
struct KeyTile {
  static_assert(Dim == 64 || Dim == 128, "heads of one or two panels");
  static_assert(Keys % 16 == 0, "a tile of keys is a whole number of steps of the second product");
  static constexpr int kDim = Dim, kKeys = Keys, kStages = Stages;
  static constexpr bool kQueriesInRegisters = QueriesInRegisters;
  static constexpr int kPanels = Dim / kPanel;
  static constexpr int kPanelBytes = Keys * kPanel * 2;
  static constexpr int kBytes = kPanels * kPanelBytes;
  static_assert(kPanelBytes % 1024 == 0, "panels start at multiples of the swizzle pattern");
  static constexpr int kQueryPanelBytes = kGroupRows * kPanel * 2;
  static constexpr int kQueryGroupBytes = kPanels * kQueryPanelBytes;
  static constexpr int kQueryBytes = kConsumers * kQueryGroupBytes;
  static constexpr int kShared = kQueryBytes + 2 * Stages * kBytes + 1024 /* alignment */ + 512 /* barriers, work */;
  static_assert(kShared <= 227 * 1024, "a block's shared memory");
};

/// Query rows of a head, and the list of keys that they see: its length, and how many spans of consecutive rows it is
/// made of. `list` is the source's own number for where these are.
struct Work {
  int head, query_row, query_rows, keys, spans, list;
};

/// An (H, rows, D) tensor as boxes of 1, 2, 4, … 128 rows by one panel: spans may begin and end anywhere.
struct RowBoxes {
  static constexpr int kSizes = 8;
  CUtensorMap of[kSizes];
  int rows;
};

inline RowBoxes row_boxes(const svg_heads& tensor, const AttentionTensors& t) {
  RowBoxes boxes;
  boxes.rows = t.k_rows;
  for (int i = 0; i < RowBoxes::kSizes; i++) {
    boxes.of[i] = tensor_map(tensor, t.dtype, t.heads, t.k_rows, t.dim, 1 << i, kPanel);
  }
  return boxes;
}

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

/// Copies `count` rows into a tile from `to` on, both panels.
template <class Tile>
__device__ inline void copy_rows(char* tile, const RowBoxes& boxes, int head, int row, int to, int count,
                                 Barrier& arrived) {
  while (count > 0) {
    const int size = min(31 - __clz(count), RowBoxes::kSizes - 1);
#pragma unroll
    for (int panel = 0; panel < Tile::kPanels; panel++) {
      copy_box(tile + panel * Tile::kPanelBytes + to * kPanel * 2, boxes.of[size], panel * kPanel, row, head, arrived);
    }
    row += 1 << size;
    to += 1 << size;
    count -= 1 << size;
  }
}

/// A warp's walk through the spans of a work: lane i holds the i-th of 32, and where in the list of keys it begins.
template <class Source>
class SpanWalk {
 public:
  __device__ SpanWalk(const Source& source, const Work& work) : source_(source), work_(work) {}

  /// Copies keys [first, first + Tile::kKeys) of the list; what a tile has beyond the last key becomes zeros.
  template <class Tile>
  __device__ void copy(char* tile, const RowBoxes& boxes, int first, Barrier& arrived) {
    const int lane = threadIdx.x % 32;
    if (lane == 0) arrived.arrive_expecting(Tile::kBytes);
    const int last = min(first + Tile::kKeys, work_.keys);
    while (true) {
      const int begin = max(begin_, first), end = min(begin_ + span_.size(), last);
      if (next_ > 0) {
        copy_rows<Tile>(tile, boxes, work_.head, span_.first + begin - begin_, begin - first, end - begin, arrived);
      }
      __syncwarp();
      if (end_ >= last) break;
      advance();
    }
    if (lane == 31) {
      copy_rows<Tile>(tile, boxes, work_.head, boxes.rows, last - first, first + Tile::kKeys - last, arrived);
    }
  }

 private:
  __device__ void advance() {
    const int lane = threadIdx.x % 32;
    span_ = next_ + lane < work_.spans ? source_.span(work_, next_ + lane) : Interval{0, 0};
    next_ += 32;
    int sum = span_.size();
#pragma unroll
    for (int i = 1; i < 32; i *= 2) {
      const int other = __shfl_up_sync(0xffffffffu, sum, i);
      if (lane >= i) sum += other;
    }
    begin_ = end_ + sum - span_.size();
    end_ += __shfl_sync(0xffffffffu, sum, 31);
  }

  const Source& source_;
  const Work& work_;
  Interval span_ = {0, 0};
  int begin_ = 0;  // of this lane's span
  int next_ = 0;   // the first span after these 32
  int end_ = 0;    // where in the list they end
};

/// Which slot of a ring comes next, and the parity its barriers are waited for with.
template <int Stages>
struct Ring {
  int stage = 0, parity;
  __device__ explicit Ring(int parity) : parity(parity) {}
  __device__ void next() {
    if (++stage == Stages) stage = 0, parity ^= 1;
  }
  __device__ Ring following() const {
    Ring ring = *this;
    ring.next();
    return ring;
  }
};

/// Hands work from the warp that fetches it to one listener, and with it the listener's query rows, if it has any.
struct WorkSlot {
  Barrier full, free;
  Work work;
};

/// A warp's whole task: fills a ring of tiles with the keys, or with the values, of one work after the other.
template <class Tile, class Source>
__device__ inline void bring_tiles(const Source& source, WorkSlot& slot, const RowBoxes& boxes, char* tiles,
                                   Barrier* full, Barrier* free) {
  Ring<Tile::kStages> ring(1);
  for (int parity = 0;; parity ^= 1) {
    slot.full.wait(parity);
    const Work work = slot.work;
    slot.free.arrive();
    if (work.query_rows == 0) break;
    SpanWalk<Source> walk(source, work);
    for (int first = 0; first < work.keys; first += Tile::kKeys, ring.next()) {
      free[ring.stage].wait(ring.parity);
      walk.template copy<Tile>(tiles + ring.stage * Tile::kBytes, boxes, first, full[ring.stage]);
    }
  }
}

#endif

}  // namespace svg
