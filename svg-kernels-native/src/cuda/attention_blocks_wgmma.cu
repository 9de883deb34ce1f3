// SVG2's variable-block attention on Hopper: the rows of kept clusters, packed across the clusters' borders. Blocks
// draw their work from the plan's items, so that long and short lists balance and a head's keys stay in L2.
#include "attention_wgmma.cuh"

namespace svg {
namespace {

struct BlockKeys {
  static constexpr bool kMasked = false;
  BlockPlan plan;
  int q_clusters;

#ifdef __CUDACC__
  __device__ int first_ticket() const {
    int ticket = 0;
    if (threadIdx.x % 32 == 0) ticket = atomicAdd(plan.next_item, 1);
    return __shfl_sync(0xffffffffu, ticket, 0);
  }
  __device__ int next_ticket(int) const { return first_ticket(); }
  __device__ void work(int ticket, Work& w) const {
    if (ticket >= *plan.item_count) return;
    const BlockItem item = plan.items[ticket];
    w.head = item.head;
    w.query_row = item.first;
    w.query_rows = item.rows;
    w.list = item.head * q_clusters + item.cluster;
    const int2 list = plan.lists[w.list];
    w.spans = list.x;
    w.keys = list.y;
  }
  __device__ Interval span(const Work& w, int i) const {
    const int2 span = plan.spans[int64_t(w.list) * plan.span_capacity + i];
    return {span.x, span.x + span.y};
  }
#endif
};

}  // namespace

void attention_wgmma(const BlocksProblem& p, const Device& device, cudaStream_t stream) {
  launch_attention("block attention (wgmma)", p.tensors, nullptr, BlockKeys{p.plan, p.q_clusters}, p.plan.item_capacity,
                   device, stream);
}

}  // namespace svg
