// The memory that the bias of svg_softmax is read from, for both libraries.
#pragma once

#include <cstdint>

#include "svg_kernels.h"

namespace svg {

/// Throws the library's error of a refused argument with a printf-style message.
[[noreturn]] __attribute__((format(printf, 1, 2))) void refuse(const char* format, ...);

/// Registers what is read of the bias, if there is one.
template <class Arguments>
void read_bias(Arguments& arguments, const svg_softmax_params& p) {
  if (p.bias == nullptr) return;
  if (p.bias_dtype < SVG_F32 || p.bias_dtype > SVG_BF16) {
    refuse("bias_dtype is %d, expected %d to %d", p.bias_dtype, SVG_F32, SVG_BF16);
  }
  const int64_t size = p.bias_dtype == SVG_F32 ? 4 : 2, counts[] = {p.heads, p.rows, p.width};
  int64_t first = 0, last = 0;  // bytes from score [0][0][0]'s bias
  bool fits = true;
  for (int d = 0; d < 3; d++) {
    int64_t span;
    fits = fits && !__builtin_mul_overflow(p.bias_strides[d], (counts[d] - 1) * size, &span) &&
           !__builtin_add_overflow(span < 0 ? first : last, span, span < 0 ? &first : &last);
  }
  int64_t bytes;
  uintptr_t begin, end;
  fits = fits && !__builtin_sub_overflow(last, first - size, &bytes) &&
         !__builtin_add_overflow(reinterpret_cast<uintptr_t>(p.bias), first, &begin) &&
         !__builtin_add_overflow(begin, bytes, &end);
  if (!fits) {
    refuse("bias with strides %lld, %lld and %lld exceeds the address space", (long long)p.bias_strides[0],
           (long long)p.bias_strides[1], (long long)p.bias_strides[2]);
  }
  if (size == 4) {
    arguments.read("bias", reinterpret_cast<const float*>(begin), bytes / size);
  } else {
    arguments.read("bias", reinterpret_cast<const uint16_t*>(begin), bytes / size);
  }
}

}  // namespace svg
