// Convolutions over frames, rows and columns, by both matrix paths.
#include <algorithm>

#include "checks.h"

namespace lab {
namespace {

void convolutions(Checker& check, bool sync) {
  struct Shape {
    int frames, earlier, height, width, channels, outputs, kernel[3], frame_stride, stride, pad[4], repeat = 1;
  };
  const Shape shapes[] = {
      {2, 2, 13, 21, 96, 96, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},  // the VAE's cubes
      {1, 2, 9, 37, 96, 192, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
      {1, 2, 18, 17, 192, 192, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
      {2, 2, 11, 9, 384, 384, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
      {1, 2, 10, 11, 16, 384, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
      {2, 2, 20, 35, 96, 3, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
      {3, 0, 11, 13, 3, 96, {3, 3, 3}, 1, 1, {1, 1, 1, 1}},
      {3, 0, 7, 9, 384, 768, {3, 1, 1}, 1, 1, {}},  // in time
      {3, 1, 7, 9, 192, 192, {3, 1, 1}, 2, 1, {}},
      {2, 0, 33, 17, 192, 96, {1, 3, 3}, 1, 1, {1, 1, 1, 1}},  // of frames
      {2, 0, 17, 22, 96, 96, {1, 3, 3}, 1, 2, {0, 1, 0, 1}},
      {2, 0, 8, 40, 384, 192, {1, 1, 1}, 1, 1, {}},              // of pixels
      {2, 0, 17, 9, 192, 96, {1, 3, 3}, 1, 1, {1, 1, 1, 1}, 2},  // of pixels that are repeated
      {1, 0, 9, 21, 384, 192, {1, 3, 3}, 1, 1, {1, 1, 1, 1}, 2},
      {3, 1, 5, 6, 40, 20, {2, 3, 3}, 1, 1, {1, 1, 1, 1}, 2},
      {1, 0, 5, 6, 24, 10, {1, 3, 2}, 1, 2, {1, 0, 1, 2}, 3},
      {1, 1, 5, 3, 4, 4, {2, 3, 3}, 1, 1, {1, 1, 1, 1}},  // other sizes
      {1, 0, 1, 1, 8, 1, {1, 1, 1}, 1, 1, {}},
      {4, 3, 19, 23, 40, 100, {3, 5, 2}, 2, 1, {2, 0, 1, 3}},
      {2, 0, 30, 30, 72, 20, {2, 7, 7}, 1, 3, {3, 2, 1, 0}},
      {1, 0, 9, 300, 64, 130, {1, 3, 9}, 1, 1, {1, 1, 40, 4}},
      {1, 0, 90, 33, 136, 288, {1, 3, 1}, 1, 1, {0, 1, 0, 0}},
  };
  for (const Shape& s : shapes) {
    for (int32_t dtype : {SVG_BF16, SVG_F16, SVG_F32}) {
      for (bool plain : {true, false}) {  // without bias and residual, or with
        if (dtype == SVG_F16 && plain) continue;
        if (dtype == SVG_F32 && sync) continue;  // by neither
        const auto steps = [](int size, int kernel, int stride) { return (size - kernel) / stride + 1; };
        const int out_pixels = steps(s.frames + s.earlier, s.kernel[0], s.frame_stride) *
                               steps(s.height * s.repeat + s.pad[0] + s.pad[1], s.kernel[1], s.stride) *
                               steps(s.width * s.repeat + s.pad[2] + s.pad[3], s.kernel[2], s.stride);
        const int terms = s.kernel[0] * s.kernel[1] * s.kernel[2] * s.channels, pixels = s.height * s.width;
        Tensor x(dtype, s.frames, pixels, s.channels), earlier(dtype, std::max(s.earlier, 1), pixels, s.channels);
        Tensor weight(dtype, 1, s.outputs, terms), bias(dtype, 1, 1, s.outputs);
        Tensor residual(dtype, 1, out_pixels, s.outputs), out(dtype, 1, out_pixels, s.outputs);
        for (Tensor* t : {&x, &earlier, &bias, &residual}) t->fill_normal(check.random);
        std::normal_distribution<float> normal(0, 1 / std::sqrt(float(terms)));
        weight.fill(check.random, [&](std::mt19937& r) { return normal(r); });
        check.both("svg_convolution", [&](Side side) {
          svg_convolution_params p{};
          p.dtype = dtype;
          p.frames = s.frames;
          p.height = s.height;
          p.width = s.width;
          p.channels = s.channels;
          p.earlier_frames = s.earlier;
          p.out_channels = s.outputs;
          p.kernel_frames = s.kernel[0];
          p.kernel_height = s.kernel[1];
          p.kernel_width = s.kernel[2];
          p.frame_stride = s.frame_stride;
          p.stride = s.stride;
          p.repeat = s.repeat;
          p.pad_top = s.pad[0];
          p.pad_bottom = s.pad[1];
          p.pad_left = s.pad[2];
          p.pad_right = s.pad[3];
          if (s.earlier > 0) p.earlier = earlier.array.at(side);
          p.x = x.array.at(side);
          p.weight = weight.array.at(side);
          if (!plain) p.bias = bias.array.at(side);
          if (!plain) p.residual = residual.array.at(side);
          p.out = out.array.at(side);
          return p;
        });
        check.near(format("convolution %s %d+%dx%dx%d, %d to %d, kernel %dx%dx%d, %d%s%s", dtype_name(dtype), s.earlier,
                          s.frames, s.height, s.width, s.channels, s.outputs, s.kernel[0], s.kernel[1], s.kernel[2],
                          s.repeat, plain ? "" : ", bias and residual", sync ? ", mma.sync" : ""),
                   // Weights that were added are rounded, and then both results are: three roundings, each of 1.6e-3 in
                   // bf16.
                   out, dtype, s.repeat == 2 ? 4 : 1);
      }
    }
  }
}

}  // namespace

void check_convolution(Checker& check) {
  convolutions(check, false);
  // Hopper takes mma.sync for few of these, other devices for all.
  const char* const path = std::getenv("SVG_CUDA_MMA");
  const std::string before = path == nullptr ? "auto" : path;
  setenv("SVG_CUDA_MMA", "sync", 1);
  convolutions(check, true);
  setenv("SVG_CUDA_MMA", before.c_str(), 1);
}

}  // namespace lab
