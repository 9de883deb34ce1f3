// Indices that are out of range.
#include "checks.h"
#include "clusters.h"

namespace lab {

/// Labels, orders and rows that are out of range: the outputs may be anything, but nothing else is written.
void check_wild_indices(Checker& check) {
  const int heads = 2, rows = 777, dim = 32, clusters = 50;
  const auto fill_wild = [&](Values<int32_t>& values) {
    const int32_t wild[] = {-1, INT32_MIN, INT32_MAX, rows, clusters, 0, 1, 1 << 20};
    for (size_t i = 0; i < values.count; i++) values[i] = wild[check.random() % 8];
    values.array.upload();
  };
  Values<int32_t> labels(heads * rows), order(labels.count), offsets(heads * (clusters + 1)), init(heads * clusters);
  Values<int32_t> sizes(init.count), best(heads), flags(heads);
  Values<float> centroids(size_t(init.count) * dim), mse(2 * heads);
  Values<uint8_t> map(size_t(heads) * clusters * clusters);
  Tensor x(SVG_BF16, heads, rows, dim), out(SVG_BF16, heads, rows, dim);
  x.fill_normal(check.random);
  fill_wild(labels);
  svg_sort_labels_params s{sizeof s,
                           heads,
                           rows,
                           clusters,
                           0,
                           0,
                           0,
                           labels.at(Side::kDevice),
                           order.at(Side::kDevice),
                           offsets.at(Side::kDevice)};
  check.on_device("svg_sort_labels", s);
  order.download(), offsets.download();
  fill_wild(order);
  for (int inverse : {0, 1}) {
    svg_permute_rows_params p{sizeof p,
                              SVG_BF16,
                              heads,
                              dim,
                              rows,
                              rows,
                              inverse,
                              x.at(Side::kDevice),
                              out.at(Side::kDevice),
                              order.at(Side::kDevice)};
    check.on_device("svg_permute_rows", p);
    out.array.download();
  }
  svg_gather_rows_params g{};
  g.struct_size = sizeof g;
  g.dtype = SVG_BF16;
  g.table_rows = g.rows = rows;
  g.width = dim;
  g.index_bytes = 4;
  g.table = x.at(Side::kDevice);
  g.out = out.at(Side::kDevice);
  g.indices = order.at(Side::kDevice);
  check.on_device("svg_gather_rows", g);
  const auto gathered = out.array.download();
  for (int r = 0; r < rows; r++) {
    const bool inside = order[r] >= 0 && order[r] < rows;
    const float expected = inside ? float(of(x, 0, order[r], 0)) : 0;
    check.expect(get(gathered.data(), SVG_BF16, out.index(0, r, 0)) == expected, "a row of no index is not zeros");
  }
  fill_wild(init);
  Clusters clustering(x, clusters);
  clustering.params.iterations = 2;
  clustering.params.init_rows = init.at(Side::kDevice);
  check.on_device("svg_kmeans", clustering.params);
  clustering.labels.download(), clustering.sizes.download(), clustering.centroids.download();
  for (size_t i = 0; i < centroids.count; i++) centroids[i] = float(check.random() % 100) * 0.01f;
  centroids.array.upload();
  fill_wild(sizes);
  svg_block_map_params b{sizeof b,
                         heads,
                         dim,
                         clusters,
                         clusters,
                         0,
                         3,
                         0.5f,
                         1,
                         centroids.at(Side::kDevice),
                         centroids.at(Side::kDevice),
                         sizes.at(Side::kDevice),
                         map.at(Side::kDevice)};
  check.on_device("svg_block_map", b);
  map.download();
  fill_wild(labels);
  for (int32_t dtype : {SVG_BF16, SVG_F32}) {
    Tensor y(dtype, heads, rows, dim);
    y.fill_normal(check.random);
    svg_profile_heads_params p{};
    p.struct_size = sizeof p;
    p.dtype = dtype;
    p.heads = heads;
    p.head_dim = dim;
    p.rows = rows;
    p.frames = 7;
    p.tokens_per_frame = 111;
    p.samples = 70;
    p.band_blocks = 1;
    p.scale = 1;
    p.q = p.k = p.v = y.at(Side::kDevice);
    p.sampled_rows = labels.at(Side::kDevice);
    p.mse = mse.at(Side::kDevice);
    p.best = best.at(Side::kDevice);
    check.on_device("svg_profile_heads", p);
    mse.download(), best.download();
  }
  check.expect(cudaGetLastError() == cudaSuccess, "indices out of range end in an error");
}

}  // namespace lab
