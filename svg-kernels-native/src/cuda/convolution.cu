// Convolution of a clip with its channels last, as a matrix product that is never written out: svg_convolution.
//
// Here are the mma.sync path, which takes every shape, and a plain kernel for float; convolution_wgmma.cu has the
// Hopper path. A block computes kPixels pixels by Outputs channels. The sum runs over the taps and, of a tap, over 32
// channels at a time: a step's pieces of 16 bytes are on their way into shared memory while earlier steps are
// multiplied. Where pixels are not made of such pieces, the sum runs over single elements.
//
// Arithmetic: 2 * terms per output. From L2: 64 bytes for 32 terms of a pixel or a channel, 128 pixels by 128 channels
// 64 operations a byte.
#include "async.cuh"
#include "convolution.h"
#include "mma.cuh"

namespace svg {
namespace {

constexpr int kThreads = 256, kPixels = 128, kStep = 32, kStages = 4;
constexpr int kRowBytes = kStep * 2, kPieces = kRowBytes / 16;
static_assert(conflict_free_pitch(kRowBytes) == kRowBytes, "rows of a step lie one behind the other");

/// An output pixel, and where in the clip its kernel begins.
struct Place {
  int frame, row, column;
  bool there;

  __device__ Place(const Convolution& c, int64_t pixel) : there(pixel < c.out_pixels()) {
    const int index = there ? int(pixel) : 0, line = index / c.out_width;
    column = (index - line * c.out_width) * c.stride - c.pad_left;
    frame = line / c.out_height * c.frame_stride;
    row = line % c.out_height * c.stride - c.pad_top;
  }
};

/// The channels of the pixel that a tap sees, or null outside of the frame.
template <class T>
__device__ inline const T* seen(const Convolution& c, const Place& place, int dt, int dy, int dx) {
  const int frame = place.frame + dt, row = place.row + dy, column = place.column + dx;
  if (!place.there || unsigned(row) >= unsigned(c.height * c.repeat) ||
      unsigned(column) >= unsigned(c.width * c.repeat)) {
    return nullptr;
  }
  const bool early = frame < c.earlier_frames;
  const T* const clip = static_cast<const T*>(early ? c.earlier : c.x);
  const int in_clip = early ? frame : frame - c.earlier_frames;
  return clip + ((int64_t(in_clip) * c.height + row / c.repeat) * c.width + column / c.repeat) * c.channels;
}

/// A walk over the taps, and over the channels of each in steps.
struct Walk {
  int dt = 0, dy = 0, dx = 0, tap = 0, channel = 0;

  __device__ void next(const Convolution& c) {
    if ((channel += kStep) < c.channels) return;
    channel = 0;
    tap++;
    if (++dx < c.kernel_width) return;
    dx = 0;
    if (++dy < c.kernel_height) return;
    dy = 0;
    dt++;
  }
};

/// 8 elements of a sum from term `first` on, one by one; element(term) is not asked beyond the last.
template <class T, class Element>
__device__ inline void store_elements(char* shared, const Convolution& c, int first, Element element) {
  Vector<T, 8> piece;
#pragma unroll
  for (int i = 0; i < 8; i++) piece.v[i] = first + i < c.terms ? element(first + i) : from_float<T>(0);
  store(reinterpret_cast<T*>(shared), piece);
}

template <class T>
__device__ inline void add_and_store(const Convolution& c, int64_t pixel, int channel, float sum) {
  if (channel >= c.out_channels) return;
  const int64_t at = pixel * c.out_channels + channel;
  if (c.bias != nullptr) sum += to_float(static_cast<const T*>(c.bias)[channel]);
  if (c.residual != nullptr) sum += to_float(static_cast<const T*>(c.residual)[at]);
  static_cast<T*>(c.out)[at] = from_float<T>(within<T>(sum));
}

/// A warp's part of a tile is WarpOutputs channels of as many pixels as leave none of the block's 8 warps idle.
template <class T, int Outputs, int WarpOutputs, bool Pieces>
__global__ void __launch_bounds__(kThreads, 2) convolve(const __grid_constant__ Convolution c, int output_tiles) {
  constexpr int kAcross = Outputs / WarpOutputs, kWarpPixels = kPixels * kAcross / 8;
  constexpr int kTiles = kWarpPixels / 16, kColumns = WarpOutputs / 8;
  constexpr int kPixelBytes = kPixels * kRowBytes, kStageBytes = kPixelBytes + Outputs * kRowBytes;
  extern __shared__ char stages[];  // [stage][pixel, then output][kRowBytes]
  const int64_t first_pixel = int64_t(blockIdx.x / output_tiles) * kPixels;
  const int first_output = int(blockIdx.x % output_tiles) * Outputs;
  const int thread = threadIdx.x, piece = thread % kPieces;
  constexpr int kRows = kThreads / kPieces;  // that the block fetches at once
  const Place places[] = {Place(c, first_pixel + thread / kPieces), Place(c, first_pixel + thread / kPieces + kRows)};
  static_assert(kPixels == 2 * kRows, "a thread fetches of two pixels");

  const T* tap_pixels[2] = {};  // what the tap sees, or null
  const auto fetch = [&](int step, const Walk& walk) {
    char* const pixels = stages + step % kStages * kStageBytes + thread * 16;
    char* const weights = pixels + kPixelBytes;
    const int channel = walk.channel + piece * 8, first = step * kStep + piece * 8;
#pragma unroll
    for (int i = 0; i < 2; i++) {
      if constexpr (Pieces) {
        if (walk.channel == 0) tap_pixels[i] = seen<T>(c, places[i], walk.dt, walk.dy, walk.dx);
        const bool there = tap_pixels[i] != nullptr && channel < c.channels;
        copy_async_or_zero(shared_address(pixels + i * kThreads * 16), there ? tap_pixels[i] + channel : c.x, there);
      } else {
        store_elements<T>(pixels + i * kThreads * 16, c, first, [&](int term) {
          const int tap = term / c.channels, line = tap / c.kernel_width;
          const T* const from =
              seen<T>(c, places[i], line / c.kernel_height, line % c.kernel_height, tap - line * c.kernel_width);
          return from == nullptr ? from_float<T>(0) : from[term - tap * c.channels];
        });
      }
    }
#pragma unroll
    for (int i = 0; i * kRows < Outputs; i++) {
      const int row = thread / kPieces + i * kRows, output = first_output + row;
      if (row >= Outputs) break;
      const T* const from = static_cast<const T*>(c.weight) + int64_t(min(output, c.out_channels - 1)) * c.terms;
      if constexpr (Pieces) {
        const bool there = output < c.out_channels && channel < c.channels;
        copy_async_or_zero(shared_address(weights + i * kThreads * 16),
                           there ? from + walk.tap * c.channels + channel : from, there);
      } else {
        store_elements<T>(weights + i * kThreads * 16, c, first, [&](int term) { return from[term]; });
      }
    }
  };

  const int steps = Pieces ? c.taps * ((c.channels + kStep - 1) / kStep) : (c.terms + kStep - 1) / kStep;
  Walk walk;
  for (int step = 0; step < kStages - 1; step++) {
    if (step < steps) fetch(step, walk);
    walk.next(c);
    copy_async_commit();
  }
  const int warp = thread / 32, lane = thread % 32;
  const int warp_pixel = warp / kAcross * kWarpPixels, warp_output = warp % kAcross * WarpOutputs;
  float sums[kTiles][kColumns][4] = {};
  for (int step = 0; step < steps; step++) {
    copy_async_wait<kStages - 2>();
    __syncthreads();
    if (step + kStages - 1 < steps) fetch(step + kStages - 1, walk);
    walk.next(c);
    copy_async_commit();
    const char* const pixels = stages + step % kStages * kStageBytes + lane * 16;
    const char* const weights = pixels + kPixelBytes;
    Words b[kColumns];
#pragma unroll
    for (int j = 0; j < kColumns; j++) {
      b[j] = *reinterpret_cast<const Words*>(weights + (warp_output + j * 8) * kRowBytes);
    }
#pragma unroll
    for (int i = 0; i < kTiles; i++) {
      const char* const rows = pixels + (warp_pixel + i * 16) * kRowBytes;
      const Words a = *reinterpret_cast<const Words*>(rows), a8 = *reinterpret_cast<const Words*>(rows + 8 * kRowBytes);
#pragma unroll
      for (int j = 0; j < kColumns; j++) mma_group<T>(sums[i][j], a, a8, b[j]);
    }
  }

#pragma unroll
  for (int i = 0; i < kTiles; i++) {
#pragma unroll
    for (int r = 0; r < 2; r++) {
      const int64_t pixel = first_pixel + warp_pixel + i * 16 + r * 8 + lane / 4;
      if (pixel >= c.out_pixels()) continue;
#pragma unroll
      for (int j = 0; j < kColumns; j++) {
        const int channel = first_output + warp_output + j * 8 + lane % 4 * 2;
        add_and_store<T>(c, pixel, channel, sums[i][j][r * 2]);
        add_and_store<T>(c, pixel, channel + 1, sums[i][j][r * 2 + 1]);
      }
    }
  }
}

/// A thread an output.
__global__ void __launch_bounds__(kThreads) convolve_floats(const __grid_constant__ Convolution c) {
  const int64_t count = int64_t(c.out_pixels()) * c.out_channels, all = int64_t(gridDim.x) * kThreads;
  for (int64_t i = int64_t(blockIdx.x) * kThreads + threadIdx.x; i < count; i += all) {
    const int64_t pixel = i / c.out_channels;
    const int output = int(i - pixel * c.out_channels);
    const Place place(c, pixel);
    const float* weight = static_cast<const float*>(c.weight) + int64_t(output) * c.terms;
    float sum = 0;
    for (int dt = 0; dt < c.kernel_frames; dt++) {
      for (int dy = 0; dy < c.kernel_height; dy++) {
        for (int dx = 0; dx < c.kernel_width; dx++, weight += c.channels) {
          const float* const from = seen<float>(c, place, dt, dy, dx);
          for (int channel = 0; from != nullptr && channel < c.channels; channel++) {
            sum += from[channel] * weight[channel];
          }
        }
      }
    }
    add_and_store<float>(c, pixel, output, sum);
  }
}

template <class T, int Outputs, int WarpOutputs, bool Pieces>
void launch_tiles(const Convolution& c, cudaStream_t stream) {
  const int64_t output_tiles = ceil_div(c.out_channels, Outputs),
                tiles = ceil_div(c.out_pixels(), kPixels) * output_tiles;
  if (tiles > INT32_MAX) {
    unsupported("%d pixels of %d channels are %lld tiles, the CUDA library has at most %d for one call", c.out_pixels(),
                c.out_channels, (long long)tiles, INT32_MAX);
  }
  launch("convolution (mma.sync)", convolve<T, Outputs, WarpOutputs, Pieces>, uint32_t(tiles), kThreads,
         kStages * (kPixels + Outputs) * kRowBytes, stream, c, int(output_tiles));
}

template <class T, bool Pieces>
void launch_sync(const Convolution& c, cudaStream_t stream) {
  const auto rounded = [&](int outputs) { return ceil_div(c.out_channels, outputs) * outputs; };
  if (c.out_channels <= 32) return launch_tiles<T, 32, 32, Pieces>(c, stream);
  if (rounded(96) < rounded(128)) return launch_tiles<T, 96, 48, Pieces>(c, stream);
  launch_tiles<T, 128, 32, Pieces>(c, stream);
}

template <class T>
void launch_sync(const Convolution& c, cudaStream_t stream) {
  const auto whole = [](const void* array) { return reinterpret_cast<uintptr_t>(array) % 16 == 0; };
  const bool pieces =
      c.channels % 8 == 0 && whole(c.x) && whole(c.weight) && (c.earlier_frames == 0 || whole(c.earlier));
  pieces ? launch_sync<T, true>(c, stream) : launch_sync<T, false>(c, stream);
}

}  // namespace
}  // namespace svg

int32_t svg_convolution(const svg_convolution_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_convolution_params& p) {
    const Convolution convolution(p);
    Arguments arguments;
    convolution.check(arguments);
    const Device device = Device::current();
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    if (device.uses_wgmma() && suits_wgmma(convolution)) return convolution_wgmma(convolution, device, on);
    if (convolution.dtype == SVG_F32) {
      const int64_t blocks = ceil_div(int64_t(convolution.out_pixels()) * convolution.out_channels, kThreads);
      return launch("convolution of floats", convolve_floats, uint32_t(blocks < INT32_MAX ? blocks : INT32_MAX),
                    kThreads, 0, on, convolution);
    }
    if (convolution.dtype == SVG_F16) return launch_sync<f16>(convolution, on);
    launch_sync<bf16>(convolution, on);
  });
}
