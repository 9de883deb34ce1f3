// Attention of the CUDA library against an fp64 reference and the host library. The environment chooses the matrix
// path: SVG_CUDA_MMA=sync takes mma.sync on Hopper, too.
#include <algorithm>

#include "../src/cuda/attention.h"
#include "checking.h"

namespace lab {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// What a case's tensors look like.
struct Case {
  int32_t dtype = SVG_BF16;
  int heads = 2, q_rows = 0, k_rows = 0, dim = 128;
  bool token_major = false;
  float size = 1;  // standard deviation of q and k
};

/// Whether row q of head h sees key k.
using Sees = std::function<bool(int h, int q, int k)>;

class AttentionChecker : public Checker {
 public:
  using Checker::Checker;

  void dense() {
    for (int32_t dtype : {SVG_BF16, SVG_F16}) {
      for (int dim : {128, 64, 8, 40, 80, 96, 120}) {
        dense({dtype, 2, 129, 321, dim, dim % 16 == 0});
      }
    }
    for (int dim : {64, 128}) {
      for (auto [queries, keys] : {std::pair{1, 1},
                                   {1, 1000},
                                   {63, 63},
                                   {129, 1},
                                   {1000, 1000},
                                   {1000, 77},
                                   {300, 512},
                                   {130, 769},
                                   {64, 64},
                                   {256, 128},
                                   {257, 257}}) {
        dense({SVG_BF16, 3, queries, keys, dim, queries % 2 == 1});
      }
    }
    for (float size : {100.0f, 10.0f, 0.0f}) dense({SVG_BF16, 2, 200, 500, 128, false, size});
    dense({SVG_F16, 2, 200, 500, 64, true, 100});
    for (int split : {1, 64, 128, 150, 299, 300}) dense({SVG_BF16, 2, 300, 300, 64}, split);
    dense({SVG_BF16, 4, 200, 300, 128}, 0, {300, 0, 1, 130});
    dense({SVG_F16, 4, 200, 300, 64, true}, 0, {299, 0, 128, 64});
    dense({SVG_BF16, 4, 300, 300, 128, true}, 200, {300, 0, 100, 250});
    dense({SVG_BF16, 2, 100, 200, 128}, 0, {}, 0);
    dense({SVG_BF16, 2, 300, 9001, 128, true});  // so many keys that tiles are large
    dense({SVG_F16, 2, 200, 8800, 128}, 0, {8500, 177});
  }

  void band() {
    struct Mask {
      int video, prompt, padding, sink, half_width;
    };
    const Mask masks[] = {{1000, 0, 0, 90, 128},
                          {1000, 0, 0, 90, -1},
                          {1000, 0, 0, 0, 0},
                          {1000, 0, 0, 0, -1},
                          {777, 0, 0, 777, 5},
                          {777, 0, 0, 900, 5},
                          {1000, 0, 0, 64, 2000},
                          {900, 70, 30, 0, 127},
                          {900, 70, 30, 0, -1},
                          {900, 0, 100, 50, 200},
                          {900, 60, 0, 128, 1},
                          {0, 100, 37, 5, 3},
                          {0, 0, 100, 0, 3},
                          {1, 0, 0, 0, 0},
                          {1, 1, 1, 1, 1},
                          {640, 128, 128, 0, 255},
                          {513, 255, 130, 3, 64},
                          {1100, 3, 1, 0, 383},
                          {1000, 0, 0, 300, 2000000000}};
    for (const Mask& m : masks) {
      for (int dim : {128, 64}) band(m.video, m.prompt, m.padding, m.sink, m.half_width, {SVG_BF16, 2, 0, 0, dim});
    }
    band(900, 70, 30, 0, 127, {SVG_F16, 3, 0, 0, 128, true});
    band(900, 70, 30, 90, 200, {SVG_BF16, 3, 0, 0, 96, true, 10});
    band(8800, 77, 130, 300, 500, {SVG_BF16, 1, 0, 0, 128, true});
  }

  void blocks() {
    const std::vector<int> some{1, 75, 0, 130, 64, 63, 0, 0, 300, 2, 128, 129};
    for (int dim : {128, 64, 80}) {
      for (double density : {0.0, 0.2, 0.5, 1.0}) {
        blocks(some, some, density, {SVG_BF16, 2, 0, 0, dim, density > 0.3});
      }
    }
    blocks({892}, some, 0.5, {SVG_F16, 2});
    blocks(some, {892}, 0.5, {SVG_F16, 2, 0, 0, 64});
    blocks({300, 1}, {892}, 1, {});
    blocks({5, 700, 3}, {3, 4, 700, 5}, 0.7, {SVG_BF16, 3, 0, 0, 128, true, 10});
    blocks({1}, {1}, 1, {});
    blocks({0, 0, 77}, {0, 1, 0}, 1, {});
    std::vector<int> many(700);
    for (int& size : many) size = int(random() % 4);
    blocks({100, 200}, many, 0.5, {SVG_BF16, 2});
    blocks({100, 200}, std::vector<int>(500, 2), 0.5, {SVG_BF16, 2, 0, 0, 64});
    blocks(many, {100, 200, 300}, 0.5, {SVG_BF16, 2});
    // So many keys that tiles are large. Lists of no tile, one, two and more, whose last tile is full or not; works for
    // one warpgroup and for both, some ten of them in one block.
    std::vector<int> keys, queries(600);
    for (int i = 0; i < 60; i++) keys.push_back(std::vector<int>{176, 88, 1, 175, 352, 44}[i % 6]);
    for (int& size : queries) size = int(random() % 140);
    blocks(queries, keys, 0.03, {SVG_BF16, 2});
    blocks(queries, keys, 0.1, {SVG_F16, 1, 0, 0, 128, true});
    for (double density : {0.5, 1.0}) {
      blocks({1, 63, 64, 65, 128, 129, 192, 0, 30}, keys, density, {SVG_BF16, 2, 0, 0, 128, true, 10});
    }
  }

  void plan() {
    struct Shape {
      int heads, q_clusters, k_clusters, largest;
      double density;
    };
    for (const Shape& s : {Shape{3, 300, 1000, 400, 0.25},
                           {2, 1, 1, 300, 1},
                           {2, 257, 33, 5, 0.5},
                           {1, 600, 64, 200, 0.9},
                           {5, 31, 32, 130, 0.02},
                           {2, 40, 2000, 3, 0.5},
                           {2, 3, 65535, 2, 0.3}}) {
      check_plan(s.heads, s.q_clusters, s.k_clusters, s.largest, s.density);
    }
  }

  void refusals() {
    Tensor q(SVG_BF16, 2, 64, 64), k(SVG_BF16, 2, 64, 64), v(SVG_BF16, 2, 64, 64), out(SVG_BF16, 2, 64, 64);
    Values<int32_t> offsets(2 * 9);
    Values<uint8_t> map(2 * 64);
    const auto good = [&](auto p) {
      p.struct_size = sizeof p;
      p.dtype = SVG_BF16;
      p.heads = 2;
      p.head_dim = 64;
      p.scale = 0.125f;
      p.q = q.at(Side::kDevice);
      p.k = k.at(Side::kDevice);
      p.v = v.at(Side::kDevice);
      p.out = out.at(Side::kDevice);
      return p;
    };
    using Dense = svg_attention_dense_params;
    Dense dense = good(Dense{});
    dense.q_rows = dense.k_rows = 64;
    const auto refuse_dense = [&](const char* text, int32_t status, const std::function<void(Dense&)>& spoil) {
      refused<Dense>("svg_attention_dense", dense, text, status, spoil);
    };
    refuse_dense("struct_size", SVG_INVALID_ARGUMENT, [](Dense& p) { p.struct_size++; });
    refuse_dense("dtype is 0 (f32)", SVG_UNSUPPORTED,
                 [](Dense& p) { p.dtype = SVG_F32, p.heads = 1, p.k_rows = p.q_rows = 32; });
    refuse_dense("dtype is 3", SVG_INVALID_ARGUMENT, [](Dense& p) { p.dtype = 3; });
    refuse_dense("head_dim is 60", SVG_UNSUPPORTED, [](Dense& p) { p.head_dim = 60; });
    refuse_dense("head_dim is 136", SVG_UNSUPPORTED, [](Dense& p) {
      p.head_dim = 136, p.q_rows = p.k_rows = 20;
      for (svg_heads* t : {&p.q, &p.k, &p.v, &p.out}) t->row_stride = 136;
    });
    refuse_dense("scale is nan", SVG_INVALID_ARGUMENT, [](Dense& p) { p.scale = kNaN; });
    refuse_dense("scale is -1", SVG_UNSUPPORTED, [](Dense& p) { p.scale = -1; });
    refuse_dense("k_rows is 0", SVG_INVALID_ARGUMENT, [](Dense& p) { p.k_rows = 0; });
    refuse_dense("split is 65", SVG_INVALID_ARGUMENT, [](Dense& p) { p.split = 65; });
    refuse_dense("split is 3", SVG_INVALID_ARGUMENT, [](Dense& p) { p.split = 3, p.k_rows = 32; });
    refuse_dense("v.data is null", SVG_INVALID_ARGUMENT, [](Dense& p) { p.v.data = nullptr; });
    refuse_dense("multiple of 16 bytes", SVG_INVALID_ARGUMENT, [](Dense& p) { p.k.row_stride = 65, p.k_rows = 60; });
    refuse_dense("row_stride is 1073741824", SVG_UNSUPPORTED,
                 [](Dense& p) { p.heads = p.q_rows = p.k_rows = 1, p.q.row_stride = 1 << 30; });
    refuse_dense("out at", SVG_INVALID_ARGUMENT, [](Dense& p) { p.out = p.k; });
    refuse_dense("k_lengths is", SVG_INVALID_ARGUMENT,
                 [](Dense& p) { p.k_lengths = reinterpret_cast<const int32_t*>(6); });
    refuse_dense("lse at", SVG_INVALID_ARGUMENT, [](Dense& p) { p.lse = static_cast<float*>(p.q.data); });
    using Band = svg_attention_band_params;
    Band band = good(Band{});
    band.rows = 64;
    band.video_rows = 50;
    const auto refuse_band = [&](const char* text, const std::function<void(Band&)>& spoil) {
      refused<Band>("svg_attention_band", band, text, SVG_INVALID_ARGUMENT, spoil);
    };
    refuse_band("video_rows is 65", [](Band& p) { p.video_rows = 65; });
    refuse_band("prompt_rows is 15", [](Band& p) { p.prompt_rows = 15; });
    refuse_band("sink_keys is -1", [](Band& p) { p.sink_keys = -1; });
    using Blocks = svg_attention_blocks_params;
    Blocks blocks = good(Blocks{});
    blocks.q_rows = blocks.k_rows = 64;
    blocks.q_clusters = blocks.k_clusters = 8;
    blocks.q_offsets = blocks.k_offsets = offsets.at(Side::kDevice);
    blocks.map = map.at(Side::kDevice);
    const auto refuse_blocks = [&](const char* text, const std::function<void(Blocks&)>& spoil) {
      refused<Blocks>("svg_attention_blocks", blocks, text, SVG_INVALID_ARGUMENT, spoil);
    };
    refuse_blocks("k_clusters is 0", [](Blocks& p) { p.k_clusters = 0; });
    refuse_blocks("map is null", [](Blocks& p) { p.map = nullptr; });
    refuse_blocks("q_offsets is null", [](Blocks& p) { p.q_offsets = nullptr; });
  }

 private:
  struct Tensors {
    Tensors(const Case& c, std::mt19937& random)
        : c(c), q(c.dtype, c.heads, c.q_rows, c.dim, c.token_major, kGap),
          k(c.dtype, c.heads, c.k_rows, c.dim, c.token_major),
          v(c.dtype, c.heads, c.k_rows, c.dim, !c.token_major, kGap),
          out(c.dtype, c.heads, c.q_rows, c.dim, c.token_major, kGap) {
      std::normal_distribution<float> normal;
      for (Tensor* t : {&q, &k}) t->fill(random, [&](std::mt19937& r) { return c.size * normal(r); });
      v.fill(random, [&](std::mt19937& r) { return normal(r) + 0.5f; });
    }
    /// Makes NaN of a row.
    static void spoil(Tensor& t, int h, int row) {
      for (int d = 0; d < t.width; d++) put(t.array.at(Side::kHost), t.dtype, t.index(h, row, d), kNaN);
    }
    template <class Params>
    Params params(Side side, float scale) {
      Params p{};
      p.dtype = c.dtype;
      p.heads = c.heads;
      p.head_dim = c.dim;
      p.scale = scale;
      p.q = q.at(side);
      p.k = k.at(side);
      p.v = v.at(side);
      p.out = out.at(side);
      return p;
    }
    static constexpr int kGap = 8;  // what lies between rows is NaN, and must not be touched
    Case c;
    Tensor q, k, v, out;
  };

  static std::string named(const char* mode, const Case& c) {
    return format("%s %s %dx%d, %d keys, D %d%s%s: ", mode, dtype_name(c.dtype), c.heads, c.q_rows, c.k_rows, c.dim,
                  c.token_major ? ", token-major" : "", c.size != 1 ? format(", size %g", c.size).c_str() : "");
  }

  void dense(Case c, int split = 0, const std::vector<int>& lengths = {}, float scale = -1) {
    if (scale < 0) scale = 1 / std::sqrt(float(c.dim));
    Tensors t(c, random);
    Values<int32_t> k_lengths(c.heads);
    Values<float> lse(size_t(c.heads) * c.q_rows);
    for (size_t h = 0; h < lengths.size(); h++) {
      k_lengths[h] = lengths[h];
      for (int row = lengths[h]; row < c.k_rows; row++) {
        Tensors::spoil(t.k, int(h), row);
        Tensors::spoil(t.v, int(h), row);
      }
    }
    for (Array* array : {&t.k.array, &t.v.array, &k_lengths.array}) array->upload();
    const std::string what =
        named("dense", c) + format("split %d, lengths %d: ", split, lengths.empty() ? -1 : lengths[0]);
    const bool fine = both("svg_attention_dense", [&](Side side) {
      auto p = t.params<svg_attention_dense_params>(side, scale);
      p.q_rows = c.q_rows;
      p.k_rows = c.k_rows;
      p.split = split;
      p.k_lengths = lengths.empty() ? nullptr : k_lengths.at(side);
      p.lse = lse.at(side);
      return p;
    });
    if (!fine) return;
    compare(
        what, t, scale,
        [&](int h, int q, int k) { return (q < split) == (k < split) && (lengths.empty() || k < lengths[h]); }, &lse);
  }

  void band(int video, int prompt, int padding, int sink, int half_width, Case c) {
    const int real = video + prompt;
    c.q_rows = c.k_rows = real + padding;
    const float scale = 1 / std::sqrt(float(c.dim));
    Tensors t(c, random);
    for (int h = 0; h < c.heads; h++) {
      for (int row = real; row < c.k_rows && h > 0; row++) {
        for (Tensor* x : {&t.q, &t.k, &t.v}) Tensors::spoil(*x, h, row);
      }
    }
    for (Tensor* x : {&t.q, &t.k, &t.v}) x->array.upload();
    const std::string what = named("band", c) + format("%d + %d + %d rows, sink %d, half width %d: ", video, prompt,
                                                       padding, sink, half_width);
    const bool fine = both("svg_attention_band", [&](Side side) {
      auto p = t.params<svg_attention_band_params>(side, scale);
      p.rows = c.q_rows;
      p.video_rows = video;
      p.prompt_rows = prompt;
      p.sink_keys = sink;
      p.half_width = half_width;
      return p;
    });
    if (!fine) return;
    const auto is_prompt = [&](int row) { return row >= video && row < real; };
    compare(
        what, t, scale,
        [&](int, int q, int k) {
          if (q >= real || k >= real) return q >= real && k >= real;
          return k < sink || std::abs(q - k) <= half_width || is_prompt(q) || is_prompt(k);
        },
        nullptr, [&](int h, int q) { return h > 0 && q >= real; });
  }

  void blocks(const std::vector<int>& q_sizes, const std::vector<int>& k_sizes, double density, Case c) {
    const int q_clusters = int(q_sizes.size()), k_clusters = int(k_sizes.size());
    std::vector<int> q_cluster, k_cluster;
    Values<int32_t> q_offsets(c.heads * (q_clusters + 1)), k_offsets(c.heads * (k_clusters + 1));
    for (int i = 0; i < q_clusters; i++) q_cluster.insert(q_cluster.end(), q_sizes[i], i);
    for (int j = 0; j < k_clusters; j++) k_cluster.insert(k_cluster.end(), k_sizes[j], j);
    c.q_rows = int(q_cluster.size());
    c.k_rows = int(k_cluster.size());
    Values<uint8_t> map(size_t(c.heads) * q_clusters * k_clusters);
    std::bernoulli_distribution keep(density);
    for (size_t i = 0; i < map.count; i++) map[i] = keep(random) ? uint8_t(1 + random() % 255) : 0;
    for (int h = 0; h < c.heads; h++) {
      for (int i = 0, sum = 0; i <= q_clusters; sum += i < q_clusters ? q_sizes[i] : 0, i++)
        q_offsets[h * (q_clusters + 1) + i] = sum;
      for (int j = 0, sum = 0; j <= k_clusters; sum += j < k_clusters ? k_sizes[j] : 0, j++)
        k_offsets[h * (k_clusters + 1) + j] = sum;
    }
    const Sees sees = [&](int h, int q, int k) {
      return map[(size_t(h) * q_clusters + q_cluster[q]) * k_clusters + k_cluster[k]] != 0;
    };
    Tensors t(c, random);
    for (int h = 0; h < c.heads; h++) {
      for (int k = 0; k < c.k_rows; k++) {
        bool seen = false;
        for (int q = 0; q < c.q_rows && !seen; q++) seen = sees(h, q, k);
        if (seen) continue;
        Tensors::spoil(t.k, h, k);
        Tensors::spoil(t.v, h, k);
      }
    }
    for (Array* array : {&t.k.array, &t.v.array, &q_offsets.array, &k_offsets.array, &map.array}) array->upload();
    const float scale = 1 / std::sqrt(float(c.dim));
    const bool fine = both("svg_attention_blocks", [&](Side side) {
      auto p = t.params<svg_attention_blocks_params>(side, scale);
      p.q_rows = c.q_rows;
      p.k_rows = c.k_rows;
      p.q_clusters = q_clusters;
      p.k_clusters = k_clusters;
      p.q_offsets = q_offsets.at(side);
      p.k_offsets = k_offsets.at(side);
      p.map = map.at(side);
      return p;
    });
    if (!fine) return;
    compare(named("blocks", c) + format("%dx%d clusters, density %.1f: ", q_clusters, k_clusters, density), t, scale,
            sees);
  }

  /// What one row of attention gives in double precision (Real = double), or with fp32 sums and weights rounded to the
  /// tensors' type (float); returns the log-sum-exp.
  template <class Real>
  static double attend(const std::vector<float>& q, const std::vector<float>& k, const std::vector<float>& v, int dim,
                       int keys, float scale, int32_t dtype, const std::function<bool(int)>& sees,
                       std::vector<Real>& scores, Real* out) {
    Real most = -INFINITY, sum = 0;
    for (int j = 0; j < keys; j++) {
      if (!sees(j)) continue;
      Real score = 0;
      for (int d = 0; d < dim; d++) score += Real(q[d]) * Real(k[size_t(j) * dim + d]);
      scores[j] = score * scale;
      most = std::max(most, scores[j]);
    }
    std::fill_n(out, dim, Real(0));
    for (int j = 0; j < keys; j++) {
      if (!sees(j)) continue;
      Real weight = std::exp(scores[j] - most);
      sum += weight;
      if (sizeof(Real) == 4) {
        uint32_t rounded;
        put(&rounded, dtype, 0, float(weight));
        weight = get(&rounded, dtype, 0);
      }
      for (int d = 0; d < dim; d++) out[d] += weight * v[size_t(j) * dim + d];
    }
    for (int d = 0; d < dim && sum > 0; d++) out[d] /= sum;
    return double(most) + std::log(double(sum));
  }

  /// The device's and the host's outputs against fp64. The rule: at most twice the error of the same computation with
  /// fp32 sums, whose weights and outputs are rounded once. Rows that are `free` may hold anything.
  void compare(
      const std::string& what, Tensors& t, float scale, const Sees& sees, Values<float>* lse = nullptr,
      const std::function<bool(int, int)>& free = [](int, int) { return false; }) {
    const Case& c = t.c;
    const std::vector<uint8_t> device = t.out.array.download();
    const std::vector<float> device_lse = lse == nullptr ? std::vector<float>() : lse->download();
    enum { kExact, kBaseline, kHost, kDevice };
    const size_t rows = size_t(c.heads) * c.q_rows;
    std::vector<double> norm(rows), error[4];
    for (auto& e : error) e.assign(rows, 0);
    std::vector<char> no_keys(rows, 0);
    double lse_error = 0;
    size_t lse_infinite = 0;
    for (int h = 0; h < c.heads; h++) {
      std::vector<float> k(size_t(c.k_rows) * c.dim), v(k.size());
      for (int j = 0; j < c.k_rows; j++) {
        for (int d = 0; d < c.dim; d++) {
          k[size_t(j) * c.dim + d] = float(of(t.k, h, j, d));
          v[size_t(j) * c.dim + d] = float(of(t.v, h, j, d));
        }
      }
#pragma omp parallel for schedule(dynamic) reduction(max : lse_error) reduction(+ : lse_infinite)
      for (int i = 0; i < c.q_rows; i++) {
        if (free(h, i)) continue;
        const size_t row = size_t(h) * c.q_rows + i;
        std::vector<float> q(c.dim), baseline(c.dim), scores(c.k_rows);
        std::vector<double> exact(c.dim), exact_scores(c.k_rows);
        for (int d = 0; d < c.dim; d++) q[d] = float(of(t.q, h, i, d));
        const auto seen = [&](int key) { return sees(h, i, key); };
        const double exact_lse =
            attend<double>(q, k, v, c.dim, c.k_rows, scale, c.dtype, seen, exact_scores, exact.data());
        attend<float>(q, k, v, c.dim, c.k_rows, scale, c.dtype, seen, scores, baseline.data());
        no_keys[row] = std::isinf(exact_lse);
        for (int d = 0; d < c.dim; d++) {
          const size_t at = t.out.index(h, i, d);
          uint32_t rounded;
          put(&rounded, c.dtype, 0, baseline[d]);
          norm[row] += exact[d] * exact[d];
          error[kBaseline][row] += std::pow(get(&rounded, c.dtype, 0) - exact[d], 2);
          error[kHost][row] += std::pow(get(t.out.array.at(Side::kHost), c.dtype, at) - exact[d], 2);
          error[kDevice][row] += std::pow(get(device.data(), c.dtype, at) - exact[d], 2);
        }
        if (lse == nullptr) continue;
        const double found = device_lse[row];
        if (no_keys[row]) {
          lse_infinite += found != -INFINITY;
        } else {
          lse_error =
              std::max(lse_error,
                       std::isnan(found) ? INFINITY : std::abs(found - exact_lse) / std::max(1.0, std::abs(exact_lse)));
        }
      }
    }
    double sum[4] = {}, all = 0;
    size_t not_zero = 0;
    for (size_t row = 0; row < rows; row++) {
      all += norm[row];
      for (int i = 0; i < 4; i++) sum[i] += error[i][row];
      not_zero += no_keys[row] && !(error[kDevice][row] == 0);
    }
    // Where one key has all of the weight, the baseline is exact; a rounding is allowed even then.
    const double baseline = std::max(std::sqrt(sum[kBaseline] / all), c.dtype == SVG_F16 ? 0x1p-12 : 0x1p-9);
    if (all > 0) {
      for (int side : {kHost, kDevice}) {
        const double found = std::sqrt(sum[side] / all);
        expect(found <= 2 * baseline, what + format("%s's error %.2e, expected at most 2 x %.2e",
                                                    side == kHost ? "host" : "device", found, baseline));
      }
      // One wrong row hardly shows in the whole tensor's error.
      size_t worst = 0;
      const auto ratio = [&](size_t row) {
        const double r = error[kDevice][row] / (norm[row] + 1e-3 * all / double(rows));
        return std::isnan(r) ? INFINITY : r;
      };
      for (size_t row = 0; row < rows; row++) worst = ratio(row) > ratio(worst) ? row : worst;
      if (c.size <= 1) {
        expect(std::sqrt(ratio(worst)) <= 8 * baseline + 1e-6,
               what + format("row %zu's error %.2e", worst, std::sqrt(ratio(worst))));
      }
    }
    expect(not_zero == 0, what + format("%zu rows without keys are not zeros", not_zero));
    if (lse != nullptr) {
      expect(lse_error <= 2e-5 && lse_infinite == 0,
             what + format("log-sum-exp's error %.2e; %zu rows without keys", lse_error, lse_infinite));
    }
    size_t touched = 0;
    for (int h = 0; h < c.heads; h++) {
      for (int i = 0; i < c.q_rows; i++) {
        const uint8_t* gap = device.data() + t.out.index(h, i, c.dim) * 2;
        for (int b = 0; b < 2 * Tensors::kGap; b++) touched += gap[b] != 0xff;
      }
    }
    expect(touched == 0, what + format("%zu bytes between rows were written", touched));
  }

  void check_plan(int heads, int q_clusters, int k_clusters, int largest, double density) {
    Values<int32_t> q_offsets(heads * (q_clusters + 1)), k_offsets(heads * (k_clusters + 1));
    Values<uint8_t> map(size_t(heads) * q_clusters * k_clusters);
    std::bernoulli_distribution keep(density);
    const auto draw = [&](Values<int32_t>& offsets, int clusters) {
      std::vector<int> sizes(clusters);
      int sum = 0;
      for (int& size : sizes) sum += size = random() % 3 == 0 ? 0 : int(random() % (largest + 1));
      sizes[0]++;
      sum++;
      for (int h = 0; h < heads; h++) {
        std::shuffle(sizes.begin(), sizes.end(), random);
        for (int i = 0, at = 0; i <= clusters; at += i < clusters ? sizes[i] : 0, i++)
          offsets[h * (clusters + 1) + i] = at;
      }
      return sum;
    };
    const int q_rows = draw(q_offsets, q_clusters), k_rows = draw(k_offsets, k_clusters);
    for (size_t i = 0; i < map.count; i++) map[i] = keep(random);
    for (Array* array : {&q_offsets.array, &k_offsets.array, &map.array}) array->upload();

    svg::BlocksProblem problem{{SVG_BF16, heads, 64, q_rows, k_rows, 1, {}, {}, {}, {}},
                               q_clusters,
                               k_clusters,
                               q_offsets.at(Side::kDevice),
                               k_offsets.at(Side::kDevice),
                               map.at(Side::kDevice),
                               {}};
    svg::Workspace workspace(nullptr);
    problem.add_plan(workspace);
    workspace.allocate();
    svg::plan_blocks(problem, nullptr);
    const svg::BlockPlan& plan = problem.plan;
    const int64_t lists = int64_t(heads) * q_clusters;
    const auto found_spans = fetch(plan.spans, lists * plan.span_capacity), found_lists = fetch(plan.lists, lists);
    const auto items = fetch(plan.items, plan.item_capacity);
    const int item_count = fetch(plan.item_count, 1)[0], next_item = fetch(plan.next_item, 1)[0];

    size_t wrong_lists = 0;
    std::vector<svg::BlockItem> expected;
    for (int h = 0; h < heads; h++) {
      std::vector<std::pair<int, int>> order;  // by key rows, negated
      for (int i = 0; i < q_clusters; i++) {
        const int64_t list = int64_t(h) * q_clusters + i;
        std::vector<std::pair<int, int>> spans;
        int total = 0;
        for (int j = 0; j < k_clusters; j++) {
          const int first = k_offsets[h * (k_clusters + 1) + j], rows = k_offsets[h * (k_clusters + 1) + j + 1] - first;
          if (rows == 0 || map[list * k_clusters + j] == 0) continue;
          total += rows;
          if (!spans.empty() && spans.back().first + spans.back().second == first) {
            spans.back().second += rows;
          } else {
            spans.push_back({first, rows});
          }
        }
        bool right = found_lists[list].x == int(spans.size()) && found_lists[list].y == total;
        for (size_t s = 0; s < spans.size() && right; s++) {
          const int2 found = found_spans[list * plan.span_capacity + s];
          right = found.x == spans[s].first && found.y == spans[s].second;
        }
        wrong_lists += !right;
        order.push_back({-total, i});
      }
      std::sort(order.begin(), order.end());
      for (const auto& [rows, i] : order) {
        const int end = q_offsets[h * (q_clusters + 1) + i + 1];
        for (int first = q_offsets[h * (q_clusters + 1) + i]; first < end; first += svg::kQueryTile) {
          expected.push_back({h, i, first, std::min(svg::kQueryTile, end - first)});
        }
      }
    }
    const std::string what = format("plan %dx%dx%d: ", heads, q_clusters, k_clusters);
    expect(wrong_lists == 0, what + format("%zu lists are wrong", wrong_lists));
    expect(item_count == int(expected.size()) && next_item == 0 &&
               std::memcmp(items.data(), expected.data(), expected.size() * sizeof(svg::BlockItem)) == 0,
           what + format("%d items, expected %zu; next %d", item_count, expected.size(), next_item));
  }

  template <class T>
  static std::vector<T> fetch(const T* device, int64_t count) {
    std::vector<T> result(count);
    CUDA_OK(cudaMemcpy(result.data(), device, count * sizeof(T), cudaMemcpyDeviceToHost));
    return result;
  }
};

}  // namespace

int check_attention(const Libraries& libraries, const std::string& only) {
  AttentionChecker checker(libraries);
  const std::pair<const char*, void (AttentionChecker::*)()> all[] = {
      {"attention plan", &AttentionChecker::plan},
      {"attention dense", &AttentionChecker::dense},
      {"attention band", &AttentionChecker::band},
      {"attention blocks", &AttentionChecker::blocks},
      {"attention refusals", &AttentionChecker::refusals}};
  for (const auto& [name, check] : all) {
    if (only.empty() || only == "attention" || only == name) (checker.*check)();
  }
  checker.report();
  return checker.failures();
}

}  // namespace lab
