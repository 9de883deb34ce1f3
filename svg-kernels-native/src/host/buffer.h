// Working memory: aligned for the longest vectors, and std::bad_alloc when there is none.
#pragma once

#include <cstddef>
#include <new>

#include "simd.h"

namespace svg {

template <class T>
class Buffer {
 public:
  explicit Buffer(size_t count)
      : data_(static_cast<T*>(::operator new[](count * sizeof(T), std::align_val_t(kAlignment)))) {}
  ~Buffer() { ::operator delete[](data_, std::align_val_t(kAlignment)); }
  Buffer(Buffer&& other) noexcept : data_(other.data_) { other.data_ = nullptr; }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  Buffer& operator=(Buffer&&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }

 private:
  T* data_;
};

}  // namespace svg
