// Rows of a table by their numbers: svg_gather_rows.
//
// Bytes: every row once out, and once in unless it is in the caches already, as rows of a small table are. A thread
// moves one piece, of 16 bytes where rows are aligned; those of a row lie side by side.
#include "launch.h"

namespace svg {
namespace {

constexpr int kThreads = 256;

struct RowGather {
  const void *table, *indices;
  void* out;
  int64_t table_stride, out_stride;  // in pieces, as the width is
  int table_rows, rows, width, index_bytes;
};

template <class Piece>
__global__ void __launch_bounds__(kThreads) gather(const RowGather g) {
  const int64_t at = int64_t(blockIdx.x) * kThreads + threadIdx.x, row = at / g.width, piece = at - row * g.width;
  if (row >= g.rows) return;
  const int64_t index =
      g.index_bytes == 4 ? static_cast<const int32_t*>(g.indices)[row] : static_cast<const int64_t*>(g.indices)[row];
  Piece value{};
  if (index >= 0 && index < g.table_rows) {
    value = static_cast<const Piece*>(g.table)[index * g.table_stride + piece];
  }
  static_cast<Piece*>(g.out)[row * g.out_stride + piece] = value;
}

template <class Piece>
void launch_gather(const svg_gather_rows_params& p, cudaStream_t stream) {
  const int elements = int(sizeof(Piece)) / element_size(p.dtype);
  const RowGather g{p.table.data,
                    p.indices,
                    p.out.data,
                    p.table.row_stride / elements,
                    p.out.row_stride / elements,
                    p.table_rows,
                    p.rows,
                    p.width / elements,
                    p.index_bytes};
  const int64_t blocks = ceil_div(int64_t(g.rows) * g.width, kThreads);
  if (blocks > INT32_MAX) unsupported("%d rows by %d are too many for one call", p.rows, p.width);
  launch("gathering rows", gather<Piece>, uint32_t(blocks), kThreads, 0, stream, g);
}

}  // namespace
}  // namespace svg

int32_t svg_gather_rows(const svg_gather_rows_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_gather_rows_params& p) {
    at_least("table_rows", p.table_rows, 1);
    at_least("rows", p.rows, 1);
    at_least("width", p.width, 1);
    if (p.index_bytes != 4 && p.index_bytes != 8) refuse("index_bytes is %d, expected 4 or 8", p.index_bytes);
    Arguments arguments;
    arguments.read("table", p.table, p.dtype, 1, p.table_rows, p.width);
    if (p.index_bytes == 4) {
      arguments.read("indices", static_cast<const int32_t*>(p.indices), p.rows);
    } else {
      arguments.read("indices", static_cast<const int64_t*>(p.indices), p.rows);
    }
    arguments.write("out", p.out, p.dtype, 1, p.rows, p.width);
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    const auto fits = [&](int bytes) {
      return int64_t(p.width) * element_size(p.dtype) % bytes == 0 &&
             aligned(p.table, p.dtype, 1, p.table_rows, bytes) && aligned(p.out, p.dtype, 1, p.rows, bytes);
    };
    if (fits(16)) return launch_gather<int4>(p, on);
    if (fits(8)) return launch_gather<int2>(p, on);
    if (fits(4)) return launch_gather<int>(p, on);
    launch_gather<short>(p, on);
  });
}
