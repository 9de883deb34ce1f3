// Colours as bytes: svg_color_bytes.
#include "../common/color_bytes.h"

#include <algorithm>
#include <cmath>

#include "arguments.h"
#include "parallel.h"

int32_t svg_color_bytes(const svg_color_bytes_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_color_bytes_params& p) {
    in_range("frames", p.frames, 1, 65535);
    at_least("frame_size", p.frame_size, 1);
    const int64_t count = int64_t(p.frames) * p.frame_size;
    Arguments arguments;
    const svg_heads rows{const_cast<void*>(p.x), 0, p.frame_size};
    const Tensor x = arguments.read("x", rows, p.dtype, 1, p.frames, p.frame_size);
    arguments.write("out", p.out, count);
    arguments.write("not_numbers", p.not_numbers, p.frames);
#pragma omp parallel for schedule(static) if (worth_threads(count))
    for (int frame = 0; frame < p.frames; frame++) {
      constexpr int kPiece = 4096;
      float values[kPiece];
      int32_t not_numbers = 0;
      for (int64_t first = 0; first < p.frame_size; first += kPiece) {
        const int n = int(std::min<int64_t>(kPiece, p.frame_size - first));
        x.read(0, frame, int(first), n, values);
        uint8_t* to = p.out + int64_t(frame) * p.frame_size + first;
        for (int i = 0; i < n; i++) {
          not_numbers += std::isnan(values[i]);
          to[i] = color_byte(values[i]);
        }
      }
      p.not_numbers[frame] = not_numbers;
    }
  });
}
