// Copies and arithmetic over views of any layout: svg_copy, svg_elementwise.
#include "../common/views.h"

#include <cstring>

#include "arguments.h"
#include "parallel.h"

namespace svg {
namespace {

/// Calls body(addresses) for the start of every innermost run.
template <int N, class Body>
void for_runs(const Loops<N>& loops, Body body) {
  const int outer = loops.dims - 1;
  const int64_t runs = loops.count / loops.sizes[outer];
#pragma omp parallel for schedule(static) if (worth_threads(loops.count))
  for (int64_t run = 0; run < runs; run++) {
    char* at[N];
    for (int v = 0; v < N; v++) at[v] = loops.data[v];
    int64_t rest = run;
    for (int d = outer - 1; d >= 0; d--) {
      const int64_t i = rest % loops.sizes[d];
      rest /= loops.sizes[d];
      for (int v = 0; v < N; v++) at[v] += i * loops.strides[v][d];
    }
    body(at);
  }
}

float load(const char* at, int dtype) {
  const svg_heads one{const_cast<char*>(at), 0, 1};
  float value;
  Tensor(one, svg_dtype(dtype), 1, 1, 1).read_row(0, 0, &value);
  return value;
}

void store(char* at, int dtype, float value) { Tensor({at, 0, 1}, svg_dtype(dtype), 1, 1, 1).write_row(0, 0, &value); }

float apply(int op, float x, float y) {
  switch (op) {
    case SVG_ADD:
      return x + y;
    case SVG_SUBTRACT:
      return x - y;
    case SVG_MULTIPLY:
      return x * y;
    case SVG_DIVIDE:
      return x / y;
    case SVG_MINIMUM:
      return x < y || x != x ? x : y;
    default:
      return x > y || x != x ? x : y;
  }
}

}  // namespace
}  // namespace svg

int32_t svg_copy(const svg_copy_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_copy_params& p) {
    const Loops<2> loops = copy_loops(p);
    const int inner = loops.dims - 1, size = p.element_size;
    const int64_t count = loops.sizes[inner], from = loops.strides[0][inner], to = loops.strides[1][inner];
    for_runs(loops, [=](char* const(&at)[2]) {
      if (from == size && to == size) {
        std::memcpy(at[1], at[0], count * size);
      } else {
        for (int64_t i = 0; i < count; i++) std::memcpy(at[1] + i * to, at[0] + i * from, size);
      }
    });
  });
}

int32_t svg_elementwise(const svg_elementwise_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_elementwise_params& p) {
    const Loops<3> loops = elementwise_loops(p);
    const int inner = loops.dims - 1;
    const int64_t count = loops.sizes[inner];
    for_runs(loops, [&p, &loops, inner, count](char* const(&at)[3]) {
      for (int64_t i = 0; i < count; i++) {
        const float x = load(at[0] + i * loops.strides[0][inner], p.x_dtype);
        const float y = p.y.data == nullptr ? p.scalar : load(at[1] + i * loops.strides[1][inner], p.y_dtype);
        store(at[2] + i * loops.strides[2][inner], p.out_dtype, apply(p.op, x, y));
      }
    });
  });
}
