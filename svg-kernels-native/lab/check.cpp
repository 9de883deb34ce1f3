// Every function of the CUDA library against the host library: odd sizes, random inputs, poisoned outputs, and refused
// arguments.
#include <algorithm>
#include <cstdarg>

#include "lab.h"

namespace lab {
namespace {

class Checker {
 public:
  explicit Checker(const Libraries& libraries) : lib_(libraries) {}

  int failures() const { return failures_; }
  void report() const { std::printf("checks: %d passed, %d failed\n", passed_, failures_); }

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
      run_kmeans(s.dtype, x, s.clusters, s.iterations, s.tolerance, s.from_rows, 0.03);
    }
    // Small whole numbers are exact in every type: every label must agree, ties included.
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      Tensor x(dtype, 2, 1500, 32);
      x.fill(random_, [](std::mt19937& r) { return float(r() % 3); });
      run_kmeans(dtype, x, 150, 1, 0, true, 0);
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
    for (int32_t dtype : {SVG_BF16, SVG_F16}) {
      for (int dim : {128, 64, 40}) {
        const int heads = 3, frames = 5, tokens = 331, context = 37, rows = frames * tokens + context;
        for (int samples : {70, 9}) {
          Tensor q(dtype, heads, rows, dim, true), k(dtype, heads, rows, dim, true), v(dtype, heads, rows, dim);
          for (Tensor* t : {&q, &k, &v}) t->fill_normal(random_);
          Values<int32_t> sampled(samples), best(heads);
          Values<float> mse(2 * heads);
          for (int i = 0; i < samples; i++) sampled[i] = int32_t(random_() % rows);
          sampled.array.upload();
          both("svg_profile_heads", [&](Side side) {
            svg_profile_heads_params p{};
            p.dtype = dtype;
            p.heads = heads;
            p.head_dim = dim;
            p.rows = rows;
            p.frames = frames;
            p.tokens_per_frame = tokens;
            p.context_rows = context;
            p.sink_keys = 20;
            p.band_blocks = 3;
            p.samples = samples;
            p.scale = 1 / std::sqrt(float(dim));
            p.q = q.at(side);
            p.k = k.at(side);
            p.v = v.at(side);
            p.sampled_rows = sampled.at(side);
            p.mse = mse.at(side);
            p.best = best.at(side);
            return p;
          });
          const auto errors = mse.download();
          const auto chosen = best.download();
          for (int i = 0; i < 2 * heads; i++) {
            expect(std::abs(errors[i] - mse[i]) <= 0.02 * mse[i],
                   format("profile_heads %s D %d: error %g, the host's %g", dtype_name(dtype), dim, errors[i], mse[i]));
          }
          for (int h = 0; h < heads; h++) {
            const bool close = std::abs(mse[h] - mse[heads + h]) < 0.05 * mse[h];
            expect(chosen[h] == best[h] || close, format("profile_heads: head %d gets %d", h, chosen[h]));
          }
        }
      }
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
               [](R& p) { p.x.row_stride = 33; });
    refused<R>("svg_norm_rope", turned, "permuted_rows is 65", SVG_INVALID_ARGUMENT,
               [](R& p) { p.permuted_rows = 65; });
    refused<R>("svg_norm_rope", turned, "order is null", SVG_INVALID_ARGUMENT, [](R& p) { p.permuted_rows = 64; });
    refused<R>("svg_norm_rope", turned, "out at", SVG_INVALID_ARGUMENT, [&](R& p) {
      p.permuted_rows = 64;
      p.order = labels.at(Side::kDevice);
    });
    refused<R>("svg_norm_rope", turned, "head_dim is 24", SVG_UNSUPPORTED, [](R& p) { p.head_dim = 24; });
    svg_attention_dense_params dense{};
    dense.struct_size = sizeof dense;
    refused<svg_attention_dense_params>("svg_attention_dense", dense, "no attention kernels", SVG_UNSUPPORTED,
                                        [](svg_attention_dense_params&) {});
  }

 private:
  static std::string format(const char* text, ...) __attribute__((format(printf, 1, 2))) {
    char buffer[256];
    va_list values;
    va_start(values, text);
    std::vsnprintf(buffer, sizeof buffer, text, values);
    va_end(values);
    return buffer;
  }

  void expect(bool holds, const std::string& what) {
    holds ? passed_++ : failures_++;
    if (!holds) std::printf("FAIL: %s\n", what.c_str());
  }

  /// Runs the function in both libraries; make(side) gives the params with that side's pointers.
  template <class Make>
  bool both(const char* name, Make make) {
    bool fine = true;
    for (Side side : {Side::kHost, Side::kDevice}) {
      auto params = make(side);
      params.struct_size = sizeof params;
      const Library& library = side == Side::kHost ? lib_.host : lib_.cuda;
      const int32_t status = library.call(name, params);
      if (status != SVG_OK) {
        expect(false, format("%s answers %d on the %s: ", name, status, side == Side::kHost ? "host" : "device") +
                          library.error());
        fine = false;
      }
    }
    const cudaError_t result = cudaDeviceSynchronize();
    if (result != cudaSuccess) {
      std::printf("FAIL: %s: %s\n", name, cudaGetErrorString(result));
      std::exit(1);
    }
    return fine;
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

  /// ||device - host|| / ||host|| over a tensor. Both round exact values, so that few of the rounded ones differ.
  void near(const std::string& what, Tensor& tensor, int32_t dtype) {
    const double most = dtype == SVG_F32 ? 2e-6 : dtype == SVG_F16 ? 1e-4 : 8e-4;
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

  template <class Params>
  void refused(const char* name, Params params, const char* text, int32_t expected,
               const std::function<void(Params&)>& spoil) {
    spoil(params);
    const int32_t status = lib_.cuda.call(name, params);
    const std::string message = lib_.cuda.error();
    expect(status == expected && message.find(text) != std::string::npos,
           format("%s should answer %d with '%s', but answers %d with ", name, expected, text, status) + message);
  }

  void run_kmeans(int32_t dtype, Tensor& x, int clusters, int iterations, float tolerance, bool from_rows,
                  double labels_off) {
    const int heads = x.heads, rows = x.rows, dim = x.width;
    Values<float> centroids(size_t(heads) * clusters * dim);
    Values<int32_t> labels(size_t(heads) * rows), sizes(size_t(heads) * clusters), done(1), init(sizes.count);
    for (int h = 0; h < heads; h++) {
      for (int j = 0; j < clusters; j++) {
        init[h * clusters + j] = int32_t((int64_t(j) * rows) / clusters);
        for (int d = 0; d < dim && !from_rows; d++) {
          centroids[(size_t(h) * clusters + j) * dim + d] =
              get(x.array.at(Side::kHost), dtype, x.index(h, init[h * clusters + j], d)) + 0.01f;
        }
      }
    }
    init.array.upload();
    if (!from_rows) centroids.array.upload();
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
      p.init_rows = from_rows ? init.at(side) : nullptr;
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

  const Libraries& lib_;
  std::mt19937 random_{20250301};
  int passed_ = 0, failures_ = 0;
};

}  // namespace

int check_all(const Libraries& libraries, const std::string& only) {
  Checker checker(libraries);
  const std::pair<const char*, void (Checker::*)()> all[] = {
      {"kmeans", &Checker::kmeans},       {"sort_labels", &Checker::sort_labels}, {"rows", &Checker::rows_in_order},
      {"block_map", &Checker::block_map}, {"profile", &Checker::profile},         {"norms", &Checker::norms},
      {"rope", &Checker::rope},           {"elementwise", &Checker::elementwise}, {"refusals", &Checker::refusals}};
  for (const auto& [name, check] : all) {
    if (only.empty() || only == name) (checker.*check)();
  }
  checker.report();
  return checker.failures();
}

}  // namespace lab
