// Colours as bytes: svg_color_bytes. Every value in once, a byte out.
#include "../common/color_bytes.h"
#include "launch.h"
#include "vectors.cuh"

namespace svg {
namespace {

constexpr int kThreads = 256, kEach = 8;  // values of a thread, all loads before the first use

template <class T>
__global__ void __launch_bounds__(kThreads)
    color_bytes(const T* x, uint8_t* out, int32_t* not_numbers, int32_t frame_size) {
  const int64_t frame = int64_t(blockIdx.y) * frame_size, first = int64_t(blockIdx.x) * kThreads * kEach + threadIdx.x;
  T values[kEach];
#pragma unroll
  for (int r = 0; r < kEach; r++) {
    const int64_t i = first + r * kThreads;
    if (i < frame_size) values[r] = x[frame + i];
  }
  int found = 0;
#pragma unroll
  for (int r = 0; r < kEach; r++) {
    const int64_t i = first + r * kThreads;
    if (i < frame_size) {
      const float value = to_float(values[r]);
      found += isnan(value);
      out[frame + i] = color_byte(value);
    }
  }
  if (found > 0) atomicAdd(not_numbers + blockIdx.y, found);
}

}  // namespace
}  // namespace svg

int32_t svg_color_bytes(const svg_color_bytes_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_color_bytes_params& p) {
    in_range("frames", p.frames, 1, 65535);
    at_least("frame_size", p.frame_size, 1);
    const svg_heads rows{const_cast<void*>(p.x), 0, p.frame_size};
    Arguments arguments;
    arguments.read("x", rows, p.dtype, 1, p.frames, p.frame_size);
    arguments.write("out", p.out, int64_t(p.frames) * p.frame_size);
    arguments.write("not_numbers", p.not_numbers, p.frames);
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    check(cudaMemsetAsync(p.not_numbers, 0, p.frames * sizeof(int32_t), on), "counting what is not a number");
    const dim3 grid(uint32_t(ceil_div(p.frame_size, kThreads * kEach)), p.frames);
    with_type(p.dtype, [&](auto type) {
      using T = decltype(type);
      launch("colours as bytes", color_bytes<T>, grid, kThreads, 0, on, static_cast<const T*>(p.x), p.out,
             p.not_numbers, p.frame_size);
    });
  });
}
