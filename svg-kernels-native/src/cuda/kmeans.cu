// k-means, one problem per head: svg_kmeans.
//
// An iteration is the assignment (kmeans_assign_*.cu), the sort of the labels (sort_labels.cu) and the new means here.
// The means read x once more (774 MB at 40 x 75,600 x 128: 0.18 ms), in the order of the labels, so that sums are
// segments of consecutive positions: fp32, always in the same order, without atomics. Positions are cut into chunks of
// 128 whatever the cluster sizes are, so that one huge cluster costs what many small ones do; a chunk's part of a
// cluster goes to its own slot, and the slots of a cluster, which are neighbours, are added up in order.
//
// Early stop: the last block of an iteration sets state.stop, and every later kernel returns at once.
#include "../common/drawn_rows.h"
#include "kmeans.h"
#include "mma.cuh"
#include "sort.h"
#include "wgmma.cuh"

namespace svg {
namespace {

constexpr int kChunk = 128;  // positions
constexpr int kWarpsPerBlock = 8;

struct UpdateProblem {
  svg_heads x;
  int heads, rows, dim, clusters, chunks;
  const int32_t* labels;     // (H, rows)
  const int32_t* order;      // (H, rows)
  const int32_t* offsets;    // (H, clusters + 1)
  const int32_t* init_rows;  // (H, clusters), or null
  uint64_t seed;
  bool draw_rows;
  float* sums;               // (H, chunks + clusters, dim): the slot of chunk c's part of cluster j is c + j
  float* centroids;          // (H, clusters, dim)
  int32_t* iterations_done;  // or null
  float tolerance;
  CentroidImage image;
  KMeansState* state;
};

/// Adds up the parts of clusters. A group of lanes, 16 bytes of the row each, owns a chunk.
template <class T, int Lanes>
__global__ void add_rows(const UpdateProblem p) {
  constexpr int kGroups = 16, V = kVector<T>, kBatch = 8;
  __shared__ int32_t rows[kGroups][kChunk], clusters[kGroups][kChunk];
  if (p.state->stop != 0) return;
  const int head = blockIdx.y, first = blockIdx.x * kGroups * kChunk;
  const int count = min(kGroups * kChunk, p.rows - first);
  for (int i = threadIdx.x; i < count; i += kGroups * Lanes) {
    const int row = p.order[int64_t(head) * p.rows + first + i];
    rows[i / kChunk][i % kChunk] = row;
    clusters[i / kChunk][i % kChunk] = p.labels[int64_t(head) * p.rows + row];
  }
  __syncthreads();
  const int group = threadIdx.x / Lanes, column = threadIdx.x % Lanes * V;
  const int chunk = blockIdx.x * kGroups + group;
  const int positions = min(kChunk, p.rows - chunk * kChunk);
  if (positions <= 0 || column >= p.dim) return;
  const T* x = static_cast<const T*>(p.x.data) + head * p.x.head_stride + column;
  float* slots = p.sums + (int64_t(head) * (p.chunks + p.clusters) + chunk) * p.dim + column;

  float sum[V] = {};
  int cluster = clusters[group][0];
  const auto flush = [&] {
    Vector<float, 4> part;
#pragma unroll
    for (int i = 0; i < V; i++) {
      part.v[i % 4] = sum[i];
      if (i % 4 == 3) store(slots + int64_t(cluster) * p.dim + i - 3, part);
      sum[i] = 0;
    }
  };
  for (int begin = 0; begin < positions; begin += kBatch) {
    Vector<T, V> values[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; i++) {
      const int row = rows[group][min(begin + i, positions - 1)];
      values[i] = load_streaming<V>(x + row * p.x.row_stride);
    }
#pragma unroll
    for (int i = 0; i < kBatch; i++) {
      if (begin + i < positions) {
        const int next = clusters[group][begin + i];
        if (next != cluster) {
          flush();
          cluster = next;
        }
#pragma unroll
        for (int v = 0; v < V; v++) sum[v] += to_float(values[i].v[v]);
      }
    }
  }
  flush();
}

/// Writes a centroid, dim values of which lane l holds 4 l + {0 .. 3}, into the image of the assignment.
template <class T>
__device__ void write_image(const CentroidImage& image, int head, int cluster, int dim, const float (&c)[4]) {
  const int lane = threadIdx.x % 32, d = lane * 4;
  float squares = 0;
  Vector<T, 4> rounded;
#pragma unroll
  for (int i = 0; i < 4; i++) {
    rounded.v[i] = operand<T>(c[i]);
    const float value = to_float(rounded.v[i]);
    squares += value * value;
  }
  squares = sum_over(squares);
  if (lane == 0) image.bias[int64_t(head) * image.clusters + cluster] = -0.5f * squares;
  if (d >= dim) return;
  T* data = static_cast<T*>(image.data) + int64_t(head) * image.clusters * image.columns;
  if (!image.panels) {
    store(data + int64_t(cluster) * image.columns + d, rounded);
    return;
  }
  // Lane q of a product holds 8 consecutive columns of a group of 32: four for its first step, four for the second,
  // where they are columns 2 q, 2 q + 1, 8 + 2 q, 9 + 2 q (mma.cuh).
  const int q = d % 32 / 8, step = d / 32 * 2 + d % 8 / 4;
  const int panel_width = panel_columns(image.columns);
  char* tile = reinterpret_cast<char*>(data + int64_t(cluster / image.tile) * image.tile * image.columns);
#pragma unroll
  for (int half = 0; half < 2; half++) {
    const int column = step * 16 + half * 8 + 2 * q;
    char* panel = tile + int64_t(column / panel_width) * image.tile * panel_width * 2;
    Vector<T, 2> pair{rounded.v[2 * half], rounded.v[2 * half + 1]};
    store(reinterpret_cast<T*>(panel + swizzled(cluster % image.tile, column % panel_width, panel_width)), pair);
  }
}

/// The centroids to start from, and an image whose padding is zero.
template <class T>
__global__ void start(const UpdateProblem p) {
  const int head = blockIdx.y, cluster = blockIdx.x * kWarpsPerBlock + threadIdx.x / 32, d = threadIdx.x % 32 * 4;
  if (blockIdx.x == 0 && head == 0 && threadIdx.x == 0) *p.state = KMeansState{};
  if (cluster >= p.clusters) {
    if (cluster < p.image.clusters && d == 0) {
      p.image.bias[int64_t(head) * p.image.clusters + cluster] = -INFINITY;
    }
    return;
  }
  float c[4] = {};
  if (d < p.dim) {
    float* centroid = p.centroids + (int64_t(head) * p.clusters + cluster) * p.dim + d;
    if (p.init_rows != nullptr || p.draw_rows) {
      const int row = p.draw_rows ? DrawnRows(p.seed, head, p.rows)[cluster]
                                  : min(max(p.init_rows[int64_t(head) * p.clusters + cluster], 0), p.rows - 1);
      const T* x = static_cast<const T*>(p.x.data) + head * p.x.head_stride + row * p.x.row_stride + d;
      const Vector<T, 4> values = load<4>(x);
#pragma unroll
      for (int i = 0; i < 4; i++) c[i] = to_float(values.v[i]);
      store(centroid, Vector<float, 4>{c[0], c[1], c[2], c[3]});
    } else {
      const Vector<float, 4> values = load<4>(centroid);
#pragma unroll
      for (int i = 0; i < 4; i++) c[i] = values.v[i];
    }
  }
  write_image<T>(p.image, head, cluster, p.dim, c);
}

__device__ void count_iteration(const UpdateProblem& p) {
  p.state->iterations++;
  if (p.iterations_done != nullptr) *p.iterations_done = p.state->iterations;
}

/// New means from the parts, one warp a cluster, and whether to stop.
template <class T>
__global__ void finish(const UpdateProblem p) {
  __shared__ float block_moved[kWarpsPerBlock];
  if (p.state->stop != 0) return;
  const int head = blockIdx.y, warp = threadIdx.x / 32, lane = threadIdx.x % 32, d = lane * 4;
  const int cluster = blockIdx.x * kWarpsPerBlock + warp;
  float moved = 0;
  if (cluster < p.clusters) {
    const int32_t* offsets = p.offsets + int64_t(head) * (p.clusters + 1) + cluster;
    const int begin = offsets[0], size = offsets[1] - begin;
    if (size > 0) {
      float c[4] = {};
      if (d < p.dim) {
        const int64_t first_slot = int64_t(head) * (p.chunks + p.clusters) + cluster;
        const float* part = p.sums + (first_slot + begin / kChunk) * p.dim + d;
        float* centroid = p.centroids + (int64_t(head) * p.clusters + cluster) * p.dim + d;
        const Vector<float, 4> old = load<4>(centroid);
        const int parts = (begin + size - 1) / kChunk - begin / kChunk + 1;
#pragma unroll 4
        for (int i = 0; i < parts; i++) {
          const Vector<float, 4> values = load<4>(part + int64_t(i) * p.dim);
#pragma unroll
          for (int j = 0; j < 4; j++) c[j] += values.v[j];
        }
#pragma unroll
        for (int j = 0; j < 4; j++) {
          c[j] /= float(size);
          moved += (c[j] - old.v[j]) * (c[j] - old.v[j]);
        }
        store(centroid, Vector<float, 4>{c[0], c[1], c[2], c[3]});
      }
      write_image<T>(p.image, head, cluster, p.dim, c);
      moved = sum_over(moved);
    }
  }
  if (p.tolerance == 0) {  // nothing to decide, so nothing to wait for
    if (blockIdx.x == 0 && head == 0 && threadIdx.x == 0) count_iteration(p);
    return;
  }
  if (lane == 0) block_moved[warp] = moved;
  __syncthreads();
  if (threadIdx.x != 0) return;
  for (int w = 1; w < kWarpsPerBlock; w++) moved = fmaxf(moved, block_moved[w]);
  atomicMax(&p.state->moved, __float_as_uint(moved));  // squares: floats that are not negative order as their bits
  __threadfence();
  const uint32_t blocks = gridDim.x * gridDim.y;
  if (atomicAdd(&p.state->arrived, 1) != blocks - 1) return;
  __threadfence();
  const float most = sqrtf(__uint_as_float(atomicExch(&p.state->moved, 0)));
  p.state->arrived = 0;
  count_iteration(p);
  if (most < p.tolerance) p.state->stop = 1;
}

template <class T, int Lanes>
void launch_add_rows(const UpdateProblem& p, cudaStream_t stream) {
  launch("adding up the rows of clusters", add_rows<T, Lanes>, dim3(uint32_t(ceil_div(p.chunks, 16)), p.heads),
         16 * Lanes, 0, stream, p);
}

template <class T>
void add_rows_of(const UpdateProblem& p, cudaStream_t stream) {
  const int lanes = p.dim / kVector<T>;
  if (lanes <= 2) return launch_add_rows<T, 2>(p, stream);
  if (lanes <= 4) return launch_add_rows<T, 4>(p, stream);
  if (lanes <= 8) return launch_add_rows<T, 8>(p, stream);
  if (lanes <= 16) return launch_add_rows<T, 16>(p, stream);
  if constexpr (sizeof(T) == 4) launch_add_rows<T, 32>(p, stream);
}

template <class T>
void solve(const svg_kmeans_params& p, cudaStream_t stream) {
  const Device device = Device::current();
  const bool wgmma = sizeof(T) == 2 && device.uses_wgmma();

  UpdateProblem update{};
  update.x = p.x;
  update.heads = p.heads;
  update.rows = p.rows;
  update.dim = p.head_dim;
  update.clusters = p.clusters;
  update.chunks = int(ceil_div(p.rows, kChunk));
  update.labels = p.labels;
  update.init_rows = p.init_rows;
  update.seed = p.seed;
  update.draw_rows = p.draw_rows != 0;
  update.centroids = p.centroids;
  update.iterations_done = p.iterations_done;
  update.tolerance = p.tolerance;
  CentroidImage& image = update.image;
  image.columns = int(ceil_div(p.head_dim, 32)) * 32;
  image.tile = wgmma ? wgmma_tile(image.columns, p.clusters) : kSyncTile;
  image.clusters = int(ceil_div(p.clusters, image.tile)) * image.tile;
  image.panels = wgmma;
  LabelSort sort(p.heads, p.rows, p.clusters);
  sort.labels = p.labels;
  sort.sizes = p.sizes;

  const int64_t image_size = int64_t(p.heads) * image.clusters * image.columns;
  T* image_data;
  Workspace workspace(stream);
  workspace.add(image_data, image_size);
  workspace.add(image.bias, int64_t(p.heads) * image.clusters);
  workspace.add(update.state, 1);
  workspace.add(update.sums, int64_t(p.heads) * (update.chunks + p.clusters) * p.head_dim);
  workspace.add(sort.counts, sort.counts_size());
  workspace.add(sort.order, int64_t(p.heads) * p.rows);
  workspace.add(sort.offsets, int64_t(p.heads) * (p.clusters + 1));
  workspace.allocate();
  image.data = image_data;
  update.order = sort.order;
  update.offsets = sort.offsets;
  sort.skip = &update.state->stop;

  const AssignProblem problem{p.x, p.heads, p.rows, p.head_dim, p.clusters, image, p.labels, &update.state->stop};
  if (image.clusters != p.clusters || image.columns != p.head_dim) {
    check(cudaMemsetAsync(image_data, 0, image_size * sizeof(T), stream), "clearing the centroids' image");
  }
  const auto cluster_grid = [&](int clusters) { return dim3(uint32_t(ceil_div(clusters, kWarpsPerBlock)), p.heads); };
  launch("starting k-means", start<T>, cluster_grid(image.clusters), kWarpsPerBlock * 32, 0, stream, update);
  for (int i = 0; i < p.iterations; i++) {
    if (wgmma) {
      assign_wgmma(problem, p.dtype, device, stream);
    } else {
      assign_sync(problem, p.dtype, stream);
    }
    sort.count(stream);
    sort.place(stream);
    add_rows_of<T>(update, stream);
    launch("finishing an iteration of k-means", finish<T>, cluster_grid(p.clusters), kWarpsPerBlock * 32, 0, stream,
           update);
  }
}

}  // namespace
}  // namespace svg

int32_t svg_kmeans(const svg_kmeans_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_kmeans_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("rows", p.rows, 1);
    at_least("head_dim", p.head_dim, 1);
    in_range("clusters", p.clusters, 1, p.rows);
    at_least("iterations", p.iterations, 1);
    not_negative("tolerance", p.tolerance);
    if (p.init_rows != nullptr && p.draw_rows != 0) {
      refuse("draw_rows is %d and init_rows %p, expected one of 0 and null", p.draw_rows,
             static_cast<const void*>(p.init_rows));
    }
    Arguments arguments;
    arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.write("centroids", p.centroids, int64_t(p.heads) * p.clusters * p.head_dim);
    arguments.write("labels", p.labels, int64_t(p.heads) * p.rows);
    arguments.write("sizes", p.sizes, int64_t(p.heads) * p.clusters);
    if (p.iterations_done != nullptr) arguments.write("iterations_done", p.iterations_done, 1);
    if (p.init_rows != nullptr) arguments.read("init_rows", p.init_rows, int64_t(p.heads) * p.clusters);
    require_aligned("x", p.x, p.dtype, p.heads, p.rows, 16);
    if (reinterpret_cast<uintptr_t>(p.centroids) % 16 != 0) {
      refuse("centroids is %p, expected a multiple of 16 bytes", static_cast<void*>(p.centroids));
    }
    if (p.head_dim % 16 != 0 || p.head_dim > 128) {
      unsupported("head_dim is %d, the CUDA library has k-means for multiples of 16 up to 128", p.head_dim);
    }
    if (p.clusters > 4096) unsupported("clusters is %d, the CUDA library has k-means for at most 4096", p.clusters);
    with_type(p.dtype, [&](auto type) { solve<decltype(type)>(p, static_cast<cudaStream_t>(stream)); });
  });
}
