// What every function of the C ABI does first: check its arguments, and turn failures into a status and a message.
//
// Checked here are the things that a caller can see without reading device memory: counts, options, pointers, strides,
// alignment and overlap. What arrays hold (labels, orders, rows) is on the device; kernels leave out entries outside
// of their range, so that they never write outside of the outputs.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <exception>

#include "svg_kernels.h"

namespace svg {

/// A failed call; never leaves the library.
struct Failure : std::exception {
  explicit Failure(svg_status status) : status(status) {}
  const char* what() const noexcept override { return text; }
  svg_status status;
  char text[384];
};

/// Throws a Failure of SVG_INVALID_ARGUMENT with a printf-style message: the argument's name, its value, what was
/// expected.
[[noreturn]] __attribute__((format(printf, 1, 2))) void refuse(const char* format, ...);
/// The same, of SVG_UNSUPPORTED.
[[noreturn]] __attribute__((format(printf, 1, 2))) void unsupported(const char* format, ...);
/// Throws unless result is cudaSuccess.
void check(cudaError_t result, const char* what);

void at_least(const char* name, int64_t value, int64_t least);
void in_range(const char* name, int64_t value, int64_t least, int64_t most);
void finite(const char* name, float value);
void not_negative(const char* name, float value);

inline int element_size(int32_t dtype) { return dtype == SVG_F32 ? 4 : 2; }

/// An (H, rows, width) tensor in device memory; strides count elements.
template <class T>
struct Rows {
  T* data;
  int64_t head_stride, row_stride;

  explicit Rows(const svg_heads& t)
      : data(static_cast<T*>(t.data)), head_stride(t.head_stride), row_stride(t.row_stride) {}
#ifdef __CUDACC__
  __device__ T* row(int64_t head, int64_t row) const { return data + head * head_stride + row * row_stride; }
#endif
};

/// The memory that a call reads and writes. Every registered piece is checked on its own (null, alignment, strides)
/// and against the others: what is written must overlap nothing else.
class Arguments {
 public:
  void read(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int width);
  void write(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int width);
  /// An output that may be the input of the same name exactly.
  void write_over(const char* name, const svg_heads& t, const char* input, const svg_heads& in, int32_t dtype,
                  int heads, int rows, int width);
  /// A tensor whose strides may be 0, read if it has data.
  void read_broadcast(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int width);
  void read_weights(const char* name, const void* array, int32_t dtype, int64_t count);

  template <class T>
  void read(const char* name, const T* array, int64_t count) {
    add_array(name, array, count, sizeof(T), false);
  }
  template <class T>
  void write(const char* name, const T* array, int64_t count) {
    add_array(name, array, count, sizeof(T), true);
  }

 private:
  struct Extent {
    const char* name;
    uintptr_t begin, end;
    bool written;
  };
  enum Use { kRead, kBroadcast, kWritten };
  Extent tensor_extent(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int width, Use use);
  void add_array(const char* name, const void* array, int64_t count, int64_t size, bool written);
  void add(const Extent& extent, const char* may_overlap = nullptr);

  Extent extents_[16];
  int count_ = 0;
};

/// Whether every row of t starts at a multiple of `bytes`.
bool aligned(const svg_heads& t, int32_t dtype, int heads, int rows, int bytes);
/// Refuses a tensor whose rows do not start at multiples of `bytes`.
void require_aligned(const char* name, const svg_heads& t, int32_t dtype, int heads, int rows, int bytes);

/// Stores the calling thread's error message and returns the status.
int32_t fail(svg_status status, const char* function, const char* text) noexcept;

/// Runs a function of the C ABI: checks the struct, calls body(params), and lets no exception out.
template <class Params, class Body>
int32_t run(const char* function, const Params* params, Body body) noexcept {
  try {
    if (params == nullptr) refuse("params is null");
    if (params->struct_size != sizeof(Params)) {
      refuse("struct_size is %u, expected %zu: the caller was built against another version of svg_kernels.h",
             params->struct_size, sizeof(Params));
    }
    body(*params);
    return SVG_OK;
  } catch (const Failure& failure) {
    return fail(failure.status, function, failure.what());
  } catch (const std::exception& e) {
    return fail(SVG_INTERNAL_ERROR, function, e.what());
  } catch (...) {
    return fail(SVG_INTERNAL_ERROR, function, "unknown exception");
  }
}

}  // namespace svg
