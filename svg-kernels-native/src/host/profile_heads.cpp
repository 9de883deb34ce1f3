// SVG1's online profiling: which of the two masks keeps a head's output closest to the exact one, on sampled rows.
//
// All three outputs of a row run over the same keys in the same tiles and differ in the masked scores only. So a mask
// that allows every key gives an error of exactly 0, and two masks that allow the same keys give the same error.
#include "arguments.h"
#include "float_heads.h"
#include "parallel.h"

namespace svg {
namespace {

constexpr int kMaskBlock = 128;

/// One of the two masks: video tokens in an order of their own, cut into blocks.
class ProfileMask {
 public:
  ProfileMask(const svg_profile_heads_params& p, bool temporal)
      : p_(p), temporal_(temporal), video_(p.frames * p.tokens_per_frame), key_positions_(p.rows) {
    for (int row = 0; row < p.rows; row++) {
      const bool always = row >= video_ || index(row) < p.sink_keys;
      key_positions_[row] = always ? kEverywhere : index(row) / kMaskBlock;
    }
  }

  const int32_t* key_positions() const { return key_positions_.data(); }

  Interval seen(int row) const {
    if (row >= video_) return {0, INT32_MAX};
    const int64_t block = index(row) / kMaskBlock, reach = p_.band_blocks - int64_t(1);
    return {block - reach, block + reach};
  }

 private:
  int index(int row) const {
    return temporal_ ? row % p_.tokens_per_frame * p_.frames + row / p_.tokens_per_frame : row;
  }

  const svg_profile_heads_params& p_;
  const bool temporal_;
  const int video_;
  std::vector<int32_t> key_positions_;
};

/// One thread's memory.
struct Worker {
  explicit Worker(int dim) : block(dim, 1), exact(size_t(kBlockRows) * dim) {}
  QueryBlock block;
  Buffer<float> exact;
};

class Profiler {
 public:
  Profiler(const svg_profile_heads_params& p, const Tensor& q) : p_(p), q_(q), masks_{{p, false}, {p, true}} {}

  /// errors[mask] = sum of squared differences to the exact outputs, for one head's samples [begin, end).
  void compare(int head, int begin, int end, const FloatRows& keys, const FloatRows& values, Worker& worker,
               double (&errors)[2]) const {
    QueryBlock& block = worker.block;
    block.rows = end - begin;
    block.ranges.assign(1, Range{0, p_.rows});
    load(head, begin, block);
    block.attend(keys, values, nullptr);
    for (int i = 0; i < block.rows; i++) std::copy_n(block.row(i), q_.dim, worker.exact.data() + i * q_.dim);
    for (int mask = 0; mask < 2; mask++) {
      load(head, begin, block);
      for (int i = 0; i < block.rows; i++) block.limit(i, masks_[mask].seen(p_.sampled_rows[begin + i]));
      block.attend(keys, values, masks_[mask].key_positions());
      double error = 0;
      for (int i = 0; i < block.rows; i++) {
        for (int d = 0; d < q_.dim; d++) {
          const double difference = double(block.row(i)[d]) - worker.exact.data()[i * q_.dim + d];
          error += difference * difference;
        }
      }
      errors[mask] = error;
    }
  }

 private:
  void load(int head, int begin, QueryBlock& block) const {
    for (int i = 0; i < block.rows; i++) block.load(i, q_, head, p_.sampled_rows[begin + i], p_.scale);
  }

  const svg_profile_heads_params& p_;
  const Tensor& q_;
  const ProfileMask masks_[2];
};

void profile(const svg_profile_heads_params& p, const Tensor& q, const Tensor& k, const Tensor& v) {
  const Profiler profiler(p, q);
  FloatHeads keys(k), values(v);
  std::vector<Worker> workers;
  for (int i = 0; i < omp_get_max_threads(); i++) workers.emplace_back(p.head_dim);
  struct Errors {
    double of[2];
  };
  const int parts = (p.samples - 1) / kBlockRows + 1;
  std::vector<Errors> errors(size_t(p.heads) * parts);
  const int group = std::min(keys.capacity(), values.capacity());
  for (int first = 0; first < p.heads; first += group) {
    const int heads = std::min(group, p.heads - first);
#pragma omp parallel if (worth_threads(int64_t(p.heads) * p.samples * p.rows * p.head_dim))
    {
#pragma omp for schedule(static) nowait
      for (int piece = 0; piece < keys.pieces(heads); piece++) keys.load(first, piece);
#pragma omp for schedule(static)
      for (int piece = 0; piece < values.pieces(heads); piece++) values.load(first, piece);
#pragma omp for schedule(dynamic) collapse(2)
      for (int head = first; head < first + heads; head++) {
        for (int part = 0; part < parts; part++) {
          const int begin = part * kBlockRows, end = std::min(begin + kBlockRows, p.samples);
          profiler.compare(head, begin, end, keys.head(first, head), values.head(first, head),
                           workers[omp_get_thread_num()], errors[size_t(head) * parts + part].of);
        }
      }
    }
  }
  for (int head = 0; head < p.heads; head++) {
    double sum[2] = {0, 0};
    for (int part = 0; part < parts; part++) {
      for (int mask = 0; mask < 2; mask++) sum[mask] += errors[size_t(head) * parts + part].of[mask];
    }
    for (int mask = 0; mask < 2; mask++) p.mse[mask * p.heads + head] = float(sum[mask] / (double(p.samples) * q.dim));
    p.best[head] = sum[1] < sum[0] ? 1 : 0;
  }
}

}  // namespace
}  // namespace svg

int32_t svg_profile_heads(const svg_profile_heads_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_profile_heads_params& p) {
    check_shape(p.heads, p.head_dim);
    at_least("frames", p.frames, 1);
    at_least("tokens_per_frame", p.tokens_per_frame, 1);
    at_least("context_rows", p.context_rows, 0);
    if (p.rows != int64_t(p.frames) * p.tokens_per_frame + p.context_rows) {
      refuse("rows is %d, expected frames %d * tokens_per_frame %d + context_rows %d", p.rows, p.frames,
             p.tokens_per_frame, p.context_rows);
    }
    at_least("sink_keys", p.sink_keys, 0);
    at_least("band_blocks", p.band_blocks, 0);
    at_least("samples", p.samples, 1);
    finite("scale", p.scale);
    Arguments arguments;
    const Tensor q = arguments.read("q", p.q, p.dtype, p.heads, p.rows, p.head_dim);
    const Tensor k = arguments.read("k", p.k, p.dtype, p.heads, p.rows, p.head_dim);
    const Tensor v = arguments.read("v", p.v, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("sampled_rows", p.sampled_rows, p.samples);
    arguments.write("mse", p.mse, 2 * int64_t(p.heads));
    arguments.write("best", p.best, p.heads);
    for (int i = 0; i < p.samples; i++) {
      if (p.sampled_rows[i] < 0 || p.sampled_rows[i] >= p.rows) {
        refuse("sampled_rows[%d] is %d, expected 0 to %d", i, p.sampled_rows[i], p.rows - 1);
      }
    }
    profile(p, q, k, v);
  });
}
