// Dense, band and variable-block attention: arguments, and the choice of the matrix path.
#include <algorithm>

#include "attention.h"

namespace svg {
namespace {

constexpr int kMaxDim = 128;
constexpr int kMaxRows = 1 << 30;       // so that sums of two row numbers stay in int
constexpr int kMaxRowStride = 1 << 30;  // so that a row's bytes do

/// What the three functions' parameters have in common. What the host library refuses is refused in the same words.
template <class Params>
AttentionTensors checked(const Params& p, Arguments& arguments, int q_rows, int k_rows) {
  at_least("heads", p.heads, 1);
  in_range("head_dim", p.head_dim, 1, 65536);
  finite("scale", p.scale);
  arguments.read("q", p.q, p.dtype, p.heads, q_rows, p.head_dim);
  arguments.read("k", p.k, p.dtype, p.heads, k_rows, p.head_dim);
  arguments.read("v", p.v, p.dtype, p.heads, k_rows, p.head_dim);
  arguments.write("out", p.out, p.dtype, p.heads, q_rows, p.head_dim);
  // A scale of 0 means equal weights. It becomes a tiny one, since 0 times the -infinity of hidden keys is NaN.
  return {p.dtype, p.heads, p.head_dim, q_rows, k_rows, std::clamp(p.scale, 1e-30f, 1e38f), p.q, p.k, p.v, p.out};
}

/// What the kernels cannot do, once all arguments are known to be valid.
template <class Params>
void check_supported(const Params& p, int q_rows, int k_rows) {
  if (p.dtype == SVG_F32) {
    unsupported("dtype is %d (f32), the CUDA library has attention for f16 and bf16", p.dtype);
  }
  if (p.head_dim > kMaxDim || p.head_dim % 8 != 0) {
    unsupported("head_dim is %d, the CUDA library has attention for multiples of 8 up to %d", p.head_dim, kMaxDim);
  }
  if (p.heads > 65535) unsupported("heads is %d, the CUDA library has attention for at most 65535", p.heads);
  if (std::max(q_rows, k_rows) > kMaxRows) {
    unsupported("%d rows, the CUDA library has attention for at most %d", std::max(q_rows, k_rows), kMaxRows);
  }
  for (const svg_heads* t : {&p.q, &p.k, &p.v, &p.out}) {
    if (t->row_stride >= kMaxRowStride) {
      unsupported("a row_stride is %lld, the CUDA library has attention for less than %d", (long long)t->row_stride,
                  kMaxRowStride);
    }
  }
  if (p.scale < 0) unsupported("scale is %g, the CUDA library has attention for scales of at least 0", p.scale);
  require_aligned("q", p.q, p.dtype, p.heads, q_rows, 16);
  require_aligned("k", p.k, p.dtype, p.heads, k_rows, 16);
  require_aligned("v", p.v, p.dtype, p.heads, k_rows, 16);
  require_aligned("out", p.out, p.dtype, p.heads, q_rows, 16);
}

/// Where the matrix path is chosen.
template <class Problem>
void attend(const Problem& problem, cudaStream_t stream) {
  const Device device = Device::current();
  if (wgmma_takes(problem.tensors, device)) {
    attention_wgmma(problem, device, stream);
  } else {
    attention_sync(problem, device, stream);
  }
}

}  // namespace

bool wgmma_takes(const AttentionTensors& t, const Device& device) {
  const auto apart = [&](const svg_heads& tensor) { return t.heads == 1 || tensor.head_stride > 0; };
  return device.uses_wgmma() && (t.dim == 64 || t.dim == 128) && apart(t.q) && apart(t.k) && apart(t.v);
}

}  // namespace svg

int32_t svg_attention_dense(const svg_attention_dense_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_attention_dense_params& p) {
    at_least("q_rows", p.q_rows, 1);
    at_least("k_rows", p.k_rows, 1);
    in_range("split", p.split, 0, p.q_rows);
    if (p.split > 0 && p.q_rows != p.k_rows) {
      refuse("split is %d, which needs q_rows %d and k_rows %d to be equal", p.split, p.q_rows, p.k_rows);
    }
    Arguments arguments;
    const DenseProblem problem{checked(p, arguments, p.q_rows, p.k_rows), p.split, p.k_lengths, p.lse};
    if (p.k_lengths != nullptr) arguments.read("k_lengths", p.k_lengths, p.heads);
    if (p.lse != nullptr) arguments.write("lse", p.lse, int64_t(p.heads) * p.q_rows);
    check_supported(p, p.q_rows, p.k_rows);
    attend(problem, static_cast<cudaStream_t>(stream));
  });
}

int32_t svg_attention_band(const svg_attention_band_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_attention_band_params& p) {
    at_least("rows", p.rows, 1);
    in_range("video_rows", p.video_rows, 0, p.rows);
    in_range("prompt_rows", p.prompt_rows, 0, p.rows - p.video_rows);
    at_least("sink_keys", p.sink_keys, 0);
    Arguments arguments;
    const BandProblem problem{checked(p, arguments, p.rows, p.rows),
                              {p.rows, p.video_rows, p.video_rows + p.prompt_rows, std::min(p.sink_keys, p.video_rows),
                               std::clamp(p.half_width, -1, p.rows - 1)}};
    check_supported(p, p.rows, p.rows);
    attend(problem, static_cast<cudaStream_t>(stream));
  });
}

int32_t svg_attention_blocks(const svg_attention_blocks_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_attention_blocks_params& p) {
    at_least("q_rows", p.q_rows, 1);
    at_least("k_rows", p.k_rows, 1);
    at_least("q_clusters", p.q_clusters, 1);
    at_least("k_clusters", p.k_clusters, 1);
    Arguments arguments;
    BlocksProblem problem{
        checked(p, arguments, p.q_rows, p.k_rows), p.q_clusters, p.k_clusters, p.q_offsets, p.k_offsets, p.map, {}};
    arguments.read("q_offsets", p.q_offsets, p.heads * (int64_t(p.q_clusters) + 1));
    arguments.read("k_offsets", p.k_offsets, p.heads * (int64_t(p.k_clusters) + 1));
    arguments.read("map", p.map, int64_t(p.heads) * p.q_clusters * p.k_clusters);
    check_supported(p, p.q_rows, p.k_rows);
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    Workspace workspace(on);
    problem.add_plan(workspace);
    workspace.allocate();
    plan_blocks(problem, on);
    attend(problem, on);
  });
}
