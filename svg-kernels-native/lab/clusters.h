// A call of svg_kmeans with its memory, for the checks of clusters and of wild indices.
#pragma once

#include "lab.h"

namespace lab {

/// k-means on the device, from every (rows / clusters)-th row.
struct Clusters {
  Clusters(Tensor& x, int clusters)
      : centroids(size_t(x.heads) * clusters * x.width), labels(size_t(x.heads) * x.rows),
        sizes(size_t(x.heads) * clusters), done(1), init(sizes.count) {
    for (size_t i = 0; i < init.count; i++) init[i] = int32_t(int64_t(i % clusters) * x.rows / clusters);
    init.array.upload();
    params.struct_size = sizeof params;
    params.dtype = x.dtype;
    params.heads = x.heads;
    params.rows = x.rows;
    params.head_dim = x.width;
    params.clusters = clusters;
    params.x = x.at(Side::kDevice);
    params.init_rows = init.at(Side::kDevice);
    params.centroids = centroids.at(Side::kDevice);
    params.labels = labels.at(Side::kDevice);
    params.sizes = sizes.at(Side::kDevice);
    params.iterations_done = done.at(Side::kDevice);
  }
  Values<float> centroids;
  Values<int32_t> labels, sizes, done, init;
  svg_kmeans_params params{};
};

}  // namespace lab
