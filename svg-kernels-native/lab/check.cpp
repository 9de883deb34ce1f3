// Every function of the CUDA library against the host library: odd sizes, random inputs, poisoned outputs, and refused
// arguments.
#include <algorithm>

#include "checking.h"

namespace lab {
namespace {

class FunctionChecker : public Checker {
 public:
  using Checker::Checker;

  void kmeans() {
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
      for (float& c : centers) c = 1.5f * normal(random_) + 0.5f;
      int calls = 0;
      x.fill(random_, [&](std::mt19937& r) {
        const int d = calls % s.dim, row = calls / s.dim;
        calls++;
        return centers[row % 16 * s.dim + d] + normal(r);
      });
      run_kmeans(s.dtype, x, s.clusters, s.iterations, s.tolerance, s.from_rows ? kRows : kCentroids, 0.03);
      if (s.from_rows) run_kmeans(s.dtype, x, s.clusters, s.iterations, s.tolerance, kDrawn, 0.03);
      if (s.iterations == 4) against_double(x, s.clusters, s.iterations);
      if (s.tolerance > 0) stops_early(x, s.clusters, s.iterations, s.tolerance);
    }
    // Small whole numbers are exact in every type: every label must agree, ties included.
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      Tensor x(dtype, 2, 1500, 32);
      x.fill(random_, [](std::mt19937& r) { return float(r() % 3); });
      for (Start from : {kRows, kDrawn}) run_kmeans(dtype, x, 150, 1, 0, from, 0);
    }
  }

  void sort_labels() {
    struct Shape {
      int heads, rows, clusters, context;
    };
    for (const Shape& s : {Shape{3, 5001, 300, 0},
                           {2, 2048, 1, 2},
                           {1, 1, 7, 0},
                           {2, 9999, 4096, 2},
                           {1, 3000, 6000, 0},
                           {1, 4100, 16384, 2}}) {
      Values<int32_t> labels(size_t(s.heads) * s.rows), order(labels.count);
      Values<int32_t> offsets(size_t(s.heads) * (s.clusters + s.context + 1));
      for (size_t i = 0; i < labels.count; i++) {
        labels[i] = random_() % 3 == 0 ? s.clusters / 2 : int32_t(random_() % s.clusters);
      }
      labels.array.upload();
      both("svg_sort_labels", [&](Side side) {
        svg_sort_labels_params p{};
        p.heads = s.heads;
        p.rows = s.rows;
        p.clusters = s.clusters;
        p.context_clusters = s.context;
        p.prompt_rows = s.context == 0 ? 0 : 17;
        p.padding_rows = s.context == 0 ? 0 : 5;
        p.labels = labels.at(side);
        p.order = order.at(side);
        p.offsets = offsets.at(side);
        return p;
      });
      const std::string what = format("sort_labels %dx%d, %d clusters + %d", s.heads, s.rows, s.clusters, s.context);
      equal(what + " order", order.array);
      equal(what + " offsets", offsets.array);
    }
  }

  void rows_in_order() {
    for (int32_t dtype : {SVG_BF16, SVG_F32}) {
      for (int dim : {128, 40, 7}) {
        for (int inverse : {0, 1}) {
          Tensor src(dtype, 3, 211, dim, true, 1), dst(dtype, 3, 211, dim), laid(dtype, 3, 211, dim);
          src.fill_normal(random_);
          Values<int32_t> order(3 * 200), transform(3);
          for (int h = 0; h < 3; h++) {
            for (int i = 0; i < 200; i++) order[h * 200 + i] = i;
            std::shuffle(&order[h * 200], &order[h * 200] + 200, random_);
            transform[h] = h != 1;
          }
          order.array.upload();
          transform.array.upload();
          both("svg_permute_rows", [&](Side side) {
            svg_permute_rows_params p{};
            p.dtype = dtype;
            p.heads = 3;
            p.head_dim = dim;
            p.rows = 211;
            p.permuted_rows = 200;
            p.inverse = inverse;
            p.src = src.at(side);
            p.dst = dst.at(side);
            p.order = order.at(side);
            return p;
          });
          both("svg_video_layout", [&](Side side) {
            svg_video_layout_params p{};
            p.dtype = dtype;
            p.heads = 3;
            p.head_dim = dim;
            p.rows = 211;
            p.frames = 7;
            p.tokens_per_frame = 29;
            p.inverse = inverse;
            p.src = src.at(side);
            p.dst = laid.at(side);
            p.transform = transform.at(side);
            return p;
          });
          equal(format("permute_rows %s D %d inverse %d", dtype_name(dtype), dim, inverse), dst.array);
          equal(format("video_layout %s D %d inverse %d", dtype_name(dtype), dim, inverse), laid.array);
        }
      }
    }
  }

  void patches() {
    struct Shape {
      int channels, frames, height, width, patch_frames, patch_height, patch_width, gap;
    };
    for (const Shape& s : {Shape{16, 3, 10, 22, 1, 2, 2, 0},
                           {5, 6, 9, 35, 2, 3, 5, 0},
                           {36, 2, 4, 6, 1, 2, 2, 8},
                           {3, 4, 6, 9, 4, 2, 1, 3},
                           {1, 1, 1, 1, 1, 1, 1, 0}}) {
      for (int32_t dtype : {SVG_BF16, SVG_F32}) {
        for (int order : {SVG_PATCH_CTHW, SVG_PATCH_THWC, SVG_PATCH_HWTC}) {
          for (int inverse : {0, 1}) {
            const int elements = s.channels * s.patch_frames * s.patch_height * s.patch_width;
            const int all = s.channels * s.frames * s.height * s.width;
            Tensor video(dtype, 1, 1, all), tokens(dtype, 1, all / elements, elements, false, s.gap);
            (inverse ? tokens : video).fill_normal(random_);
            both("svg_patchify", [&](Side side) {
              svg_patchify_params p{};
              p.dtype = dtype;
              p.channels = s.channels;
              p.frames = s.frames;
              p.height = s.height;
              p.width = s.width;
              p.patch_frames = s.patch_frames;
              p.patch_height = s.patch_height;
              p.patch_width = s.patch_width;
              p.order = order;
              p.inverse = inverse;
              p.video = video.array.at(side);
              p.tokens = tokens.at(side);
              return p;
            });
            equal(format("patchify %s %dx%dx%dx%d, order %d, inverse %d", dtype_name(dtype), s.channels, s.frames,
                         s.height, s.width, order, inverse),
                  (inverse ? video : tokens).array);
          }
        }
      }
    }
  }

  void timesteps() {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      for (int width : {256, 320, 33, 2}) {
        for (int flip : {0, 1}) {
          Values<float> timesteps(5);
          for (size_t i = 0; i < timesteps.count; i++) timesteps[i] = float(random_() % 1000000) * 1e-3f;
          timesteps.array.upload();
          Tensor out(dtype, 1, 5, width, false, 3);
          both("svg_timestep_embedding", [&](Side side) {
            svg_timestep_embedding_params p{};
            p.dtype = dtype;
            p.rows = 5;
            p.width = width;
            p.flip_sin_to_cos = flip;
            p.downscale_freq_shift = flip ? 0 : 0.5f;
            p.scale = flip ? 1 : 2.5f;
            p.max_period = 10000;
            p.timesteps = timesteps.at(side);
            p.out = out.at(side);
            return p;
          });
          near(format("timestep_embedding %s width %d, flip %d", dtype_name(dtype), width, flip), out,
               dtype == SVG_F32 ? 1e-7 : 1e-4);
        }
      }
    }
  }

  void color_bytes() {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      for (int size : {1, 3 * 17 * 23, 2048, 3 * 256 * 128}) {
        Tensor x(dtype, 1, 3, size);
        x.fill_normal(random_);
        for (int i : {0, size / 2, 2 * size, 3 * size - 1})
          put(x.array.at(Side::kHost), dtype, i, i == 0 ? 1 / 0.0 : NAN);
        x.array.upload();
        Array out(3 * size);
        Values<int32_t> not_numbers(3);
        both("svg_color_bytes", [&](Side side) {
          return svg_color_bytes_params{
              0, dtype, 3, size, x.array.at<void>(side), out.at<uint8_t>(side), not_numbers.at(side)};
        });
        equal(format("color_bytes %s, %d a frame", dtype_name(dtype), size), out);
        equal(format("color_bytes %s, %d a frame: not numbers", dtype_name(dtype), size), not_numbers.array);
      }
    }
  }

  /// Contiguous, with gaps, transposed, broadcast, folded dimensions, and starts that allow no wide accesses.
  void views() {
    struct Shape {
      int element_size, start, dims;
      int64_t sizes[SVG_MAX_DIMS], from[SVG_MAX_DIMS], to[SVG_MAX_DIMS];
    };
    for (const Shape& s :
         {Shape{1, 0, 2, {4096, 3}, {3, 1}, {3, 1}},
          {2, 1, 3, {5, 7, 33}, {231, 33, 1}, {231, 33, 1}},
          {2, 0, 3, {3, 16, 64}, {4096, 128, 1}, {1024, 64, 1}},
          {4, 0, 3, {7, 5, 9}, {1, 63, 7}, {45, 9, 1}},
          {4, 1, 3, {7, 5, 9}, {0, 9, 1}, {45, 9, 1}},
          {8, 0, 4, {1, 17, 1, 3}, {9, 0, 9, 1}, {60, 3, 9, 1}},
          {1, 3, 8, {2, 2, 2, 2, 2, 2, 2, 2}, {1, 2, 4, 8, 16, 32, 64, 128}, {128, 64, 32, 16, 8, 4, 2, 1}},
          {4, 0, 1, {20000003}, {1}, {1}},
          {2, 0, 1, {1}, {0}, {5}}}) {
      const auto extent = [&](const int64_t* strides) {
        int64_t last = s.start;
        for (int d = 0; d < s.dims; d++) last += (s.sizes[d] - 1) * strides[d];
        return size_t(last + 1) * s.element_size;
      };
      Array from(extent(s.from)), to(extent(s.to));
      for (size_t i = 0; i < from.bytes(); i++) from.at<uint8_t>(Side::kHost)[i] = uint8_t(random_());
      from.upload();
      both("svg_copy", [&](Side side) {
        svg_copy_params p{};
        p.element_size = s.element_size;
        p.dims = s.dims;
        std::copy(s.sizes, s.sizes + s.dims, p.sizes);
        p.src = view(from.at<char>(side) + s.start * s.element_size, s.from, s.dims);
        p.dst = view(to.at<char>(side) + s.start * s.element_size, s.to, s.dims);
        return p;
      });
      equal(format("copy of %d dimensions, elements of %d bytes", s.dims, s.element_size), to);
    }
    for (int op : {SVG_ADD, SVG_SUBTRACT, SVG_MULTIPLY, SVG_DIVIDE, SVG_MINIMUM, SVG_MAXIMUM}) {
      for (int32_t x_dtype : {SVG_F32, SVG_BF16, SVG_F16}) {
        for (int32_t out_dtype : {SVG_F32, SVG_BF16, SVG_F16}) {
          for (bool scalar : {false, true}) {
            const int32_t y_dtype = (x_dtype + 1) % 3;
            Tensor x(x_dtype, 5, 7, 33), y(y_dtype, 1, 7, 33, false, 3), out(out_dtype, 7, 5, 33);
            x.fill_normal(random_);
            y.fill_normal(random_);
            both("svg_elementwise", [&](Side side) {
              svg_elementwise_params p{};
              p.op = op;
              p.dims = 3;
              p.x_dtype = x_dtype;
              p.y_dtype = y_dtype;
              p.out_dtype = out_dtype;
              p.scalar = 0.3f;
              const int64_t sizes[] = {5, 7, 33}, by[] = {0, y.row_stride, 1}, turned[] = {33, 5 * 33, 1};
              std::copy(sizes, sizes + 3, p.sizes);
              const int64_t strides[] = {x.head_stride, x.row_stride, 1};
              p.x = view(x.array.at(side), strides, 3);
              if (!scalar) p.y = view(y.array.at(side), by, 3);
              p.out = view(out.array.at(side), turned, 3);
              return p;
            });
            equal(format("elementwise %d of %s to %s%s", op, dtype_name(x_dtype), dtype_name(out_dtype),
                         scalar ? ", scalar" : ""),
                  out.array);
          }
        }
      }
    }
  }

  /// Of one type and one behind the other: whole units, what is left over, less than a unit, unaligned, in place.
  void plain_elementwise() {
    for (int32_t dtype : {SVG_F32, SVG_BF16, SVG_F16}) {
      for (int64_t count : {1, 7, 4096, 8195, 1000003}) {
        for (int op : {SVG_ADD, SVG_SUBTRACT, SVG_MULTIPLY, SVG_DIVIDE, SVG_MINIMUM, SVG_MAXIMUM}) {
          for (bool scalar : {false, true}) {
            const bool in_place = count == 8195;
            const int start = count == 4096 ? 1 : 0;
            Tensor x(dtype, 1, 1, int(count) + start), y(dtype, 1, 1, int(count)), out(dtype, 1, 1, int(count));
            x.fill_normal(random_);
            y.fill_normal(random_);
            both("svg_elementwise", [&](Side side) {
              svg_elementwise_params p{};
              p.op = op;
              p.dims = 1;
              p.x_dtype = p.y_dtype = p.out_dtype = dtype;
              p.scalar = -1.7f;
              p.sizes[0] = count;
              const int64_t stride = 1;
              p.x = view(x.array.at<char>(side) + start * element_size(dtype), &stride, 1);
              if (!scalar) p.y = view(y.array.at(side), &stride, 1);
              p.out = in_place ? p.x : view(out.array.at(side), &stride, 1);
              return p;
            });
            equal(format("elementwise %d of %lld %s%s", op, (long long)count, dtype_name(dtype),
                         scalar ? ", scalar" : ""),
                  in_place ? x.array : out.array);
          }
        }
      }
    }
  }

  static svg_view view(void* data, const int64_t* strides, int dims) {
    svg_view v{};
    v.data = data;
    std::copy(strides, strides + dims, v.strides);
    return v;
  }

  /// Rows in a warp, in a block and read twice; a bias by position, by key, and none; hidden scores.
  void softmax() {
    struct Shape {
      int heads, rows, width;
      bool token_major;
    };
    for (const Shape& s : {Shape{1, 1, 1, false},
                           {2, 7, 33, true},
                           {64, 37, 512, false},
                           {3, 5, 1000, true},
                           {2, 9, 1025, false},
                           {1, 33, 14400, false},
                           {2, 2, 70001, false},
                           {3, 1, 37, false},
                           {2, 1, 1028, false},
                           {1, 1, 70001, false}}) {
      for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
        const int32_t bias_dtype = (dtype + 1) % 3;
        const int positions = s.rows + s.width - 1;
        Tensor scores(SVG_F32, s.heads, s.rows, s.width, s.token_major, 3),
            out(dtype, s.heads, s.rows, s.width, s.token_major), bias(bias_dtype, 1, s.heads, positions);
        std::normal_distribution<float> normal;
        int drawn = 0;  // the first row of several is hidden, and some scores of the others
        scores.fill(random_, [&](std::mt19937& r) {
          const bool hidden = s.rows > 1 && (drawn++ < s.width || r() % 50 == 0);
          return hidden ? -INFINITY : 5 * normal(r);
        });
        bias.fill_normal(random_);
        for (int kind = 0; kind < 3; kind++) {
          Tensor& to = dtype == SVG_F32 && kind == 2 ? scores : out;
          // Where scores are hidden, the scale has to be positive.
          const float scale = s.rows > 1 ? 0.7f : kind == 1 ? 0 : -2;
          both("svg_softmax", [&](Side side) {
            svg_softmax_params p{};
            p.dtype = dtype;
            p.heads = s.heads;
            p.rows = s.rows;
            p.width = s.width;
            p.bias_dtype = bias_dtype;
            p.scale = scale;
            p.scores = scores.at(side);
            p.out = to.at(side);
            char* const data = bias.array.at<char>(side);
            if (kind == 0) {
              p.bias = data + (s.rows - 1) * element_size(bias_dtype);
              p.bias_strides[0] = positions, p.bias_strides[1] = -1, p.bias_strides[2] = 1;
            } else if (kind == 1) {
              p.bias = data;
              p.bias_strides[2] = 1;
            }
            return p;
          });
          near(format("softmax %s %dx%dx%d, bias %d", dtype_name(dtype), s.heads, s.rows, s.width, kind), to, dtype);
        }
      }
    }
  }

  void gather_rows() {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      for (int width : {1, 2, 33, 64, 4100}) {
        for (int index_bytes : {4, 8}) {
          const int table_rows = 32, rows = 1023;
          Tensor table(dtype, 1, table_rows, width, false, 4), out(dtype, 1, rows, width);
          table.fill_normal(random_);
          Array indices(size_t(rows) * index_bytes);
          for (int i = 0; i < rows; i++) {
            const int64_t index = random_() % table_rows;
            std::memcpy(indices.at<char>(Side::kHost) + i * index_bytes, &index, index_bytes);
          }
          indices.upload();
          both("svg_gather_rows", [&](Side side) {
            svg_gather_rows_params p{};
            p.dtype = dtype;
            p.table_rows = table_rows;
            p.rows = rows;
            p.width = width;
            p.index_bytes = index_bytes;
            p.table = table.at(side);
            p.out = out.at(side);
            p.indices = indices.at(side);
            return p;
          });
          equal(format("gather_rows %s width %d, %d-byte indices", dtype_name(dtype), width, index_bytes), out.array);
        }
      }
    }
  }

  void block_map() {
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
      for (size_t i = 0; i < q.count; i++) q[i] = normal(random_);
      for (size_t i = 0; i < k.count; i++) k[i] = normal(random_);
      for (size_t i = 0; i < sizes.count; i++) sizes[i] = int32_t(random_() % 90);
      const int columns = s.keys + s.context;
      Values<uint8_t> map(size_t(s.heads) * (s.queries + s.context) * columns);
      for (auto* array : {&q.array, &k.array, &sizes.array}) array->upload();
      both("svg_block_map", [&](Side side) {
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
      expect(different <= map.count / 5000 + 2,
             format("block_map %dx%dx%d: %zu of %zu entries differ", s.heads, s.queries, s.keys, different, map.count));
    }
  }

  void block_density() {
    struct Shape {
      int heads, queries, keys, counted_q, counted_k;
    };
    for (const Shape& s :
         {Shape{40, 300, 1000, 300, 1000}, {3, 77, 133, 76, 131}, {1, 1, 1, 1, 1}, {2, 5, 3000, 5, 2}}) {
      const auto fill = [&](Values<int32_t>& offsets, int clusters) {
        for (size_t i = 0; i < offsets.count; i++) {
          offsets[i] = i % (clusters + 1) == 0 ? 0 : offsets[i - 1] + int32_t(random_() % 500);
        }
        offsets.array.upload();
      };
      Values<int32_t> q(size_t(s.heads) * (s.queries + 1)), k(size_t(s.heads) * (s.keys + 1));
      fill(q, s.queries), fill(k, s.keys);
      Values<uint8_t> map(size_t(s.heads) * s.queries * s.keys);
      for (size_t i = 0; i < map.count; i++) map[i] = random_() % 3 == 0 ? uint8_t(random_()) : 0;
      map.array.upload();
      Values<float> density(s.heads);
      both("svg_block_density", [&](Side side) {
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
        expect(device[h] == density[h], format("block_density %dx%dx%d, head %d: %g, the host has %g", s.heads,
                                               s.queries, s.keys, h, double(device[h]), double(density[h])));
      }
    }
  }

  void profile() {
    const int frames = 5, tokens = 331, context = 37;
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      for (int dim : {128, 64, 40, 33}) {
        for (int samples : {70, 9}) {
          Profile problem(dtype, 3, dim, frames, tokens, context, samples, random_);
          run_profile(problem, 20, 3, dtype == SVG_F32 ? 1e-4 : 0.02);
        }
      }
    }
    for (int32_t dtype : {SVG_BF16, SVG_F32}) {
      Profile wide(dtype, 2, 256, frames, tokens, context, 9, random_);
      run_profile(wide, 20, 3, dtype == SVG_F32 ? 1e-4 : 0.02);
      for (float scale : {-1.5f, 0.0f}) {
        Profile scaled(dtype, 2, 64, frames, tokens, context, 20, random_);
        scaled.scale = scale;
        run_profile(scaled, 20, 3, dtype == SVG_F32 ? 1e-4 : 0.02);
      }
      // Masks that allow every key leave no error, whatever the order of sums.
      Profile all(dtype, 2, 64, frames, tokens, 0, 20, random_);
      run_profile(all, 0, 1000, 0);
      for (float error : all.mse.download()) expect(error == 0, format("profile_heads: error %g of no mask", error));
      // No band and no sink: every row of video is zero under both masks, and the two are equal.
      Profile none(dtype, 2, 64, frames, tokens, 0, 20, random_);
      run_profile(none, 0, 0, dtype == SVG_F32 ? 1e-4 : 0.02);
      // Keys that no mask allows to the sampled rows score hundreds above those that one does.
      Profile far(dtype, 2, 64, frames, tokens, 0, 20, random_);
      for (int i = 0; i < 20; i++) far.sampled[i] = int32_t(random_() % 100);
      far.sampled.array.upload();
      far.q.fill(random_, [](std::mt19937&) { return 4; });
      int calls = 0;
      far.k.fill(random_, [&](std::mt19937& r) {
        const int row = calls++ / 64 % (frames * tokens);
        const bool high = row / tokens >= 3 && row % tokens >= 250;
        return (high ? 8.0f : 0.0f) + std::normal_distribution<float>()(r) * 0.1f;
      });
      run_profile(far, 0, 2, dtype == SVG_F32 ? 1e-4 : 0.02);
      // So many heads that one block takes all keys of each, and most of them are beyond the band.
      Profile gaps(dtype, 600, 8, frames, tokens, 0, 9, random_);
      for (int i = 0; i < 9; i++) gaps.sampled[i] = int32_t(random_() % 20);
      gaps.sampled.array.upload();
      run_profile(gaps, 0, 1, dtype == SVG_F32 ? 1e-4 : 0.02);
    }
  }

  void norms() {
    struct Shape {
      int rows, width;
    };
    // Parts of a warp, whole blocks, more rows than a grid takes at once, rows that are not whole vectors.
    for (const Shape& s : {Shape{7, 8},
                           {1, 33},
                           {70001, 64},
                           {301, 77},
                           {1, 128},
                           {133, 200},
                           {301, 256},
                           {97, 264},
                           {1501, 1000},
                           {7, 5120},
                           {7, 5128},
                           {3, 16384}}) {
      for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
        if (s.rows > 9999 && dtype != SVG_BF16) continue;
        for (int kind = 0; kind < 5; kind++) {
          // 0 RMSNorm with weight; LayerNorm 1 plain, 2 affine, 3 affine and modulated by head, 4 modulated by row
          const int heads = s.rows > 9999 ? 1 : 2, gap = s.width % 8 == 0 ? 16 : 3;
          const int32_t weight_dtype = s.rows % 2 == 0 ? SVG_F32 : dtype,
                        modulation_dtype = kind == 3 ? SVG_F32 : SVG_BF16;
          Tensor x(dtype, heads, s.rows, s.width, true, gap), out(dtype, heads, s.rows, s.width);
          Tensor weight(weight_dtype, 1, 1, s.width), bias(weight_dtype, 1, 1, s.width);
          Tensor scale(modulation_dtype, heads, kind == 4 ? s.rows : 1, s.width);
          Tensor shift(modulation_dtype, heads, kind == 4 ? s.rows : 1, s.width);
          for (Tensor* t : {&x, &weight, &bias, &scale, &shift}) t->fill_normal(random_);
          const bool in_place = s.width == 200;
          const auto fill = [&](auto p, Side side) {
            p.dtype = dtype;
            p.heads = heads;
            p.rows = s.rows;
            p.width = s.width;
            p.weight_dtype = weight_dtype;
            p.epsilon = 1e-5f;
            p.x = x.at(side);
            p.out = (in_place ? x : out).at(side);
            if (kind == 0 || kind == 2 || kind == 3) p.weight = weight.array.at(side);
            return p;
          };
          if (kind == 0) {
            both("svg_rms_norm", [&](Side side) { return fill(svg_rms_norm_params{}, side); });
          } else {
            both("svg_layer_norm", [&](Side side) {
              svg_layer_norm_params p = fill(svg_layer_norm_params{}, side);
              p.modulation_dtype = modulation_dtype;
              if (kind == 2 || kind == 3) p.bias = bias.array.at(side);
              if (kind >= 3) p.scale = scale.by_row(side);
              if (kind >= 3 && s.width != 77) p.shift = shift.by_row(side);
              return p;
            });
          }
          near(format("norm %d %s %dx%d", kind, dtype_name(dtype), s.rows, s.width), in_place ? x : out, dtype);
        }
      }
    }
  }

  void channel_norm() {
    channel_norm_of_nan();
    struct Shape {
      int rows, width;
    };
    for (const Shape& s : {Shape{7, 8},
                           {33, 3},
                           {70001, 96},
                           {301, 192},
                           {133, 384},
                           {129, 128},
                           {65, 200},
                           {31, 256},
                           {97, 512},
                           {5, 768},
                           {17, 1000},
                           {9, 77},
                           {3, 16384}}) {
      for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
        if (s.rows > 9999 && dtype != SVG_BF16) continue;
        for (bool silu : {false, true}) {
          const int heads = s.rows > 9999 ? 1 : 2;
          const int32_t weight_dtype = s.rows % 2 == 0 ? SVG_F32 : dtype;
          Tensor x(dtype, heads, s.rows, s.width, true, s.width % 8 == 0 ? 16 : 3), out(dtype, heads, s.rows, s.width);
          Tensor weight(weight_dtype, 1, 1, s.width);
          std::normal_distribution<float> normal;
          int calls = 0;
          x.fill(random_, [&](std::mt19937& r) { return calls++ < s.width ? 0 : normal(r); });  // a row of zeros
          weight.fill_normal(random_);
          both("svg_channel_norm", [&](Side side) {
            svg_channel_norm_params p{};
            p.dtype = dtype;
            p.heads = heads;
            p.rows = s.rows;
            p.width = s.width;
            p.weight_dtype = weight_dtype;
            p.silu = silu;
            p.x = x.at(side);
            p.out = out.at(side);
            if (s.rows != 133) p.weight = weight.array.at(side);
            return p;
          });
          near(format("channel_norm %s %dx%d%s", dtype_name(dtype), s.rows, s.width, silu ? ", SiLU" : ""), out, dtype);
        }
      }
    }
  }

  /// A row with a value that is not a number becomes one of such values, the others do not change.
  void channel_norm_of_nan() {
    for (int width : {96, 77}) {  // by pieces, by elements
      const int rows = 5, spoilt = 2;
      Tensor x(SVG_BF16, 1, rows, width), out(SVG_BF16, 1, rows, width);
      int calls = 0;
      x.fill(random_, [&](std::mt19937&) { return calls++ == spoilt * width + 7 ? NAN : 1; });
      both("svg_channel_norm", [&](Side side) {
        svg_channel_norm_params p{};
        p.dtype = SVG_BF16;
        p.heads = 1;
        p.rows = rows;
        p.width = width;
        p.x = x.at(side);
        p.out = out.at(side);
        return p;
      });
      const std::vector<uint8_t> device = out.array.download();
      for (const uint8_t* values : {device.data(), out.array.at<const uint8_t>(Side::kHost)}) {
        for (int r = 0; r < rows; r++) {
          for (int i = 0; i < width; i++) {
            const double value = get(values, SVG_BF16, out.index(0, r, i));
            expect(r == spoilt ? std::isnan(value) : value == 1,
                   format("channel_norm with a NaN in row %d of %d: [%d][%d] is %g", spoilt, width, r, i, value));
          }
        }
      }
    }
  }

  void convolution() {
    convolutions(false);
    // Hopper takes mma.sync for few of these, other devices for all.
    const char* const path = std::getenv("SVG_CUDA_MMA");
    const std::string before = path == nullptr ? "auto" : path;
    setenv("SVG_CUDA_MMA", "sync", 1);
    convolutions(true);
    setenv("SVG_CUDA_MMA", before.c_str(), 1);
  }

  void convolutions(bool sync) {
    struct Shape {
      int frames, earlier, height, width, channels, outputs, kernel[3], frame_stride, stride, pad[4], repeat = 1;
    };
    const Shape shapes[] = {
        {2, 2, 13, 21, 96, 96, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},  // the VAE's cubes
        {1, 2, 9, 37, 96, 192, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
        {1, 2, 18, 17, 192, 192, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
        {2, 2, 11, 9, 384, 384, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
        {1, 2, 10, 11, 16, 384, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
        {2, 2, 20, 35, 96, 3, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
        {3, 0, 11, 13, 3, 96, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
        {3, 0, 7, 9, 384, 768, {3, 1, 1}, 1, 1, {}},  // in time
        {3, 1, 7, 9, 192, 192, {3, 1, 1}, 2, 1, {}},
        {2, 0, 33, 17, 192, 96, {1, 3, 3}, 1, 1, {1, 1, 1, 1}},  // of frames
        {2, 0, 17, 22, 96, 96, {1, 3, 3}, 1, 2, {0, 1, 0, 1}},
        {2, 0, 8, 40, 384, 192, {1, 1, 1}, 1, 1, {}},              // of pixels
        {2, 0, 17, 9, 192, 96, {1, 3, 3}, 1, 1, {1, 1, 1, 1}, 2},  // of pixels that are repeated
        {1, 0, 9, 21, 384, 192, {1, 3, 3}, 1, 1, {1, 1, 1, 1}, 2},
        {3, 1, 5, 6, 40, 20, {2, 3, 3}, 1, 1, {1, 1, 1, 1}, 2},
        {1, 0, 5, 6, 24, 10, {1, 3, 2}, 1, 2, {1, 0, 1, 2}, 3},
        {1, 1, 5, 3, 4, 4, {2, 3, 3}, 1, 1, {1, 1, 1, 1}},  // other sizes
        {1, 0, 1, 1, 8, 1, {1, 1, 1}, 1, 1, {}},
        {4, 3, 19, 23, 40, 100, {3, 5, 2}, 2, 1, {2, 0, 1, 3}},
        {2, 0, 30, 30, 72, 20, {2, 7, 7}, 1, 3, {3, 2, 1, 0}},
        {1, 0, 9, 300, 64, 130, {1, 3, 9}, 1, 1, {1, 1, 40, 4}},
        {1, 0, 90, 33, 136, 288, {1, 3, 1}, 1, 1, {0, 1, 0, 0}},
    };
    for (const Shape& s : shapes) {
      for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
        for (bool plain : {true, false}) {  // without bias and residual, or with
          if (dtype == SVG_F16 && plain) continue;
          if (dtype == SVG_F32 && sync) continue;  // by neither
          const auto steps = [](int size, int kernel, int stride) { return (size - kernel) / stride + 1; };
          const int out_pixels = steps(s.frames + s.earlier, s.kernel[0], s.frame_stride) *
                                 steps(s.height * s.repeat + s.pad[0] + s.pad[1], s.kernel[1], s.stride) *
                                 steps(s.width * s.repeat + s.pad[2] + s.pad[3], s.kernel[2], s.stride);
          const int terms = s.kernel[0] * s.kernel[1] * s.kernel[2] * s.channels, pixels = s.height * s.width;
          Tensor x(dtype, s.frames, pixels, s.channels), earlier(dtype, std::max(s.earlier, 1), pixels, s.channels);
          Tensor weight(dtype, 1, s.outputs, terms), bias(dtype, 1, 1, s.outputs);
          Tensor residual(dtype, 1, out_pixels, s.outputs), out(dtype, 1, out_pixels, s.outputs);
          for (Tensor* t : {&x, &earlier, &bias, &residual}) t->fill_normal(random_);
          std::normal_distribution<float> normal(0, 1 / std::sqrt(float(terms)));
          weight.fill(random_, [&](std::mt19937& r) { return normal(r); });
          both("svg_convolution", [&](Side side) {
            svg_convolution_params p{};
            p.dtype = dtype;
            p.frames = s.frames;
            p.height = s.height;
            p.width = s.width;
            p.channels = s.channels;
            p.earlier_frames = s.earlier;
            p.out_channels = s.outputs;
            p.kernel_frames = s.kernel[0];
            p.kernel_height = s.kernel[1];
            p.kernel_width = s.kernel[2];
            p.frame_stride = s.frame_stride;
            p.stride = s.stride;
            p.repeat = s.repeat;
            p.pad_top = s.pad[0];
            p.pad_bottom = s.pad[1];
            p.pad_left = s.pad[2];
            p.pad_right = s.pad[3];
            if (s.earlier > 0) p.earlier = earlier.array.at(side);
            p.x = x.array.at(side);
            p.weight = weight.array.at(side);
            if (!plain) p.bias = bias.array.at(side);
            if (!plain) p.residual = residual.array.at(side);
            p.out = out.array.at(side);
            return p;
          });
          near(format("convolution %s %d+%dx%dx%d, %d to %d, kernel %dx%dx%d, %d%s%s", dtype_name(dtype), s.earlier,
                      s.frames, s.height, s.width, s.channels, s.outputs, s.kernel[0], s.kernel[1], s.kernel[2],
                      s.repeat, plain ? "" : ", bias and residual", sync ? ", mma.sync" : ""),
               // Weights that were added are rounded, and then both results are: three roundings, each of 1.6e-3 in
               // bf16.
               out, dtype, s.repeat == 2 ? 4 : 1);
        }
      }
    }
  }

  void rope() {
    struct Shape {
      int heads, rows, dim;
    };
    for (const Shape& s : {Shape{6, 37, 128},
                           {5, 1501, 48},
                           {3, 1, 16},
                           {1, 7, 64},
                           {9, 61, 96},
                           {2, 133, 256},
                           {50, 9, 256},
                           {3, 13001, 32}}) {
      for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
        if (s.rows > 9999 && dtype != SVG_BF16) continue;
        for (int kind = 0; kind < 10; kind++) {  // pairs; without norm, per head, across heads, both with a permutation
          const int pairs = kind % 2, norm = kind / 2 % 3 + kind / 6, rotated = s.rows * 5 / 6;
          const int permuted = kind >= 6 ? s.rows - s.rows / 9 : 0;
          const int32_t weight_dtype = pairs ? dtype : SVG_F32;
          Tensor x(dtype, s.heads, s.rows, s.dim, true), out(dtype, s.heads, s.rows, s.dim);
          Tensor weight(weight_dtype, 1, s.heads, s.dim), angle(SVG_F32, 1, s.rows, s.dim / 2);
          for (Tensor* t : {&x, &weight, &angle}) t->fill_normal(random_);
          Values<float> cosines(size_t(s.rows) * s.dim / 2), sines(cosines.count);
          for (size_t i = 0; i < cosines.count; i++) {
            cosines[i] = std::cos(angle.array.at<float>(Side::kHost)[i]);
            sines[i] = std::sin(angle.array.at<float>(Side::kHost)[i]);
          }
          Values<int32_t> order(size_t(s.heads) * std::max(permuted, 1));
          for (int h = 0; h < s.heads && permuted > 0; h++) {
            for (int i = 0; i < permuted; i++) order[h * permuted + i] = i;
            std::shuffle(&order[h * permuted], &order[h * permuted] + permuted, random_);
          }
          for (Array* array : {&cosines.array, &sines.array, &order.array}) array->upload();
          const bool in_place = s.dim == 96 && permuted == 0;
          const auto fill = [&](auto p, Side side) {
            p.dtype = dtype;
            p.heads = s.heads;
            p.rows = s.rows;
            p.head_dim = s.dim;
            p.pairs = pairs;
            p.rotated_rows = rotated;
            p.x = x.at(side);
            p.out = (in_place ? x : out).at(side);
            p.cos_table = cosines.at(side);
            p.sin_table = sines.at(side);
            return p;
          };
          if (norm == 0) {
            both("svg_rope", [&](Side side) { return fill(svg_rope_params{}, side); });
          } else {
            both("svg_norm_rope", [&](Side side) {
              svg_norm_rope_params p = fill(svg_norm_rope_params{}, side);
              p.across_heads = norm == 2;
              p.weight_dtype = weight_dtype;
              p.epsilon = 1e-6f;
              p.weight = weight.array.at(side);
              p.permuted_rows = permuted;
              p.order = order.at(side);
              return p;
            });
          }
          near(format("rope %s %dx%dx%d, pairs %d, norm %d, permuted %d", dtype_name(dtype), s.heads, s.rows, s.dim,
                      pairs, norm, permuted),
               in_place ? x : out, dtype);
        }
      }
    }
  }

  void elementwise() {
    struct Shape {
      int rows, width;
    };
    for (const Shape& s : {Shape{301, 48}, {7, 33}, {1, 1}, {9001, 8}, {133, 1000}, {7, 5128}}) {
      for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
        for (int32_t other : {SVG_F32, SVG_F16, SVG_BF16}) {
          const int heads = 2, gate_rows = other == SVG_F16 ? s.rows : 1;
          Tensor x(dtype, heads, s.rows, s.width), y(dtype, heads, s.rows, s.width, true),
              out(dtype, heads, s.rows, s.width);
          Tensor gate(other, heads, gate_rows, s.width), bias(other, 1, 1, s.width);
          for (Tensor* t : {&x, &y, &gate, &bias}) t->fill_normal(random_);
          for (int kind : {SVG_IDENTITY, SVG_GELU_TANH, SVG_SILU}) {
            Tensor made(other, heads, s.rows, s.width);
            both("svg_activation", [&](Side side) {
              svg_activation_params p{};
              p.x_dtype = dtype;
              p.out_dtype = other;
              p.heads = heads;
              p.rows = s.rows;
              p.width = s.width;
              p.kind = kind;
              p.bias_dtype = other;
              p.x = x.at(side);
              p.out = made.at(side);
              if (s.width != 48) p.bias = bias.array.at(side);
              return p;
            });
            near(format("activation %d %s to %s %dx%d", kind, dtype_name(dtype), dtype_name(other), s.rows, s.width),
                 made, other);
          }
          Tensor& to = s.width == 1000 ? x : out;
          both("svg_gated_residual", [&](Side side) {
            svg_gated_residual_params p{};
            p.dtype = dtype;
            p.heads = heads;
            p.rows = s.rows;
            p.width = s.width;
            p.gate_dtype = other;
            p.x = x.at(side);
            p.y = y.at(side);
            p.out = to.at(side);
            if (s.width != 33) p.gate = gate.by_row(side);
            return p;
          });
          near(format("gated_residual %s by %s %dx%d", dtype_name(dtype), dtype_name(other), s.rows, s.width), to,
               dtype);
        }
      }
    }
    far_activations();
  }

  /// GELU and SiLU from the far negative end, where nearly nothing is left, to the far positive one, against fp64: the
  /// error of each value is at most twice that of rounding it.
  void far_activations() {
    for (int kind : {SVG_GELU_TANH, SVG_SILU}) {
      Tensor x(SVG_F32, 1, 1, 4001), out(SVG_BF16, 1, 1, 4001);
      int at = 0;
      x.fill(random_, [&](std::mt19937&) { return float(at++ - 2000) * 0.005f; });
      svg_activation_params p{
          sizeof p, SVG_F32, SVG_BF16, 1, 1, 4001, kind, SVG_F32, x.at(Side::kDevice), out.at(Side::kDevice), nullptr};
      if (lib_.cuda.call("svg_activation", p) != SVG_OK) expect(false, lib_.cuda.error());
      const std::vector<uint8_t> device = out.array.download();
      double worst = 0;
      for (int i = 0; i < 4001; i++) {
        const double v = get(x.array.at(Side::kHost), SVG_F32, i);
        const double exact = kind == SVG_SILU ? v / (1 + std::exp(-v))
                                              : v / (1 + std::exp(-std::sqrt(8 / M_PI) * (v + 0.044715 * v * v * v)));
        if (std::abs(exact) > 1e-37)
          worst = std::max(worst, std::abs(get(device.data(), SVG_BF16, i) - exact) / std::abs(exact));
      }
      expect(worst <= 2.0 / 512, format("activation %d: an error of %.1e of the value", kind, worst));
    }
  }

  void refusals() {
    Tensor x(SVG_BF16, 2, 64, 32);
    x.fill_normal(random_);
    Values<float> centroids(2 * 8 * 32);
    Values<int32_t> labels(128), sizes(16), rows(16);
    for (size_t i = 0; i < rows.count; i++) rows[i] = int32_t(i);
    rows.array.upload();
    svg_kmeans_params good{};
    good.struct_size = sizeof good;
    good.dtype = SVG_BF16;
    good.heads = 2;
    good.rows = 64;
    good.head_dim = 32;
    good.clusters = 8;
    good.iterations = 1;
    good.x = x.at(Side::kDevice);
    good.init_rows = rows.at(Side::kDevice);
    good.centroids = centroids.at(Side::kDevice);
    good.labels = labels.at(Side::kDevice);
    good.sizes = sizes.at(Side::kDevice);
    using P = svg_kmeans_params;
    refused<P>("svg_kmeans", good, "struct_size", SVG_INVALID_ARGUMENT, [](P& p) { p.struct_size--; });
    refused<P>("svg_kmeans", good, "clusters is 65", SVG_INVALID_ARGUMENT, [](P& p) { p.clusters = 65; });
    refused<P>("svg_kmeans", good, "iterations is 0", SVG_INVALID_ARGUMENT, [](P& p) { p.iterations = 0; });
    refused<P>("svg_kmeans", good, "tolerance", SVG_INVALID_ARGUMENT, [](P& p) { p.tolerance = NAN; });
    refused<P>("svg_kmeans", good, "dtype is 3", SVG_INVALID_ARGUMENT, [](P& p) { p.dtype = 3; });
    refused<P>("svg_kmeans", good, "x.data is null", SVG_INVALID_ARGUMENT, [](P& p) { p.x.data = nullptr; });
    refused<P>("svg_kmeans", good, "multiple of 16 bytes", SVG_INVALID_ARGUMENT, [](P& p) { p.x.row_stride = 33; });
    refused<P>("svg_kmeans", good, "row_stride is 31", SVG_INVALID_ARGUMENT, [](P& p) { p.x.row_stride = 31; });
    refused<P>("svg_kmeans", good, "overlaps", SVG_INVALID_ARGUMENT, [](P& p) { p.sizes = p.labels; });
    refused<P>("svg_kmeans", good, "head_dim is 24", SVG_UNSUPPORTED, [](P& p) { p.head_dim = 24; });
    svg_norm_rope_params turned{};
    turned.struct_size = sizeof turned;
    turned.dtype = SVG_BF16;
    turned.heads = 2;
    turned.rows = 64;
    turned.head_dim = 32;
    turned.x = turned.out = x.at(Side::kDevice);
    using R = svg_norm_rope_params;
    refused<R>("svg_norm_rope", turned, "multiple of 16 bytes", SVG_INVALID_ARGUMENT,
               [](R& p) { p.rows = 32, p.x.row_stride = p.out.row_stride = 33; });
    refused<R>("svg_norm_rope", turned, "permuted_rows is 65", SVG_INVALID_ARGUMENT,
               [](R& p) { p.permuted_rows = 65; });
    refused<R>("svg_norm_rope", turned, "order is null", SVG_INVALID_ARGUMENT, [](R& p) { p.permuted_rows = 64; });
    refused<R>("svg_norm_rope", turned, "out at", SVG_INVALID_ARGUMENT, [&](R& p) {
      p.permuted_rows = 64;
      p.order = labels.at(Side::kDevice);
    });
    refused<R>("svg_norm_rope", turned, "head_dim is 24", SVG_UNSUPPORTED, [](R& p) { p.head_dim = 24; });
    refused<P>("svg_kmeans", good, "head_dim is 144", SVG_UNSUPPORTED, [](P& p) {
      p.head_dim = 144;
      p.rows = p.clusters = 1;
      p.x.row_stride = 144;
    });
    refused<P>("svg_kmeans", good, "draw_rows is 1 and init_rows", SVG_INVALID_ARGUMENT, [](P& p) { p.draw_rows = 1; });
  }

  /// Every function refuses every argument that is wrong on its own, and as the host library does.
  void bad_arguments() {
#define FIELD(kind, name) {#name, offsetof(P, name), kind}
    {
      using P = svg_kmeans_params;
      spoil_each<P>(
          "svg_kmeans",
          [](P& p) { p.dtype = SVG_F32, p.heads = 2, p.rows = 64, p.head_dim = 32, p.clusters = 8, p.iterations = 1; },
          {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim),
           FIELD(kCount, clusters), FIELD(kCount, iterations), FIELD(kNumber, tolerance), FIELD(kTensor, x),
           FIELD(kArrayOut, centroids), FIELD(kArrayOut, labels), FIELD(kArrayOut, sizes)});
    }
    {
      using P = svg_block_map_params;
      spoil_each<P>(
          "svg_block_map",
          [](P& p) { p.heads = 2, p.head_dim = 16, p.q_clusters = 8, p.k_clusters = 8, p.top_p = 0.5f; },
          {FIELD(kCount, heads), FIELD(kCount, head_dim), FIELD(kCount, q_clusters), FIELD(kCount, k_clusters),
           FIELD(kEnum, context_clusters), FIELD(kZeroOrMore, min_keep), FIELD(kNumber, top_p), FIELD(kNumber, scale),
           FIELD(kArray, q_centroids), FIELD(kArray, k_centroids), FIELD(kArray, k_sizes), FIELD(kBytesOut, map)});
    }
    {
      using P = svg_block_density_params;
      spoil_each<P>("svg_block_density",
                    [](P& p) { p.heads = 2, p.q_clusters = 8, p.k_clusters = 8, p.counted_q = 7, p.counted_k = 8; },
                    {FIELD(kCount, heads), FIELD(kCount, q_clusters), FIELD(kCount, k_clusters),
                     FIELD(kCount, counted_q), FIELD(kCount, counted_k), FIELD(kArray, q_offsets),
                     FIELD(kArray, k_offsets), FIELD(kBytes, map), FIELD(kArrayOut, density)});
    }
    {
      using P = svg_sort_labels_params;
      spoil_each<P>("svg_sort_labels", [](P& p) { p.heads = 2, p.rows = 64, p.clusters = 8; },
                    {FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, clusters), FIELD(kEnum, context_clusters),
                     FIELD(kZeroOrMore, prompt_rows), FIELD(kZeroOrMore, padding_rows), FIELD(kArray, labels),
                     FIELD(kArrayOut, order), FIELD(kArrayOut, offsets)});
    }
    {
      using P = svg_permute_rows_params;
      spoil_each<P>(
          "svg_permute_rows", [](P& p) { p.heads = 2, p.rows = 64, p.head_dim = 32, p.permuted_rows = 60; },
          {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim),
           FIELD(kZeroOrMore, permuted_rows), FIELD(kTensor, src), FIELD(kTensorOut, dst), FIELD(kArray, order)});
    }
    {
      using P = svg_video_layout_params;
      spoil_each<P>("svg_video_layout",
                    [](P& p) { p.heads = 2, p.rows = 64, p.head_dim = 32, p.frames = 4, p.tokens_per_frame = 15; },
                    {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim),
                     FIELD(kCount, frames), FIELD(kCount, tokens_per_frame), FIELD(kTensor, src),
                     FIELD(kTensorOut, dst), FIELD(kArray, transform)});
    }
    {
      using P = svg_profile_heads_params;
      spoil_each<P>("svg_profile_heads",
                    [](P& p) {
                      p.heads = 2, p.rows = 64, p.head_dim = 32, p.frames = 4, p.tokens_per_frame = 15;
                      p.context_rows = 4, p.samples = 5, p.band_blocks = 1;
                    },
                    {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, head_dim), FIELD(kCount, frames),
                     FIELD(kCount, tokens_per_frame), FIELD(kZeroOrMore, context_rows), FIELD(kZeroOrMore, sink_keys),
                     FIELD(kZeroOrMore, band_blocks), FIELD(kCount, samples), FIELD(kNumber, scale), FIELD(kTensor, q),
                     FIELD(kTensor, k), FIELD(kTensor, v), FIELD(kArray, sampled_rows), FIELD(kArrayOut, mse),
                     FIELD(kArrayOut, best)});
    }
    {
      using P = svg_rms_norm_params;
      spoil_each<P>("svg_rms_norm", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
                    {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width),
                     FIELD(kEnum, weight_dtype), FIELD(kNumber, epsilon), FIELD(kTensor, x), FIELD(kTensorOut, out),
                     FIELD(kOptional, weight)});
    }
    {
      using P = svg_channel_norm_params;
      spoil_each<P>("svg_channel_norm", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
                    {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width),
                     FIELD(kEnum, weight_dtype), FIELD(kTensor, x), FIELD(kTensorOut, out), FIELD(kOptional, weight)});
    }
    {
      using P = svg_convolution_params;
      spoil_each<P>("svg_convolution",
                    [](P& p) {
                      p.frames = 2, p.height = 4, p.width = 4, p.channels = 8, p.earlier_frames = 1;
                      p.out_channels = 8, p.kernel_frames = p.kernel_height = p.kernel_width = 2;
                      p.frame_stride = p.stride = p.repeat = 1;
                    },
                    {FIELD(kEnum, dtype),
                     FIELD(kCount, frames),
                     FIELD(kCount, height),
                     FIELD(kCount, width),
                     FIELD(kCount, channels),
                     FIELD(kZeroOrMore, earlier_frames),
                     FIELD(kCount, out_channels),
                     FIELD(kCount, kernel_frames),
                     FIELD(kCount, kernel_height),
                     FIELD(kCount, kernel_width),
                     FIELD(kCount, frame_stride),
                     FIELD(kCount, stride),
                     FIELD(kCount, repeat),
                     FIELD(kZeroOrMore, pad_top),
                     FIELD(kZeroOrMore, pad_bottom),
                     FIELD(kZeroOrMore, pad_left),
                     FIELD(kZeroOrMore, pad_right),
                     FIELD(kArray, earlier),
                     FIELD(kArray, x),
                     FIELD(kArray, weight),
                     FIELD(kOptional, bias),
                     FIELD(kOptional, residual),
                     FIELD(kArrayOut, out)});
    }
    {
      using P = svg_layer_norm_params;
      spoil_each<P>("svg_layer_norm", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
                    {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width),
                     FIELD(kNumber, epsilon), FIELD(kTensor, x), FIELD(kTensorOut, out), FIELD(kOptional, weight),
                     FIELD(kOptional, bias)});
    }
    {
      using P = svg_gated_residual_params;
      spoil_each<P>("svg_gated_residual", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
                    {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width),
                     FIELD(kTensor, x), FIELD(kTensor, y), FIELD(kTensorOut, out)});
    }
    {
      using P = svg_rope_params;
      spoil_each<P>("svg_rope", [](P& p) { p.heads = 2, p.rows = 64, p.head_dim = 32, p.rotated_rows = 60; },
                    {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim),
                     FIELD(kEnum, pairs), FIELD(kZeroOrMore, rotated_rows), FIELD(kTensor, x), FIELD(kTensorOut, out),
                     FIELD(kArray, cos_table), FIELD(kArray, sin_table)});
    }
    {
      using P = svg_norm_rope_params;
      spoil_each<P>(
          "svg_norm_rope", [](P& p) { p.heads = 2, p.rows = 64, p.head_dim = 32, p.rotated_rows = 60; },
          {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, head_dim), FIELD(kEnum, pairs),
           FIELD(kZeroOrMore, rotated_rows), FIELD(kNumber, epsilon), FIELD(kTensor, x), FIELD(kTensorOut, out),
           FIELD(kOptional, weight), FIELD(kArray, cos_table), FIELD(kArray, sin_table)});
    }
    {
      using P = svg_activation_params;
      spoil_each<P>("svg_activation", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
                    {FIELD(kEnum, x_dtype), FIELD(kEnum, out_dtype), FIELD(kCount, heads), FIELD(kCount, rows),
                     FIELD(kCount, width), FIELD(kEnum, kind), FIELD(kTensor, x), FIELD(kTensorOut, out),
                     FIELD(kOptional, bias)});
    }
    {
      using P = svg_softmax_params;
      spoil_each<P>("svg_softmax", [](P& p) { p.heads = 2, p.rows = 64, p.width = 32; },
                    {FIELD(kEnum, dtype), FIELD(kCount, heads), FIELD(kCount, rows), FIELD(kCount, width),
                     FIELD(kEnum, bias_dtype), FIELD(kNumber, scale), FIELD(kTensor, scores), FIELD(kTensorOut, out),
                     FIELD(kOptional, bias)});
    }
    {
      using P = svg_gather_rows_params;
      spoil_each<P>("svg_gather_rows", [](P& p) { p.table_rows = 64, p.rows = 64, p.width = 32, p.index_bytes = 4; },
                    {FIELD(kEnum, dtype), FIELD(kCount, table_rows), FIELD(kCount, rows), FIELD(kCount, width),
                     FIELD(kTensor, table), FIELD(kTensorOut, out), FIELD(kArray, indices)});
    }
    {
      using P = svg_timestep_embedding_params;
      spoil_each<P>(
          "svg_timestep_embedding", [](P& p) { p.rows = 64, p.width = 32, p.scale = p.max_period = 1; },
          {FIELD(kEnum, dtype), FIELD(kCount, rows), FIELD(kCount, width), FIELD(kNumber, downscale_freq_shift),
           FIELD(kNumber, scale), FIELD(kNumber, max_period), FIELD(kArray, timesteps), FIELD(kTensorOut, out)});
    }
    {
      using P = svg_color_bytes_params;
      spoil_each<P>("svg_color_bytes", [](P& p) { p.frames = 4, p.frame_size = 512; },
                    {FIELD(kEnum, dtype), FIELD(kCount, frames), FIELD(kCount, frame_size), FIELD(kArray, x),
                     FIELD(kBytesOut, out), FIELD(kArrayOut, not_numbers)});
    }
    {
      using P = svg_patchify_params;
      spoil_each<P>("svg_patchify",
                    [](P& p) {
                      p.channels = 8, p.frames = 4, p.height = 8, p.width = 8;
                      p.patch_frames = 1, p.patch_height = p.patch_width = 2;
                    },
                    {FIELD(kEnum, dtype), FIELD(kCount, channels), FIELD(kCount, frames), FIELD(kCount, height),
                     FIELD(kCount, width), FIELD(kCount, patch_frames), FIELD(kCount, patch_height),
                     FIELD(kCount, patch_width), FIELD(kEnum, order), FIELD(kArray, video), FIELD(kTensorOut, tokens)});
    }
#undef FIELD
  }

  /// Labels, orders and rows that are out of range: the outputs may be anything, but nothing else is written.
  void wild_indices() {
    const int heads = 2, rows = 777, dim = 32, clusters = 50;
    const auto fill_wild = [&](Values<int32_t>& values) {
      const int32_t wild[] = {-1, INT32_MIN, INT32_MAX, rows, clusters, 0, 1, 1 << 20};
      for (size_t i = 0; i < values.count; i++) values[i] = wild[random_() % 8];
      values.array.upload();
    };
    Values<int32_t> labels(heads * rows), order(labels.count), offsets(heads * (clusters + 1)), init(heads * clusters);
    Values<int32_t> sizes(init.count), best(heads), flags(heads);
    Values<float> centroids(size_t(init.count) * dim), mse(2 * heads);
    Values<uint8_t> map(size_t(heads) * clusters * clusters);
    Tensor x(SVG_BF16, heads, rows, dim), out(SVG_BF16, heads, rows, dim);
    x.fill_normal(random_);
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
    on_device("svg_sort_labels", s);
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
      on_device("svg_permute_rows", p);
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
    on_device("svg_gather_rows", g);
    const auto gathered = out.array.download();
    for (int r = 0; r < rows; r++) {
      const bool inside = order[r] >= 0 && order[r] < rows;
      const float expected = inside ? float(of(x, 0, order[r], 0)) : 0;
      expect(get(gathered.data(), SVG_BF16, out.index(0, r, 0)) == expected, "a row of no index is not zeros");
    }
    fill_wild(init);
    Clusters clustering(x, clusters);
    clustering.params.iterations = 2;
    clustering.params.init_rows = init.at(Side::kDevice);
    on_device("svg_kmeans", clustering.params);
    clustering.labels.download(), clustering.sizes.download(), clustering.centroids.download();
    for (size_t i = 0; i < centroids.count; i++) centroids[i] = float(random_() % 100) * 0.01f;
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
    on_device("svg_block_map", b);
    map.download();
    fill_wild(labels);
    for (int32_t dtype : {SVG_BF16, SVG_F32}) {
      Tensor y(dtype, heads, rows, dim);
      y.fill_normal(random_);
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
      on_device("svg_profile_heads", p);
      mse.download(), best.download();
    }
    expect(cudaGetLastError() == cudaSuccess, "indices out of range end in an error");
  }

 private:
  static double rounding(int32_t dtype) { return dtype == SVG_F32 ? 3e-6 : dtype == SVG_F16 ? 5e-4 : 4e-3; }
  template <class Value>
  static void each(Tensor& t, Value value) {
    for (int h = 0; h < t.heads; h++) {
      for (int r = 0; r < t.rows; r++) {
        for (int d = 0; d < t.width; d++) {
          put(t.array.at(Side::kHost), t.dtype, t.index(h, r, d), float(value(h, r, d)));
        }
      }
    }
  }

  template <class Params>
  void norm(const char* name, Params p, Tensor& x, Tensor& out, Tensor& weight) {
    p.struct_size = sizeof p;
    p.dtype = x.dtype;
    p.heads = x.heads;
    p.rows = x.rows;
    p.width = x.width;
    p.weight_dtype = weight.dtype;
    p.epsilon = 1e-5f;
    p.x = x.at(Side::kDevice);
    p.out = out.at(Side::kDevice);
    p.weight = weight.array.at(Side::kDevice);
    on_device(name, p);
    near(format("%s %s width %d", name, dtype_name(x.dtype), x.width), out, rounding(x.dtype));
  }

  void equal(const std::string& what, Array& array) {
    const std::vector<uint8_t> device = array.download();
    const uint8_t* host = array.at<uint8_t>(Side::kHost);
    size_t different = 0, first = 0;
    for (size_t i = device.size(); i-- > 0;) {
      if (device[i] != host[i]) different++, first = i;
    }
    expect(different == 0,
           what + format(": %zu of %zu bytes differ, the first at %zu", different, device.size(), first));
  }

  /// ||device - host|| / ||host|| over a tensor. Both round exact values, so that few of the rounded ones differ;
  /// `roundings` is above 1 where the device rounds what the host does not.
  void near(const std::string& what, Tensor& tensor, int32_t dtype, int roundings = 1) {
    const double most = roundings * (dtype == SVG_F32 ? 2e-6 : dtype == SVG_F16 ? 1e-4 : 8e-4);
    const std::vector<uint8_t> device = tensor.array.download();
    double difference = 0, norm = 0;
    for (int h = 0; h < tensor.heads; h++) {
      for (int r = 0; r < tensor.rows; r++) {
        for (int d = 0; d < tensor.width; d++) {
          const size_t i = tensor.index(h, r, d);
          const double a = get(device.data(), tensor.dtype, i), b = get(tensor.array.at(Side::kHost), tensor.dtype, i);
          difference += (a - b) * (a - b);
          norm += b * b;
        }
      }
    }
    const double error = std::sqrt(difference / norm);
    expect(error <= most, what + format(": error %.2e, expected at most %.0e", error, most));
  }

  /// What a field of a params struct holds, and so how it can be wrong.
  enum FieldKind {
    kCount,
    kZeroOrMore,
    kEnum,
    kNumber,
    kTensor,
    kTensorOut,
    kArray,
    kArrayOut,
    kBytes,
    kBytesOut,
    kOptional
  };
  struct Field {
    const char* name;
    size_t offset;
    FieldKind kind;
  };

  /// Tries every field of a call that is otherwise fine.
  template <class P>
  void spoil_each(const char* name, const std::function<void(P&)>& set, const std::vector<Field>& fields) {
    constexpr size_t kRoom = 32768;
    Array memory(kRoom * (fields.size() + 1));
    std::memset(memory.at(Side::kHost), 0, memory.bytes());
    memory.upload();
    const auto make = [&](Side side) {
      P p{};
      p.struct_size = sizeof p;
      set(p);
      for (size_t i = 0; i < fields.size(); i++) {
        char* const data = memory.at<char>(side) + i * kRoom;
        if (fields[i].kind == kTensor || fields[i].kind == kTensorOut) {
          in<svg_heads>(p, fields[i]) = {data, 64 * 32, 32};
        } else if (fields[i].kind >= kArray) {
          in<void*>(p, fields[i]) = data;
        }
      }
      return p;
    };
    expect(lib_.cuda.call(name, make(Side::kDevice)) == SVG_OK, lib_.cuda.error());

    const auto refuse = [&](const std::string& text, const std::function<void(P&)>& spoil) {
      std::string messages[2];
      for (Side side : {Side::kHost, Side::kDevice}) {
        P p = make(side);
        spoil(p);
        const Library& library = side == Side::kHost ? lib_.host : lib_.cuda;
        const int32_t status = library.call(name, p);
        messages[int(side)] = library.error();
        expect(status == SVG_INVALID_ARGUMENT && library.error().find(text) != std::string::npos,
               format("%s should refuse '%s', but answers %d with ", name, text.c_str(), status) + library.error());
      }
      // Both name the same value; bounds may differ, and so do addresses.
      const auto shown = [](const std::string& message) { return message.substr(0, message.find(", expected")); };
      const bool address = messages[0].find("0x") != std::string::npos;
      expect(address || shown(messages[0]) == shown(messages[1]), messages[0] + " | " + messages[1]);
    };
    const Library* const libraries[] = {&lib_.host, &lib_.cuda};
    for (const Library* library : libraries) {
      expect(library->call_null(name) == SVG_INVALID_ARGUMENT &&
                 library->error().find("params is null") != std::string::npos,
             format("%s should refuse null params", name));
    }
    refuse("struct_size is", [](P& p) { p.struct_size -= 4; });
    const Field* input = nullptr;
    for (const Field& f : fields) {
      const auto value = [&](const char* text) { return std::string(f.name) + text; };
      const auto number = [&](int32_t n) {
        refuse(f.name + format(" is %d", n), [&](P& p) { in<int32_t>(p, f) = n; });
      };
      switch (f.kind) {
        case kCount:
          number(0);
          [[fallthrough]];
        case kZeroOrMore:
          number(-5);
          break;
        case kEnum:
          // A type is named for what it is of, or just dtype.
          if (std::string(f.name).find("dtype") == std::string::npos) {
            number(-1);
            number(99);
          } else {
            refuse("dtype is 3", [&](P& p) { in<int32_t>(p, f) = 3; });
          }
          break;
        case kNumber:
          refuse(value(" is nan"), [&](P& p) { in<float>(p, f) = NAN; });
          break;
        case kTensor:
        case kTensorOut:
          refuse(value(".data is null"), [&](P& p) { in<svg_heads>(p, f).data = nullptr; });
          refuse(value(".data is 0x"), [&](P& p) { in<svg_heads>(p, f).data = at<char>(p, f) + 1; });
          refuse(value(".row_stride is 1"), [&](P& p) { in<svg_heads>(p, f).row_stride = 1; });
          refuse(value(".head_stride is -1"), [&](P& p) { in<svg_heads>(p, f).head_stride = -1; });
          break;
        case kArray:
        case kArrayOut:
          refuse(f.name, [&](P& p) { in<char*>(p, f) += 1; });
          [[fallthrough]];
        case kBytes:
        case kBytesOut:
          refuse(f.name, [&](P& p) { in<void*>(p, f) = nullptr; });
          break;
        case kOptional:
          refuse(f.name, [&](P& p) { in<char*>(p, f) += 1; });
          break;
      }
      if (f.kind == kTensor || f.kind == kArray) {
        if (input == nullptr) input = &f;
      } else if (f.kind == kTensorOut || f.kind == kArrayOut || f.kind == kBytesOut) {
        refuse("overlaps", [&](P& p) { at<char>(p, f) = at<char>(p, *input) + 64; });
      }
    }
  }
  template <class T, class P>
  static T& in(P& params, const Field& field) {
    return *reinterpret_cast<T*>(reinterpret_cast<char*>(&params) + field.offset);
  }
  /// The pointer of an array or a tensor, which is its first member.
  template <class T, class P>
  static T*& at(P& params, const Field& field) {
    return in<T*>(params, field);
  }

  /// A problem of svg_profile_heads with random tensors and rows.
  struct Profile {
    Profile(int32_t dtype, int heads, int dim, int frames, int tokens, int context, int samples, std::mt19937& random)
        : frames(frames), tokens(tokens), context(context), q(dtype, heads, frames * tokens + context, dim, true),
          k(dtype, heads, q.rows, dim, true), v(dtype, heads, q.rows, dim), sampled(samples), best(heads),
          mse(2 * heads) {
      for (Tensor* t : {&q, &k, &v}) t->fill_normal(random);
      for (int i = 0; i < samples; i++) sampled[i] = int32_t(random() % q.rows);
      sampled.array.upload();
    }
    int frames, tokens, context;
    float scale = 1;
    Tensor q, k, v;
    Values<int32_t> sampled, best;
    Values<float> mse;
  };

  void run_profile(Profile& problem, int sink, int band, double tolerance) {
    const int heads = problem.q.heads, dim = problem.q.width;
    const bool fine = both("svg_profile_heads", [&](Side side) {
      svg_profile_heads_params p{};
      p.dtype = problem.q.dtype;
      p.heads = heads;
      p.head_dim = dim;
      p.rows = problem.q.rows;
      p.frames = problem.frames;
      p.tokens_per_frame = problem.tokens;
      p.context_rows = problem.context;
      p.sink_keys = sink;
      p.band_blocks = band;
      p.samples = int32_t(problem.sampled.count);
      p.scale = problem.scale / std::sqrt(float(dim));
      p.q = problem.q.at(side);
      p.k = problem.k.at(side);
      p.v = problem.v.at(side);
      p.sampled_rows = problem.sampled.at(side);
      p.mse = problem.mse.at(side);
      p.best = problem.best.at(side);
      return p;
    });
    if (!fine) return;
    const auto errors = problem.mse.download();
    const auto chosen = problem.best.download();
    const std::string what =
        format("profile_heads %s D %d, sink %d, band %d: ", dtype_name(problem.q.dtype), dim, sink, band);
    for (int i = 0; i < 2 * heads; i++) {
      expect(std::abs(errors[i] - problem.mse[i]) <= tolerance * problem.mse[i],
             what + format("error %g, the host's %g", errors[i], problem.mse[i]));
    }
    for (int h = 0; h < heads; h++) {
      const bool close = std::abs(problem.mse[h] - problem.mse[heads + h]) < 2 * tolerance * problem.mse[h];
      expect(chosen[h] == problem.best[h] || close, what + format("head %d gets %d", h, chosen[h]));
      expect(chosen[h] == (errors[heads + h] < errors[h]), what + "the greater error is chosen");
    }
  }

  enum Start { kCentroids, kRows, kDrawn };

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

  /// What comes after an early stop changes nothing: the same as to ask for that many iterations.
  void stops_early(Tensor& x, int clusters, int iterations, float tolerance) {
    Clusters stopped(x, clusters), counted(x, clusters);
    stopped.params.iterations = iterations;
    stopped.params.tolerance = tolerance;
    on_device("svg_kmeans", stopped.params);
    const int done = stopped.done.download()[0];
    counted.params.iterations = done;
    on_device("svg_kmeans", counted.params);
    expect(done > 1 && done < iterations, format("kmeans stops after %d of %d iterations", done, iterations));
    expect(stopped.labels.download() == counted.labels.download() &&
               stopped.sizes.download() == counted.sizes.download() &&
               stopped.centroids.download() == counted.centroids.download(),
           format("kmeans that stopped after %d iterations is not kmeans of %d iterations", done, done));
  }

  /// The same iterations in double precision.
  void against_double(Tensor& x, int clusters, int iterations) {
    Clusters device(x, clusters);
    device.params.iterations = iterations;
    on_device("svg_kmeans", device.params);
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
    expect(std::abs(squares[1] - squares[0]) <= 1e-3 * squares[0],
           format("kmeans: sum of squares %.7g, in double precision %.7g", squares[1], squares[0]));
    expect(off <= 0.03 * x.heads * rows, format("kmeans: %zu labels differ from double precision", off));
  }

  void run_kmeans(int32_t dtype, Tensor& x, int clusters, int iterations, float tolerance, Start from,
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
    const bool fine = both("svg_kmeans", [&](Side side) {
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
        if (both_labels[1] < 0 || both_labels[1] >= clusters) return expect(false, what + ": label out of range");
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
    expect(off <= labels_off * heads * rows, what + format(": %zu of %d labels differ", off, heads * rows));
    expect(squares[1] <= squares[0] * 1.001 + 1e-6,
           what + format(": sum of squares %.6g, the host's %.6g", squares[1], squares[0]));
    expect(std::equal(size.begin(), size.end(), counted.begin()), what + ": sizes are not the counts of labels");
    expect(tolerance > 0 ? std::abs(done_here - done[0]) <= 1 + done[0] / 5 && done_here < iterations
                         : done_here == done[0],
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
    expect(std::sqrt(error / norm) < 1e-6,
           what + format(": centroids are off their means by %.2e", std::sqrt(error / norm)));
  }
};

}  // namespace

int check_all(const Libraries& libraries, const std::string& only) {
  FunctionChecker checker(libraries);
  const std::pair<const char*, void (FunctionChecker::*)()> all[] = {{"kmeans", &FunctionChecker::kmeans},
                                                                     {"sort_labels", &FunctionChecker::sort_labels},
                                                                     {"rows", &FunctionChecker::rows_in_order},
                                                                     {"patches", &FunctionChecker::patches},
                                                                     {"timesteps", &FunctionChecker::timesteps},
                                                                     {"color_bytes", &FunctionChecker::color_bytes},
                                                                     {"block_map", &FunctionChecker::block_map},
                                                                     {"softmax", &FunctionChecker::softmax},
                                                                     {"gather_rows", &FunctionChecker::gather_rows},
                                                                     {"block_density", &FunctionChecker::block_density},
                                                                     {"profile", &FunctionChecker::profile},
                                                                     {"norms", &FunctionChecker::norms},
                                                                     {"channel_norm", &FunctionChecker::channel_norm},
                                                                     {"convolution", &FunctionChecker::convolution},
                                                                     {"rope", &FunctionChecker::rope},
                                                                     {"elementwise", &FunctionChecker::elementwise},
                                                                     {"refusals", &FunctionChecker::refusals},
                                                                     {"arguments", &FunctionChecker::bad_arguments},
                                                                     {"indices", &FunctionChecker::wild_indices},
                                                                     {"views", &FunctionChecker::views},
                                                                     {"plain", &FunctionChecker::plain_elementwise}};
  for (const auto& [name, check] : all) {
    if (only.empty() || only == name) (checker.*check)();
  }
  checker.report();
  return checker.failures();
}

}  // namespace lab
