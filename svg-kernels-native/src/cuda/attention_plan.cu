// The plan of variable-block attention, made on the GPU: which key rows every query cluster sees, and in which order
// blocks take the query tiles.
//
// Bytes: the map once (12 MB at 40 x 300 x 1000) and the spans (8 bytes for each run of kept clusters: 18 MB at
// density .25), some 10 us. A warp reads its cluster's row of the map, 32 key clusters at a time.
#include "attention.h"

namespace svg {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;

template <class T>
__device__ inline T warp_sum(T x) {
#pragma unroll
  for (int i = 16; i > 0; i /= 2) x += __shfl_xor_sync(0xffffffffu, x, i);
  return x;
}

/// The highest bit of mask below the lane, or -1.
__device__ inline int last_below(uint32_t mask, int lane) { return 31 - __clz(mask & ((1u << lane) - 1)); }

/// Row i of (H, count + 1) offsets, kept within [0, rows].
__device__ inline int offset_at(const int32_t* offsets, int i, int rows) { return min(max(offsets[i], 0), rows); }

/// One warp per query cluster. Empty key clusters neither start nor end a span: of the others, a kept one after a
/// dropped one starts a span, and a dropped one after a kept one ends it.
__global__ void __launch_bounds__(kThreads) list_spans(const BlocksProblem p) {
  const int lane = threadIdx.x % 32, head = blockIdx.y, cluster = blockIdx.x * kWarps + threadIdx.x / 32;
  if (cluster >= p.q_clusters) return;
  const int64_t list = int64_t(head) * p.q_clusters + cluster;
  const int32_t* offsets = p.k_offsets + head * (p.k_clusters + int64_t(1));
  const uint8_t* map = p.map + list * p.k_clusters;
  int2* spans = p.plan.spans + list * p.plan.span_capacity;
  const int k_rows = p.tensors.k_rows;

  int started = 0, first = 0;  // spans so far, the latest's first row
  int64_t total = 0;           // rows of spans that ended; offsets that do not ascend may repeat rows
  bool open = false;           // whether the last cluster that is not empty is kept
  for (int base = 0; base < p.k_clusters; base += 32) {
    const int j = base + lane;
    const bool inside = j < p.k_clusters;
    const int begin = inside ? offset_at(offsets, j, k_rows) : 0, end = inside ? offset_at(offsets, j + 1, k_rows) : 0;
    const bool filled = end > begin, kept = filled && map[j] != 0;
    const uint32_t all_filled = __ballot_sync(0xffffffffu, filled), all_kept = __ballot_sync(0xffffffffu, kept);
    const int before = last_below(all_filled, lane);
    const bool kept_before = before < 0 ? open : (all_kept >> before & 1) != 0;
    const bool starts = kept && !kept_before, ends = filled && !kept && kept_before;
    const uint32_t all_starts = __ballot_sync(0xffffffffu, starts);
    const int start = last_below(all_starts, lane), span = started + __popc(all_starts & ((1u << lane) - 1));
    const int start_row = __shfl_sync(0xffffffffu, begin, max(start, 0));
    if (ends) {
      const int row = start < 0 ? first : start_row, rows = max(begin - row, 0);
      spans[span - 1] = {row, rows};
      total += rows;
    }
    started += __popc(all_starts);
    if (all_starts != 0) first = __shfl_sync(0xffffffffu, begin, 31 - __clz(all_starts));
    if (all_filled != 0) open = (all_kept >> (31 - __clz(all_filled)) & 1) != 0;
  }
  if (open && lane == 0) {
    const int rows = max(offset_at(offsets, p.k_clusters, k_rows) - first, 0);
    spans[started - 1] = {first, rows};
    total += rows;
  }
  const int keys = int(min(warp_sum(total), int64_t(k_rows)));
  if (lane == 0) {
    const int32_t* q_offsets = p.q_offsets + head * (p.q_clusters + int64_t(1));
    const int rows =
        offset_at(q_offsets, cluster + 1, p.tensors.q_rows) - offset_at(q_offsets, cluster, p.tensors.q_rows);
    p.plan.lists[list] = {started, keys};
    p.plan.order[list] = {keys, max(rows + kQueryTile - 1, 0) / kQueryTile};
  }
}

/// One thread per query cluster: its items come after those of earlier heads, of longer lists, and of equal lists of
/// earlier clusters.
__global__ void __launch_bounds__(kThreads) order_items(const BlocksProblem p) {
  __shared__ int2 others[kThreads];
  __shared__ unsigned long long before_head;
  const int head = blockIdx.y, cluster = blockIdx.x * kThreads + threadIdx.x;
  const int2* order = p.plan.order + int64_t(head) * p.q_clusters;
  if (threadIdx.x == 0) before_head = 0;
  __syncthreads();
  int64_t items = 0;  // wider than a count of valid items needs, as offsets may be anything
  for (int64_t i = threadIdx.x; i < int64_t(head) * p.q_clusters; i += kThreads) items += p.plan.order[i].y;
  items = warp_sum(items);
  if (threadIdx.x % 32 == 0) atomicAdd(&before_head, static_cast<unsigned long long>(items));

  const int2 mine = cluster < p.q_clusters ? order[cluster] : make_int2(0, 0);
  int64_t position = 0, all = 0;
  for (int base = 0; base < p.q_clusters; base += kThreads) {
    __syncthreads();
    const int i = base + threadIdx.x;
    others[threadIdx.x] = i < p.q_clusters ? order[i] : make_int2(0, 0);
    __syncthreads();
    for (int j = 0; j < kThreads; j++) {
      const int2 other = others[j];
      all += other.y;
      if (other.x > mine.x || (other.x == mine.x && base + j < cluster)) position += other.y;
    }
  }
  position += int64_t(before_head);
  if (head == gridDim.y - 1 && cluster == 0) {
    *p.plan.item_count = int(min(int64_t(before_head) + all, int64_t(p.plan.item_capacity)));
    for (int i = 0; i < BlockPlan::kCounters; i++) p.plan.next_item[i] = 0;
  }
  if (cluster >= p.q_clusters) return;
  const int32_t* offsets = p.q_offsets + head * (p.q_clusters + int64_t(1));
  const int begin = offset_at(offsets, cluster, p.tensors.q_rows),
            end = offset_at(offsets, cluster + 1, p.tensors.q_rows);
  for (int first = begin; first < end && position < p.plan.item_capacity; first += kQueryTile, position++) {
    p.plan.items[position] = {head, cluster, first, min(kQueryTile, end - first)};
  }
}

}  // namespace

void BlocksProblem::add_plan(Workspace& workspace) {
  const int64_t lists = int64_t(tensors.heads) * q_clusters;
  const int64_t items = tensors.heads * (q_clusters + ceil_div(tensors.q_rows, kQueryTile));
  if (items > INT32_MAX) {
    unsupported("heads %d, q_rows %d and q_clusters %d: the CUDA library plans at most %d query tiles", tensors.heads,
                tensors.q_rows, q_clusters, INT32_MAX);
  }
  plan.span_capacity = k_clusters / 2 + 1;
  plan.item_capacity = int(items);
  workspace.add(plan.spans, lists * plan.span_capacity);
  workspace.add(plan.lists, lists);
  workspace.add(plan.order, lists);
  workspace.add(plan.items, items);
  workspace.add(plan.item_count, 1);
  workspace.add(plan.next_item, BlockPlan::kCounters);
}

void plan_blocks(const BlocksProblem& p, cudaStream_t stream) {
  launch("listing the key rows of query clusters", list_spans,
         dim3(uint32_t(ceil_div(p.q_clusters, kWarps)), p.tensors.heads), kThreads, 0, stream, p);
  launch("ordering the query tiles", order_items, dim3(uint32_t(ceil_div(p.q_clusters, kThreads)), p.tensors.heads),
         kThreads, 0, stream, p);
}

}  // namespace svg
