// k-means: rows are vector lanes, centroids are broadcast scalars. Distances are sums of squared differences, not
// |x|^2 - 2 x c + |c|^2: that form costs a third less, but loses the digits in which near centroids differ when rows
// lie far from the origin. Means are summed in double precision, every column of a centroid by one thread in the order
// of rows, so that the result does not depend on the threads.
#include <algorithm>
#include <cmath>
#include <limits>

#include "../common/drawn_rows.h"
#include "arguments.h"
#include "buffer.h"
#include "parallel.h"

namespace svg {
namespace {

constexpr int kBlockRows = 2 * kMaxLanes;

/// A block of rows and their nearest centroids.
struct Assignment {
  const float* rows[kBlockRows];  // each padded(dim) floats
  const float* centroids;
  int clusters, dim;
  float* columns;  // scratch: padded(dim) x kBlockRows
  alignas(kAlignment) int32_t labels[kBlockRows];
};

template <class L>
SVG_INLINE void nearest(Assignment& a) {
  using Float = typename L::Float;
  using Int = typename L::Int;
  constexpr int N = L::kFloats, R = L::kTileRows, V = 2;
  for (int first = 0; first < kBlockRows; first += N) {
    for (int d = 0; d < a.dim; d += N) {
      Float square[N];
      for (int i = 0; i < N; i++) square[i] = L::at(a.rows[first + i] + d);
      transpose<L>(square);
      for (int i = 0; i < N; i++) L::at(a.columns + (d + i) * kBlockRows + first) = square[i];
    }
  }
  for (int first = 0; first < kBlockRows; first += V * N) {
    Float best[V], label[V];  // labels travel as bits of floats: GCC 12 selects among floats without detours
    for (int v = 0; v < V; v++) {
      best[v] = std::numeric_limits<float>::infinity() - Float{};
      label[v] = Float{};
    }
    for (int j = 0; j < a.clusters; j += R) {
      const float* c[R];
      // Past the end the last centroid repeats; being no nearer than itself, it is not chosen again.
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) c[r] = a.centroids + int64_t(std::min(j + r, a.clusters - 1)) * a.dim;
      Float distance[R][V] = {};
      for (int d = 0; d < a.dim; d++) {
#pragma GCC unroll 16
        for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
          for (int v = 0; v < V; v++) {
            const Float difference = L::at(a.columns + d * kBlockRows + first + v * N) - c[r][d];
            distance[r][v] += difference * difference;
          }
        }
      }
#pragma GCC unroll 16
      for (int r = 0; r < R; r++) {
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) {
          label[v] = distance[r][v] < best[v] ? (Float)((j + r) - Int{}) : label[v];
          best[v] = distance[r][v] < best[v] ? distance[r][v] : best[v];
        }
      }
    }
    for (int v = 0; v < V; v++) L::at(a.labels + first + v * N) = (Int)label[v];
  }
}

SVG_DISPATCH(find_nearest, nearest, Assignment)

SVG_CLONES void add(const float* __restrict row, int count, double* __restrict sum) {
#pragma omp simd
  for (int d = 0; d < count; d++) sum[d] += row[d];
}

class KMeans {
 public:
  KMeans(const svg_kmeans_params& p, const Tensor& x)
      : p_(p), x_(x), slabs_((p.head_dim - 1) / kSlab + 1), moves_(size_t(p.heads) * slabs_ * p.clusters) {
    for (int i = 0; i < omp_get_max_threads(); i++) workers_.emplace_back(p);
  }

  /// Starts from rows.
  void initialise() {
    for (int head = 0; head < p_.heads; head++) {
      const DrawnRows drawn(p_.seed, head, p_.rows);
      for (int j = 0; j < p_.clusters; j++) {
        const int row = p_.init_rows != nullptr ? p_.init_rows[int64_t(head) * p_.clusters + j] : drawn[j];
        x_.read_row(head, row, centroid(head, j));
      }
    }
  }

  /// One iteration; returns how far the centroid went that moved most.
  double iterate() {
    const int blocks = (p_.rows - 1) / kBlockRows + 1;
#pragma omp parallel if (worth_threads(int64_t(p_.heads) * p_.rows * p_.clusters * p_.head_dim))
    {
      Worker& worker = workers_[omp_get_thread_num()];
#pragma omp for collapse(2) schedule(static)
      for (int head = 0; head < p_.heads; head++) {
        for (int block = 0; block < blocks; block++) assign(head, block * kBlockRows, worker);
      }
#pragma omp for collapse(2) schedule(dynamic)
      for (int head = 0; head < p_.heads; head++) {
        for (int slab = 0; slab < slabs_; slab++) update(head, slab, worker);
      }
    }
    double most = 0;
    for (int head = 0; head < p_.heads; head++) {
      for (int j = 0; j < p_.clusters; j++) {
        double squared = 0;
        for (int slab = 0; slab < slabs_; slab++) squared += move(head, slab, j);
        most = std::max(most, squared);
      }
    }
    return std::sqrt(most);
  }

 private:
  /// Columns of centroids that one thread updates at a time.
  static constexpr int kSlab = 64;

  struct Worker {
    explicit Worker(const svg_kmeans_params& p)
        : rows(size_t(kBlockRows) * padded(p.head_dim)), columns(size_t(kBlockRows) * padded(p.head_dim)),
          sums(size_t(p.clusters) * kSlab), counts(p.clusters) {}
    Buffer<float> rows, columns;
    std::vector<double> sums;
    std::vector<int32_t> counts;
  };

  float* centroid(int head, int j) const { return p_.centroids + (int64_t(head) * p_.clusters + j) * p_.head_dim; }
  int32_t* labels(int head) const { return p_.labels + int64_t(head) * p_.rows; }
  double& move(int head, int slab, int j) { return moves_[(size_t(head) * slabs_ + slab) * p_.clusters + j]; }

  void assign(int head, int begin, Worker& worker) const {
    const int count = std::min(kBlockRows, p_.rows - begin);
    Assignment assignment;
    assignment.centroids = centroid(head, 0);
    assignment.clusters = p_.clusters;
    assignment.dim = p_.head_dim;
    assignment.columns = worker.columns.data();
    for (int i = 0; i < kBlockRows; i++) {
      float* row = worker.rows.data() + i * padded(p_.head_dim);
      if (i < count) x_.read_row(head, begin + i, row);  // lanes past the end compute on what is there
      assignment.rows[i] = row;
    }
    find_nearest(assignment);
    std::copy_n(assignment.labels, count, labels(head) + begin);
  }

  void update(int head, int slab, Worker& worker) {
    const int first = slab * kSlab, width = std::min(kSlab, p_.head_dim - first);
    std::fill(worker.sums.begin(), worker.sums.end(), 0.0);
    std::fill(worker.counts.begin(), worker.counts.end(), 0);
    for (int row = 0; row < p_.rows; row++) {
      const int label = labels(head)[row];
      float values[kSlab];
      x_.read(head, row, first, width, values);
      add(values, width, worker.sums.data() + size_t(label) * kSlab);
      worker.counts[label]++;
    }
    for (int j = 0; j < p_.clusters; j++) {
      float* c = centroid(head, j) + first;
      double squared = 0;
      for (int d = 0; d < width && worker.counts[j] > 0; d++) {
        const float mean = float(worker.sums[size_t(j) * kSlab + d] / worker.counts[j]);
        squared += (double(mean) - c[d]) * (double(mean) - c[d]);
        c[d] = mean;
      }
      move(head, slab, j) = squared;
    }
    if (slab == 0) std::copy(worker.counts.begin(), worker.counts.end(), p_.sizes + int64_t(head) * p_.clusters);
  }

  const svg_kmeans_params& p_;
  const Tensor& x_;
  const int slabs_;
  std::vector<double> moves_;  // squared, per head, slab and cluster
  std::vector<Worker> workers_;
};

}  // namespace
}  // namespace svg

int32_t svg_kmeans(const svg_kmeans_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_kmeans_params& p) {
    check_shape(p.heads, p.head_dim);
    at_least("rows", p.rows, 1);
    in_range("clusters", p.clusters, 1, p.rows);
    at_least("iterations", p.iterations, 1);
    if (!(p.tolerance >= 0)) refuse("tolerance is %g, expected at least 0", double(p.tolerance));
    if (p.init_rows != nullptr && p.draw_rows != 0) {
      refuse("draw_rows is %d and init_rows %p, expected one of 0 and null", p.draw_rows,
             static_cast<const void*>(p.init_rows));
    }
    Arguments arguments;
    const Tensor x = arguments.read("x", p.x, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.write("centroids", p.centroids, int64_t(p.heads) * p.clusters * p.head_dim);
    arguments.write("labels", p.labels, int64_t(p.heads) * p.rows);
    arguments.write("sizes", p.sizes, int64_t(p.heads) * p.clusters);
    if (p.iterations_done != nullptr) arguments.write("iterations_done", p.iterations_done, 1);
    if (p.init_rows != nullptr) arguments.read("init_rows", p.init_rows, int64_t(p.heads) * p.clusters);
    for (int64_t i = 0; p.init_rows != nullptr && i < int64_t(p.heads) * p.clusters; i++) {
      if (p.init_rows[i] < 0 || p.init_rows[i] >= p.rows) {
        refuse("init_rows[%d][%d] is %d, expected 0 to %d", int(i / p.clusters), int(i % p.clusters), p.init_rows[i],
               p.rows - 1);
      }
    }
    KMeans kmeans(p, x);
    if (p.init_rows != nullptr || p.draw_rows != 0) kmeans.initialise();
    int done = 0;
    while (done < p.iterations) {
      done++;
      if (kmeans.iterate() < p.tolerance) break;
    }
    if (p.iterations_done != nullptr) *p.iterations_done = done;
  });
}
