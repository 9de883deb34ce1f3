// What SVG2 makes of clusters: k-means, the map of the blocks that are kept, and how much of the work they are.
#include <algorithm>

#include "checks.h"
#include "clusters.h"

namespace lab {
namespace {

enum Start { kCentroids, kRows, kDrawn };

/// What comes after an early stop changes nothing: the same as to ask for that many iterations.
void stops_early(Checker& check, Tensor& x, int clusters, int iterations, float tolerance) {
  Clusters stopped(x, clusters), counted(x, clusters);
  stopped.params.iterations = iterations;
  stopped.params.tolerance = tolerance;
  check.on_device("svg_kmeans", stopped.params);
  const int done = stopped.done.download()[0];
  counted.params.iterations = done;
  check.on_device("svg_kmeans", counted.params);
  check.expect(done > 1 && done < iterations, format("kmeans stops after %d of %d iterations", done, iterations));
  check.expect(stopped.labels.download() == counted.labels.download() &&
                   stopped.sizes.download() == counted.sizes.download() &&
                   stopped.centroids.download() == counted.centroids.download(),
               format("kmeans that stopped after %d iterations is not kmeans of %d iterations", done, done));
}

/// The same iterations in double precision.
void against_double(Checker& check, Tensor& x, int clusters, int iterations) {
  Clusters device(x, clusters);
  device.params.iterations = iterations;
  check.on_device("svg_kmeans", device.params);
  const auto label = device.labels.download();
  const auto center = device.centroids.download();
  const int rows = x.rows, dim = x.width;
  size_t off = 0;
  double squares[2] = {0, 0};  // with the labels and centroids of double precision, and of the device
  for (int h = 0; h < x.heads; h++) {
    std::vector<double> values(size_t(rows) * dim), means(size_t(clusters) * dim);
    for (int r = 0; r < rows; r++) {
      for (int d = 0; d < dim; d++) values[size_t(r) * dim + d] = of(x, h, r, d);
    }
    const auto distance = [&](int r, const auto* c) {
      double sum = 0;
      for (int d = 0; d < dim; d++) sum += std::pow(values[size_t(r) * dim + d] - double(c[d]), 2);
      return sum;
    };
    for (int j = 0; j < clusters; j++) {
      std::copy_n(&values[size_t(device.init[j]) * dim], dim, &means[size_t(j) * dim]);
    }
    std::vector<int> labels(rows);
    for (int i = 0; i < iterations; i++) {
      std::vector<double> sums(means.size(), 0);
      std::vector<int> counts(clusters, 0);
      for (int r = 0; r < rows; r++) {
        double best = INFINITY;
        for (int j = 0; j < clusters; j++) {
          const double here = distance(r, &means[size_t(j) * dim]);
          if (here < best) best = here, labels[r] = j;
        }
        counts[labels[r]]++;
        for (int d = 0; d < dim; d++) sums[size_t(labels[r]) * dim + d] += values[size_t(r) * dim + d];
      }
      for (size_t k = 0; k < means.size(); k++) {
        if (counts[k / dim] > 0) means[k] = sums[k] / counts[k / dim];
      }
    }
    for (int r = 0; r < rows; r++) {
      const int mine = label[size_t(h) * rows + r];
      off += mine != labels[r];
      squares[0] += distance(r, &means[size_t(labels[r]) * dim]);
      squares[1] += distance(r, &center[(size_t(h) * clusters + mine) * dim]);
    }
  }
  check.expect(std::abs(squares[1] - squares[0]) <= 1e-3 * squares[0],
               format("kmeans: sum of squares %.7g, in double precision %.7g", squares[1], squares[0]));
  check.expect(off <= 0.03 * x.heads * rows, format("kmeans: %zu labels differ from double precision", off));
}

void run_kmeans(Checker& check, int32_t dtype, Tensor& x, int clusters, int iterations, float tolerance, Start from,
                double labels_off) {
  const int heads = x.heads, rows = x.rows, dim = x.width;
  Values<float> centroids(size_t(heads) * clusters * dim);
  Values<int32_t> labels(size_t(heads) * rows), sizes(size_t(heads) * clusters), done(1), init(sizes.count);
  for (int h = 0; h < heads; h++) {
    for (int j = 0; j < clusters; j++) {
      init[h * clusters + j] = int32_t((int64_t(j) * rows) / clusters);
      for (int d = 0; d < dim && from == kCentroids; d++) {
        centroids[(size_t(h) * clusters + j) * dim + d] =
            get(x.array.at(Side::kHost), dtype, x.index(h, init[h * clusters + j], d)) + 0.01f;
      }
    }
  }
  init.array.upload();
  if (from == kCentroids) centroids.array.upload();
  const std::string what =
      format("kmeans %s %dx%dx%d K %d, %d iterations", dtype_name(dtype), heads, rows, dim, clusters, iterations);
  const bool fine = check.both("svg_kmeans", [&](Side side) {
    svg_kmeans_params p{};
    p.dtype = dtype;
    p.heads = heads;
    p.rows = rows;
    p.head_dim = dim;
    p.clusters = clusters;
    p.iterations = iterations;
    p.tolerance = tolerance;
    p.x = x.at(side);
    p.init_rows = from == kRows ? init.at(side) : nullptr;
    p.draw_rows = from == kDrawn;
    p.seed = 0x9e3779b97f4a7c15 * uint64_t(rows);
    p.centroids = centroids.at(side);
    p.labels = labels.at(side);
    p.sizes = sizes.at(side);
    p.iterations_done = done.at(side);
    return p;
  });
  if (!fine) return;
  const auto label = labels.download(), size = sizes.download();
  const auto center = centroids.download();
  const int done_here = done.download()[0];
  size_t off = 0;
  double squares[2] = {0, 0};
  std::vector<int32_t> counted(sizes.count, 0);
  for (int h = 0; h < heads; h++) {
    for (int r = 0; r < rows; r++) {
      const int both_labels[2] = {labels[size_t(h) * rows + r], label[size_t(h) * rows + r]};
      if (both_labels[1] < 0 || both_labels[1] >= clusters) return check.expect(false, what + ": label out of range");
      off += both_labels[0] != both_labels[1];
      counted[h * clusters + both_labels[1]]++;
      for (int d = 0; d < dim; d++) {
        const double value = get(x.array.at(Side::kHost), dtype, x.index(h, r, d));
        for (int side = 0; side < 2; side++) {
          const float* c = side == 0 ? &centroids[0] : center.data();
          const double difference = value - c[(size_t(h) * clusters + both_labels[side]) * dim + d];
          squares[side] += difference * difference;
        }
      }
    }
  }
  check.expect(off <= labels_off * heads * rows, what + format(": %zu of %d labels differ", off, heads * rows));
  check.expect(squares[1] <= squares[0] * 1.001 + 1e-6,
               what + format(": sum of squares %.6g, the host's %.6g", squares[1], squares[0]));
  check.expect(std::equal(size.begin(), size.end(), counted.begin()), what + ": sizes are not the counts of labels");
  check.expect(
      tolerance > 0 ? std::abs(done_here - done[0]) <= 1 + done[0] / 5 && done_here < iterations : done_here == done[0],
      what + format(": %d iterations done, the host's %d", done_here, done[0]));
  // The centroids are the means of the labels.
  double error = 0, norm = 0;
  std::vector<double> means(centroids.count, 0);
  for (int h = 0; h < heads; h++) {
    for (int r = 0; r < rows; r++) {
      const size_t j = size_t(h) * clusters + label[size_t(h) * rows + r];
      for (int d = 0; d < dim; d++) {
        means[j * dim + d] += double(get(x.array.at(Side::kHost), dtype, x.index(h, r, d))) / size[j];
      }
    }
  }
  for (size_t i = 0; i < means.size(); i++) {
    if (size[i / dim] == 0) continue;
    error += (means[i] - center[i]) * (means[i] - center[i]);
    norm += means[i] * means[i];
  }
  check.expect(std::sqrt(error / norm) < 1e-6,
               what + format(": centroids are off their means by %.2e", std::sqrt(error / norm)));
}

}  // namespace

void check_kmeans(Checker& check) {
  struct Shape {
    int32_t dtype;
    int heads, rows, dim, clusters, iterations;
    float tolerance;
    bool token_major, from_rows;
  };
  const Shape shapes[] = {
      {SVG_BF16, 2, 3001, 128, 300, 4, 0, false, true},   {SVG_BF16, 3, 777, 64, 77, 3, 0, true, true},
      {SVG_F16, 2, 1025, 128, 1000, 2, 0, true, false},   {SVG_BF16, 1, 513, 16, 5, 3, 0, false, true},
      {SVG_F16, 2, 900, 48, 129, 2, 0, false, false},     {SVG_BF16, 2, 1300, 96, 104, 2, 0, true, true},
      {SVG_BF16, 1, 700, 80, 200, 2, 0, false, true},     {SVG_BF16, 1, 700, 112, 105, 2, 0, false, true},
      {SVG_F32, 2, 1111, 128, 100, 3, 0, false, true},    {SVG_F32, 1, 640, 32, 640, 2, 0, true, true},
      {SVG_BF16, 2, 2000, 64, 50, 30, 0.2f, false, true}, {SVG_BF16, 1, 5000, 128, 4096, 2, 0, false, true},
      {SVG_BF16, 1, 1, 128, 1, 1, 0, false, true},        {SVG_F16, 1, 300, 32, 1, 2, 0, false, false},
  };
  for (const Shape& s : shapes) {
    Tensor x(s.dtype, s.heads, s.rows, s.dim, s.token_major, s.token_major ? 16 : 0);
    // Loose clusters off the origin, as keys are.
    std::normal_distribution<float> normal;
    std::vector<float> centers(size_t(16) * s.dim);
    for (float& c : centers) c = 1.5f * normal(check.random) + 0.5f;
    int calls = 0;
    x.fill(check.random, [&](std::mt19937& r) {
      const int d = calls % s.dim, row = calls / s.dim;
      calls++;
      return centers[row % 16 * s.dim + d] + normal(r);
    });
    run_kmeans(check, s.dtype, x, s.clusters, s.iterations, s.tolerance, s.from_rows ? kRows : kCentroids, 0.03);
    if (s.from_rows) run_kmeans(check, s.dtype, x, s.clusters, s.iterations, s.tolerance, kDrawn, 0.03);
    if (s.iterations == 4) against_double(check, x, s.clusters, s.iterations);
    if (s.tolerance > 0) stops_early(check, x, s.clusters, s.iterations, s.tolerance);
  }
  // Small whole numbers are exact in every type: every label must agree, ties included.
  for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
    Tensor x(dtype, 2, 1500, 32);
    x.fill(check.random, [](std::mt19937& r) { return float(r() % 3); });
    for (Start from : {kRows, kDrawn}) run_kmeans(check, dtype, x, 150, 1, 0, from, 0);
  }
}

void check_block_map(Checker& check) {
  struct Shape {
    int heads, queries, keys, dim, context, min_keep;
    float top_p;
  };
  for (const Shape& s : {Shape{3, 77, 131, 128, 0, 1, 0.9f},
                         {2, 33, 1000, 64, 2, 5, 0.5f},
                         {1, 9, 2000, 32, 2, 0, 0.0f},
                         {1, 5, 4096, 20, 0, 300, 0.3f},
                         {2, 3, 7, 16, 2, 0, 1.0f},
                         {1, 20, 60, 128, 0, 60, 0.1f}}) {
    Values<float> q(size_t(s.heads) * s.queries * s.dim), k(size_t(s.heads) * s.keys * s.dim);
    Values<int32_t> sizes(s.heads * s.keys);
    std::normal_distribution<float> normal;
    for (size_t i = 0; i < q.count; i++) q[i] = normal(check.random);
    for (size_t i = 0; i < k.count; i++) k[i] = normal(check.random);
    for (size_t i = 0; i < sizes.count; i++) sizes[i] = int32_t(check.random() % 90);
    const int columns = s.keys + s.context;
    Values<uint8_t> map(size_t(s.heads) * (s.queries + s.context) * columns);
    for (auto* array : {&q.array, &k.array, &sizes.array}) array->upload();
    check.both("svg_block_map", [&](Side side) {
      svg_block_map_params p{};
      p.heads = s.heads;
      p.head_dim = s.dim;
      p.q_clusters = s.queries;
      p.k_clusters = s.keys;
      p.context_clusters = s.context;
      p.min_keep = s.min_keep;
      p.top_p = s.top_p;
      p.scale = 1 / std::sqrt(float(s.dim));
      p.q_centroids = q.at(side);
      p.k_centroids = k.at(side);
      p.k_sizes = sizes.at(side);
      p.map = map.at(side);
      return p;
    });
    const auto device = map.download();
    size_t different = 0;
    for (size_t i = 0; i < map.count; i++) different += device[i] != map[i];
    // Sums in another order may move a cluster across top_p, at most about one in a row.
    check.expect(different <= map.count / 5000 + 2, format("block_map %dx%dx%d: %zu of %zu entries differ", s.heads,
                                                           s.queries, s.keys, different, map.count));
  }
}

void check_block_density(Checker& check) {
  struct Shape {
    int heads, queries, keys, counted_q, counted_k;
  };
  for (const Shape& s : {Shape{40, 300, 1000, 300, 1000}, {3, 77, 133, 76, 131}, {1, 1, 1, 1, 1}, {2, 5, 3000, 5, 2}}) {
    const auto fill = [&](Values<int32_t>& offsets, int clusters) {
      for (size_t i = 0; i < offsets.count; i++) {
        offsets[i] = i % (clusters + 1) == 0 ? 0 : offsets[i - 1] + int32_t(check.random() % 500);
      }
      offsets.array.upload();
    };
    Values<int32_t> q(size_t(s.heads) * (s.queries + 1)), k(size_t(s.heads) * (s.keys + 1));
    fill(q, s.queries), fill(k, s.keys);
    Values<uint8_t> map(size_t(s.heads) * s.queries * s.keys);
    for (size_t i = 0; i < map.count; i++) map[i] = check.random() % 3 == 0 ? uint8_t(check.random()) : 0;
    map.array.upload();
    Values<float> density(s.heads);
    check.both("svg_block_density", [&](Side side) {
      svg_block_density_params p{};
      p.heads = s.heads;
      p.q_clusters = s.queries;
      p.k_clusters = s.keys;
      p.counted_q = s.counted_q;
      p.counted_k = s.counted_k;
      p.q_offsets = q.at(side);
      p.k_offsets = k.at(side);
      p.map = map.at(side);
      p.density = density.at(side);
      return p;
    });
    const auto device = density.download();
    for (int h = 0; h < s.heads; h++) {
      check.expect(device[h] == density[h], format("block_density %dx%dx%d, head %d: %g, the host has %g", s.heads,
                                                   s.queries, s.keys, h, double(device[h]), double(density[h])));
    }
  }
}

}  // namespace lab
