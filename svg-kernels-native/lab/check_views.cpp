// Copies and arithmetic of views with any strides.
#include <algorithm>

#include "checks.h"

namespace lab {
namespace {

svg_view view(void* data, const int64_t* strides, int dims) {
  svg_view v{};
  v.data = data;
  std::copy(strides, strides + dims, v.strides);
  return v;
}

}  // namespace

/// Contiguous, with gaps, transposed, broadcast, folded dimensions, and starts that allow no wide accesses.
void check_views(Checker& check) {
  struct Shape {
    int element_size, start, dims;
    int64_t sizes[SVG_MAX_DIMS], from[SVG_MAX_DIMS], to[SVG_MAX_DIMS];
  };
  for (const Shape& s :
       {Shape{1, 0, 2, {4096, 3}, {3, 1}, {3, 1}},
        {2, 1, 3, {5, 7, 33}, {231, 33, 1}, {231, 33, 1}},
        {2, 0, 3, {3, 16, 64}, {4096, 128, 1}, {1024, 64, 1}},
        {4, 0, 3, {7, 5, 9}, {1, 63, 7}, {45, 9, 1}},
        {4, 1, 3, {7, 5, 9}, {0, 9, 1}, {45, 9, 1}},
        {8, 0, 4, {1, 17, 1, 3}, {9, 0, 9, 1}, {60, 3, 9, 1}},
        {1, 3, 8, {2, 2, 2, 2, 2, 2, 2, 2}, {1, 2, 4, 8, 16, 32, 64, 128}, {128, 64, 32, 16, 8, 4, 2, 1}},
        {4, 0, 1, {20000003}, {1}, {1}},
        {2, 0, 1, {1}, {0}, {5}}}) {
    const auto extent = [&](const int64_t* strides) {
      int64_t last = s.start;
      for (int d = 0; d < s.dims; d++) last += (s.sizes[d] - 1) * strides[d];
      return size_t(last + 1) * s.element_size;
    };
    Array from(extent(s.from)), to(extent(s.to));
    for (size_t i = 0; i < from.bytes(); i++) from.at<uint8_t>(Side::kHost)[i] = uint8_t(check.random());
    from.upload();
    check.both("svg_copy", [&](Side side) {
      svg_copy_params p{};
      p.element_size = s.element_size;
      p.dims = s.dims;
      std::copy(s.sizes, s.sizes + s.dims, p.sizes);
      p.src = view(from.at<char>(side) + s.start * s.element_size, s.from, s.dims);
      p.dst = view(to.at<char>(side) + s.start * s.element_size, s.to, s.dims);
      return p;
    });
    check.equal(format("copy of %d dimensions, elements of %d bytes", s.dims, s.element_size), to);
  }
  for (int op : {SVG_ADD, SVG_SUBTRACT, SVG_MULTIPLY, SVG_DIVIDE, SVG_MINIMUM, SVG_MAXIMUM}) {
    for (int32_t x_dtype : {SVG_F32, SVG_BF16, SVG_F16}) {
      for (int32_t out_dtype : {SVG_F32, SVG_BF16, SVG_F16}) {
        for (bool scalar : {false, true}) {
          const int32_t y_dtype = (x_dtype + 1) % 3;
          Tensor x(x_dtype, 5, 7, 33), y(y_dtype, 1, 7, 33, false, 3), out(out_dtype, 7, 5, 33);
          x.fill_normal(check.random);
          y.fill_normal(check.random);
          check.both("svg_elementwise", [&](Side side) {
            svg_elementwise_params p{};
            p.op = op;
            p.dims = 3;
            p.x_dtype = x_dtype;
            p.y_dtype = y_dtype;
            p.out_dtype = out_dtype;
            p.scalar = 0.3f;
            const int64_t sizes[] = {5, 7, 33}, by[] = {0, y.row_stride, 1}, turned[] = {33, 5 * 33, 1};
            std::copy(sizes, sizes + 3, p.sizes);
            const int64_t strides[] = {x.head_stride, x.row_stride, 1};
            p.x = view(x.array.at(side), strides, 3);
            if (!scalar) p.y = view(y.array.at(side), by, 3);
            p.out = view(out.array.at(side), turned, 3);
            return p;
          });
          check.equal(format("elementwise %d of %s to %s%s", op, dtype_name(x_dtype), dtype_name(out_dtype),
                             scalar ? ", scalar" : ""),
                      out.array);
        }
      }
    }
  }
}

/// Of one type and one behind the other: whole units, what is left over, less than a unit, unaligned, in place.
void check_plain_elementwise(Checker& check) {
  for (int32_t dtype : {SVG_F32, SVG_BF16, SVG_F16}) {
    for (int64_t count : {1, 7, 4096, 8195, 1000003}) {
      for (int op : {SVG_ADD, SVG_SUBTRACT, SVG_MULTIPLY, SVG_DIVIDE, SVG_MINIMUM, SVG_MAXIMUM}) {
        for (bool scalar : {false, true}) {
          const bool in_place = count == 8195;
          const int start = count == 4096 ? 1 : 0;
          Tensor x(dtype, 1, 1, int(count) + start), y(dtype, 1, 1, int(count)), out(dtype, 1, 1, int(count));
          x.fill_normal(check.random);
          y.fill_normal(check.random);
          check.both("svg_elementwise", [&](Side side) {
            svg_elementwise_params p{};
            p.op = op;
            p.dims = 1;
            p.x_dtype = p.y_dtype = p.out_dtype = dtype;
            p.scalar = -1.7f;
            p.sizes[0] = count;
            const int64_t stride = 1;
            p.x = view(x.array.at<char>(side) + start * element_size(dtype), &stride, 1);
            if (!scalar) p.y = view(y.array.at(side), &stride, 1);
            p.out = in_place ? p.x : view(out.array.at(side), &stride, 1);
            return p;
          });
          check.equal(
              format("elementwise %d of %lld %s%s", op, (long long)count, dtype_name(dtype), scalar ? ", scalar" : ""),
              in_place ? x.array : out.array);
        }
      }
    }
  }
}

}  // namespace lab
