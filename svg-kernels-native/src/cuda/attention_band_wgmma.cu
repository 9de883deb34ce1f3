// SVG1's band attention on Hopper: the intervals that the mask leaves of a tile of queries, as one list, and the mask
// itself where a tile of keys crosses its edge.
#include "attention_wgmma.cuh"

namespace svg {
namespace {

struct BandKeys {
  static constexpr bool kMasked = true;
  BandProblem problem;

#ifdef __CUDACC__
  __device__ int first_ticket() const { return blockIdx.x; }
  __device__ int next_ticket(int ticket) const { return ticket + gridDim.x; }
  __device__ void work(int ticket, Work& w) const {
    const QueryTiles tiles = problem.mask.tiles();
    w.head = ticket / tiles.count();
    if (w.head >= problem.tensors.heads) return;
    const Interval queries = tiles[ticket % tiles.count()];
    w.query_row = queries.first;
    w.query_rows = queries.size();
    w.spans = BandMask::kIntervals;
    for (int i = 0; i < BandMask::kIntervals; i++) w.keys += span(w, i).size();
    // From a place in the list to the key there, between the sink and the prompt.
    const Interval first = span(w, 0), band = span(w, 1);
    w.list = first.end < problem.mask.video ? band.first - first.end : 0;
  }
  __device__ Interval span(const Work& w, int i) const {
    return problem.mask.keys({w.query_row, w.query_row + w.query_rows}, i);
  }

  /// Whether all of these queries see all keys at these places of the list.
  __device__ bool allows_all(const Work& w, Interval queries, Interval places) const {
    const BandMask& mask = problem.mask;
    const int first = max(places.first, mask.sink), last = min(places.end, prompt_place(w)) - 1;
    return queries.first >= mask.video || first > last ||
           (last + w.list - queries.first <= mask.half_width && queries.end - 1 - first - w.list <= mask.half_width);
  }
  /// Whether a query sees the key at a place of the list.
  __device__ bool allows(const Work& w, int query, int place) const {
    const BandMask& mask = problem.mask;
    return query >= mask.video || place < mask.sink || place >= prompt_place(w) ||
           abs(place + w.list - query) <= mask.half_width;
  }

 private:
  /// Where in the list the prompt begins.
  __device__ int prompt_place(const Work& w) const { return w.keys - (problem.mask.real - problem.mask.video); }
#endif
};

}  // namespace

void attention_wgmma(const BandProblem& p, const Device& device, cudaStream_t stream) {
  launch_attention("band attention (wgmma)", p.tensors, nullptr, BandKeys{p},
                   int64_t(p.tensors.heads) * p.mask.tiles().count(), device, stream);
}

}  // namespace svg
