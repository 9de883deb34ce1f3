// Times at the sizes that matter, by CUDA events, beside a device-to-device copy of the same run.
#include <numeric>

#include "timing.cuh"

namespace lab {
namespace {

class FunctionTimer : Timer {
 public:
  FunctionTimer(const Libraries& libraries, const std::string& only) : Timer(libraries, only) {
    Device<uint8_t> from(1ll << 30, 0), to(1ll << 30, 0);
    CUDA_OK(cudaMemset(from.data, 0x5a, from.count));
    const double ms = median(
        20, [&] { CUDA_OK(cudaMemcpyAsync(to.data, from.data, from.count, cudaMemcpyDeviceToDevice, stream_)); });
    copy_rate_ = 2 * double(from.count) / ms * 1e-6;
    std::printf("%-58s %9.3f ms %8.0f GB/s\n", "copy, 1 GiB read and written", ms, copy_rate_);
  }

  void kmeans() {
    struct Shape {
      int heads, rows, clusters;
    };
    for (const Shape& s : {Shape{40, 75600, 300},
                           {40, 75600, 1000},
                           {24, 118800, 400},
                           {24, 118800, 1000},
                           {12, 32760, 100},
                           {12, 32760, 500}}) {
      const std::string name = text("kmeans %dx%dx128 K %d, 2 iterations", s.heads, s.rows, s.clusters);
      if (!wanted(name)) continue;
      Device<__nv_bfloat16> x(int64_t(s.heads) * s.rows * 128, 7);
      Device<float> centroids(int64_t(s.heads) * s.clusters * 128);
      Device<int32_t> labels(int64_t(s.heads) * s.rows), sizes(s.heads * s.clusters), init(s.heads * s.clusters);
      std::vector<int32_t> rows(init.count);
      for (size_t i = 0; i < rows.size(); i++) rows[i] = int32_t(int64_t(i % s.clusters) * s.rows / s.clusters);
      CUDA_OK(cudaMemcpy(init.data, rows.data(), rows.size() * 4, cudaMemcpyHostToDevice));
      svg_kmeans_params p{};
      p.struct_size = sizeof p;
      p.dtype = SVG_BF16;
      p.heads = s.heads;
      p.rows = s.rows;
      p.head_dim = 128;
      p.clusters = s.clusters;
      p.iterations = 4;
      p.x = {x.data, int64_t(s.rows) * 128, 128};
      p.init_rows = init.data;
      p.centroids = centroids.data;
      p.labels = labels.data;
      p.sizes = sizes.data;
      run("svg_kmeans", p);
      std::vector<int32_t> size(sizes.count);
      CUDA_OK(cudaStreamSynchronize(stream_));
      CUDA_OK(cudaMemcpy(size.data(), sizes.data, size.size() * 4, cudaMemcpyDeviceToHost));
      const int largest = *std::max_element(size.begin(), size.end());
      p.init_rows = nullptr;
      p.iterations = 2;
      const double ms = median(15, [&] { run("svg_kmeans", p); });
      const double flops = 2.0 * 2 * s.heads * double(s.rows) * s.clusters * 128;
      std::printf("%-58s %9.3f ms %8.0f TFLOP/s; largest cluster %.2f %%\n", name.c_str(), ms, flops / ms * 1e-9,
                  100.0 * largest / s.rows);
    }
  }

  void sort_labels() {
    const int heads = 40, rows = 75600, clusters = 1000;
    const std::string name = text("sort_labels %dx%d, %d clusters", heads, rows, clusters);
    if (!wanted(name)) return;
    std::vector<int32_t> host(size_t(heads) * rows);
    std::mt19937 random(3);
    for (int32_t& label : host) label = int32_t(random() % clusters);
    Device<int32_t> labels(host.size()), order(host.size()), offsets(heads * (clusters + 1));
    CUDA_OK(cudaMemcpy(labels.data, host.data(), host.size() * 4, cudaMemcpyHostToDevice));
    svg_sort_labels_params p{};
    p.struct_size = sizeof p;
    p.heads = heads;
    p.rows = rows;
    p.clusters = clusters;
    p.labels = labels.data;
    p.order = order.data;
    p.offsets = offsets.data;
    print(name, median(20, [&] { run("svg_sort_labels", p); }), 12.0 * host.size());
  }

  void rows_in_order() {
    const int heads = 40, rows = 75600;
    const int64_t size = int64_t(heads) * rows * 128;
    if (!wanted("permute_rows") && !wanted("video_layout")) return;
    Device<__nv_bfloat16> src(size, 5), dst(size);
    const Device<int32_t> order = orders(heads, rows), transform(heads);
    CUDA_OK(cudaMemset(transform.data, 1, heads * 4));
    for (int inverse : {0, 1}) {
      svg_permute_rows_params p{};
      p.struct_size = sizeof p;
      p.dtype = SVG_BF16;
      p.heads = heads;
      p.head_dim = 128;
      p.rows = p.permuted_rows = rows;
      p.inverse = inverse;
      p.src = {src.data, int64_t(rows) * 128, 128};
      p.dst = {dst.data, int64_t(rows) * 128, 128};
      p.order = order.data;
      print(text("permute_rows 40x75600x128, inverse %d", inverse), median(15, [&] { run("svg_permute_rows", p); }),
            4.0 * size + 4.0 * order.count);
      svg_video_layout_params v{};
      v.struct_size = sizeof v;
      v.dtype = SVG_BF16;
      v.heads = heads;
      v.head_dim = 128;
      v.rows = rows;
      v.frames = 21;
      v.tokens_per_frame = 3600;
      v.inverse = inverse;
      v.src = p.src;
      v.dst = p.dst;
      v.transform = transform.data;
      print(text("video_layout 40x75600x128, inverse %d", inverse), median(15, [&] { run("svg_video_layout", v); }),
            4.0 * size);
    }
  }

  void patches() {
    if (!wanted("patchify")) return;
    // Latents of 720 x 1280, as many frames as pass L2.
    const int channels = 16, frames = 400, height = 90, width = 160;
    const int64_t size = int64_t(channels) * frames * height * width;
    Device<__nv_bfloat16> video(size, 5), tokens(size, 6);
    svg_patchify_params p{};
    p.struct_size = sizeof p;
    p.dtype = SVG_BF16;
    p.channels = channels;
    p.frames = frames;
    p.height = height;
    p.width = width;
    p.patch_frames = 1;
    p.patch_height = p.patch_width = 2;
    p.video = video.data;
    p.tokens = {tokens.data, 0, channels * 4};
    for (int order : {SVG_PATCH_CTHW, SVG_PATCH_THWC}) {
      for (int inverse : {0, 1}) {
        p.order = order;
        p.inverse = inverse;
        print(text("patchify 16x400x90x160, order %d, inverse %d", order, inverse),
              median(15, [&] { run("svg_patchify", p); }), 4.0 * size);
      }
    }
  }

  void block_map() {
    if (!wanted("block_map")) return;
    const int heads = 40, queries = 300, keys = 1000;
    Device<float> q(heads * queries * 128, 3), k(heads * keys * 128, 4);
    std::vector<int32_t> host(heads * keys, 75);
    Device<int32_t> sizes(host.size());
    CUDA_OK(cudaMemcpy(sizes.data, host.data(), host.size() * 4, cudaMemcpyHostToDevice));
    Device<uint8_t> map(int64_t(heads) * queries * keys);
    svg_block_map_params p{};
    p.struct_size = sizeof p;
    p.heads = heads;
    p.head_dim = 128;
    p.q_clusters = queries;
    p.k_clusters = keys;
    p.min_keep = 10;
    p.top_p = 0.9f;
    p.scale = 1 / std::sqrt(128.0f);
    p.q_centroids = q.data;
    p.k_centroids = k.data;
    p.k_sizes = sizes.data;
    p.map = map.data;
    const double ms = median(20, [&] { run("svg_block_map", p); });
    std::printf("%-58s %9.3f ms\n", "block_map 40x300x1000, D 128", ms);
  }

  void profile() {
    if (!wanted("profile_heads")) return;
    const int heads = 40, rows = 75600, samples = 64;
    const int64_t size = int64_t(heads) * rows * 128;
    Device<__nv_bfloat16> q(size, 5), k(size, 6), v(size, 7);
    std::vector<int32_t> host(samples);
    std::mt19937 random(3);
    for (int32_t& row : host) row = int32_t(random() % 10000);  // as SVG1 samples
    Device<int32_t> sampled(samples), best(heads);
    CUDA_OK(cudaMemcpy(sampled.data, host.data(), samples * 4, cudaMemcpyHostToDevice));
    Device<float> mse(2 * heads);
    svg_profile_heads_params p{};
    p.struct_size = sizeof p;
    p.dtype = SVG_BF16;
    p.heads = heads;
    p.head_dim = 128;
    p.rows = rows;
    p.frames = 21;
    p.tokens_per_frame = 3600;
    p.band_blocks = 60;
    p.sink_keys = 3600;
    p.samples = samples;
    p.scale = 1 / std::sqrt(128.0f);
    p.q = {q.data, int64_t(rows) * 128, 128};
    p.k = {k.data, int64_t(rows) * 128, 128};
    p.v = {v.data, int64_t(rows) * 128, 128};
    p.sampled_rows = sampled.data;
    p.mse = mse.data;
    p.best = best.data;
    print("profile_heads 40x75600x128, 64 samples", median(10, [&] { run("svg_profile_heads", p); }), 4.0 * size);
  }

  void norms() {
    struct Shape {
      int rows, width;
    };
    for (const Shape& s : {Shape{2097152, 32}, {1048576, 64}, {524288, 128}, {262144, 256}, {75600, 5120}}) {
      const int64_t size = int64_t(s.rows) * s.width;
      const std::string shape = text("%dx%d", s.rows, s.width);
      if (!wanted("rms_norm " + shape) && !wanted("layer_norm " + shape)) continue;
      Device<__nv_bfloat16> x(size, 5), out(size), weight(s.width, 6);
      Device<float> modulation(2 * s.width, 7);
      svg_rms_norm_params p{};
      p.struct_size = sizeof p;
      p.dtype = p.weight_dtype = SVG_BF16;
      p.heads = 1;
      p.rows = s.rows;
      p.width = s.width;
      p.epsilon = 1e-6f;
      p.weight = weight.data;
      p.x = {x.data, size, s.width};
      p.out = {out.data, size, s.width};
      print("rms_norm " + shape, median(20, [&] { run("svg_rms_norm", p); }), 4.0 * size);
      svg_layer_norm_params l{};
      l.struct_size = sizeof l;
      l.dtype = SVG_BF16;
      l.modulation_dtype = SVG_F32;
      l.heads = 1;
      l.rows = s.rows;
      l.width = s.width;
      l.epsilon = 1e-6f;
      l.x = p.x;
      l.out = p.out;
      print("layer_norm " + shape, median(20, [&] { run("svg_layer_norm", l); }), 4.0 * size);
      l.scale = {modulation.data, 0, 0};
      l.shift = {modulation.data + s.width, 0, 0};
      print("layer_norm and modulation " + shape, median(20, [&] { run("svg_layer_norm", l); }), 4.0 * size);
    }
  }

  void channel_norm() {
    struct Shape {
      int rows, width;
    };
    for (const Shape& s : {Shape{3686400, 96}, {921600, 192}, {460800, 384}}) {  // four frames of 720 x 1280, …
      const std::string name = text("channel_norm %dx%d, SiLU", s.rows, s.width);
      if (!wanted(name)) continue;
      const int64_t size = int64_t(s.rows) * s.width;
      Device<__nv_bfloat16> x(size, 5), out(size), weight(s.width, 6);
      svg_channel_norm_params p{};
      p.struct_size = sizeof p;
      p.dtype = p.weight_dtype = SVG_BF16;
      p.heads = 1;
      p.rows = s.rows;
      p.width = s.width;
      p.silu = 1;
      p.weight = weight.data;
      p.x = {x.data, size, s.width};
      p.out = {out.data, size, s.width};
      print(name, median(20, [&] { run("svg_channel_norm", p); }), 4.0 * size);
    }
  }

  /// The convolutions of the Wan VAE's decoder at 720 x 1280, for all chunks but the first.
  void convolution() {
    struct Shape {
      int frames, earlier, height, width, channels, outputs, kernel_frames, kernel, repeat = 1;
    };
    for (const Shape& s : {Shape{4, 2, 720, 1280, 96, 96, 3, 3},
                           {4, 2, 360, 640, 192, 192, 3, 3},
                           {2, 2, 180, 320, 384, 384, 3, 3},
                           {2, 2, 180, 320, 192, 384, 3, 3},
                           {1, 2, 90, 160, 384, 384, 3, 3},
                           {1, 2, 90, 160, 16, 384, 3, 3},
                           {4, 2, 720, 1280, 96, 3, 3, 3},
                           {4, 0, 720, 1280, 192, 96, 1, 3},
                           {4, 0, 360, 640, 384, 192, 1, 3},
                           {2, 0, 180, 320, 384, 192, 1, 3},
                           {4, 0, 360, 640, 192, 96, 1, 3, 2},
                           {4, 0, 180, 320, 384, 192, 1, 3, 2},
                           {2, 0, 90, 160, 384, 192, 1, 3, 2},
                           {2, 2, 180, 320, 384, 768, 3, 1},
                           {1, 2, 90, 160, 384, 768, 3, 1},
                           {2, 0, 180, 320, 192, 384, 1, 1}}) {
      const std::string name =
          text("convolution %d+%dx%dx%d, %d to %d, %dx%dx%d%s", s.earlier, s.frames, s.height, s.width, s.channels,
               s.outputs, s.kernel_frames, s.kernel, s.kernel, s.repeat > 1 ? ", doubled" : "");
      if (!wanted(name)) continue;
      const int64_t pixels = int64_t(s.height) * s.width, taps = s.kernel_frames * s.kernel * s.kernel;
      const int out_frames = s.frames + s.earlier - s.kernel_frames + 1;
      Device<__nv_bfloat16> x(s.frames * pixels * s.channels, 5), earlier((s.earlier + 1) * pixels * s.channels, 6);
      Device<__nv_bfloat16> weight(s.outputs * taps * s.channels, 7), bias(s.outputs, 8);
      Device<__nv_bfloat16> out(out_frames * pixels * s.repeat * s.repeat * s.outputs);
      svg_convolution_params p{};
      p.struct_size = sizeof p;
      p.dtype = SVG_BF16;
      p.frames = s.frames;
      p.height = s.height;
      p.width = s.width;
      p.channels = s.channels;
      p.earlier_frames = s.earlier;
      p.out_channels = s.outputs;
      p.kernel_frames = s.kernel_frames;
      p.kernel_height = p.kernel_width = s.kernel;
      p.frame_stride = p.stride = 1;
      p.repeat = s.repeat;
      p.pad_top = p.pad_bottom = p.pad_left = p.pad_right = s.kernel / 2;
      p.earlier = earlier.data;
      p.x = x.data;
      p.weight = weight.data;
      p.bias = bias.data;
      p.out = out.data;
      const double ms = median(10, [&] { run("svg_convolution", p); });
      std::printf("%-58s %9.3f ms %8.0f TFLOP/s\n", name.c_str(), ms,
                  2.0 * out_frames * pixels * s.repeat * s.repeat * s.outputs * taps * s.channels / ms * 1e-9);
    }
  }

  void rope() {
    struct Shape {
      int heads, rows, dim;
    };
    for (const Shape& s : {Shape{40, 75600, 128}, {32, 1024, 64}, {32, 16384, 64}, {128, 16384, 64}}) {
      const int64_t size = int64_t(s.heads) * s.rows * s.dim;
      const std::string shape = text("%dx%dx%d", s.heads, s.rows, s.dim);
      if (!wanted("rope " + shape)) continue;
      Device<__nv_bfloat16> x(size, 5), out(size);
      Device<float> angles(int64_t(s.rows) * s.dim, 6), weight(s.heads * s.dim, 7);
      svg_norm_rope_params p{};
      p.struct_size = sizeof p;
      p.dtype = SVG_BF16;
      p.heads = s.heads;
      p.rows = p.rotated_rows = s.rows;
      p.head_dim = s.dim;
      p.epsilon = 1e-6f;
      p.weight = weight.data;
      p.cos_table = angles.data;
      p.sin_table = angles.data + int64_t(s.rows) * (s.dim / 2);
      svg_rope_params r{};
      r.struct_size = sizeof r;
      r.dtype = SVG_BF16;
      r.heads = s.heads;
      r.rows = r.rotated_rows = s.rows;
      r.head_dim = s.dim;
      r.cos_table = p.cos_table;
      r.sin_table = p.sin_table;
      const double bytes = 4.0 * size + 4.0 * angles.count;
      const auto place = [&](auto& q, bool token_major) {
        q.out = {out.data, int64_t(s.rows) * s.dim, s.dim};
        q.x = {x.data, token_major ? s.dim : int64_t(s.rows) * s.dim, token_major ? s.heads * s.dim : s.dim};
      };
      print("rope " + shape, median(20, [&] { place(r, false), run("svg_rope", r); }), bytes);
      const Device<int32_t> order = orders(s.heads, s.rows);
      for (int across : {0, 1}) {
        const std::string what = across ? "norm across heads and rope " : "norm and rope ";
        p.across_heads = across;
        p.permuted_rows = 0;
        print(what + shape + ", to head-major", median(20, [&] { place(p, true), run("svg_norm_rope", p); }), bytes);
        p.permuted_rows = s.rows;
        p.order = order.data;
        print(what + shape + ", permuted", median(20, [&] { place(p, true), run("svg_norm_rope", p); }),
              bytes + 4.0 * order.count);
      }
    }
  }

  void elementwise() {
    if (!wanted("gated_residual") && !wanted("gelu") && !wanted("add")) return;
    const int rows = 75600, width = 5120;
    const int64_t size = int64_t(rows) * width;
    Device<__nv_bfloat16> x(size, 5), y(size, 6), out(size);
    Device<float> gate(width, 7);
    svg_gated_residual_params p{sizeof p,
                                SVG_BF16,
                                1,
                                rows,
                                width,
                                SVG_F32,
                                {x.data, size, width},
                                {y.data, size, width},
                                {out.data, size, width},
                                {gate.data, 0, 0}};
    print("gated_residual 75600x5120", median(20, [&] { run("svg_gated_residual", p); }), 6.0 * size);
    svg_activation_params a{sizeof a,
                            SVG_BF16,
                            SVG_BF16,
                            1,
                            rows,
                            width,
                            SVG_GELU_TANH,
                            SVG_F32,
                            {x.data, size, width},
                            {out.data, size, width},
                            gate.data};
    print("bias and gelu 75600x5120", median(20, [&] { run("svg_activation", a); }), 4.0 * size);
    svg_elementwise_params e{};
    e.struct_size = sizeof e;
    e.op = SVG_ADD;
    e.dims = 1;
    e.x_dtype = e.y_dtype = e.out_dtype = SVG_BF16;
    e.sizes[0] = size;
    e.x = {x.data, {1}};
    e.y = {y.data, {1}};
    e.out = {out.data, {1}};
    print("add, bf16 75600x5120", median(20, [&] { run("svg_elementwise", e); }), 6.0 * size);
    e.y = {};
    print("add a number, bf16 75600x5120", median(20, [&] { run("svg_elementwise", e); }), 4.0 * size);
  }

 private:
  /// A random permutation for each head.
  static Device<int32_t> orders(int heads, int rows) {
    std::vector<int32_t> host(size_t(heads) * rows);
    std::mt19937 random(3);
    for (int h = 0; h < heads; h++) {
      const auto first = host.begin() + int64_t(h) * rows;
      std::iota(first, first + rows, 0);
      std::shuffle(first, first + rows, random);
    }
    Device<int32_t> order(host.size());
    CUDA_OK(cudaMemcpy(order.data, host.data(), host.size() * 4, cudaMemcpyHostToDevice));
    return order;
  }

  void print(const std::string& name, double ms, double bytes) const {
    const double rate = bytes / ms * 1e-6;
    std::printf("%-58s %9.3f ms %8.0f GB/s, %.2f of copy\n", name.c_str(), ms, rate, rate / copy_rate_);
  }

  double copy_rate_;
};

}  // namespace

void time_all(const Libraries& libraries, const std::string& only) {
  FunctionTimer timer(libraries, only);
  timer.kmeans();
  timer.sort_labels();
  timer.patches();
  timer.block_map();
  timer.profile();
  timer.rows_in_order();
  timer.norms();
  timer.channel_norm();
  timer.convolution();
  timer.rope();
  timer.elementwise();
}

}  // namespace lab
