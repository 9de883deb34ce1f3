#include "tensor.h"

#include <cstring>

#include "simd.h"

namespace svg {

static SVG_INLINE float as_float(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

static SVG_INLINE uint32_t as_bits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

SVG_CLONES static void from_bf16(const uint16_t* __restrict from, int count, float* __restrict to) {
#pragma omp simd
  for (int i = 0; i < count; i++) to[i] = as_float(uint32_t(from[i]) << 16);
}

SVG_CLONES static void to_bf16(const float* __restrict from, int count, uint16_t* __restrict to) {
#pragma omp simd
  for (int i = 0; i < count; i++) {
    const uint32_t bits = as_bits(from[i]);
    const uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;  // to nearest, ties to even
    const uint32_t nan = (bits >> 16) | 0x40;                             // rounding could carry a NaN into infinity
    to[i] = uint16_t((bits & 0x7fffffff) > 0x7f800000 ? nan : rounded);
  }
}

SVG_CLONES static void from_f16(const uint16_t* __restrict from, int count, float* __restrict to) {
#pragma omp simd
  for (int i = 0; i < count; i++) {
    // Exponent and mantissa move to their places; the product mends the exponent's bias and normalises subnormals.
    const uint32_t magnitude = uint32_t(from[i] & 0x7fff) << 13;
    const uint32_t scaled = as_bits(as_float(magnitude) * 0x1p112f);
    const uint32_t special = magnitude >= 0x0f800000 ? 0x7f800000 : 0;  // infinity and NaN
    to[i] = as_float(scaled | special | uint32_t(from[i] & 0x8000) << 16);
  }
}

SVG_CLONES static void to_f16(const float* __restrict from, int count, uint16_t* __restrict to) {
#pragma omp simd
  for (int i = 0; i < count; i++) {
    const uint32_t bits = as_bits(from[i]);
    const uint32_t sign = bits >> 16 & 0x8000;
    const uint32_t magnitude = bits & 0x7fffffff;
    // Normal numbers: rebias the exponent, round to nearest, ties to even; overflow carries into infinity.
    const uint32_t normal = (magnitude - 0x38000000 + 0xfff + ((magnitude >> 13) & 1)) >> 13;
    // Below 2^-14: adding 0.5 lets the adder round to the spacing of subnormals, which the low bits then count.
    const uint32_t subnormal = as_bits(as_float(magnitude) + 0.5f) - 0x3f000000;
    const uint32_t large = magnitude > 0x7f800000 ? 0x7e00 : 0x7c00;
    to[i] = uint16_t(sign | (magnitude >= 0x47800000 ? large : magnitude < 0x38800000 ? subnormal : normal));
  }
}

void Tensor::read(int head, int row, int first, int count, float* to) const {
  const char* from = at(head, row) + first * element_size(dtype_);
  switch (dtype_) {
    case SVG_F32:
      std::memcpy(to, from, count * sizeof(float));
      break;
    case SVG_F16:
      from_f16(reinterpret_cast<const uint16_t*>(from), count, to);
      break;
    case SVG_BF16:
      from_bf16(reinterpret_cast<const uint16_t*>(from), count, to);
      break;
  }
}

void Tensor::write_row(int head, int row, const float* from) const {
  char* to = at(head, row);
  switch (dtype_) {
    case SVG_F32:
      std::memcpy(to, from, dim * sizeof(float));
      break;
    case SVG_F16:
      to_f16(from, dim, reinterpret_cast<uint16_t*>(to));
      break;
    case SVG_BF16:
      to_bf16(from, dim, reinterpret_cast<uint16_t*>(to));
      break;
  }
}

void Tensor::copy_row(int head, int row, const Tensor& to, int to_row) const {
  std::memcpy(to.at(head, to_row), at(head, row), size_t(dim) * element_size(dtype_));
}

}  // namespace svg
