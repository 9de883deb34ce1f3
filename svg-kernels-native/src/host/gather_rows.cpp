// Rows of a table by their numbers: svg_gather_rows.
#include "arguments.h"
#include "parallel.h"

int32_t svg_gather_rows(const svg_gather_rows_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_gather_rows_params& p) {
    at_least("table_rows", p.table_rows, 1);
    at_least("rows", p.rows, 1);
    at_least("width", p.width, 1);
    if (p.index_bytes != 4 && p.index_bytes != 8) refuse("index_bytes is %d, expected 4 or 8", p.index_bytes);
    Arguments arguments;
    const Tensor table = arguments.read("table", p.table, p.dtype, 1, p.table_rows, p.width);
    const auto* narrow = static_cast<const int32_t*>(p.indices);
    const auto* wide = static_cast<const int64_t*>(p.indices);
    if (p.index_bytes == 4) {
      arguments.read("indices", narrow, p.rows);
    } else {
      arguments.read("indices", wide, p.rows);
    }
    const Tensor out = arguments.write("out", p.out, p.dtype, 1, p.rows, p.width);
    const auto index = [&](int i) { return p.index_bytes == 4 ? narrow[i] : wide[i]; };
    for (int i = 0; i < p.rows; i++) {
      if (index(i) < 0 || index(i) >= p.table_rows) {
        refuse("indices[%d] is %lld, expected 0 to %d", i, (long long)index(i), p.table_rows - 1);
      }
    }
#pragma omp parallel for schedule(static) if (worth_threads(int64_t(p.rows) * p.width))
    for (int i = 0; i < p.rows; i++) table.copy_row(0, int(index(i)), out, i);
  });
}
