// What the laboratory's checks and timings share: the two libraries, arrays that live on both sides, random data.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "svg_kernels.h"

namespace lab {

#define CUDA_OK(call)                                                                         \
  do {                                                                                        \
    const cudaError_t result_ = (call);                                                       \
    if (result_ != cudaSuccess) {                                                             \
      std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(result_)); \
      std::exit(2);                                                                           \
    }                                                                                         \
  } while (0)

/// A library of svg_kernels.h.
struct Library {
  explicit Library(const std::string& path) : handle(dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL)) {
    if (handle == nullptr) {
      std::printf("%s\n", dlerror());
      std::exit(2);
    }
  }
  /// Calls the function by its name; a function that the library lacks is an error of the laboratory.
  template <class Params>
  int32_t call(const char* name, const Params& params, svg_stream stream = nullptr) const {
    void* symbol = dlsym(handle, name);
    if (symbol == nullptr) {
      std::printf("missing function: %s\n", dlerror());
      std::exit(2);
    }
    return reinterpret_cast<int32_t (*)(const Params*, svg_stream)>(symbol)(&params, stream);
  }
  int32_t call_null(const char* name) const {
    return reinterpret_cast<int32_t (*)(const void*, svg_stream)>(dlsym(handle, name))(nullptr, nullptr);
  }
  bool has(const char* name) const { return dlsym(handle, name) != nullptr; }
  const char* text(const char* name) const { return reinterpret_cast<const char* (*)()>(dlsym(handle, name))(); }
  std::string error() const { return text("svg_last_error"); }
  void* handle;
};

enum class Side { kHost, kDevice };

inline int element_size(int32_t dtype) { return dtype == SVG_F32 ? 4 : 2; }
inline const char* dtype_name(int32_t dtype) { return dtype == SVG_F32 ? "f32" : dtype == SVG_F16 ? "f16" : "bf16"; }

/// Bytes on both sides. Outputs start as 0xff: NaN in every float type, -1 as an integer.
class Array {
 public:
  explicit Array(size_t bytes) : host_(bytes, 0xff) {
    CUDA_OK(cudaMalloc(&device_, bytes + 256));
    CUDA_OK(cudaMemset(device_, 0xff, bytes + 256));
  }
  Array(const Array&) = delete;
  ~Array() { cudaFree(device_); }

  template <class T = void>
  T* at(Side side) {
    return side == Side::kHost ? reinterpret_cast<T*>(host_.data()) : static_cast<T*>(device_);
  }
  size_t bytes() const { return host_.size(); }
  void upload() { CUDA_OK(cudaMemcpy(device_, host_.data(), host_.size(), cudaMemcpyHostToDevice)); }
  /// What the device holds; the 256 bytes behind it must be untouched.
  std::vector<uint8_t> download() {
    CUDA_OK(cudaDeviceSynchronize());
    std::vector<uint8_t> result(host_.size() + 256);
    CUDA_OK(cudaMemcpy(result.data(), device_, result.size(), cudaMemcpyDeviceToHost));
    for (size_t i = host_.size(); i < result.size(); i++) {
      if (result[i] != 0xff) {
        std::printf("FAIL: byte %zu behind an array of %zu was written\n", i - host_.size(), host_.size());
        std::exit(1);
      }
    }
    result.resize(host_.size());
    return result;
  }

 private:
  std::vector<uint8_t> host_;
  void* device_;
};

inline float get(const void* data, int32_t dtype, size_t i) {
  if (dtype == SVG_F32) return static_cast<const float*>(data)[i];
  if (dtype == SVG_F16) return __half2float(static_cast<const __half*>(data)[i]);
  return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[i]);
}
inline void put(void* data, int32_t dtype, size_t i, float value) {
  if (dtype == SVG_F32) {
    static_cast<float*>(data)[i] = value;
  } else if (dtype == SVG_F16) {
    static_cast<__half*>(data)[i] = __float2half_rn(value);
  } else {
    static_cast<__nv_bfloat16*>(data)[i] = __float2bfloat16_rn(value);
  }
}

/// An (H, rows, width) tensor on both sides, head-major or token-major, with `gap` unused elements after each row.
struct Tensor {
  Tensor(int32_t dtype, int heads, int rows, int width, bool token_major = false, int gap = 0)
      : dtype(dtype), heads(heads), rows(rows), width(width),
        row_stride(token_major ? int64_t(heads) * (width + gap) : width + gap),
        head_stride(token_major ? width + gap : rows * row_stride),
        array(size_t(heads) * rows * (width + gap) * element_size(dtype)) {}

  svg_heads at(Side side) { return {array.at(side), head_stride, row_stride}; }
  /// The same for a tensor that is read per channel: one row is for all.
  svg_heads by_row(Side side) { return {array.at(side), head_stride, rows == 1 ? 0 : row_stride}; }
  size_t index(int h, int r, int d) const { return h * head_stride + r * row_stride + d; }
  Tensor& fill(std::mt19937& random, const std::function<float(std::mt19937&)>& draw) {
    for (int h = 0; h < heads; h++) {
      for (int r = 0; r < rows; r++) {
        for (int d = 0; d < width; d++) put(array.at(Side::kHost), dtype, index(h, r, d), draw(random));
      }
    }
    array.upload();
    return *this;
  }
  Tensor& fill_normal(std::mt19937& random) {
    std::normal_distribution<float> normal;
    return fill(random, [&](std::mt19937& r) { return normal(r); });
  }

  int32_t dtype;
  int heads, rows, width;
  int64_t row_stride, head_stride;
  Array array;
};

template <class T>
struct Values {
  explicit Values(size_t count) : count(count), array(count * sizeof(T)) {}
  T* at(Side side) { return array.at<T>(side); }
  T& operator[](size_t i) { return array.at<T>(Side::kHost)[i]; }
  std::vector<T> download() {
    const std::vector<uint8_t> bytes = array.download();
    std::vector<T> result(count);
    std::memcpy(result.data(), bytes.data(), bytes.size());
    return result;
  }
  size_t count;
  Array array;
};

struct Libraries {
  Library cuda, host;
};

/// Checks every function; returns the number of failures.
int check_all(const Libraries& libraries, const std::string& only);
void time_all(const Libraries& libraries, const std::string& only);
int check_attention(const Libraries& libraries, const std::string& only);
void time_attention(const Libraries& libraries, const std::string& only, bool quick);

}  // namespace lab
