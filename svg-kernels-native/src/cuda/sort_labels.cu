// Stable counting sort of labels: svg_sort_labels, and the order in which k-means adds up rows.
//
// Bytes: labels are read twice and the order is written once, 12 bytes a row (36 MB at 40 x 75,600: 10 us); the counts
// are rows / 2048 * clusters words a head. Three passes: every block counts its chunk of rows; one block a head turns
// the counts into starts; every block places its rows. Within a block each warp owns 256 consecutive rows and a
// histogram of its own, so that ranks follow the order of rows without any waiting between warps.
#include "sort.h"
#include "vectors.cuh"

namespace svg {
namespace {

constexpr int kScanThreads = 1024;

__global__ void count_labels(LabelSort s) {
  extern __shared__ int32_t histogram[];
  if (s.skip != nullptr && *s.skip != 0) return;
  const int head = blockIdx.y, chunk = blockIdx.x;
  for (int j = threadIdx.x; j < s.clusters; j += blockDim.x) histogram[j] = 0;
  __syncthreads();
  const int begin = chunk * s.chunk_rows, end = min(begin + s.chunk_rows, s.rows);
  const int32_t* labels = s.labels + int64_t(head) * s.rows;
  for (int row = begin + threadIdx.x; row < end; row += blockDim.x) {
    const uint32_t label = labels[row];
    if (label < uint32_t(s.clusters)) atomicAdd(&histogram[label], 1);
  }
  __syncthreads();
  int32_t* counts = s.counts + (int64_t(head) * s.chunks + chunk) * s.clusters;
  for (int j = threadIdx.x; j < s.clusters; j += blockDim.x) counts[j] = histogram[j];
}

/// The sum of the values of the threads before this one; total is that of all.
__device__ int exclusive_sum(int value, int& total) {
  __shared__ int warp_sums[kScanThreads / 32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  int sum = value;
#pragma unroll
  for (int i = 1; i < 32; i *= 2) {
    const int below = __shfl_up_sync(0xffffffffu, sum, i);
    if (lane >= i) sum += below;
  }
  __syncthreads();  // the last call's sums have been read
  if (lane == 31) warp_sums[warp] = sum;
  __syncthreads();
  int before = 0, all = 0;
#pragma unroll
  for (int i = 0; i < kScanThreads / 32; i++) {
    const int of_warp = warp_sums[i];
    if (i < warp) before += of_warp;
    all += of_warp;
  }
  total = all;
  return before + sum - value;
}

__global__ void __launch_bounds__(kScanThreads) scan_counts(LabelSort s) {
  if (s.skip != nullptr && *s.skip != 0) return;
  const int head = blockIdx.x;
  int32_t* counts = s.counts + int64_t(head) * s.chunks * s.clusters;
  int32_t* offsets = s.offsets + int64_t(head) * (s.clusters + s.context_clusters + 1);
  int placed = 0;
  for (int first = 0; first < s.clusters; first += kScanThreads) {
    const int cluster = first + threadIdx.x;
    const bool mine = cluster < s.clusters;
    int size = 0;
    if (mine) {
#pragma unroll 8
      for (int c = 0; c < s.chunks; c++) size += counts[int64_t(c) * s.clusters + cluster];
    }
    int total;
    int start = placed + exclusive_sum(size, total);
    if (mine) {
      offsets[cluster] = start;
      if (s.sizes != nullptr) s.sizes[int64_t(head) * s.clusters + cluster] = size;
#pragma unroll 8
      for (int c = 0; c < s.chunks; c++) {
        int32_t& count = counts[int64_t(c) * s.clusters + cluster];
        const int of_chunk = count;
        count = start;
        start += of_chunk;
      }
    }
    placed += total;
  }
  if (threadIdx.x == 0) {
    offsets[s.clusters] = s.rows;
    if (s.context_clusters == 2) {
      offsets[s.clusters + 1] = s.rows + s.prompt_rows;
      offsets[s.clusters + 2] = s.rows + s.prompt_rows + s.padding_rows;
    }
  }
}

__global__ void place_rows(LabelSort s) {
  extern __shared__ int32_t starts[];  // of the chunk's rows of a cluster
  if (s.skip != nullptr && *s.skip != 0) return;
  const int head = blockIdx.y, chunk = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  // Per warp: how many rows of a cluster come before the warp's next one, within the chunk.
  uint16_t* before = reinterpret_cast<uint16_t*>(starts + s.clusters);
  const int32_t* counts = s.counts + (int64_t(head) * s.chunks + chunk) * s.clusters;
  for (int j = threadIdx.x; j < s.clusters; j += blockDim.x) {
    starts[j] = counts[j];
    for (int w = 0; w < s.warps; w++) before[w * s.clusters + j] = 0;
  }
  __syncthreads();

  constexpr int kSteps = LabelSort::kWarpRows / 32;
  const int first = chunk * s.chunk_rows + warp * LabelSort::kWarpRows + lane;
  const int32_t* labels = s.labels + int64_t(head) * s.rows;
  uint16_t* mine = before + warp * s.clusters;
  const int bits = 32 - __clz(s.clusters - 1);
  int label[kSteps];
  uint32_t peers[kSteps];
#pragma unroll
  for (int i = 0; i < kSteps; i++) {
    const int row = first + i * 32;
    const int value = row < s.rows ? labels[row] : -1;
    label[i] = uint32_t(value) < uint32_t(s.clusters) ? value : -1;
  }
  // The lanes with the same label. A ballot per bit, eight rows at a time, is much faster than match.any.
#pragma unroll
  for (int i = 0; i < kSteps; i++) peers[i] = __ballot_sync(0xffffffffu, label[i] >= 0);
  for (int bit = 0; bit < bits; bit++) {
#pragma unroll
    for (int i = 0; i < kSteps; i++) {
      const bool set = label[i] >> bit & 1;
      const uint32_t others = __ballot_sync(0xffffffffu, set);
      peers[i] &= set ? others : ~others;
    }
  }
#pragma unroll
  for (int i = 0; i < kSteps; i++) {
    if (label[i] >= 0 && lane == __ffs(peers[i]) - 1) mine[label[i]] += __popc(peers[i]);
    __syncwarp();
  }
  __syncthreads();
  for (int j = threadIdx.x; j < s.clusters; j += blockDim.x) {
    int sum = 0;
    for (int w = 0; w < s.warps; w++) {
      const int of_warp = before[w * s.clusters + j];
      before[w * s.clusters + j] = uint16_t(sum);
      sum += of_warp;
    }
  }
  __syncthreads();
  int32_t* order = s.order + int64_t(head) * s.rows;
#pragma unroll
  for (int i = 0; i < kSteps; i++) {
    if (label[i] >= 0) {
      const int rank = __popc(peers[i] & ((1u << lane) - 1));
      order[starts[label[i]] + mine[label[i]] + rank] = first + i * 32;
    }
    __syncwarp();
    if (label[i] >= 0 && lane == __ffs(peers[i]) - 1) mine[label[i]] += __popc(peers[i]);
    __syncwarp();
  }
}

}  // namespace

LabelSort::LabelSort(int heads, int rows, int clusters) : heads(heads), rows(rows), clusters(clusters) {
  warps = clusters <= 4096 ? 8 : clusters <= 8192 ? 4 : 1;  // what 96 KB of shared memory hold
  static_assert(8192 * (4 + 2 * 4) <= 96 * 1024 && kMaxClusters * (4 + 2) <= 96 * 1024, "histograms fit");
  chunk_rows = warps * kWarpRows;
  chunks = int(ceil_div(rows, chunk_rows));
  sizes = nullptr;
  context_clusters = prompt_rows = padding_rows = 0;
  skip = nullptr;
}

void LabelSort::count(cudaStream_t stream) const {
  launch("counting labels", count_labels, dim3(chunks, heads), 256, clusters * sizeof(int32_t), stream, *this);
}

void LabelSort::place(cudaStream_t stream) const {
  launch("adding up label counts", scan_counts, heads, kScanThreads, 0, stream, *this);
  launch("placing rows", place_rows, dim3(chunks, heads), warps * 32,
         clusters * (sizeof(int32_t) + warps * sizeof(uint16_t)), stream, *this);
}

}  // namespace svg

int32_t svg_sort_labels(const svg_sort_labels_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_sort_labels_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("rows", p.rows, 1);
    at_least("clusters", p.clusters, 1);
    if (p.context_clusters != 0 && p.context_clusters != 2) {
      refuse("context_clusters is %d, expected 0 or 2", p.context_clusters);
    }
    at_least("prompt_rows", p.prompt_rows, 0);
    at_least("padding_rows", p.padding_rows, 0);
    if (p.context_clusters == 0 && (p.prompt_rows != 0 || p.padding_rows != 0)) {
      refuse("prompt_rows is %d and padding_rows %d without context_clusters, expected 0", p.prompt_rows,
             p.padding_rows);
    }
    in_range("rows + prompt_rows + padding_rows", int64_t(p.rows) + p.prompt_rows + p.padding_rows, 1, INT32_MAX);
    Arguments arguments;
    arguments.read("labels", p.labels, int64_t(p.heads) * p.rows);
    arguments.write("order", p.order, int64_t(p.heads) * p.rows);
    arguments.write("offsets", p.offsets, p.heads * (int64_t(p.clusters) + p.context_clusters + 1));
    if (p.clusters > LabelSort::kMaxClusters) {
      unsupported("clusters is %d, the CUDA library sorts at most %d", p.clusters, LabelSort::kMaxClusters);
    }
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    LabelSort sort(p.heads, p.rows, p.clusters);
    sort.labels = p.labels;
    sort.order = p.order;
    sort.offsets = p.offsets;
    sort.context_clusters = p.context_clusters;
    sort.prompt_rows = p.prompt_rows;
    sort.padding_rows = p.padding_rows;
    Workspace workspace(on);
    workspace.add(sort.counts, sort.counts_size());
    workspace.allocate();
    sort.count(on);
    sort.place(on);
  });
}
