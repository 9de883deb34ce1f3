// How much of all pairs a block map lets attend.
#include "arguments.h"
#include "parallel.h"

int32_t svg_block_density(const svg_block_density_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_block_density_params& p) {
    at_least("heads", p.heads, 1);
    at_least("q_clusters", p.q_clusters, 1);
    at_least("k_clusters", p.k_clusters, 1);
    in_range("counted_q", p.counted_q, 1, p.q_clusters);
    in_range("counted_k", p.counted_k, 1, p.k_clusters);
    const int64_t blocks = int64_t(p.q_clusters) * p.k_clusters;
    int64_t entries;
    if (__builtin_mul_overflow(blocks, int64_t(p.heads), &entries)) refuse("the map's size exceeds 64 bits");
    Arguments arguments;
    arguments.read("q_offsets", p.q_offsets, p.heads * (int64_t(p.q_clusters) + 1));
    arguments.read("k_offsets", p.k_offsets, p.heads * (int64_t(p.k_clusters) + 1));
    arguments.read("map", p.map, entries);
    arguments.write("density", p.density, p.heads);
#pragma omp parallel for schedule(static) if (worth_threads(entries))
    for (int head = 0; head < p.heads; head++) {
      const int32_t* q = p.q_offsets + head * (int64_t(p.q_clusters) + 1);
      const int32_t* k = p.k_offsets + head * (int64_t(p.k_clusters) + 1);
      int64_t pairs = 0;
      for (int i = 0; i < p.counted_q; i++) {
        const uint8_t* kept = p.map + head * blocks + int64_t(i) * p.k_clusters;
        int64_t keys = 0;
        for (int j = 0; j < p.counted_k; j++) keys += kept[j] != 0 ? k[j + 1] - k[j] : 0;
        pairs += keys * (q[i + 1] - q[i]);
      }
      const int64_t all = int64_t(q[p.counted_q]) * k[p.counted_k];
      p.density[head] = all == 0 ? 1.0f : float(double(pairs) / double(all));
    }
  });
}
