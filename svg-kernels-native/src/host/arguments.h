// What every function of the C ABI does first: check its arguments, and turn failures into a status and a message.
#pragma once

#include <cstdint>
#include <exception>
#include <new>
#include <optional>
#include <vector>

#include "svg_kernels.h"
#include "tensor.h"

namespace svg {

/// A refused argument; never leaves the library.
struct Refusal : std::exception {
  const char* what() const noexcept override { return text; }
  char text[384];
};

/// Throws a Refusal with a printf-style message: the argument's name, its value, what was expected.
[[noreturn]] __attribute__((format(printf, 1, 2))) void refuse(const char* format, ...);

void at_least(const char* name, int64_t value, int64_t least);
/// What every function starts with. The limit on dimensions keeps sizes of scratch memory far from overflow.
void check_shape(int heads, int head_dim);
void in_range(const char* name, int64_t value, int64_t least, int64_t most);
void finite(const char* name, float value);
void finite_at_least_0(const char* name, float value);
/// Refuses an order that is not, for each head, a permutation of [0, count).
void check_permutation(const int32_t* order, int heads, int count);

/// The memory that a call reads and writes. Every registered piece is checked on its own (null, alignment, strides)
/// and against the others: what is written must overlap nothing else.
class Arguments {
 public:
  Tensor read(const char* name, const svg_heads& heads_of, int32_t dtype, int heads, int rows, int dim);
  Tensor write(const char* name, const svg_heads& heads_of, int32_t dtype, int heads, int rows, int dim);

  /// An output that may be the tensor `in`, registered as `input`: the same pointer and strides.
  Tensor write_over(const char* name, const svg_heads& heads_of, const char* input, const svg_heads& in, int32_t dtype,
                    int heads, int rows, int dim);
  /// A tensor that is read per channel: its strides may be 0. Nothing if it has no data.
  std::optional<Tensor> read_broadcast(const char* name, const svg_heads& heads_of, const char* dtype_name,
                                       int32_t dtype, int heads, int rows, int dim);
  /// The same from an array: (dim) for all heads and rows, or (heads, dim).
  std::optional<Tensor> read_weight(const char* name, const void* array, const char* dtype_name, int32_t dtype,
                                    int heads, int rows, int dim, bool per_head = false);

  template <class T>
  const T* read(const char* name, const T* array, int64_t count) {
    add_array(name, array, count, sizeof(T), false);
    return array;
  }
  template <class T>
  T* write(const char* name, T* array, int64_t count) {
    add_array(name, array, count, sizeof(T), true);
    return array;
  }

 private:
  struct Extent {
    const char* name;
    uintptr_t begin, end;
    bool written;
  };
  enum class Use { kRead, kBroadcast, kWritten };
  Tensor add_tensor(const char* name, const svg_heads& heads_of, int32_t dtype, int heads, int rows, int dim, Use use,
                    const char* may_overlap = nullptr);
  void add_array(const char* name, const void* array, int64_t count, int64_t size, bool written);
  void add(const Extent& extent, const char* may_overlap = nullptr);

  std::vector<Extent> extents_;
};

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
  } catch (const Refusal& refusal) {
    return fail(SVG_INVALID_ARGUMENT, function, refusal.what());
  } catch (const std::bad_alloc&) {
    return fail(SVG_OUT_OF_MEMORY, function, "no memory for the working buffers");
  } catch (const std::exception& e) {
    return fail(SVG_INTERNAL_ERROR, function, e.what());
  } catch (...) {
    return fail(SVG_INTERNAL_ERROR, function, "unknown exception");
  }
}

}  // namespace svg
