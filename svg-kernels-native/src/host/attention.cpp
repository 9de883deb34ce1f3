// Dense, band and variable-block attention: one driver, three sources of keys.
#include "arguments.h"
#include "float_heads.h"
#include "parallel.h"

namespace svg {
namespace {

/// Query rows [begin, end) of a head, at most kBlockRows; `group` is the source's number for what they see.
struct Task {
  int32_t head, begin, end, group;
};

/// Which keys the queries see. A source cuts each head's rows into tasks, and names the key ranges of a task.
class KeySource {
 public:
  virtual ~KeySource() = default;
  virtual void add_tasks(int head, std::vector<Task>& tasks) const = 0;
  /// Most ranges that a task has.
  virtual size_t max_ranges() const = 0;
  virtual void add_ranges(const Task& task, std::vector<Range>& ranges) const = 0;
  /// The positions of a mask within the ranges, or null, and what a query row sees of them.
  virtual const int32_t* key_positions() const { return nullptr; }
  virtual Interval seen(int) const { return {0, INT32_MAX}; }

 protected:
  static void cut(std::vector<Task>& tasks, int head, int begin, int end, int group) {
    for (int row = begin; row < end; row += kBlockRows) {
      tasks.push_back({head, row, end - row < kBlockRows ? end : row + kBlockRows, group});
    }
  }
};

/// Every key of the head, or those on the query's side of the split.
class DenseKeys : public KeySource {
 public:
  explicit DenseKeys(const svg_attention_dense_params& p)
      : q_rows_(p.q_rows), k_rows_(p.k_rows), split_(p.split), k_lengths_(p.k_lengths) {}

  void add_tasks(int head, std::vector<Task>& tasks) const override {
    cut(tasks, head, 0, split_, 0);
    cut(tasks, head, split_, q_rows_, 1);
  }
  size_t max_ranges() const override { return 1; }
  void add_ranges(const Task& task, std::vector<Range>& ranges) const override {
    Range range = task.group == 0 ? Range{0, split_} : Range{split_, k_rows_};
    if (k_lengths_ != nullptr) range.end = std::min(range.end, k_lengths_[task.head]);
    if (range.begin < range.end) ranges.push_back(range);
  }

 private:
  const int32_t q_rows_, k_rows_, split_;
  const int32_t* const k_lengths_;
};

/// SVG1's mask. The ranges of a task are exact but for the band's slanted edges, which positions cut.
class BandKeys : public KeySource {
 public:
  explicit BandKeys(const svg_attention_band_params& p)
      : rows_(p.rows), video_(p.video_rows), real_(p.video_rows + p.prompt_rows),
        sink_(std::min(p.sink_keys, p.video_rows)), width_(p.half_width), key_position_(p.rows) {
    for (int k = 0; k < rows_; k++) key_position_[k] = k < sink_ || k >= video_ ? kEverywhere : k;
  }

  void add_tasks(int head, std::vector<Task>& tasks) const override {
    cut(tasks, head, 0, video_, kVideo);
    cut(tasks, head, video_, real_, kPrompt);
    cut(tasks, head, real_, rows_, kPadding);
  }
  size_t max_ranges() const override { return 3; }
  void add_ranges(const Task& task, std::vector<Range>& ranges) const override {
    switch (task.group) {
      case kVideo: {
        ranges.push_back({0, sink_});
        const int64_t begin = std::max(int64_t(task.begin) - width_, int64_t(sink_));
        const int64_t end = std::min(int64_t(task.end) + width_, int64_t(video_));
        if (width_ >= 0 && begin < end) ranges.push_back({int32_t(begin), int32_t(end)});
        ranges.push_back({video_, real_});
        break;
      }
      case kPrompt:
        ranges.push_back({0, real_});
        break;
      case kPadding:
        ranges.push_back({real_, rows_});
        break;
    }
  }
  const int32_t* key_positions() const override { return key_position_.data(); }
  Interval seen(int row) const override {
    if (row >= video_) return {0, rows_};
    return {int64_t(row) - width_, int64_t(row) + width_};
  }

 private:
  enum Group { kVideo, kPrompt, kPadding };
  const int32_t rows_, video_, real_, sink_, width_;
  std::vector<int32_t> key_position_;
};

/// SVG2's clusters. A task lies within one query cluster, its group; neighbouring kept key clusters are one range.
class BlockKeys : public KeySource {
 public:
  explicit BlockKeys(const svg_attention_blocks_params& p) : p_(p) {}

  void add_tasks(int head, std::vector<Task>& tasks) const override {
    const int32_t* offsets = p_.q_offsets + head * (p_.q_clusters + int64_t(1));
    for (int i = 0; i < p_.q_clusters; i++) cut(tasks, head, offsets[i], offsets[i + 1], i);
  }
  size_t max_ranges() const override { return size_t(p_.k_clusters); }
  void add_ranges(const Task& task, std::vector<Range>& ranges) const override {
    const int32_t* offsets = p_.k_offsets + task.head * (p_.k_clusters + int64_t(1));
    const uint8_t* kept = p_.map + (int64_t(task.head) * p_.q_clusters + task.group) * p_.k_clusters;
    for (int j = 0; j < p_.k_clusters; j++) {
      if (kept[j] == 0) continue;
      if (!ranges.empty() && ranges.back().end == offsets[j]) {
        ranges.back().end = offsets[j + 1];
      } else {
        ranges.push_back({offsets[j], offsets[j + 1]});
      }
    }
  }

 private:
  const svg_attention_blocks_params& p_;
};

struct Attention {
  Tensor q, k, v, out;
  float scale;
  float* lse;  // (H, q.rows), or null

  /// Tasks are independent and each is computed by one thread, so that results do not depend on the threads.
  void compute(const KeySource& source) const {
    FloatHeads keys(k), values(v);
    std::vector<QueryBlock> blocks;
    for (int i = 0; i < omp_get_max_threads(); i++) blocks.emplace_back(q.dim, source.max_ranges());
    std::vector<Task> tasks;
    const int group = std::min(keys.capacity(), values.capacity());
    for (int first = 0; first < q.heads; first += group) {
      const int heads = std::min(group, q.heads - first);
      tasks.clear();
      for (int head = first; head < first + heads; head++) source.add_tasks(head, tasks);
#pragma omp parallel if (worth_threads(int64_t(q.heads) * q.rows * k.rows * q.dim))
      {
#pragma omp for schedule(static) nowait
        for (int piece = 0; piece < keys.pieces(heads); piece++) keys.load(first, piece);
#pragma omp for schedule(static)
        for (int piece = 0; piece < values.pieces(heads); piece++) values.load(first, piece);
#pragma omp for schedule(dynamic)
        for (size_t i = 0; i < tasks.size(); i++) {
          const int head = tasks[i].head;
          run(source, tasks[i], keys.head(first, head), values.head(first, head), blocks[omp_get_thread_num()]);
        }
      }
    }
  }

 private:
  void run(const KeySource& source, const Task& task, const FloatRows& keys, const FloatRows& values,
           QueryBlock& block) const {
    block.rows = task.end - task.begin;
    block.ranges.clear();
    source.add_ranges(task, block.ranges);
    for (int i = 0; i < block.rows; i++) {
      block.load(i, q, task.head, task.begin + i, scale);
      block.limit(i, source.seen(task.begin + i));
    }
    block.attend(keys, values, source.key_positions());
    for (int i = 0; i < block.rows; i++) out.write_row(task.head, task.begin + i, block.row(i));
    if (lse != nullptr) std::copy_n(block.lse, block.rows, lse + int64_t(task.head) * q.rows + task.begin);
  }
};

/// What the three functions' parameters have in common.
template <class Params>
Attention checked(const Params& p, Arguments& arguments, int q_rows, int k_rows) {
  check_shape(p.heads, p.head_dim);
  finite("scale", p.scale);
  return {.q = arguments.read("q", p.q, p.dtype, p.heads, q_rows, p.head_dim),
          .k = arguments.read("k", p.k, p.dtype, p.heads, k_rows, p.head_dim),
          .v = arguments.read("v", p.v, p.dtype, p.heads, k_rows, p.head_dim),
          .out = arguments.write("out", p.out, p.dtype, p.heads, q_rows, p.head_dim),
          .scale = p.scale,
          .lse = nullptr};
}

void check_offsets(const char* name, const int32_t* offsets, int heads, int clusters, int rows) {
  for (int h = 0; h < heads; h++, offsets += clusters + 1) {
    if (offsets[0] != 0) refuse("%s[%d][0] is %d, expected 0", name, h, offsets[0]);
    for (int i = 1; i <= clusters; i++) {
      if (offsets[i] < offsets[i - 1] || offsets[i] > rows) {
        refuse("%s[%d][%d] is %d, expected %d to %d", name, h, i, offsets[i], offsets[i - 1], rows);
      }
    }
    if (offsets[clusters] != rows) refuse("%s[%d][%d] is %d, expected %d", name, h, clusters, offsets[clusters], rows);
  }
}

}  // namespace
}  // namespace svg

int32_t svg_attention_dense(const svg_attention_dense_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_attention_dense_params& p) {
    at_least("q_rows", p.q_rows, 1);
    at_least("k_rows", p.k_rows, 1);
    in_range("split", p.split, 0, p.q_rows);
    if (p.split > 0 && p.q_rows != p.k_rows) {
      refuse("split is %d, which needs q_rows %d and k_rows %d to be equal", p.split, p.q_rows, p.k_rows);
    }
    Arguments arguments;
    Attention attention = checked(p, arguments, p.q_rows, p.k_rows);
    if (p.k_lengths != nullptr) arguments.read("k_lengths", p.k_lengths, p.heads);
    if (p.lse != nullptr) attention.lse = arguments.write("lse", p.lse, int64_t(p.heads) * p.q_rows);
    for (int h = 0; h < p.heads && p.k_lengths != nullptr; h++) {
      if (p.k_lengths[h] < 0 || p.k_lengths[h] > p.k_rows) {
        refuse("k_lengths[%d] is %d, expected 0 to %d", h, p.k_lengths[h], p.k_rows);
      }
    }
    attention.compute(DenseKeys(p));
  });
}

int32_t svg_attention_band(const svg_attention_band_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_attention_band_params& p) {
    at_least("rows", p.rows, 1);
    in_range("video_rows", p.video_rows, 0, p.rows);
    in_range("prompt_rows", p.prompt_rows, 0, p.rows - p.video_rows);
    at_least("sink_keys", p.sink_keys, 0);
    Arguments arguments;
    checked(p, arguments, p.rows, p.rows).compute(BandKeys(p));
  });
}

int32_t svg_attention_blocks(const svg_attention_blocks_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_attention_blocks_params& p) {
    at_least("q_rows", p.q_rows, 1);
    at_least("k_rows", p.k_rows, 1);
    at_least("q_clusters", p.q_clusters, 1);
    at_least("k_clusters", p.k_clusters, 1);
    Arguments arguments;
    const Attention attention = checked(p, arguments, p.q_rows, p.k_rows);
    arguments.read("q_offsets", p.q_offsets, p.heads * (int64_t(p.q_clusters) + 1));
    arguments.read("k_offsets", p.k_offsets, p.heads * (int64_t(p.k_clusters) + 1));
    arguments.read("map", p.map, int64_t(p.heads) * p.q_clusters * p.k_clusters);
    check_offsets("q_offsets", p.q_offsets, p.heads, p.q_clusters, p.q_rows);
    check_offsets("k_offsets", p.k_offsets, p.heads, p.k_clusters, p.k_rows);
    attention.compute(BlockKeys(p));
  });
}
