// The device a call runs on, its working memory, and kernel launches.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdlib>
#include <type_traits>

#include "arguments.h"

namespace svg {

/// The calling thread's current device.
struct Device {
  int id, processors, capability;  // capability: 10 * major + minor
  int block_shared;                // bytes of shared memory that a block may have

  static Device current();
  /// Whether the Hopper kernels run: the device is one, and the environment does not say SVG_CUDA_MMA=sync.
  bool uses_wgmma() const;
};

/// Device memory for the kernels of one call, ordered with the stream: taken when the call is made, given back after
/// its kernels. Pieces are added first, then allocated as one block.
class Workspace {
 public:
  explicit Workspace(cudaStream_t stream) : stream_(stream) {}
  Workspace(const Workspace&) = delete;
  ~Workspace() {
    if (block_ != nullptr) cudaFreeAsync(block_, stream_);
  }

  /// Room for count elements; the pointer is set by allocate().
  template <class T>
  void add(T*& pointer, int64_t count) {
    pieces_[count_++] = {reinterpret_cast<void**>(&pointer), size_};
    size_ += (count * sizeof(T) + 1023) / 1024 * 1024;
  }
  void allocate();

 private:
  struct Piece {
    void** pointer;
    size_t offset;
  };
  cudaStream_t stream_;
  Piece pieces_[16];
  int count_ = 0;
  size_t size_ = 0;
  char* block_ = nullptr;
};

/// Describes an (H, rows, width) tensor of 2-byte elements to the bulk copy engine: boxes of box_rows by box_columns,
/// in shared memory swizzled by their span of 64 or 128 bytes. Rows must start at multiples of 16 bytes.
CUtensorMap tensor_map(const svg_heads& tensor, int32_t dtype, int heads, int rows, int width, int box_rows,
                       int box_columns);

/// The same of a tensor of any sizes and strides (bytes, one less than sizes), the contiguous dimension first.
template <int Dims>
CUtensorMap tensor_map(const void* data, int32_t dtype, const cuuint64_t (&sizes)[Dims],
                       const cuuint64_t (&strides)[Dims - 1], const cuuint32_t (&box)[Dims]);

/// Launches kernel<<<grid, block, shared, stream>>>(arguments...), raising its shared memory limit where needed.
template <class... Parameters, class... Values>
void launch(const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared, cudaStream_t stream,
            Values... values) {
  if (shared > 40 * 1024) {  // 48 KB without asking, static arrays included
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, int(shared)), name);
  }
  kernel<<<grid, block, shared, stream>>>(static_cast<Parameters>(values)...);
  check(cudaGetLastError(), name);
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace svg
