// The rows that svg_kmeans draws from a seed: the same in both libraries.
//
// The j-th row of a head is p(j), with p a permutation of [0, rows) that the seed and the head choose; so rows are
// distinct, and every one is computed on its own. p is a Feistel network over the least 2 b >= 2 bits that hold
// rows - 1, applied until the result is a row (at most about four times on average).
#pragma once

#include <cstdint>

#include "host_device.h"

namespace svg {

class DrawnRows {
 public:
  SVG_HOST_DEVICE DrawnRows(uint64_t seed, int head, int rows)
      : key_(mixed(seed + (uint64_t(head) + 1) * 0x9e3779b97f4a7c15)), rows_(uint32_t(rows)) {
    while ((uint64_t(1) << 2 * half_bits_) < rows_) half_bits_++;
  }

  SVG_HOST_DEVICE int32_t operator[](int j) const {
    uint32_t x = uint32_t(j);
    do {
      x = permuted(x);
    } while (x >= rows_);
    return int32_t(x);
  }

 private:
  static constexpr int kRounds = 6;

  /// The finaliser of SplitMix64: every bit of x changes about half of the result's.
  SVG_HOST_DEVICE static uint64_t mixed(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
  }

  SVG_HOST_DEVICE uint32_t permuted(uint32_t x) const {
    const uint32_t mask = (1u << half_bits_) - 1;
    uint32_t left = x >> half_bits_, right = x & mask;
    for (uint64_t round = 0; round < kRounds; round++) {
      const uint32_t next = left ^ (uint32_t(mixed(key_ ^ (round << 32 | right))) & mask);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  uint64_t key_;
  uint32_t rows_;
  int half_bits_ = 1;
};

}  // namespace svg
