// Rows of floats that a thread works in, for loops over rows.
#pragma once

#include <omp.h>

#include "buffer.h"

namespace svg {

/// `count` rows of `width` floats for every thread, allocated before the parallel region: nothing may throw inside.
class ThreadRows {
 public:
  ThreadRows(int width, int count)
      : stride_((size_t(width) + kMaxLanes - 1) / kMaxLanes * kMaxLanes), count_(count),
        buffer_(stride_ * count * omp_get_max_threads()) {}

  /// A row of the calling thread.
  float* operator[](int i) { return buffer_.data() + (size_t(omp_get_thread_num()) * count_ + i) * stride_; }

 private:
  size_t stride_;
  int count_;
  Buffer<float> buffer_;
};

}  // namespace svg
