// What the laboratory's timings share: random data made on the device, and medians of CUDA events.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

#include "lab.h"

namespace lab {

__device__ inline uint32_t mix(uint64_t x) {
  x = (x ^ x >> 31) * 0x7fb5d329728ea185ull;
  x = (x ^ x >> 27) * 0x81dadef4bc2dd44dull;
  return uint32_t(x >> 32 ^ x);
}

/// Standard normal values.
template <class T>
__global__ void fill_normal(T* data, int64_t count, uint32_t seed) {
  for (int64_t i = blockIdx.x * int64_t(blockDim.x) + threadIdx.x; i < count; i += int64_t(gridDim.x) * blockDim.x) {
    const float u = (mix(2 * i + (uint64_t(seed) << 40)) + 1.0f) * 2.3283064e-10f;
    const float v = mix(2 * i + 1 + (uint64_t(seed) << 40)) * 2.3283064e-10f;
    data[i] = T(sqrtf(-2 * logf(fminf(u, 1.0f))) * cospif(2 * v));
  }
}

/// Device memory.
template <class T>
struct Device {
  explicit Device(int64_t count, uint32_t seed = 0) : count(count) {
    CUDA_OK(cudaMalloc(&data, count * sizeof(T)));
    if (seed == 0) {
      CUDA_OK(cudaMemset(data, 0, count * sizeof(T)));
    } else {
      fill_normal<<<1056, 256>>>(data, count, seed);
      CUDA_OK(cudaGetLastError());
    }
  }
  Device(Device&& other) : data(std::exchange(other.data, nullptr)), count(other.count) {}
  ~Device() { cudaFree(data); }
  T* data;
  int64_t count;
};

/// Times functions of the CUDA library whose names contain `only`.
class Timer {
 public:
  Timer(const Libraries& libraries, const std::string& only) : cuda_(libraries.cuda), only_(only) {
    CUDA_OK(cudaStreamCreate(&stream_));
    for (cudaEvent_t& event : events_) CUDA_OK(cudaEventCreate(&event));
    CUDA_OK(cudaMalloc(&flushed_, kFlush));
  }

 protected:
  static constexpr size_t kFlush = 256 << 20;  // bytes, more than any L2

  template <class... Values>
  static std::string text(const char* format, Values... values) {
    char buffer[128];
    std::snprintf(buffer, sizeof buffer, format, values...);
    return buffer;
  }
  bool wanted(const std::string& name) const { return only_.empty() || name.find(only_) != std::string::npos; }

  template <class Params>
  void run(const char* name, const Params& params) {
    if (cuda_.call(name, params, stream_) == SVG_OK) return;
    std::printf("%s\n", cuda_.error().c_str());
    std::exit(1);
  }

  /// Each time with cold caches, and with the launch waiting behind the flush, so that only the device's time counts.
  template <class Work>
  double median(int count, Work work, int warm_ups = 3) {
    const auto begin = std::chrono::steady_clock::now();
    const std::chrono::milliseconds enough(20);  // for the clocks to rise
    for (int i = 0; i < warm_ups || std::chrono::steady_clock::now() - begin < enough; i++) {
      work();
      CUDA_OK(cudaStreamSynchronize(stream_));
    }
    std::vector<float> times(count);
    for (float& ms : times) {
      CUDA_OK(cudaMemsetAsync(flushed_, 0, kFlush, stream_));
      CUDA_OK(cudaEventRecord(events_[0], stream_));
      work();
      CUDA_OK(cudaEventRecord(events_[1], stream_));
      CUDA_OK(cudaStreamSynchronize(stream_));
      CUDA_OK(cudaEventElapsedTime(&ms, events_[0], events_[1]));
    }
    std::sort(times.begin(), times.end());
    return times[count / 2];
  }

  const Library& cuda_;
  const std::string only_;
  cudaStream_t stream_;
  cudaEvent_t events_[2];
  void* flushed_;
};

}  // namespace lab
