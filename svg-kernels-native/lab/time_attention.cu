// Times attention at the sizes of 720p video, per allowed pair of query and key; SVG2's plan also alone.
#include <numeric>

#include "../src/cuda/attention.h"
#include "timing.cuh"

namespace lab {
namespace {

constexpr int kDim = 128;

/// How large the clusters of one SVG2 call are.
enum class Sizes {
  kDirichlet,  // a draw from Dirichlet(2), none empty
  kEqual,      // as equal as rows allow
  kGiant       // one cluster of queries and one of keys holds half of the rows
};
const char* name_of(Sizes sizes) {
  return sizes == Sizes::kDirichlet ? "Dirichlet(2)" : sizes == Sizes::kEqual ? "equal" : "one giant";
}

/// Offsets of clusters that hold `rows` rows.
std::vector<int32_t> draw_offsets(Sizes sizes, int rows, int clusters, std::mt19937& random) {
  std::vector<double> share(clusters, 1);
  std::gamma_distribution<double> gamma(2, 1);
  if (sizes != Sizes::kEqual) {
    for (double& s : share) s = gamma(random);
  }
  if (sizes == Sizes::kGiant) share[clusters / 3] = std::accumulate(share.begin(), share.end(), 0.0);
  const double all = std::accumulate(share.begin(), share.end(), 0.0);
  std::vector<int32_t> offsets(clusters + 1, 0);
  double sum = 0;
  for (int i = 0; i < clusters; i++) {
    sum += share[i];
    offsets[i + 1] = i + 1 + int32_t(std::llround(sum / all * (rows - clusters)));
  }
  return offsets;
}

/// Offsets and map of an SVG2 call, on the device.
struct Clusters {
  Clusters(Sizes sizes, int heads, int rows, int q_clusters, int k_clusters, double density)
      : q_offsets(heads * (q_clusters + 1)), k_offsets(heads * (k_clusters + 1)),
        map(int64_t(heads) * q_clusters * k_clusters) {
    std::mt19937 random(17);
    std::bernoulli_distribution keep(density);
    std::vector<int32_t> all_q, all_k;
    std::vector<uint8_t> kept(map.count);
    for (int h = 0; h < heads; h++) {
      const auto q = draw_offsets(sizes, rows, q_clusters, random), k = draw_offsets(sizes, rows, k_clusters, random);
      for (int i = 0; i < q_clusters; i++) {
        uint8_t* row = kept.data() + (int64_t(h) * q_clusters + i) * k_clusters;
        for (int j = 0; j < k_clusters; j++) row[j] = keep(random);
        row[random() % k_clusters] = 1;
        for (int j = 0; j < k_clusters; j++) pairs += row[j] * double(q[i + 1] - q[i]) * (k[j + 1] - k[j]);
      }
      all_q.insert(all_q.end(), q.begin(), q.end());
      all_k.insert(all_k.end(), k.begin(), k.end());
    }
    CUDA_OK(cudaMemcpy(q_offsets.data, all_q.data(), all_q.size() * 4, cudaMemcpyHostToDevice));
    CUDA_OK(cudaMemcpy(k_offsets.data, all_k.data(), all_k.size() * 4, cudaMemcpyHostToDevice));
    CUDA_OK(cudaMemcpy(map.data, kept.data(), kept.size(), cudaMemcpyHostToDevice));
  }
  Device<int32_t> q_offsets, k_offsets;
  Device<uint8_t> map;
  double pairs = 0;
};

class AttentionTimer : Timer {
 public:
  using Timer::Timer;

  void dense(int heads, int q_rows, int k_rows) {
    const std::string name = text("attention dense %dx%d, %d keys", heads, q_rows, k_rows);
    if (!wanted(name)) return;
    const Tensors t(heads, q_rows, k_rows);
    svg_attention_dense_params p{};
    t.set(p);
    p.q_rows = q_rows;
    p.k_rows = k_rows;
    measure(name, "svg_attention_dense", p, double(heads) * q_rows * k_rows);
  }

  void band(int heads, int video, int prompt, int padding, int sink, int half_width) {
    const int rows = video + prompt + padding, real = video + prompt;
    double pairs = double(padding) * padding + double(prompt) * real + double(video) * prompt;
    for (int64_t q = 0; q < video; q++) {
      const int64_t first = std::max(q - half_width, int64_t(0)), end = std::min<int64_t>(q + half_width + 1, video);
      pairs += double(end - first) + double(std::min<int64_t>(first, sink));
    }
    const std::string name = text("attention band %dx%d, sink %d, half width %d, density %.3f", heads, rows, sink,
                                  half_width, (pairs - double(padding) * padding) / real / real);
    if (!wanted(name)) return;
    const Tensors t(heads, rows, rows);
    svg_attention_band_params p{};
    t.set(p);
    p.rows = rows;
    p.video_rows = video;
    p.prompt_rows = prompt;
    p.sink_keys = sink;
    p.half_width = half_width;
    measure(name, "svg_attention_band", p, heads * pairs);
  }

  void blocks(int heads, int rows, int q_clusters, int k_clusters, double density, Sizes sizes) {
    const std::string name = text("attention blocks %dx%d, %dx%d %s, density %.2f", heads, rows, q_clusters, k_clusters,
                                  name_of(sizes), density);
    if (!wanted(name)) return;
    const Tensors t(heads, rows, rows);
    const Clusters clusters(sizes, heads, rows, q_clusters, k_clusters, density);
    svg_attention_blocks_params p{};
    t.set(p);
    p.q_rows = p.k_rows = rows;
    p.q_clusters = q_clusters;
    p.k_clusters = k_clusters;
    p.q_offsets = clusters.q_offsets.data;
    p.k_offsets = clusters.k_offsets.data;
    p.map = clusters.map.data;
    measure(name, "svg_attention_blocks", p, clusters.pairs);

    svg::BlocksProblem problem{{SVG_BF16, heads, kDim, rows, rows, 1, {}, {}, {}, {}},
                               q_clusters,
                               k_clusters,
                               p.q_offsets,
                               p.k_offsets,
                               p.map,
                               {}};
    svg::Workspace workspace(stream_);
    problem.add_plan(workspace);
    workspace.allocate();
    const double ms = median(20, [&] { svg::plan_blocks(problem, stream_); });
    std::printf("%-76s %9.3f ms\n", "  its plan alone", ms);
  }

 private:
  struct Tensors {
    Tensors(int heads, int q_rows, int k_rows)
        : heads(heads), q_rows(q_rows), k_rows(k_rows), q(size(q_rows), 1), k(size(k_rows), 2), v(size(k_rows), 3),
          out(size(q_rows)) {}
    int64_t size(int rows) const { return int64_t(heads) * rows * kDim; }
    template <class Params>
    void set(Params& p) const {
      p.struct_size = sizeof p;
      p.dtype = SVG_BF16;
      p.heads = heads;
      p.head_dim = kDim;
      p.scale = 1 / std::sqrt(float(kDim));
      p.q = {q.data, int64_t(q_rows) * kDim, kDim};
      p.k = {k.data, int64_t(k_rows) * kDim, kDim};
      p.v = {v.data, int64_t(k_rows) * kDim, kDim};
      p.out = {out.data, int64_t(q_rows) * kDim, kDim};
    }
    int heads, q_rows, k_rows;
    Device<__nv_bfloat16> q, k, v, out;
  };

  template <class Params>
  void measure(const std::string& name, const char* function, const Params& p, double pairs) {
    const double ms = median(
        5, [&] { run(function, p); }, 1);
    std::printf("%-76s %9.3f ms %6.0f TFLOP/s\n", name.c_str(), ms, 4 * kDim * pairs / ms * 1e-9);
  }
};

}  // namespace

void time_attention(const Libraries& libraries, const std::string& only, bool quick) {
  AttentionTimer timer(libraries, only);
  if (quick) {
    timer.dense(8, 75600, 75600);
    timer.band(8, 75600, 0, 0, 3600, 12416);
    return timer.blocks(8, 75600, 300, 1000, 0.25, Sizes::kDirichlet);
  }
  timer.dense(40, 75600, 75600);
  timer.dense(24, 119056, 119056);
  timer.dense(40, 75600, 512);
  timer.band(40, 75600, 0, 0, 3600, 12416);
  timer.band(24, 118800, 100, 156, 0, 15615);
  for (double density : {0.15, 0.25, 0.30, 0.50}) timer.blocks(40, 75600, 300, 1000, density, Sizes::kDirichlet);
  for (Sizes sizes : {Sizes::kEqual, Sizes::kGiant}) timer.blocks(40, 75600, 300, 1000, 0.25, sizes);
  for (double density : {0.15, 0.25, 0.30, 0.50}) timer.blocks(24, 118800, 400, 1000, density, Sizes::kDirichlet);
}

}  // namespace lab
