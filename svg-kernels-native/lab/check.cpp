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
    }
  }

  // The host library has no functions for what follows; expected values are computed here, in double precision.

  void norms() {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      for (int width : {32, 64, 128, 200, 256, 333, 1024, 5120, 16384}) {
        for (bool centred : {false, true}) {
          const int heads = 2, rows = 19;
          const int32_t weight_dtype = width % 64 == 0 ? SVG_F32 : dtype;
          Tensor x(dtype, heads, rows, width, true, width % 16 == 0 ? 16 : 3), out(dtype, heads, rows, width);
          Tensor weight(weight_dtype, 1, 1, width), bias(weight_dtype, 1, 1, width);
          Tensor scale(SVG_F32, heads, 1, width), shift(SVG_BF16, heads, rows, width);
          for (Tensor* t : {&x, &weight, &bias, &scale, &shift}) t->fill_normal(random_);
          const svg_heads by_head{scale.array.at(Side::kDevice), width, 0};
          const bool modulated = width != 256;
          for (int h = 0; h < heads; h++) {
            for (int r = 0; r < rows; r++) {
              double mean = 0, squares = 0;
              for (int d = 0; d < width && centred; d++) mean += of(x, h, r, d) / width;
              for (int d = 0; d < width; d++) squares += std::pow(of(x, h, r, d) - mean, 2) / width;
              for (int d = 0; d < width; d++) {
                double value = (of(x, h, r, d) - mean) / std::sqrt(squares + 1e-5) * of(weight, 0, 0, d);
                if (centred) value += of(bias, 0, 0, d);
                if (centred && modulated) value = value * (1 + of(scale, h, 0, d));
                if (centred && modulated && width != 64) value += of(shift, h, r, d);
                put(out.array.at(Side::kHost), dtype, out.index(h, r, d), float(value));
              }
            }
          }
          if (centred) {
            svg_layer_norm_params p{};
            p.modulation_dtype = SVG_F32;
            p.bias = bias.array.at(Side::kDevice);
            if (modulated) p.scale = by_head;
            Tensor shift32(SVG_F32, heads, rows, width);
            for (int h = 0; h < heads; h++) {
              for (int r = 0; r < rows; r++) {
                for (int d = 0; d < width; d++) {
                  put(shift32.array.at(Side::kHost), SVG_F32, shift32.index(h, r, d), float(of(shift, h, r, d)));
                }
              }
            }
            shift32.array.upload();
            if (modulated && width != 64) p.shift = shift32.at(Side::kDevice);
            norm("svg_layer_norm", p, x, out, weight);
          } else {
            norm("svg_rms_norm", svg_rms_norm_params{}, x, out, weight);
          }
        }
      }
    }
  }

  void rope() {
    for (int32_t dtype : {SVG_BF16, SVG_F32}) {
      for (int dim : {128, 64, 96, 32}) {
        for (int kind = 0; kind < 6; kind++) {  // pairs; without norm, per head, across heads
          const int heads = 6, rows = 37, rotated = 30, pairs = kind % 2, norm = kind / 2;
          Tensor x(dtype, heads, rows, dim, true), out(dtype, heads, rows, dim);
          Tensor weight(SVG_F32, 1, heads, dim), angle(SVG_F32, 1, rotated, dim / 2);
          for (Tensor* t : {&x, &weight, &angle}) t->fill_normal(random_);
          Values<float> cosines(size_t(rotated) * dim / 2), sines(cosines.count);
          for (size_t i = 0; i < cosines.count; i++) {
            cosines[i] = std::cos(angle.array.at<float>(Side::kHost)[i]);
            sines[i] = std::sin(angle.array.at<float>(Side::kHost)[i]);
          }
          cosines.array.upload();
          sines.array.upload();
          for (int h = 0; h < heads; h++) {
            for (int r = 0; r < rows; r++) {
              double squares = 0;
              for (int g = norm == 2 ? 0 : h; g < (norm == 2 ? heads : h + 1); g++) {
                for (int d = 0; d < dim; d++) squares += std::pow(of(x, g, r, d), 2) / (norm == 2 ? heads * dim : dim);
              }
              std::vector<double> value(dim);
              for (int d = 0; d < dim; d++) {
                value[d] = of(x, h, r, d);
                if (norm > 0) value[d] *= of(weight, 0, norm == 2 ? h : 0, d) / std::sqrt(squares + 1e-6);
              }
              for (int i = 0; i < dim / 2 && r < rotated; i++) {
                double &a = value[pairs ? i : 2 * i], &b = value[pairs ? i + dim / 2 : 2 * i + 1];
                const double c = cosines[size_t(r) * dim / 2 + i], s = sines[size_t(r) * dim / 2 + i], was = a;
                a = was * c - b * s;
                b = b * c + was * s;
              }
              for (int d = 0; d < dim; d++) put(out.array.at(Side::kHost), dtype, out.index(h, r, d), float(value[d]));
            }
          }
          const auto fill = [&](auto p) {
            p.struct_size = sizeof p;
            p.dtype = dtype;
            p.heads = heads;
            p.rows = rows;
            p.head_dim = dim;
            p.pairs = pairs;
            p.rotated_rows = rotated;
            p.x = x.at(Side::kDevice);
            p.out = out.at(Side::kDevice);
            p.cos_table = cosines.at(Side::kDevice);
            p.sin_table = sines.at(Side::kDevice);
            return p;
          };
          if (norm == 0) {
            on_device("svg_rope", fill(svg_rope_params{}));
          } else {
            svg_norm_rope_params p = fill(svg_norm_rope_params{});
            p.across_heads = norm == 2;
            p.weight_dtype = SVG_F32;
            p.epsilon = 1e-6f;
            p.weight = weight.array.at(Side::kDevice);
            on_device("svg_norm_rope", p);
          }
          near(format("rope %s D %d, pairs %d, norm %d", dtype_name(dtype), dim, pairs, norm), out, rounding(dtype));
        }
      }
    }
  }

  void elementwise() {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      for (int32_t other : {SVG_F32, SVG_BF16}) {
        for (int width : {48, 33}) {
          const int heads = 2, rows = 301;
          Tensor x(dtype, heads, rows, width), y(dtype, heads, rows, width, true), out(dtype, heads, rows, width);
          Tensor gate(other, heads, 1, width), bias(other, 1, 1, width);
          for (Tensor* t : {&x, &y, &gate, &bias}) t->fill_normal(random_);
          each(out, [&](int h, int r, int d) { return of(x, h, r, d) + of(gate, h, 0, d) * of(y, h, r, d); });
          svg_gated_residual_params p{sizeof p,
                                      dtype,
                                      heads,
                                      rows,
                                      width,
                                      other,
                                      x.at(Side::kDevice),
                                      y.at(Side::kDevice),
                                      out.at(Side::kDevice),
                                      {gate.array.at(Side::kDevice), width, 0}};
          on_device("svg_gated_residual", p);
          near(format("gated_residual %s width %d", dtype_name(dtype), width), out, rounding(dtype));
          for (int kind : {SVG_IDENTITY, SVG_GELU_TANH, SVG_SILU}) {
            Tensor made(other, heads, rows, width);
            each(made, [&](int h, int r, int d) {
              const double v = of(x, h, r, d) + of(bias, 0, 0, d);
              if (kind == SVG_SILU) return v / (1 + std::exp(-v));
              return kind == SVG_IDENTITY ? v
                                          : v / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v)));
            });
            svg_activation_params a{sizeof a,
                                    dtype,
                                    other,
                                    heads,
                                    rows,
                                    width,
                                    kind,
                                    other,
                                    x.at(Side::kDevice),
                                    made.at(Side::kDevice),
                                    bias.array.at(Side::kDevice)};
            on_device("svg_activation", a);
            near(format("activation %d %s to %s width %d", kind, dtype_name(dtype), dtype_name(other), width), made,
                 rounding(other));
          }
        }
      }
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

  /// ||device - host|| / ||host|| over a tensor.
  void near(const std::string& what, Tensor& tensor, double most) {
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
      p.scale = 1 / std::sqrt(float(dim));
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
  const std::pair<const char*, void (FunctionChecker::*)()> all[] = {
      {"kmeans", &FunctionChecker::kmeans},       {"sort_labels", &FunctionChecker::sort_labels},
      {"rows", &FunctionChecker::rows_in_order},  {"patches", &FunctionChecker::patches},
      {"timesteps", &FunctionChecker::timesteps}, {"block_map", &FunctionChecker::block_map},
      {"profile", &FunctionChecker::profile},     {"norms", &FunctionChecker::norms},
      {"rope", &FunctionChecker::rope},           {"elementwise", &FunctionChecker::elementwise},
      {"refusals", &FunctionChecker::refusals}};
  for (const auto& [name, check] : all) {
    if (only.empty() || only == name) (checker.*check)();
  }
  checker.report();
  return checker.failures();
}

}  // namespace lab
