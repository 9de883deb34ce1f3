// Views of any layout, for both libraries: what is checked of them, and the shortest loop nest over several of one
// shape.
#pragma once

#include <cstdint>

#include "svg_kernels.h"

namespace svg {

/// Throws the library's error of a refused argument with a printf-style message.
[[noreturn]] __attribute__((format(printf, 1, 2))) void refuse(const char* format, ...);

/// A view with its name and the size of an element in bytes.
struct NamedView {
  const char* name;
  const svg_view* view;
  int element_size;
  bool written;
};

/// Loops over N views of one shape; strides are in bytes, the last dimension is the innermost. Dimensions of size 1 are
/// left out, and those that lie one behind the other in all views are one.
template <int N>
struct Loops {
  int dims = 0;
  int64_t count = 1;
  int64_t sizes[SVG_MAX_DIMS];
  char* data[N];
  int64_t strides[N][SVG_MAX_DIMS];

  void add(int64_t size, const int64_t (&steps)[N]) {
    if (size == 1) return;
    bool follows = dims > 0;
    for (int v = 0; v < N && follows; v++) follows = strides[v][dims - 1] == steps[v] * size;
    if (follows) dims--;
    sizes[dims] = follows ? sizes[dims] * size : size;
    for (int v = 0; v < N; v++) strides[v][dims] = steps[v];
    dims++;
  }
};

namespace views {

inline void check_sizes(int dims, const int64_t* sizes, int64_t* count) {
  if (dims < 1 || dims > SVG_MAX_DIMS) refuse("dims is %d, expected 1 to %d", dims, SVG_MAX_DIMS);
  *count = 1;
  for (int d = 0; d < dims; d++) {
    if (sizes[d] < 1) refuse("sizes[%d] is %lld, expected at least 1", d, (long long)sizes[d]);
    if (__builtin_mul_overflow(*count, sizes[d], count)) refuse("the sizes' product exceeds 64 bits");
  }
}

/// The address behind the view's last byte.
inline uintptr_t check_view(const NamedView& v, int dims, const int64_t* sizes) {
  const auto begin = reinterpret_cast<uintptr_t>(v.view->data);
  if (begin == 0) refuse("%s.data is null", v.name);
  if (begin % v.element_size != 0) {
    refuse("%s.data is %p, expected a multiple of %d bytes", v.name, v.view->data, v.element_size);
  }
  int64_t last = 0;
  uintptr_t end = 0;
  bool fits = true;
  int order[SVG_MAX_DIMS];  // dimensions by ascending stride
  for (int d = 0; d < dims; d++) {
    const int64_t stride = v.view->strides[d];
    int64_t span;
    if (stride < 0) refuse("%s.strides[%d] is %lld, expected at least 0", v.name, d, (long long)stride);
    fits = fits && !__builtin_mul_overflow(stride, sizes[d] - 1, &span) && !__builtin_add_overflow(last, span, &last);
    int place = d;
    for (; place > 0 && v.view->strides[order[place - 1]] > stride; place--) order[place] = order[place - 1];
    order[place] = d;
  }
  fits = fits && !__builtin_add_overflow(last, int64_t(1), &last) &&
         !__builtin_mul_overflow(last, int64_t(v.element_size), &last) && !__builtin_add_overflow(begin, last, &end);
  if (!fits) refuse("%s exceeds the address space", v.name);
  if (v.written) {
    int64_t covered = 1;  // elements up to the last one of the dimensions with smaller strides
    for (int i = 0; i < dims; i++) {
      const int64_t stride = v.view->strides[order[i]], size = sizes[order[i]];
      if (size == 1) continue;
      if (stride < covered) {
        refuse("%s.strides[%d] is %lld: elements of what is written overlap", v.name, order[i], (long long)stride);
      }
      covered += stride * (size - 1);
    }
  }
  return end;
}

/// Whether both are the same elements in the same order.
inline bool same(const NamedView& a, const NamedView& b, int dims, const int64_t* sizes) {
  bool same = a.view->data == b.view->data && a.element_size == b.element_size;
  for (int d = 0; d < dims; d++) same = same && (sizes[d] == 1 || a.view->strides[d] == b.view->strides[d]);
  return same;
}

}  // namespace views

/// Checks views of one shape, the written one last, which may be one of the others itself if in_place says so. Only
/// elements of the shape are ever touched.
template <int N>
Loops<N> loops_over(int dims, const int64_t* sizes, const NamedView (&views)[N], bool in_place) {
  Loops<N> loops;
  views::check_sizes(dims, sizes, &loops.count);
  uintptr_t ends[N];
  for (int v = 0; v < N; v++) {
    ends[v] = views::check_view(views[v], dims, sizes);
    loops.data[v] = static_cast<char*>(views[v].view->data);
  }
  const NamedView& out = views[N - 1];
  const auto out_begin = reinterpret_cast<uintptr_t>(out.view->data);
  for (int v = 0; v < N - 1; v++) {
    const auto begin = reinterpret_cast<uintptr_t>(views[v].view->data);
    const bool overlap = begin < ends[N - 1] && out_begin < ends[v];
    if (overlap && !(in_place && views::same(views[v], out, dims, sizes))) {
      refuse("%s at [%#llx, %#llx) overlaps %s at [%#llx, %#llx), which is written", views[v].name,
             (unsigned long long)begin, (unsigned long long)ends[v], out.name, (unsigned long long)out_begin,
             (unsigned long long)ends[N - 1]);
    }
  }
  for (int d = 0; d < dims; d++) {
    int64_t steps[N];
    for (int v = 0; v < N; v++) steps[v] = views[v].view->strides[d] * views[v].element_size;
    loops.add(sizes[d], steps);
  }
  if (loops.dims == 0) {
    loops.dims = 1;
    loops.sizes[0] = 1;
    for (int v = 0; v < N; v++) loops.strides[v][0] = views[v].element_size;
  }
  return loops;
}

inline Loops<2> copy_loops(const svg_copy_params& p) {
  const int size = p.element_size;
  if (size != 1 && size != 2 && size != 4 && size != 8) refuse("element_size is %d, expected 1, 2, 4 or 8", size);
  return loops_over<2>(p.dims, p.sizes, {{"src", &p.src, size, false}, {"dst", &p.dst, size, true}}, false);
}

/// Views x, y and out; y is x where there is none.
inline Loops<3> elementwise_loops(const svg_elementwise_params& p) {
  if (p.op < SVG_ADD || p.op > SVG_MAXIMUM) refuse("op is %d, expected %d to %d", p.op, SVG_ADD, SVG_MAXIMUM);
  const auto size = [](const char* name, int dtype) {
    if (dtype < SVG_F32 || dtype > SVG_BF16) refuse("%s is %d, expected %d to %d", name, dtype, SVG_F32, SVG_BF16);
    return dtype == SVG_F32 ? 4 : 2;
  };
  const NamedView x = {"x", &p.x, size("x_dtype", p.x_dtype), false};
  const NamedView y = {"y", &p.y, size("y_dtype", p.y_dtype), false};
  const NamedView out = {"out", &p.out, size("out_dtype", p.out_dtype), true};
  return loops_over<3>(p.dims, p.sizes, {x, p.y.data == nullptr ? x : y, out}, true);
}

}  // namespace svg
