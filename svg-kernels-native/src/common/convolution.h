// The sizes of a convolution, checked: svg_convolution, in both libraries.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "host_device.h"
#include "svg_kernels.h"

namespace svg {

// Both libraries have these (arguments.h).
[[noreturn]] void refuse(const char* format, ...);
void at_least(const char* name, int64_t value, int64_t least);
void in_range(const char* name, int64_t value, int64_t least, int64_t most);

struct Convolution {
  int dtype;
  int frames, earlier_frames, height, width, channels;
  int kernel_frames, kernel_height, kernel_width;
  int frame_stride, stride, repeat, pad_top, pad_left, pad_bottom, pad_right;
  int out_frames, out_height, out_width, out_channels;
  int taps, terms;  // of a sum: terms = taps * channels
  const void *earlier, *x, *weight, *bias, *residual;
  void* out;

  /// Refuses sizes that do not fit together. 32 bits count the pixels of x, those of out, and a sum's terms.
  explicit Convolution(const svg_convolution_params& p)
      : dtype(p.dtype), frames(p.frames), earlier_frames(p.earlier_frames), height(p.height), width(p.width),
        channels(p.channels), kernel_frames(p.kernel_frames), kernel_height(p.kernel_height),
        kernel_width(p.kernel_width), frame_stride(p.frame_stride), stride(p.stride), repeat(p.repeat),
        pad_top(p.pad_top), pad_left(p.pad_left), pad_bottom(p.pad_bottom), pad_right(p.pad_right),
        out_channels(p.out_channels), earlier(p.earlier), x(p.x), weight(p.weight), bias(p.bias), residual(p.residual),
        out(p.out) {
    in_range("dtype", dtype, SVG_F32, SVG_BF16);
    in_range("frames", frames, 1, kMost);
    in_range("height", height, 1, kMost);
    in_range("width", width, 1, kMost);
    in_range("channels", channels, 1, kMost);
    in_range("earlier_frames", earlier_frames, 0, kMost);
    in_range("out_channels", out_channels, 1, kMost);
    in_range("kernel_frames", kernel_frames, 1, kMost);
    in_range("kernel_height", kernel_height, 1, kMost);
    in_range("kernel_width", kernel_width, 1, kMost);
    in_range("frame_stride", frame_stride, 1, kMost);
    in_range("stride", stride, 1, kMost);
    in_range("repeat", repeat, 1, kMost / (height > width ? height : width));
    in_range("pad_top", pad_top, 0, 65535);
    in_range("pad_bottom", pad_bottom, 0, 65535);
    in_range("pad_left", pad_left, 0, 65535);
    in_range("pad_right", pad_right, 0, 65535);
    out_frames = steps("frames with earlier_frames", frames + earlier_frames, kernel_frames, frame_stride);
    out_height = steps("height with padding", height * repeat + pad_top + pad_bottom, kernel_height, stride);
    out_width = steps("width with padding", width * repeat + pad_left + pad_right, kernel_width, stride);
    product("the pixels of the clip", {frames + earlier_frames, height, width});
    product("the pixels of out", {out_frames, out_height, out_width});
    taps = product("the taps of the kernel", {kernel_frames, kernel_height, kernel_width});
    terms = product("the terms of a sum", {taps, channels});
  }

  SVG_HOST_DEVICE int out_pixels() const { return out_frames * out_height * out_width; }

  /// Registers all arrays; Arguments is the library's.
  template <class Arguments>
  void check(Arguments& arguments) const {
    const auto rows = [](const void* array, int width) { return svg_heads{const_cast<void*>(array), 0, width}; };
    if (earlier_frames > 0) {
      arguments.read("earlier", rows(earlier, channels), dtype, 1, earlier_frames * height * width, channels);
    }
    arguments.read("x", rows(x, channels), dtype, 1, frames * height * width, channels);
    arguments.read("weight", rows(weight, terms), dtype, 1, out_channels, terms);
    if (bias != nullptr) arguments.read("bias", rows(bias, out_channels), dtype, 1, 1, out_channels);
    if (residual != nullptr) {
      arguments.read("residual", rows(residual, out_channels), dtype, 1, out_pixels(), out_channels);
    }
    arguments.write("out", rows(out, out_channels), dtype, 1, out_pixels(), out_channels);
  }

 private:
  static constexpr int kMost = 1 << 29;

  static int steps(const char* name, int size, int kernel, int stride) {
    if (size < kernel) refuse("%s is %d, expected at least the kernel's %d", name, size, kernel);
    return (size - kernel) / stride + 1;
  }
  static int product(const char* name, std::initializer_list<int> factors) {
    int64_t result = 1;
    for (int factor : factors) {
      result *= factor;
      if (result > INT32_MAX) refuse("%s are at least %lld, expected at most %d", name, (long long)result, INT32_MAX);
    }
    return int(result);
  }
};

}  // namespace svg
