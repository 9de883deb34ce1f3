// SVG2's block map: per query cluster, the key clusters that hold the top-p of its attention.
#include <algorithm>
#include <cmath>
#include <limits>

#include "arguments.h"
#include "parallel.h"
#include "simd.h"

namespace svg {
namespace {

SVG_CLONES double dot(const float* a, const float* b, int count) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int i = 0; i < count; i++) sum += double(a[i]) * b[i];
  return sum;
}

/// One thread's memory.
struct Ranking {
  explicit Ranking(int clusters) : probability(clusters), order(clusters) {}
  std::vector<float> probability;
  std::vector<int32_t> order;
};

/// Marks the kept ones of a query cluster's key clusters.
void keep(const svg_block_map_params& p, int head, int query, Ranking& ranking, uint8_t* kept) {
  const int clusters = p.k_clusters;
  std::fill_n(kept, clusters, uint8_t(p.top_p >= 1));
  if (p.top_p >= 1) return;

  float* probability = ranking.probability.data();
  const float* q = p.q_centroids + (int64_t(head) * p.q_clusters + query) * p.head_dim;
  const float* k = p.k_centroids + int64_t(head) * clusters * p.head_dim;
  const int32_t* sizes = p.k_sizes + int64_t(head) * clusters;
  float most = -std::numeric_limits<float>::infinity();
  for (int j = 0; j < clusters; j++) {
    probability[j] = float(p.scale * dot(q, k + int64_t(j) * p.head_dim, p.head_dim));
    if (sizes[j] > 0) most = std::max(most, probability[j]);  // an empty cluster has no weight to compare with
  }
  float sum = 0;
  for (int j = 0; j < clusters; j++) {
    probability[j] = sizes[j] > 0 ? float(sizes[j]) * std::exp(probability[j] - most) : 0.0f;
    sum += probability[j];
  }
  for (int j = 0; j < clusters; j++) {
    const float share = probability[j] / sum;
    probability[j] = share > 0 ? share : 0;  // NaN would break the order
    ranking.order[j] = j;
  }
  std::sort(ranking.order.begin(), ranking.order.end(), [probability](int32_t a, int32_t b) {
    return probability[a] != probability[b] ? probability[a] > probability[b] : a < b;
  });
  float before = 0;
  for (int rank = 0; rank < clusters && (rank < p.min_keep || before <= p.top_p); rank++) {
    kept[ranking.order[rank]] = 1;
    before += probability[ranking.order[rank]];
  }
}

}  // namespace
}  // namespace svg

int32_t svg_block_map(const svg_block_map_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_block_map_params& p) {
    check_shape(p.heads, p.head_dim);
    at_least("q_clusters", p.q_clusters, 1);
    at_least("k_clusters", p.k_clusters, 1);
    if (p.context_clusters != 0 && p.context_clusters != 2) {
      refuse("context_clusters is %d, expected 0 or 2", p.context_clusters);
    }
    in_range("min_keep", p.min_keep, 0, p.k_clusters);
    if (!(p.top_p >= 0)) refuse("top_p is %g, expected at least 0", double(p.top_p));
    finite("scale", p.scale);
    const int rows = p.q_clusters + p.context_clusters, columns = p.k_clusters + p.context_clusters;
    Arguments arguments;
    arguments.read("q_centroids", p.q_centroids, int64_t(p.heads) * p.q_clusters * p.head_dim);
    arguments.read("k_centroids", p.k_centroids, int64_t(p.heads) * p.k_clusters * p.head_dim);
    arguments.read("k_sizes", p.k_sizes, int64_t(p.heads) * p.k_clusters);
    arguments.write("map", p.map, int64_t(p.heads) * rows * columns);
    for (int64_t i = 0; i < int64_t(p.heads) * p.k_clusters; i++) {
      if (p.k_sizes[i] < 0) {
        refuse("k_sizes[%d][%d] is %d, expected at least 0", int(i / p.k_clusters), int(i % p.k_clusters),
               p.k_sizes[i]);
      }
    }
    std::vector<Ranking> rankings(omp_get_max_threads(), Ranking(p.k_clusters));
    const int64_t products = int64_t(p.heads) * p.q_clusters * p.k_clusters * p.head_dim;
#pragma omp parallel for collapse(2) schedule(dynamic, 8) if (worth_threads(products))
    for (int head = 0; head < p.heads; head++) {
      for (int i = 0; i < rows; i++) {
        uint8_t* row = p.map + (int64_t(head) * rows + i) * columns;
        const bool prompt = i == p.q_clusters, padding = i == p.q_clusters + 1;
        if (prompt || padding) {
          std::fill_n(row, p.k_clusters, uint8_t(prompt));
        } else {
          keep(p, head, i, rankings[omp_get_thread_num()], row);
        }
        if (p.context_clusters == 2) {
          row[p.k_clusters] = !padding;
          row[p.k_clusters + 1] = padding;
        }
      }
    }
  });
}
