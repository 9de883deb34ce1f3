#include "arguments.h"

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>

namespace svg {

static thread_local char last_error[512] = "";

int32_t fail(svg_status status, const char* function, const char* text) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s: %s", function, text);
  return status;
}

void refuse(const char* format, ...) {
  Refusal refusal;
  va_list values;
  va_start(values, format);
  std::vsnprintf(refusal.text, sizeof refusal.text, format, values);
  va_end(values);
  throw refusal;
}

void at_least(const char* name, int64_t value, int64_t least) {
  if (value < least) refuse("%s is %lld, expected at least %lld", name, (long long)value, (long long)least);
}

void in_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    refuse("%s is %lld, expected %lld to %lld", name, (long long)value, (long long)least, (long long)most);
  }
}

void check_shape(int heads, int head_dim) {
  at_least("heads", heads, 1);
  in_range("head_dim", head_dim, 1, 65536);
}

void finite(const char* name, float value) {
  if (!std::isfinite(value)) refuse("%s is %g, expected a finite number", name, (double)value);
}

void finite_at_least_0(const char* name, float value) {
  finite(name, value);
  if (value < 0) refuse("%s is %g, expected at least 0", name, (double)value);
}

void check_permutation(const int32_t* order, int heads, int count) {
  std::vector<bool> seen(count);
  for (int h = 0; h < heads; h++) {
    seen.assign(count, false);
    for (int i = 0; i < count; i++) {
      const int32_t row = order[h * int64_t(count) + i];
      if (row < 0 || row >= count) refuse("order[%d][%d] is %d, expected 0 to %d", h, i, row, count - 1);
      if (seen[row]) refuse("order[%d][%d] is %d for the second time, expected a permutation", h, i, row);
      seen[row] = true;
    }
  }
}

Tensor Arguments::read(const char* name, const svg_heads& heads_of, int32_t dtype, int heads, int rows, int dim) {
  return add_tensor(name, heads_of, dtype, heads, rows, dim, Use::kRead);
}

Tensor Arguments::write(const char* name, const svg_heads& heads_of, int32_t dtype, int heads, int rows, int dim) {
  return add_tensor(name, heads_of, dtype, heads, rows, dim, Use::kWritten);
}

Tensor Arguments::write_over(const char* name, const svg_heads& t, const char* input, const svg_heads& in,
                             int32_t dtype, int heads, int rows, int dim) {
  const bool same = t.data == in.data && t.head_stride == in.head_stride && t.row_stride == in.row_stride;
  return add_tensor(name, t, dtype, heads, rows, dim, Use::kWritten, same ? input : nullptr);
}

std::optional<Tensor> Arguments::read_broadcast(const char* name, const svg_heads& t, const char* dtype_name,
                                                int32_t dtype, int heads, int rows, int dim) {
  if (t.data == nullptr) return std::nullopt;
  in_range(dtype_name, dtype, SVG_F32, SVG_BF16);
  return add_tensor(name, t, dtype, heads, rows, dim, Use::kBroadcast);
}

std::optional<Tensor> Arguments::read_weight(const char* name, const void* array, const char* dtype_name, int32_t dtype,
                                             int heads, int rows, int dim, bool per_head) {
  const svg_heads t{const_cast<void*>(array), per_head ? dim : 0, 0};
  return read_broadcast(name, t, dtype_name, dtype, heads, rows, dim);
}

Tensor Arguments::add_tensor(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int dim, Use use,
                             const char* may_overlap) {
  in_range("dtype", dtype, SVG_F32, SVG_BF16);
  const int size = element_size(static_cast<svg_dtype>(dtype));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(t.data);
  if (begin == 0) refuse("%s.data is null", name);
  if (begin % size != 0) refuse("%s.data is %p, expected a multiple of %d bytes", name, t.data, size);
  const long long head_stride = t.head_stride, row_stride = t.row_stride;
  const bool broadcast = use == Use::kBroadcast && row_stride == 0;
  if (row_stride < dim && !broadcast) {
    refuse("%s.row_stride is %lld, expected at least the row's width %d", name, row_stride, dim);
  }
  if (head_stride < 0) refuse("%s.head_stride is %lld, expected at least 0", name, head_stride);

  int64_t head_span, row_span, elements, bytes;
  uintptr_t end;
  if (__builtin_mul_overflow(t.head_stride, int64_t(heads - 1), &head_span) ||
      __builtin_mul_overflow(t.row_stride, int64_t(rows - 1), &row_span) ||
      __builtin_add_overflow(head_span, row_span, &elements) ||
      __builtin_add_overflow(elements, int64_t(dim), &elements) ||
      __builtin_mul_overflow(elements, int64_t(size), &bytes) || __builtin_add_overflow(begin, bytes, &end)) {
    refuse("%s of %d heads, %d rows, strides %lld and %lld exceeds the address space", name, heads, rows, head_stride,
           row_stride);
  }
  const bool head_major = head_stride >= row_span + dim;
  const bool token_major = head_stride >= dim && row_stride >= head_span + dim;
  if (use == Use::kWritten && heads > 1 && !head_major && !token_major) {
    refuse("%s.head_stride %lld and row_stride %lld let %d heads of %d rows by %d overlap", name, head_stride,
           row_stride, heads, rows, dim);
  }
  add({name, begin, end, use == Use::kWritten}, may_overlap);
  return Tensor(t, static_cast<svg_dtype>(dtype), heads, rows, dim);
}

void Arguments::add_array(const char* name, const void* array, int64_t count, int64_t size, bool written) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(array);
  if (begin == 0) refuse("%s is null", name);
  if (begin % size != 0) refuse("%s is %p, expected a multiple of %lld bytes", name, array, (long long)size);
  add({name, begin, begin + count * size, written});
}

void Arguments::add(const Extent& extent, const char* may_overlap) {
  for (const Extent& other : extents_) {
    if (may_overlap != nullptr && std::strcmp(other.name, may_overlap) == 0) continue;
    const bool overlap = extent.begin < other.end && other.begin < extent.end;
    if (overlap && (extent.written || other.written)) {
      refuse("%s at [%#llx, %#llx) overlaps %s at [%#llx, %#llx), and %s is written", extent.name,
             (unsigned long long)extent.begin, (unsigned long long)extent.end, other.name,
             (unsigned long long)other.begin, (unsigned long long)other.end, extent.written ? extent.name : other.name);
    }
  }
  extents_.push_back(extent);
}

}  // namespace svg

const char* svg_last_error(void) { return svg::last_error; }
