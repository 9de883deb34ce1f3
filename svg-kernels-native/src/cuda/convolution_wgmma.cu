// Convolution on Hopper: an implicit matrix product whose operands the bulk copy engine brings.
//
// A block is persistent. A tile is a rectangle of pixels by Tile::kOutputs channels. For each tap in time and each
// slice of channels one box of pixels arrives, as large as all spatial taps need together; the engine fills what lies
// outside of the frame with zeros. A tap is then nothing but another first row in that box: of 64 pixels of a product
// every 8 are neighbours in a line, and lines lie a box's width apart. So a box is read once for all taps, and what is
// left to bring are the weights, a slice of one tap at a time. A residual follows a tile's pixels, in boxes of its own.
//
// Arithmetic: 2 * terms per output. From L2, for 9 taps: with 192 channels, tiles of 256 pixels, 216 operations a byte;
// with 96 channels, tiles of 512 pixels, 300. Shared memory: a product of 64 pixels reads 2 KB of them and 32 bytes a
// channel for each 16 terms: with 192 channels two thirds of the tensor cores' time, with 96 five sixths.
#include <algorithm>

#include "async.cuh"
#include "convolution.h"
#include "mma.cuh"
#include "wgmma.cuh"

namespace svg {
namespace {

constexpr int kConsumers = 2, kThreads = (kConsumers + 1) * 128, kMaxStages = 8;
constexpr int kShared = 227 * 1024, kExtra = 1024 /* alignment */ + 512 /* barriers */;

/// A tile: Blocks squares of 8 x 8 pixels for each of the two consumers, Outputs channels, Slice channels of x a step.
template <int Outputs, int Blocks, int Slice>
struct Tile {
  static constexpr int kOutputs = Outputs, kBlocks = Blocks, kSlice = Slice;
  static constexpr int kSquares = kConsumers * Blocks, kPixels = kSquares * 64;
  static constexpr int kResidualBoxes = Outputs / Slice;  // none for the smallest tile
  static constexpr int kPixelBytes = Slice * 2, kWeightBytes = Outputs * Slice * 2;
  static_assert(kWeightBytes % 1024 == 0, "slices of weights start at multiples of the swizzle pattern");
  static_assert(Outputs * Blocks / 2 <= 192, "the sums have to fit into registers");
};

/// How a tile's squares are laid out, and what shared memory holds then.
struct Layout {
  int across, down;           // squares
  int box_width, box_height;  // pixels
  int box_bytes;              // rounded up to where a box may begin
  int pixel_stages, weight_stages;
  bool fits;

  Layout(const Convolution& c, int squares, int across, int pixel_bytes, int weight_bytes)
      : across(across), down(squares / across), box_width(8 * across + c.kernel_width - 1),
        box_height(8 * down + c.kernel_height - 1), pixel_stages(2) {
    fits = box_width <= 256 && box_height <= 256;  // what the engine takes
    if (!fits) return;
    box_bytes = (box_width * box_height * pixel_bytes + 1023) / 1024 * 1024;
    const auto weights_beside = [&](int boxes) {
      const int room = kShared - kExtra - boxes * box_bytes;
      return room < 0 ? 0 : std::min(room / weight_bytes, kMaxStages);
    };
    // A box lasts for all spatial taps; with few of them more boxes than two have to be on their way.
    const int taps = c.kernel_height * c.kernel_width;
    while (pixel_stages * taps < kMaxStages &&
           weights_beside(pixel_stages + 1) >= std::min((pixel_stages + 1) * taps, kMaxStages)) {
      pixel_stages++;
    }
    weight_stages = weights_beside(pixel_stages);
    fits = weight_stages >= 3;
  }
  int64_t tiles(const Convolution& c) const {
    return ceil_div(c.out_width, 8 * across) * ceil_div(c.out_height, 8 * down);
  }
  int shared(int weight_bytes) const { return pixel_stages * box_bytes + weight_stages * weight_bytes + kExtra; }
};

/// The layout with the fewest tiles, of these the one with the smallest box; or one that does not fit.
template <class Tile>
Layout best_layout(const Convolution& c) {
  const auto with = [&](int across) {
    return Layout(c, Tile::kSquares, across, Tile::kPixelBytes, Tile::kWeightBytes);
  };
  Layout best = with(1);
  for (int across = 2; across <= Tile::kSquares; across *= 2) {
    const Layout other = with(across);
    const int64_t more = best.fits && other.fits ? other.tiles(c) - best.tiles(c) : 0;
    if (other.fits && (!best.fits || more < 0 || (more == 0 && other.box_bytes <= best.box_bytes))) best = other;
  }
  return best;
}

struct Operands {
  CUtensorMap earlier, x;  // (C, X, Y, T) in boxes of a slice of a layout's pixels
  CUtensorMap weight;      // (C, taps, O of every phase) in boxes of a slice of one tap's outputs
  CUtensorMap residual;    // (O, X, Y, T) in boxes of a slice of a tile's outputs
  Convolution c;           // of a phase
  int phases;              // in rows and in columns: output pixels that are apart are one convolution, see fold()
  Layout layout;
  int tiles_across, tiles_down, output_tiles, tiles;
  bool residual_boxes;  // the residual comes in boxes
  bool whole;           // rows of out are made of 16-byte pieces, and there is no other residual
};

#if !defined(__CUDA_ARCH__) || defined(__CUDA_ARCH_FEAT_SM90_ALL)

struct Barriers {
  Barrier pixels_full[kMaxStages], pixels_free[kMaxStages], weights_full[kMaxStages], weights_free[kMaxStages];
};

/// Which slot of a ring comes next, and the parity its barriers are waited for with.
struct Slots {
  int stages, parity, stage = 0;
  __device__ Slots(int stages, int parity) : stages(stages), parity(parity) {}
  __device__ void next() {
    if (++stage == stages) stage = 0, parity ^= 1;
  }
};

/// The first output of a tile, in the pixels of its phase.
struct Corner {
  int output, phase_row, phase_column, column, row, frame;

  template <class Tile>
  static __device__ Corner of(const Operands& p, int tile) {
    const int part = tile / p.output_tiles, line = part / p.phases, place = line / p.phases;
    const int tile_row = place / p.tiles_across;
    return {tile % p.output_tiles * Tile::kOutputs,
            line % p.phases,
            part % p.phases,
            place % p.tiles_across * (8 * p.layout.across),
            tile_row % p.tiles_down * (8 * p.layout.down),
            tile_row / p.tiles_down};
  }
};

template <class Tile>
__device__ inline void bring_pixels(const Operands& p, char* boxes, Barriers& barriers) {
  Slots slot(p.layout.pixel_stages, 1);
  const int bytes = p.layout.box_width * p.layout.box_height * Tile::kPixelBytes;
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    const Corner corner = Corner::of<Tile>(p, tile);
    for (int dt = 0; dt < p.c.kernel_frames; dt++) {
      const int frame = corner.frame * p.c.frame_stride + dt - p.c.earlier_frames;
      const CUtensorMap& clip = frame < 0 ? p.earlier : p.x;
      const int in_clip = frame < 0 ? frame + p.c.earlier_frames : frame;
      for (int channel = 0; channel < p.c.channels; channel += Tile::kSlice, slot.next()) {
        barriers.pixels_free[slot.stage].wait(slot.parity);
        barriers.pixels_full[slot.stage].arrive_expecting(bytes);
        copy_box(boxes + slot.stage * p.layout.box_bytes, clip, channel,
                 corner.column + corner.phase_column - p.c.pad_left, corner.row + corner.phase_row - p.c.pad_top,
                 in_clip, barriers.pixels_full[slot.stage]);
      }
    }
    if (!p.residual_boxes) continue;
    for (int i = 0; i < Tile::kResidualBoxes; i++, slot.next()) {
      barriers.pixels_free[slot.stage].wait(slot.parity);
      barriers.pixels_full[slot.stage].arrive_expecting(Tile::kPixels * Tile::kPixelBytes);
      copy_box(boxes + slot.stage * p.layout.box_bytes, p.residual, corner.output + i * Tile::kSlice, corner.column,
               corner.row, corner.frame, barriers.pixels_full[slot.stage]);
    }
  }
}

template <class Tile>
__device__ inline void bring_weights(const Operands& p, char* weights, Barriers& barriers) {
  Slots slot(p.layout.weight_stages, 1);
  const int taps = p.c.kernel_height * p.c.kernel_width;
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    const Corner corner = Corner::of<Tile>(p, tile);
    const int output = (corner.phase_row * p.phases + corner.phase_column) * p.c.out_channels + corner.output;
    for (int first = 0; first < p.c.taps; first += taps) {
      for (int channel = 0; channel < p.c.channels; channel += Tile::kSlice) {
        for (int tap = first; tap < first + taps; tap++, slot.next()) {
          barriers.weights_free[slot.stage].wait(slot.parity);
          barriers.weights_full[slot.stage].arrive_expecting(Tile::kWeightBytes);
          copy_box(weights + slot.stage * Tile::kWeightBytes, p.weight, channel, tap, output,
                   barriers.weights_full[slot.stage]);
        }
      }
    }
  }
}

template <class T>
__device__ inline float2 unpacked(uint32_t pair) {
  Vector<T, 2> both;
  __builtin_memcpy(&both, &pair, sizeof pair);
  return {to_float(both.v[0]), to_float(both.v[1])};
}

/// Starts the sums of a thread's pixels from the bias: sum 4 j + {0, 1}, and 4 j + {2, 3} of the pixel below, are of
/// channels 8 j + 2 (lane % 4) + {0, 1}.
template <class T, int Blocks, int N>
__device__ inline void start_from_bias(const Operands& p, float (&sums)[Blocks][N], int first_output) {
  const T* const bias = static_cast<const T*>(p.c.bias);
#pragma unroll
  for (int i = 0; i < N / 2; i++) {
    const int channel = first_output + i / 2 * 8 + threadIdx.x % 4 * 2 + i % 2;
    const float offset = bias != nullptr && channel < p.c.out_channels ? to_float(bias[channel]) : 0.f;
#pragma unroll
    for (int b = 0; b < Blocks; b++) sums[b][i / 2 * 4 + i % 2] = sums[b][i / 2 * 4 + 2 + i % 2] = offset;
  }
}

/// Adds a slice of a tile's residual to the sums that belong to one of its pixels, the first of them sums[0].
template <class T, class Tile>
__device__ inline void add_residual(float* sums, const char* box, int pixel) {
#pragma unroll
  for (int j = 0; j < Tile::kSlice / 8; j++) {
    const int at = swizzled(pixel, j * 8 + threadIdx.x % 4 * 2, Tile::kSlice);
    const float2 added = unpacked<T>(*reinterpret_cast<const uint32_t*>(box + at));
    sums[j * 4] += added.x;
    sums[j * 4 + 1] += added.y;
  }
}

/// Writes the sums of an output pixel, or nothing where there is none; all lanes call it. Half 1 is the pixel below.
template <class T, int N>
__device__ inline void write_pixel(const Operands& p, const float (&sums)[N], int half, int64_t pixel, bool there,
                                   int first_output) {
  const int quad = threadIdx.x % 4, outputs = p.c.out_channels;
  T* const out = static_cast<T*>(p.c.out) + pixel * outputs;
  if (N % 16 == 0 && p.whole) {
#pragma unroll
    for (int j = 0; j < N / 4; j += 4) {
      uint32_t words[4];
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int at = (j + i) * 4 + half * 2;
        words[i] = packed<T>(within<T>(sums[at]), within<T>(sums[at + 1]));
      }
      exchange(words);
      const int piece = first_output + (j + quad) * 8;  // this lane's after the exchange
      if (there && piece < outputs) {
        *reinterpret_cast<uint4*>(out + piece) = make_uint4(words[0], words[1], words[2], words[3]);
      }
    }
  } else if (there) {
    const T* const residual =
        p.c.residual == nullptr || p.residual_boxes ? nullptr : static_cast<const T*>(p.c.residual) + pixel * outputs;
#pragma unroll
    for (int i = 0; i < N / 2; i++) {
      const int channel = first_output + i / 2 * 8 + quad * 2 + i % 2;
      if (channel >= outputs) continue;
      float sum = sums[i / 2 * 4 + half * 2 + i % 2];
      if (residual != nullptr) sum += to_float(residual[channel]);
      out[channel] = from_float<T>(within<T>(sum));
    }
  }
}

template <class T, class Tile>
__device__ inline void multiply(const Operands& p, const char* boxes, const char* weights, Barriers& barriers,
                                int group) {
  constexpr int kBlocks = Tile::kBlocks, kOutputs = Tile::kOutputs;
  const int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32;
  const Layout& layout = p.layout;
  const uint32_t line_bytes = layout.box_width * Tile::kPixelBytes;
  // Where this group's squares begin in the tile.
  const auto column = [&](int b) { return (group * kBlocks + b) % layout.across * 8; };
  const auto row = [&](int b) { return (group * kBlocks + b) / layout.across * 8; };
  uint32_t offset[kBlocks];  // and in a box
#pragma unroll
  for (int b = 0; b < kBlocks; b++) offset[b] = row(b) * line_bytes + column(b) * Tile::kPixelBytes;
  Slots pixel_slot(layout.pixel_stages, 0), weight_slot(layout.weight_stages, 0);
  const int rounds = p.c.kernel_frames * ((p.c.channels + Tile::kSlice - 1) / Tile::kSlice);
  float sums[kBlocks][kOutputs / 2];
  for (int tile = blockIdx.x; tile < p.tiles; tile += gridDim.x) {
    Barrier *used_pixels = nullptr, *used_weights = nullptr;  // by the products before the latest
    const Corner corner = Corner::of<Tile>(p, tile);
    start_from_bias<T>(p, sums, corner.output);
#pragma unroll
    for (int b = 0; b < kBlocks; b++) wgmma_hold(sums[b]);
    for (int round = 0; round < rounds; round++, pixel_slot.next()) {
      barriers.pixels_full[pixel_slot.stage].wait(pixel_slot.parity);
      const uint32_t box = shared_address(boxes) + pixel_slot.stage * layout.box_bytes;
      for (int dy = 0; dy < p.c.kernel_height; dy++) {
        for (int dx = 0; dx < p.c.kernel_width; dx++, weight_slot.next()) {
          barriers.weights_full[weight_slot.stage].wait(weight_slot.parity);
          const uint32_t tap = box + dy * line_bytes + dx * Tile::kPixelBytes;
          const uint32_t slice = shared_address(weights) + weight_slot.stage * Tile::kWeightBytes;
          wgmma_begin();
#pragma unroll
          for (int b = 0; b < kBlocks; b++) {
#pragma unroll
            for (int k = 0; k < Tile::kSlice; k += 16) {
              WgmmaShared<T, kOutputs>::run(sums[b], rows_descriptor<Tile::kSlice>(tap + offset[b] + k * 2, line_bytes),
                                            panel_descriptor<Tile::kSlice>(slice + k * 2), 1);
            }
          }
          wgmma_commit();
          wgmma_wait<1>();
          if (used_weights != nullptr) release(*used_weights);
          used_weights = &barriers.weights_free[weight_slot.stage];
          if (used_pixels != nullptr) release(*used_pixels);
          used_pixels = nullptr;
        }
      }
      used_pixels = &barriers.pixels_free[pixel_slot.stage];
    }
    wgmma_wait<0>();
#pragma unroll
    for (int b = 0; b < kBlocks; b++) wgmma_hold(sums[b]);
    release(*used_weights);
    release(*used_pixels);

    if (p.residual_boxes) {
      const auto pixel = [&](int b, int half) {
        return (row(b) + warp * 2 + half) * (8 * layout.across) + column(b) + lane / 4;
      };
#pragma unroll
      for (int i = 0; i < Tile::kResidualBoxes; i++, pixel_slot.next()) {
        barriers.pixels_full[pixel_slot.stage].wait(pixel_slot.parity);
        const char* const box = boxes + pixel_slot.stage * layout.box_bytes;
#pragma unroll
        for (int b = 0; b < kBlocks; b++) {
#pragma unroll
          for (int half = 0; half < 2; half++) {
            add_residual<T, Tile>(sums[b] + i * Tile::kSlice / 2 + half * 2, box, pixel(b, half));
          }
        }
        release(barriers.pixels_free[pixel_slot.stage]);
      }
    }
#pragma unroll
    for (int b = 0; b < kBlocks; b++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int x = corner.column + column(b) + lane / 4, y = corner.row + row(b) + warp * 2 + half;
        const int64_t line = (int64_t(corner.frame) * p.c.out_height + y) * p.phases + corner.phase_row;
        const int64_t pixel = (line * p.c.out_width + x) * p.phases + corner.phase_column;
        write_pixel<T>(p, sums[b], half, pixel, x < p.c.out_width && y < p.c.out_height, corner.output);
      }
    }
  }
}

template <class T, class Tile>
__global__ void __launch_bounds__(kThreads, 1) convolve(const __grid_constant__ Operands p) {
  extern __shared__ char unaligned[];
  char* const boxes = unaligned + (-shared_address(unaligned) & 1023);       // [stage][row][column][slice]
  char* const weights = boxes + p.layout.pixel_stages * p.layout.box_bytes;  // [stage][output][slice]
  auto& barriers = *reinterpret_cast<Barriers*>(weights + p.layout.weight_stages * Tile::kWeightBytes);
  static_assert(sizeof(barriers) <= 512, "barriers have room");
  if (threadIdx.x == 0) {
    for (int i = 0; i < kMaxStages; i++) {
      barriers.pixels_full[i].init(1);
      barriers.pixels_free[i].init(kConsumers * 4);
      barriers.weights_full[i].init(1);
      barriers.weights_free[i].init(kConsumers * 4);
    }
    fence_barrier_init();
  }
  __syncthreads();
  const int group = __shfl_sync(0xffffffffu, threadIdx.x / 128, 0);
  if (group == kConsumers) {
    fewer_registers<40>();
    const int thread = threadIdx.x % 128;
    if (thread == 0) {
      bring_pixels<Tile>(p, boxes, barriers);
    } else if (thread == 32) {
      bring_weights<Tile>(p, weights, barriers);
    }
  } else {
    more_registers<232>();
    multiply<T, Tile>(p, boxes, weights, barriers, group);
  }
}

#endif

/// The weights of a doubled clip's phases: of 3 x 3 taps those that meet the same pixel are added, which leaves 2 x 2.
/// An output in an even line sees the line before its own in the first tap and its own in the others, one in an odd
/// line its own in two taps and the next in the last; columns likewise.
template <class T>
__global__ void fold(const T* weight, T* folded, int outputs, int frames, int channels) {
  const int64_t kernel = int64_t(frames) * 9 * channels;
  for (int64_t i = blockIdx.x * int64_t(blockDim.x) + threadIdx.x; i < int64_t(outputs) * frames * 16 * channels;
       i += int64_t(gridDim.x) * blockDim.x) {
    // (phase row, phase column, output, frame, tap row, tap column, channel)
    const int channel = int(i % channels), tap = int(i / channels % 4), frame = int(i / channels / 4 % frames);
    const int output = int(i / channels / 4 / frames % outputs), phase = int(i / channels / 4 / frames / outputs);
    float sum = 0;
    for (int dy = 0; dy < 3; dy++) {
      for (int dx = 0; dx < 3; dx++) {
        const int row = phase / 2, column = phase % 2;
        if ((row + dy + 1) / 2 - row != tap / 2 || (column + dx + 1) / 2 - column != tap % 2) continue;
        sum += to_float(weight[output * kernel + ((frame * 3 + dy) * 3 + dx) * channels + channel]);
      }
    }
    folded[i] = from_float<T>(within<T>(sum));
  }
}

/// Whether a convolution of a doubled clip becomes four of the clip as it is, one for each of 2 x 2 output pixels.
bool folds(const Convolution& c) {
  return c.repeat == 2 && c.kernel_height == 3 && c.kernel_width == 3 && c.pad_top == 1 && c.pad_bottom == 1 &&
         c.pad_left == 1 && c.pad_right == 1;
}

/// What one of the four is.
Convolution phase_of(Convolution c) {
  c.repeat = 1;
  c.kernel_height = c.kernel_width = 2;
  c.taps = c.kernel_frames * 4;
  c.terms = c.taps * c.channels;
  c.out_height = c.height;
  c.out_width = c.width;
  return c;
}

template <class T, class Tile>
void launch_tile(Convolution c, const Device& device, cudaStream_t stream) {
  Workspace workspace(stream);
  int phases = 1;
  if (folds(c)) {
    T* folded;
    const int64_t count = int64_t(c.out_channels) * c.kernel_frames * 16 * c.channels;
    workspace.add(folded, count);
    workspace.allocate();
    launch("adding weights of a doubled clip", fold<T>, unsigned(std::min(ceil_div(count, 256), int64_t(1) << 16)), 256,
           0, stream, static_cast<const T*>(c.weight), folded, c.out_channels, c.kernel_frames, c.channels);
    c = phase_of(c);
    c.weight = folded;
    phases = 2;
  }
  const Layout layout = best_layout<Tile>(c);
  const int output_tiles = int(ceil_div(c.out_channels, Tile::kOutputs));
  const int64_t tiles = layout.tiles(c) * c.out_frames * output_tiles * phases * phases;
  if (tiles > INT32_MAX / 2) {
    unsupported("%d pixels of %d channels are %lld tiles, the CUDA library has at most %d for one call", c.out_pixels(),
                c.out_channels, (long long)tiles, INT32_MAX / 2);
  }
  const auto boxes = [&](const void* data, int channels, int width, int height, int frames, int box_width,
                         int box_height) {
    const cuuint64_t pixel = channels * 2ull, line = pixel * width, frame = line * height;
    return tensor_map<4>(data, c.dtype,
                         {cuuint64_t(channels), cuuint64_t(width), cuuint64_t(height), cuuint64_t(frames)},
                         {pixel, line, frame}, {Tile::kSlice, cuuint32_t(box_width), cuuint32_t(box_height), 1});
  };
  const auto clip = [&](const void* data, int frames) {
    return boxes(data, c.channels, c.width, c.height, frames, layout.box_width, layout.box_height);
  };
  const CUtensorMap x = clip(c.x, c.frames);
  const CUtensorMap weight = tensor_map<3>(
      c.weight, c.dtype, {cuuint64_t(c.channels), cuuint64_t(c.taps), cuuint64_t(c.out_channels) * phases * phases},
      {cuuint64_t(c.channels) * 2, cuuint64_t(c.terms) * 2}, {Tile::kSlice, 1, Tile::kOutputs});
  const auto aligned_to = [](const void* array, int bytes) { return reinterpret_cast<uintptr_t>(array) % bytes == 0; };
  const bool pieces = c.out_channels % 8 == 0;
  const bool residual_boxes =
      c.residual != nullptr && Tile::kResidualBoxes > 0 && phases == 1 && pieces && aligned_to(c.residual, 16);
  const CUtensorMap residual = residual_boxes ? boxes(c.residual, c.out_channels, c.out_width, c.out_height,
                                                      c.out_frames, 8 * layout.across, 8 * layout.down)
                                              : x;
  const Operands operands{
      c.earlier_frames > 0 ? clip(c.earlier, c.earlier_frames) : x,
      x,
      weight,
      residual,
      c,
      phases,
      layout,
      int(ceil_div(c.out_width, 8 * layout.across)),
      int(ceil_div(c.out_height, 8 * layout.down)),
      output_tiles,
      int(tiles),
      residual_boxes,
      (c.residual == nullptr || residual_boxes) && pieces && aligned_to(c.out, 16),
  };
  launch("convolution (wgmma)", convolve<T, Tile>, unsigned(tiles < device.processors ? tiles : device.processors),
         kThreads, layout.shared(Tile::kWeightBytes), stream, operands);
}

/// Calls body(Tile{}) with the tile for a convolution.
template <class Body>
auto with_tile(const Convolution& c, Body body) {
  if (c.out_channels <= 16) return body(Tile<16, 4, 32>{});
  if ((c.out_channels + 95) / 96 % 2 != 0) return body(Tile<96, 4, 32>{});
  if (c.channels % 64 != 0) return body(Tile<192, 2, 32>{});
  return body(Tile<192, 2, 64>{});
}

}  // namespace

bool suits_wgmma(const Convolution& c) {
  const auto aligned = [](const void* array) { return reinterpret_cast<uintptr_t>(array) % 16 == 0; };
  return c.dtype != SVG_F32 && c.channels % 8 == 0 && c.stride == 1 && (c.repeat == 1 || folds(c)) && aligned(c.x) &&
         aligned(c.weight) && (c.earlier_frames == 0 || aligned(c.earlier)) &&
         with_tile(c, [&](auto tile) { return best_layout<decltype(tile)>(folds(c) ? phase_of(c) : c).fits; });
}

void convolution_wgmma(const Convolution& c, const Device& device, cudaStream_t stream) {
  with_tile(c, [&](auto tile) {
    if (c.dtype == SVG_F16) {
      launch_tile<f16, decltype(tile)>(c, device, stream);
    } else {
      launch_tile<bf16, decltype(tile)>(c, device, stream);
    }
  });
}

}  // namespace svg
