// Rows in another order: svg_permute_rows and svg_video_layout.
//
// Bytes: every row once in and once out (1.5 GB at 40 x 75,600 x 128: 0.37 ms at copy speed), and the order, 1.6 % of
// that. Threads go along the rows of the destination in both layouts, so that writes are whole lines; the inverse
// permutation alone scatters, rows of 256 bytes. Each thread has four copies under way.
#include "launch.h"
#include "vectors.cuh"

namespace svg {
namespace {

constexpr int kThreads = 256, kBatch = 4;

struct RowMove {
  svg_heads src, dst;  // strides in units of the copies
  int rows, pieces;    // pieces of a row
  // svg_permute_rows
  const int32_t* order;
  int permuted_rows;
  // svg_video_layout
  const int32_t* transform;
  int frames, tokens_per_frame;
  bool inverse;
};

struct FromTo {
  int from, to;  // negative: nothing to move
};

__device__ inline FromTo permuted(const RowMove& m, int head, int row) {
  if (row >= m.permuted_rows) return {row, row};
  int other = m.order[int64_t(head) * m.permuted_rows + row];
  if (uint32_t(other) >= uint32_t(m.rows)) other = -1;
  return m.inverse ? FromTo{row, other} : FromTo{other, row};
}

__device__ inline FromTo laid_out(const RowMove& m, int head, int row) {
  const int video = m.frames * m.tokens_per_frame;
  if (row >= video || m.transform[head] == 0) return {row, row};
  // The destination has tokens of `inner` in a run.
  const int inner = m.inverse ? m.tokens_per_frame : m.frames, outer = m.inverse ? m.frames : m.tokens_per_frame;
  return {row % inner * outer + row / inner, row};
}

template <class Piece, FromTo (*Where)(const RowMove&, int, int)>
__global__ void __launch_bounds__(kThreads) move_rows(const RowMove m) {
  const int head = blockIdx.y;
  const Piece* src = static_cast<const Piece*>(m.src.data) + head * m.src.head_stride;
  Piece* dst = static_cast<Piece*>(m.dst.data) + head * m.dst.head_stride;
  const uint32_t first = blockIdx.x * uint32_t(kThreads * kBatch) + threadIdx.x;
  const uint32_t count = uint32_t(m.rows) * uint32_t(m.pieces);
  // Rows in any order do better when they pass the caches by, the regular pattern of a layout when they do not.
  constexpr bool kStreams = Where == permuted;
  Piece pieces[kBatch];
  int64_t to[kBatch];
#pragma unroll
  for (int i = 0; i < kBatch; i++) {
    const uint32_t at = first + i * kThreads;
    to[i] = -1;
    if (at < count) {
      const int row = int(at / uint32_t(m.pieces)), piece = int(at % uint32_t(m.pieces));
      const FromTo rows = Where(m, head, row);
      if (rows.from >= 0 && rows.to >= 0) {
        const Piece* const from = src + rows.from * m.src.row_stride + piece;
        pieces[i] = kStreams ? __ldcs(from) : *from;
        to[i] = rows.to * m.dst.row_stride + piece;
      }
    }
  }
#pragma unroll
  for (int i = 0; i < kBatch; i++) {
    if (to[i] < 0) continue;
    if constexpr (kStreams) {
      __stcs(dst + to[i], pieces[i]);
    } else {
      dst[to[i]] = pieces[i];
    }
  }
}

template <class Piece, FromTo (*Where)(const RowMove&, int, int)>
void launch_moves(RowMove m, int dtype, int heads, int width, cudaStream_t stream) {
  const int per_element = element_size(dtype);
  for (svg_heads* t : {&m.src, &m.dst}) {
    t->head_stride = t->head_stride * per_element / int(sizeof(Piece));
    t->row_stride = t->row_stride * per_element / int(sizeof(Piece));
  }
  m.pieces = width * per_element / int(sizeof(Piece));
  const int64_t count = int64_t(m.rows) * m.pieces;
  if (count > INT32_MAX) unsupported("%d rows of %d are too many for one call", m.rows, width);
  launch("moving rows", move_rows<Piece, Where>, dim3(uint32_t(ceil_div(count, kThreads * kBatch)), heads), kThreads, 0,
         stream, m);
}

template <FromTo (*Where)(const RowMove&, int, int)>
void move(const RowMove& m, int dtype, int heads, int width, cudaStream_t stream) {
  const auto fits = [&](int bytes) {
    return width * element_size(dtype) % bytes == 0 && aligned(m.src, dtype, heads, m.rows, bytes) &&
           aligned(m.dst, dtype, heads, m.rows, bytes);
  };
  if (fits(16)) return launch_moves<int4, Where>(m, dtype, heads, width, stream);
  if (fits(8)) return launch_moves<int2, Where>(m, dtype, heads, width, stream);
  if (fits(4)) return launch_moves<int, Where>(m, dtype, heads, width, stream);
  launch_moves<short, Where>(m, dtype, heads, width, stream);
}

}  // namespace
}  // namespace svg

int32_t svg_permute_rows(const svg_permute_rows_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_permute_rows_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("head_dim", p.head_dim, 1);
    at_least("rows", p.rows, 1);
    in_range("permuted_rows", p.permuted_rows, 0, p.rows);
    Arguments arguments;
    arguments.read("src", p.src, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.write("dst", p.dst, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("order", p.order, int64_t(p.heads) * p.permuted_rows);
    RowMove m{};
    m.src = p.src;
    m.dst = p.dst;
    m.rows = p.rows;
    m.order = p.order;
    m.permuted_rows = p.permuted_rows;
    m.inverse = p.inverse != 0;
    move<permuted>(m, p.dtype, p.heads, p.head_dim, static_cast<cudaStream_t>(stream));
  });
}

int32_t svg_video_layout(const svg_video_layout_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_video_layout_params& p) {
    in_range("heads", p.heads, 1, 65535);
    at_least("head_dim", p.head_dim, 1);
    at_least("rows", p.rows, 1);
    at_least("frames", p.frames, 1);
    at_least("tokens_per_frame", p.tokens_per_frame, 1);
    if (int64_t(p.frames) * p.tokens_per_frame > p.rows) {
      refuse("frames %d * tokens_per_frame %d exceeds rows %d", p.frames, p.tokens_per_frame, p.rows);
    }
    Arguments arguments;
    arguments.read("src", p.src, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.write("dst", p.dst, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("transform", p.transform, p.heads);
    RowMove m{};
    m.src = p.src;
    m.dst = p.dst;
    m.rows = p.rows;
    m.transform = p.transform;
    m.frames = p.frames;
    m.tokens_per_frame = p.tokens_per_frame;
    m.inverse = p.inverse != 0;
    move<laid_out>(m, p.dtype, p.heads, p.head_dim, static_cast<cudaStream_t>(stream));
  });
}
