// The assignment of k-means on Hopper: argmax over clusters of x . c - |c|^2 / 2, which is the nearest centroid.
//
// Arithmetic: 2 N K D per head, 774 GFLOP for 40 x 75,600 x 128 and K 1000, 1.1 ms at the rate of a large GEMM. Bytes:
// x once (774 MB, 0.18 ms) and the centroids once per 256 rows, from L2 (3 GB, half of what L2 gives in that time). The
// scores never leave the registers.
//
// A block keeps 256 rows of x as operand fragments in the registers of two warpgroups and passes all centroids by them,
// tile by tile. While one has its products of a tile under way, the other compares the scores of its own; left to
// themselves they fall into turns, and barriers that enforce them cost 1 %. A third warpgroup brings tiles of centroids
// (a contiguous bulk copy each, since the image is already in the tensor cores' layout) and the next 256 rows, which
// have the whole pass to arrive.
#include "async.cuh"
#include "kmeans.h"
#include "mma.cuh"
#include "wgmma.cuh"

namespace svg {
namespace {

constexpr int kConsumers = 2;    // warpgroups
constexpr int kGroupRows = 128;  // rows of a warpgroup: two products of 64
constexpr int kBlockRows = kConsumers * kGroupRows;
constexpr int kThreads = (kConsumers + 1) * 128;
constexpr int kMaxShared = 227 * 1024;

template <int Columns, int Tile>
struct Layout {
  static_assert(Tile % 8 == 0 && Tile <= 256, "wgmma has N of 8 to 256 in steps of 8");
  static constexpr int kPanel = panel_columns(Columns);
  static constexpr int kTileBytes = Columns * Tile * 2;
  static_assert(kTileBytes % 1024 == 0, "tiles start at multiples of the swizzle pattern");
  static constexpr int kGroupBytes = kGroupRows * Columns * 2;
  static constexpr int kRowBytes = kConsumers * kGroupBytes;
  static constexpr int kRest = 1024 + 512;  // alignment and barriers
  static constexpr int kFits = (kMaxShared - kRest - kRowBytes) / (kTileBytes + Tile * 4);
  static constexpr int kStages = kFits < 6 ? kFits : 6;
  static_assert(kStages >= 3, "a tile for each warpgroup and one on its way");
  static constexpr int kShared = kStages * (kTileBytes + Tile * 4) + kRowBytes + kRest;
};

struct Barriers {
  Barrier tile_full[6], tile_free[6], rows_full[kConsumers], rows_free[kConsumers];
};
static_assert(sizeof(Barriers) <= 512, "barriers have room");

template <class T, int Columns, int Tile>
__global__ void __launch_bounds__(kThreads, 1)
    assign(const AssignProblem p, const __grid_constant__ CUtensorMap x_map, const int row_tiles) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using L = Layout<Columns, Tile>;
  if (p.skip != nullptr && *p.skip != 0) return;
  extern __shared__ char unaligned[];
  char* shared = unaligned + (-shared_address(unaligned) & 1023);
  char* tiles = shared;                                           // [stage][panel][Tile][kPanel]
  char* rows = tiles + L::kStages * L::kTileBytes;                // [group][panel][row][kPanel]
  float* biases = reinterpret_cast<float*>(rows + L::kRowBytes);  // [stage][Tile]
  Barriers& barriers = *reinterpret_cast<Barriers*>(biases + L::kStages * Tile);

  const int group = threadIdx.x / 128, lane = threadIdx.x % 32;
  const int tiles_per_head = p.centroids.clusters / Tile;
  if (threadIdx.x == 0) {
    for (int i = 0; i < L::kStages; i++) {
      barriers.tile_full[i].init(1);
      barriers.tile_free[i].init(kConsumers * 128);
    }
    for (int i = 0; i < kConsumers; i++) {
      barriers.rows_full[i].init(1);
      barriers.rows_free[i].init(128);
    }
    fence_barrier_init();
  }
  __syncthreads();

  if (group == kConsumers) {
    fewer_registers<40>();
    const int warp = threadIdx.x / 32 % 4;
    if (warp == 0 && lane == 0) {  // centroids
      int stage = 0, parity = 1;
      for (int work = blockIdx.x; work < p.heads * row_tiles; work += gridDim.x) {
        const int64_t head = work / row_tiles;
        const char* image = static_cast<const char*>(p.centroids.data) + head * tiles_per_head * L::kTileBytes;
        const float* bias = p.centroids.bias + head * p.centroids.clusters;
        for (int tile = 0; tile < tiles_per_head; tile++) {
          Barrier& full = barriers.tile_full[stage];
          barriers.tile_free[stage].wait(parity);
          full.arrive_expecting(L::kTileBytes + Tile * 4);
          copy_bulk(tiles + stage * L::kTileBytes, image + tile * L::kTileBytes, L::kTileBytes, full);
          copy_bulk(biases + stage * Tile, bias + tile * Tile, Tile * 4, full);
          if (++stage == L::kStages) stage = 0, parity ^= 1;
        }
      }
    } else if (warp == 1 && lane == 0) {  // rows of x
      int parity = 1;
      for (int work = blockIdx.x; work < p.heads * row_tiles; work += gridDim.x) {
        const int head = work / row_tiles, first = work % row_tiles * kBlockRows;
        for (int g = 0; g < kConsumers; g++) {
          Barrier& full = barriers.rows_full[g];
          barriers.rows_free[g].wait(parity);
          full.arrive_expecting(L::kGroupBytes);
          for (int column = 0; column < Columns; column += L::kPanel) {
            copy_box(rows + g * L::kGroupBytes + column * kGroupRows * 2, x_map, column, first + g * kGroupRows, head,
                     full);
          }
        }
        parity ^= 1;
      }
    }
    return;
  }

  more_registers<232>();
  constexpr int kGroups = Columns / 32;  // of 64 bytes, two products each
  const int warp = threadIdx.x / 32 % 4, quad = lane % 4;
  const int my_row = warp * 16 + lane / 4;  // and 8, 64, 72 below
  int stage = 0, parity = 0, rows_parity = 0;
  for (int work = blockIdx.x; work < p.heads * row_tiles; work += gridDim.x) {
    Words x[4][kGroups];  // rows 0, 8, 64, 72
    barriers.rows_full[group].wait(rows_parity);
    rows_parity ^= 1;
#pragma unroll
    for (int r = 0; r < 4; r++) {
#pragma unroll
      for (int g = 0; g < kGroups; g++) {
        const int column = g * 32, panel = column / L::kPanel;
        x[r][g] = *reinterpret_cast<const Words*>(
            rows + group * L::kGroupBytes + panel * kGroupRows * L::kPanel * 2 +
            swizzled(my_row + r % 2 * 8 + r / 2 * 64, column % L::kPanel + quad * 8, L::kPanel));
      }
    }
    barriers.rows_free[group].arrive();

    float best[4] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    int label[4] = {0, 0, 0, 0};
    for (int tile = 0; tile < tiles_per_head; tile++) {
      float scores[2][Tile / 2];
      barriers.tile_full[stage].wait(parity);
      wgmma_begin();
      const uint32_t centroids = shared_address(tiles + stage * L::kTileBytes);
#pragma unroll
      for (int step = 0; step < 2 * kGroups; step++) {
        const int column = step * 16, panel = column / L::kPanel;
        const uint64_t b =
            panel_descriptor<L::kPanel>(centroids + panel * Tile * L::kPanel * 2 + column % L::kPanel * 2);
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const Words lo = x[2 * half][step / 2], hi = x[2 * half + 1][step / 2];
          Wgmma<T, Tile>::run(scores[half], word(lo, step % 2 * 2), word(hi, step % 2 * 2), word(lo, step % 2 * 2 + 1),
                              word(hi, step % 2 * 2 + 1), b, step != 0);
        }
      }
      wgmma_commit();
      wgmma_wait<0>();

      const float* bias = biases + stage * Tile + 2 * quad;

      int found[4] = {-1, -1, -1, -1};
#pragma unroll
      for (int j = 0; j < Tile; j += 8) {
        const float2 b = *reinterpret_cast<const float2*>(bias + j);
#pragma unroll
        for (int r = 0; r < 4; r++) {
          const float s0 = scores[r / 2][j / 2 + r % 2 * 2] + b.x, s1 = scores[r / 2][j / 2 + r % 2 * 2 + 1] + b.y;
          if (s0 > best[r]) best[r] = s0, found[r] = j;
          if (s1 > best[r]) best[r] = s1, found[r] = j + 1;
        }
      }
#pragma unroll
      for (int r = 0; r < 4; r++) {
        if (found[r] >= 0) label[r] = tile * Tile + 2 * quad + found[r];
      }

      barriers.tile_free[stage].arrive();
      if (++stage == L::kStages) stage = 0, parity ^= 1;
    }

    // The quad's four lanes hold a quarter of the clusters each; equal scores: the lowest.
#pragma unroll
    for (int r = 0; r < 4; r++) {
#pragma unroll
      for (int i = 1; i < 4; i *= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, best[r], i);
        const int other_label = __shfl_xor_sync(0xffffffffu, label[r], i);
        if (other > best[r] || (other == best[r] && other_label < label[r])) {
          best[r] = other;
          label[r] = other_label;
        }
      }
    }
    const int head = work / row_tiles;
    const int row = work % row_tiles * kBlockRows + group * kGroupRows + my_row + quad % 2 * 8 + quad / 2 * 64;
    const int mine = quad == 0 ? label[0] : quad == 1 ? label[1] : quad == 2 ? label[2] : label[3];
    if (row < p.rows) p.labels[int64_t(head) * p.rows + row] = mine;
  }
#endif
}

template <class T, int Columns, int Tile>
void launch_assign(const AssignProblem& p, const Device& device, cudaStream_t stream) {
  const int row_tiles = int(ceil_div(p.rows, kBlockRows));
  const int64_t work = int64_t(p.heads) * row_tiles;
  if (work > INT32_MAX / 2) unsupported("%d heads of %d rows are too many for one call", p.heads, p.rows);
  const int blocks = int(work < device.processors ? work : device.processors);
  launch("assigning rows to centroids (wgmma)", assign<T, Columns, Tile>, blocks, kThreads,
         Layout<Columns, Tile>::kShared, stream, p,
         tensor_map(p.x, std::is_same_v<T, f16> ? SVG_F16 : SVG_BF16, p.heads, p.rows, p.dim, kGroupRows,
                    panel_columns(Columns)),
         row_tiles);
}

template <class T>
void pick(const AssignProblem& p, const Device& device, cudaStream_t stream) {
  const bool narrow = p.centroids.tile == 104;
  switch (p.centroids.columns) {
    case 32:
      return launch_assign<T, 32, 128>(p, device, stream);
    case 64:
      return narrow ? launch_assign<T, 64, 104>(p, device, stream) : launch_assign<T, 64, 128>(p, device, stream);
    case 96:
      return launch_assign<T, 96, 128>(p, device, stream);
    default:
      return narrow ? launch_assign<T, 128, 104>(p, device, stream) : launch_assign<T, 128, 128>(p, device, stream);
  }
}

}  // namespace

int wgmma_tile(int columns, int clusters) {
  if (columns % 64 != 0) return 128;
  return ceil_div(clusters, 104) * 104 < ceil_div(clusters, 128) * 128 ? 104 : 128;
}

void assign_wgmma(const AssignProblem& problem, int32_t dtype, const Device& device, cudaStream_t stream) {
  if (dtype == SVG_F16) {
    pick<f16>(problem, device, stream);
  } else {
    pick<bf16>(problem, device, stream);
  }
}

}  // namespace svg
