// Head profiling on Hopper: the sums of profile_heads.cu, a warpgroup for each of the three softmaxes.
//
// Bytes: K and V once (1.5 GB at 40 x 75,600 x 128, 0.37 ms), and shared memory is read once per softmax, not once per
// 16 samples. Arithmetic: 100 GFLOP per softmax of 64 samples; 0.17 ms of the tensor cores' time each, less what a mask
// lets its warpgroup pass over. A producer warpgroup brings tiles of 64 keys and values through the bulk copy engine
// and notes the keys' blocks; each consumer warpgroup is a flash attention of 64 samples on its own.
#include "async.cuh"
#include "mma.cuh"
#include "profile_heads.h"
#include "wgmma.cuh"

namespace svg {
namespace {

constexpr int kKeys = kWgmmaKeys;
constexpr int kThreads = (kProfiles + 1) * 128;
constexpr int kPanel = 64;                       // columns of a swizzle span
constexpr int kPanelBytes = kKeys * kPanel * 2;  // of keys, of values and of samples alike
static_assert(kKeys == 64 && kBlockSamples == 64, "a panel is 64 rows");

template <int Columns>
struct Layout {
  static constexpr int kPanels = Columns / kPanel;
  static constexpr int kTileBytes = kPanels * kPanelBytes;
  static constexpr int kStages = 6;
  static constexpr int kBlockBytes = 2 * kKeys * int(sizeof(int));  // the keys' blocks under both masks
  static constexpr int kShared = (2 * kStages + 1) * kTileBytes + kStages * kBlockBytes + 1024 /* alignment */;
  static_assert(kShared <= 226 * 1024, "tiles fit the shared memory");
};

struct Barriers {
  Barrier full[6], free[6];
};

/// The blocks that some of the samples see, as one range.
struct BlockRange {
  int least, most;
};

template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 1)
    attend(const ProfileProblem problem, const __grid_constant__ CUtensorMap k_map,
           const __grid_constant__ CUtensorMap v_map) {
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
  using L = Layout<Columns>;
  extern __shared__ char unaligned[];
  char* shared = unaligned + (-shared_address(unaligned) & 1023);
  char* tiles = shared;                                               // [stage][K, V][panel][key][kPanel]
  char* samples = tiles + 2 * L::kStages * L::kTileBytes;             // [panel][sample][kPanel]
  int* key_blocks = reinterpret_cast<int*>(samples + L::kTileBytes);  // [stage][mask][key]
  __shared__ Barriers barriers;
  __shared__ int order[kBlockSamples];
  __shared__ BlockRange ranges[2];  // of the masks
  const svg_profile_heads_params& p = problem.p;
  const int head = blockIdx.x, split = blockIdx.y, group = threadIdx.x / 128, lane = threadIdx.x % 32;
  const int begin = split * problem.keys_per_split, end = min(begin + problem.keys_per_split, p.rows);

  if (threadIdx.x == 0) {
    for (int i = 0; i < L::kStages; i++) {
      barriers.full[i].init(kKeys + 1);
      barriers.free[i].init(kProfiles * 128);
    }
    fence_barrier_init();
    for (BlockRange& range : ranges) range = {INT32_MAX, INT32_MIN};
  }
  sort_samples(p, blockIdx.z * kBlockSamples, order);
  // With the sign of the scale in the samples, the greatest product is the greatest score.
  const uint32_t sign = p.scale < 0 ? 0x80008000 : 0;
  for (int i = threadIdx.x; i < kBlockSamples * Columns / 8; i += kThreads) {
    const int mine = i / (Columns / 8), column = i % (Columns / 8) * 8;
    const int row = sampled_row(p, min(order[mine], p.samples - 1));
    const T* from = static_cast<const T*>(p.q.data) + head * p.q.head_stride + row * p.q.row_stride + column;
    uint4 piece = column < p.head_dim ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
    piece = make_uint4(piece.x ^ sign, piece.y ^ sign, piece.z ^ sign, piece.w ^ sign);
    *reinterpret_cast<uint4*>(samples + column / kPanel * kPanelBytes + swizzled(mine, column % kPanel, kPanel)) =
        piece;
  }
  if (threadIdx.x < 2 * kBlockSamples) {
    const int mask = threadIdx.x / kBlockSamples;
    const int row = sampled_row(p, min(order[threadIdx.x % kBlockSamples], p.samples - 1));
    const SeenBlocks seen = seen_blocks(p, row, mask + 1);
    if (seen.count > 0) {
      atomicMin(&ranges[mask].least, seen.first);
      atomicMax(&ranges[mask].most, int(min(int64_t(seen.first) + seen.count - 1, int64_t(INT32_MAX))));
    }
  }
  fence_async_proxy();
  __syncthreads();

  if (group == kProfiles) {
    fewer_registers<40>();
    const int key = threadIdx.x % 128;
    if (key >= kKeys) return;
    int stage = 0, parity = 1;
    for (int base = begin; base < end; base += kKeys) {
      barriers.free[stage].wait(parity);
      if (key == 0) {
        Barrier& full = barriers.full[stage];
        full.arrive_expecting(2 * L::kTileBytes);
        char* tile = tiles + stage * 2 * L::kTileBytes;
        for (int panel = 0; panel < L::kPanels; panel++) {
          copy_box(tile + panel * kPanelBytes, k_map, panel * kPanel, base, head, full);
          copy_box(tile + L::kTileBytes + panel * kPanelBytes, v_map, panel * kPanel, base, head, full);
        }
      }
      const int row = min(base + key, p.rows - 1);
      key_blocks[stage * 2 * kKeys + key] = key_block(p, row, 1);
      key_blocks[stage * 2 * kKeys + kKeys + key] = key_block(p, row, 2);
      barriers.full[stage].arrive();
      if (++stage == L::kStages) stage = 0, parity ^= 1;
    }
    return;
  }

  more_registers<152>();
  const int profile = group, quad = lane % 4;
  const auto my_sample = [&](int r) { return order[threadIdx.x % 128 / 32 * 16 + lane / 4 + 8 * r]; };
  SeenBlocks seen[2];
  BlockRange range;
  if (profile > 0) {
    range = ranges[profile - 1];
    for (int r = 0; r < 2; r++) seen[r] = seen_blocks(p, sampled_row(p, min(my_sample(r), p.samples - 1)), profile);
  }
  const float scale = fmaxf(fabsf(p.scale), 1e-30f) * 1.4426950409f;  // not 0, for the products with -infinity
  float most[2] = {kLeastMaximum, kLeastMaximum}, weights[2] = {0, 0}, out[Columns / 2] = {};
  int stage = 0, parity = 0, base = begin;
  // The keys' blocks under the mask, where there is one.
  const auto blocks = [&] { return key_blocks + (stage * 2 + profile - 1) * kKeys; };
  const auto step_on = [&] {
    base += kKeys;
    if (++stage == L::kStages) stage = 0, parity ^= 1;
  };
  // Waits for the tile; whether the mask allows something of it.
  const auto visible = [&] {
    if (base >= end) return false;
    barriers.full[stage].wait(parity);
    if (profile == 0) return true;
    const int2 mine = *reinterpret_cast<const int2*>(blocks() + 2 * lane);
    const bool any = mine.x == kAlways || mine.y == kAlways || (range.least <= mine.x && mine.x <= range.most) ||
                     (range.least <= mine.y && mine.y <= range.most);
    return __any_sync(0xffffffffu, any) != 0;  // the same in every warp of the group
  };
  float scores[kKeys / 2];
  const auto multiply_keys = [&] {
    const char* keys = tiles + stage * 2 * L::kTileBytes;
#pragma unroll
    for (int step = 0; step < Columns / 16; step++) {
      const int at = step * 16 / kPanel * kPanelBytes + step * 16 % kPanel * 2;
      WgmmaShared<T, kKeys>::run(scores, panel_descriptor<kPanel>(shared_address(samples + at)),
                                 panel_descriptor<kPanel>(shared_address(keys + at)), step != 0);
    }
  };

  // The first tile, and the next one after some that were passed over.
  const auto seek = [&] {
    while (base < end && !visible()) {
      barriers.free[stage].arrive();
      step_on();
    }
    wgmma_hold(scores);
    wgmma_begin();
    multiply_keys();
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_hold(scores);
  };

  seek();
  while (base < end) {
    if (profile > 0) {
#pragma unroll
      for (int i = 0; i < kKeys / 2; i += 4) {
        const int2 block = *reinterpret_cast<const int2*>(blocks() + 2 * i + 2 * quad);
        if (!seen[0].sees(block.x)) scores[i] = -INFINITY;
        if (!seen[0].sees(block.y)) scores[i + 1] = -INFINITY;
        if (!seen[1].sees(block.x)) scores[i + 2] = -INFINITY;
        if (!seen[1].sees(block.y)) scores[i + 3] = -INFINITY;
      }
    }
    if (base + kKeys > end) {
#pragma unroll
      for (int i = 0; i < kKeys / 2; i++) {
        if (base + i / 4 * 8 + 2 * quad + i % 2 >= end) scores[i] = -INFINITY;
      }
    }
    float top[2] = {-INFINITY, -INFINITY}, shrink[2], sums[4] = {};
#pragma unroll
    for (int i = 0; i < kKeys / 2; i++) top[i % 4 / 2] = fmaxf(top[i % 4 / 2], scores[i]);
#pragma unroll
    for (int r = 0; r < 2; r++) {
      top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 1));
      top[r] = fmaxf(top[r], __shfl_xor_sync(0xffffffffu, top[r], 2));
      shrink[r] = raise(most[r], top[r] * scale);
    }
    uint32_t packed_weights[kKeys / 4];
#pragma unroll
    for (int i = 0; i < kKeys / 2; i += 2) {
      const float a = exp2_fast(scores[i] * scale - most[i % 4 / 2]),
                  b = exp2_fast(scores[i + 1] * scale - most[i % 4 / 2]);
      sums[i % 4] += a;
      sums[i % 4 + 1] += b;
      packed_weights[i / 2] = packed<T>(a, b);
    }
#pragma unroll
    for (int r = 0; r < 2; r++) weights[r] = weights[r] * shrink[r] + (sums[2 * r] + sums[2 * r + 1]);
    if (__any_sync(0xffffffffu, shrink[0] != 1 || shrink[1] != 1)) {
#pragma unroll
      for (int i = 0; i < Columns / 2; i++) out[i] *= shrink[i % 4 / 2];
    }

    // This tile's values and the next one's keys are multiplied together; if that one is not visible, its product goes
    // nowhere. The search for another begins only when this tile is free: the ring may be too short for both.
    Barrier& done = barriers.free[stage];
    const uint32_t values = shared_address(tiles + (stage * 2 + 1) * L::kTileBytes);
    step_on();
    const bool follows = visible();
    wgmma_hold(out);
    wgmma_hold(packed_weights);
    wgmma_hold(scores);
    wgmma_begin();
    multiply_keys();
#pragma unroll
    for (int step = 0; step < kKeys / 16; step++) {
      const uint32_t* w = packed_weights + 4 * step;
      Wgmma<T, Columns, true>::run(out, w[0], w[1], w[2], w[3],
                                   transposed_descriptor(values + step * 16 * kPanel * 2, kPanelBytes), true);
    }
    wgmma_commit();
    wgmma_wait<0>();
    wgmma_hold(out);
    wgmma_hold(scores);
    done.arrive();
    if (!follows) seek();
  }

#pragma unroll
  for (int r = 0; r < 2; r++) {
    float sum = weights[r];
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    const int sample = my_sample(r);
    if (sample >= p.samples) continue;
    const int64_t part = ((int64_t(head) * problem.splits + split) * p.samples + sample) * kProfiles + profile;
    if (quad == 0) problem.weights[part] = {most[r], sum};
    if (sum == 0) continue;
#pragma unroll
    for (int i = 2 * r; i < Columns / 2; i += 4) {
      const int column = i / 4 * 8 + 2 * quad;
      if (column < p.head_dim) {
        store(problem.outputs + part * p.head_dim + column, Vector<float, 2>{out[i], out[i + 1]});
      }
    }
  }
#endif
}

template <class T, int Columns>
void launch_attend(const ProfileProblem& problem, int groups, cudaStream_t stream) {
  const svg_profile_heads_params& p = problem.p;
  const auto map = [&](const svg_heads& t) {
    return tensor_map(t, p.dtype, p.heads, p.rows, p.head_dim, kKeys, kPanel);
  };
  launch("attending to sampled rows (wgmma)", attend<T, Columns>, dim3(p.heads, problem.splits, groups), kThreads,
         Layout<Columns>::kShared, stream, problem, map(p.k), map(p.v));
}

}  // namespace

void attend_wgmma(const ProfileProblem& problem, int groups, cudaStream_t stream) {
  const bool narrow = problem.p.head_dim <= 64;
  if (problem.p.dtype == SVG_F16) {
    narrow ? launch_attend<f16, 64>(problem, groups, stream) : launch_attend<f16, 128>(problem, groups, stream);
  } else {
    narrow ? launch_attend<bf16, 64>(problem, groups, stream) : launch_attend<bf16, 128>(problem, groups, stream);
  }
}

}  // namespace svg
