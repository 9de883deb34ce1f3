// The library's own functions: version, build, errors, argument checks.
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "arguments.h"
#include "launch.h"

namespace svg {

static thread_local char last_error[512] = "";

int32_t fail(svg_status status, const char* function, const char* text) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s: %s", function, text);
  return status;
}

void refuse(const char* format, ...) {
  Failure failure(SVG_INVALID_ARGUMENT);
  va_list values;
  va_start(values, format);
  std::vsnprintf(failure.text, sizeof failure.text, format, values);
  va_end(values);
  throw failure;
}

void unsupported(const char* format, ...) {
  Failure failure(SVG_UNSUPPORTED);
  va_list values;
  va_start(values, format);
  std::vsnprintf(failure.text, sizeof failure.text, format, values);
  va_end(values);
  throw failure;
}

void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // a failed launch is reported once, here
  Failure failure(result == cudaErrorMemoryAllocation ? SVG_OUT_OF_MEMORY : SVG_DEVICE_ERROR);
  std::snprintf(failure.text, sizeof failure.text, "%s: %s (%s)", what, cudaGetErrorString(result),
                cudaGetErrorName(result));
  throw failure;
}

void at_least(const char* name, int64_t value, int64_t least) {
  if (value < least) refuse("%s is %lld, expected at least %lld", name, (long long)value, (long long)least);
}

void in_range(const char* name, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    refuse("%s is %lld, expected %lld to %lld", name, (long long)value, (long long)least, (long long)most);
  }
}

void finite(const char* name, float value) {
  if (!std::isfinite(value)) refuse("%s is %g, expected a finite number", name, (double)value);
}

void not_negative(const char* name, float value) {
  if (!(value >= 0)) refuse("%s is %g, expected at least 0", name, (double)value);
}

void Arguments::read(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int width) {
  add(tensor_extent(name, t, dtype, heads, rows, width, kRead));
}

void Arguments::write(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int width) {
  add(tensor_extent(name, t, dtype, heads, rows, width, kWritten));
}

void Arguments::write_over(const char* name, const svg_heads& t, const char* input, const svg_heads& in, int32_t dtype,
                           int heads, int rows, int width) {
  const bool same = t.data == in.data && t.head_stride == in.head_stride && t.row_stride == in.row_stride;
  add(tensor_extent(name, t, dtype, heads, rows, width, kWritten), same ? input : nullptr);
}

void Arguments::read_broadcast(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int width) {
  if (t.data != nullptr) add(tensor_extent(name, t, dtype, heads, rows, width, kBroadcast));
}

void Arguments::read_weights(const char* name, const void* array, int32_t dtype, int64_t count) {
  if (array == nullptr) return;
  in_range("weight_dtype", dtype, SVG_F32, SVG_BF16);
  add_array(name, array, count, element_size(dtype), false);
}

Arguments::Extent Arguments::tensor_extent(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows,
                                           int width, Use use) {
  in_range("dtype", dtype, SVG_F32, SVG_BF16);
  const int size = element_size(dtype);
  const uintptr_t begin = reinterpret_cast<uintptr_t>(t.data);
  if (begin == 0) refuse("%s.data is null", name);
  if (begin % size != 0) refuse("%s.data is %p, expected a multiple of %d bytes", name, t.data, size);
  const long long head_stride = t.head_stride, row_stride = t.row_stride;
  const bool broadcast = use == kBroadcast && row_stride == 0;
  if (row_stride < width && !broadcast) {
    refuse("%s.row_stride is %lld, expected at least the row's width %d", name, row_stride, width);
  }
  if (head_stride < 0) refuse("%s.head_stride is %lld, expected at least 0", name, head_stride);

  int64_t head_span, row_span, elements, bytes;
  uintptr_t end;
  if (__builtin_mul_overflow(t.head_stride, int64_t(heads - 1), &head_span) ||
      __builtin_mul_overflow(t.row_stride, int64_t(rows - 1), &row_span) ||
      __builtin_add_overflow(head_span, row_span, &elements) ||
      __builtin_add_overflow(elements, int64_t(width), &elements) ||
      __builtin_mul_overflow(elements, int64_t(size), &bytes) || __builtin_add_overflow(begin, bytes, &end)) {
    refuse("%s of %d heads, %d rows, strides %lld and %lld exceeds the address space", name, heads, rows, head_stride,
           row_stride);
  }
  const bool head_major = head_stride >= row_span + width;
  const bool token_major = head_stride >= width && row_stride >= head_span + width;
  if (use == kWritten && heads > 1 && !head_major && !token_major) {
    refuse("%s.head_stride %lld and row_stride %lld let %d heads of %d rows by %d overlap", name, head_stride,
           row_stride, heads, rows, width);
  }
  return {name, begin, end, use == kWritten};
}

void Arguments::add_array(const char* name, const void* array, int64_t count, int64_t size, bool written) {
  const uintptr_t begin = reinterpret_cast<uintptr_t>(array);
  if (begin == 0) refuse("%s is null", name);
  if (begin % size != 0) refuse("%s is %p, expected a multiple of %lld bytes", name, array, (long long)size);
  add({name, begin, begin + count * size, written});
}

void Arguments::add(const Extent& extent, const char* may_overlap) {
  for (int i = 0; i < count_; i++) {
    const Extent& other = extents_[i];
    const bool overlap = extent.begin < other.end && other.begin < extent.end;
    if (overlap && other.name != may_overlap && (extent.written || other.written)) {
      refuse("%s at [%#llx, %#llx) overlaps %s at [%#llx, %#llx), and %s is written", extent.name,
             (unsigned long long)extent.begin, (unsigned long long)extent.end, other.name,
             (unsigned long long)other.begin, (unsigned long long)other.end, extent.written ? extent.name : other.name);
    }
  }
  extents_[count_++] = extent;
}

bool aligned(const svg_heads& t, int32_t dtype, int heads, int rows, int bytes) {
  const int64_t size = element_size(dtype);
  return reinterpret_cast<uintptr_t>(t.data) % bytes == 0 && (heads == 1 || t.head_stride * size % bytes == 0) &&
         (rows == 1 || t.row_stride * size % bytes == 0);
}

void require_aligned(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int bytes) {
  if (aligned(t, dtype, heads, rows, bytes)) return;
  refuse("%s.data %p, head_stride %lld and row_stride %lld: expected every row to start at a multiple of %d bytes",
         name, t.data, (long long)t.head_stride, (long long)t.row_stride, bytes);
}

}  // namespace svg

const char* svg_last_error(void) { return svg::last_error; }

int32_t svg_abi_version(void) { return SVG_ABI_VERSION; }

const char* svg_build_info(void) {
  static char text[96] = "";
  static const int length = std::snprintf(
      text, sizeof text, "cuda %d.%d, sm_80 sm_89 sm_90a compute_80, matrix path %s", CUDART_VERSION / 1000,
      CUDART_VERSION % 1000 / 10, std::getenv("SVG_CUDA_MMA") != nullptr ? std::getenv("SVG_CUDA_MMA") : "auto");
  return length > 0 ? text : "cuda";
}
