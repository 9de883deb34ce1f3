// Dense attention on Hopper: all keys, in order.
#include "attention_wgmma.cuh"

namespace svg {
namespace {

struct DenseKeys {
  static constexpr bool kMasked = false;
  DenseProblem problem;

#ifdef __CUDACC__
  __device__ int first_ticket() const { return blockIdx.x; }
  __device__ int next_ticket(int ticket) const { return ticket + gridDim.x; }
  __device__ void work(int ticket, Work& w) const {
    const QueryTiles tiles = problem.tiles();
    w.head = ticket / tiles.count();
    if (w.head >= problem.tensors.heads) return;
    const Interval queries = tiles[ticket % tiles.count()], keys = problem.keys(w.head, queries);
    w.query_row = queries.first;
    w.query_rows = queries.size();
    w.keys = keys.size();
    w.spans = 1;
    w.list = keys.first;
  }
  __device__ Interval span(const Work& w, int) const { return {w.list, w.list + w.keys}; }
#endif
};

}  // namespace

void attention_wgmma(const DenseProblem& p, const Device& device, cudaStream_t stream) {
  launch_attention("dense attention (wgmma)", p.tensors, p.lse, DenseKeys{p},
                   int64_t(p.tensors.heads) * p.tiles().count(), device, stream);
}

}  // namespace svg
