// SVG1's online profiling: the error of both masks on sampled rows, for all heads: svg_profile_heads.
//
// Bytes: K and V once (1.5 GB at 40 x 75,600 x 128, 0.37 ms). Arithmetic: 64 samples against every key, 50 GFLOP of
// scores and 50 of outputs for the exact rows, and for each mask as much of that as it allows. The masks are rules on
// positions, evaluated per score and stored nowhere.
//
// Keys are split among blocks. A block brings tiles of keys and values to shared memory, two ahead of the one in use,
// and every warp is a flash attention of its own: 16 samples under one of the three masks (none, spatial, temporal),
// with that softmax's own maximum and sum; a warp whose mask allows none of a tile to its samples passes over it.
// Samples are sorted by their place in the temporal order, so that a warp's bands lie close together. A mask that
// allows every key makes the same sums as no mask, and so an error of exactly 0.
//
// What the tensor cores do not take (fp32, rows not aligned to 16 bytes, odd widths) goes a plain way: a warp a sample,
// a key at a time.
#include "async.cuh"
#include "mma.cuh"
#include "profile_heads.h"

namespace svg {
namespace {

constexpr int kKeys = 64;  // of a tile
constexpr int kThreads = kProfiles * kBlockSamples / 16 * 32;
constexpr int kStages = 3;

template <int Columns>
constexpr int kShared = kStages*(2 * kKeys * Columns * 2 + 2 * kKeys * int(sizeof(int)));
static_assert(kKeys == kWgmmaKeys, "one division into splits");
static_assert(kShared<128> + kBlockSamples * 8 <= 99 * 1024, "tiles fit the shared memory of sm_89");

template <class T, int Columns>
__global__ void __launch_bounds__(kThreads, 1) attend(const ProfileProblem problem) {
  constexpr int kPieces = Columns / 8, kSteps = Columns / 16;  // of 16 bytes; of a product
  constexpr int kTileBytes = kKeys * Columns * 2;
  extern __shared__ __align__(128) char tiles[];                               // [stage][K, V][key][piece]
  int* key_blocks = reinterpret_cast<int*>(tiles + kStages * 2 * kTileBytes);  // [stage][mask][key]
  __shared__ int order[kBlockSamples];
  const svg_profile_heads_params& p = problem.p;
  const int head = blockIdx.x, split = blockIdx.y, lane = threadIdx.x % 32, warp = threadIdx.x / 32, quad = lane % 4;
  const int profile = warp / 4;  // which softmax; every scheduler of a multiprocessor has warps of each
  sort_samples(p, blockIdx.z * kBlockSamples, order);

  // The pieces of 8 rows, as ldmatrix reads them, lie in different banks.
  const auto at = [&](int stage, int tensor, int key, int piece) {
    return tiles + (stage * 2 + tensor) * kTileBytes + (key * kPieces + (piece ^ key % 8)) * 16;
  };
  const int begin = split * problem.keys_per_split, end = min(begin + problem.keys_per_split, p.rows);
  const auto fetch = [&](int tile) {
    const int stage = tile % kStages, base = begin + tile * kKeys;
    if (base < end) {
#pragma unroll 1
      for (int i = threadIdx.x; i < 2 * kKeys * kPieces; i += kThreads) {
        const int tensor = i / (kKeys * kPieces), key = i / kPieces % kKeys, piece = i % kPieces, row = base + key;
        const svg_heads& from = tensor == 0 ? p.k : p.v;
        const bool inside = row < end && piece * 8 < p.head_dim;
        const int64_t offset = inside ? row * from.row_stride + piece * 8 : 0;
        copy_async_or_zero(shared_address(at(stage, tensor, key, piece)),
                           static_cast<const T*>(from.data) + head * from.head_stride + offset, inside);
      }
      if (threadIdx.x < 2 * kKeys) {
        const int mask = threadIdx.x / kKeys, row = base + threadIdx.x % kKeys;
        key_blocks[stage * 2 * kKeys + threadIdx.x] = key_block(p, min(row, p.rows - 1), mask + 1);
      }
    }
    copy_async_commit();
  };
  for (int i = 0; i < kStages - 1; i++) fetch(i);

  const auto my_sample = [&](int r) { return order[warp % 4 * 16 + lane / 4 + 8 * r]; };
  SeenBlocks seen[2];
  uint32_t q[kSteps][4];
#pragma unroll
  for (int r = 0; r < 2; r++) {
    const int row = sampled_row(p, min(my_sample(r), p.samples - 1));
    if (profile > 0) seen[r] = seen_blocks(p, row, profile);
    const T* from = static_cast<const T*>(p.q.data) + head * p.q.head_stride + row * p.q.row_stride;
#pragma unroll
    for (int step = 0; step < kSteps; step++) {
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int column = step * 16 + half * 8 + 2 * quad;
        q[step][half * 2 + r] = column < p.head_dim ? *reinterpret_cast<const uint32_t*>(from + column) : 0;
      }
    }
  }

  const float scale = p.scale * 1.4426950409f;
  float most[2] = {kLeastMaximum, kLeastMaximum}, weights[2] = {0, 0}, out[Columns / 8][4] = {};
  for (int tile = 0, base = begin; base < end; tile++, base += kKeys) {
    const int stage = tile % kStages;
    copy_async_wait<kStages - 2>();
    __syncthreads();  // the tile is there, and the one before it has been read
    fetch(tile + kStages - 1);
    const int* blocks = key_blocks + (stage * 2 + profile - 1) * kKeys;  // of the mask, where there is one
    if (profile > 0) {
      const int2 mine = *reinterpret_cast<const int2*>(blocks + 2 * lane);
      const bool always = mine.x == kAlways || mine.y == kAlways;
      const int first = __reduce_min_sync(0xffffffffu, min(mine.x, mine.y)),
                last = __reduce_max_sync(0xffffffffu, max(mine.x, mine.y));
      const bool any = always || seen[0].sees_any(first, last) || seen[1].sees_any(first, last);
      if (!__any_sync(0xffffffffu, any)) continue;
    }
#pragma unroll 1
    for (int part = 0; part < kKeys; part += 32) {
      float scores[4][4] = {};
#pragma unroll
      for (int step = 0; step < kSteps; step += 2) {
#pragma unroll
        for (int n = 0; n < 4; n++) {
          const Words k = load_matrices(shared_address(at(stage, 0, part + n * 8 + lane % 8, step * 2 + lane / 8)));
          mma<T>(scores[n], q[step][0], q[step][1], q[step][2], q[step][3], k.x, k.y);
          mma<T>(scores[n], q[step + 1][0], q[step + 1][1], q[step + 1][2], q[step + 1][3], k.z, k.w);
        }
      }
#pragma unroll
      for (int n = 0; n < 4; n++) {
#pragma unroll
        for (int i = 0; i < 4; i++) scores[n][i] *= scale;
        if (profile > 0) {
          const int2 block = *reinterpret_cast<const int2*>(blocks + part + n * 8 + 2 * quad);
#pragma unroll
          for (int i = 0; i < 4; i++) {
            if (!seen[i / 2].sees(i % 2 == 0 ? block.x : block.y)) scores[n][i] = -INFINITY;
          }
        }
        if (base + kKeys > end) {
#pragma unroll
          for (int i = 0; i < 4; i++) {
            if (base + part + n * 8 + 2 * quad + i % 2 >= end) scores[n][i] = -INFINITY;
          }
        }
      }
      uint32_t weight[4][2];
      float shrink[2];
#pragma unroll
      for (int r = 0; r < 2; r++) {
        float top = scores[0][2 * r];
#pragma unroll
        for (int n = 0; n < 4; n++) top = fmaxf(top, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 1));
        top = fmaxf(top, __shfl_xor_sync(0xffffffffu, top, 2));
        shrink[r] = raise(most[r], top);
        weights[r] *= shrink[r];
#pragma unroll
        for (int n = 0; n < 4; n++) {
          const float a = exp2_fast(scores[n][2 * r] - most[r]), b = exp2_fast(scores[n][2 * r + 1] - most[r]);
          weights[r] += a + b;
          weight[n][r] = packed<T>(a, b);
        }
      }
      if (__any_sync(0xffffffffu, shrink[0] != 1 || shrink[1] != 1)) {
#pragma unroll
        for (int c = 0; c < Columns / 8; c++) {
#pragma unroll
          for (int i = 0; i < 4; i++) out[c][i] *= shrink[i / 2];
        }
      }
#pragma unroll
      for (int j = 0; j < 2; j++) {
#pragma unroll
        for (int c = 0; c < Columns / 8; c += 2) {
          const Words v =
              load_matrices_transposed(shared_address(at(stage, 1, part + j * 16 + lane % 16, c + lane / 16)));
          const uint32_t(&w)[2] = weight[2 * j], (&w8)[2] = weight[2 * j + 1];
          mma<T>(out[c], w[0], w[1], w8[0], w8[1], v.x, v.y);
          mma<T>(out[c + 1], w[0], w[1], w8[0], w8[1], v.z, v.w);
        }
      }
    }
  }
  copy_async_wait<0>();

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
    for (int c = 0; c < Columns / 8; c++) {
      const int column = c * 8 + 2 * quad;
      if (column < p.head_dim) {
        store(problem.outputs + part * p.head_dim + column, Vector<float, 2>{out[c][2 * r], out[c][2 * r + 1]});
      }
    }
  }
}

constexpr int kPlainWarps = 8;
constexpr int kMaxColumns = 256;

/// Any type and alignment: one warp a sample, PerLane columns a lane.
template <class T, int PerLane>
__global__ void __launch_bounds__(kPlainWarps * 32) attend_plain(const ProfileProblem problem) {
  constexpr int kBatch = 4;
  const svg_profile_heads_params& p = problem.p;
  const int head = blockIdx.x, split = blockIdx.y, lane = threadIdx.x % 32;
  const int sample = blockIdx.z * kPlainWarps + threadIdx.x / 32;
  if (sample >= p.samples) return;
  const int row = sampled_row(p, sample);
  const auto read = [&](const svg_heads& tensor, int from, float(&values)[PerLane]) {
    const T* data = static_cast<const T*>(tensor.data) + head * tensor.head_stride + from * tensor.row_stride;
#pragma unroll
    for (int i = 0; i < PerLane; i++) values[i] = lane + 32 * i < p.head_dim ? to_float(data[lane + 32 * i]) : 0;
  };
  float q[PerLane], most[kProfiles], weights[kProfiles] = {}, out[kProfiles][PerLane] = {};
  read(p.q, row, q);
  for (float& m : most) m = kLeastMaximum;
  const SeenBlocks seen[2] = {seen_blocks(p, row, 1), seen_blocks(p, row, 2)};
  const int begin = split * problem.keys_per_split, end = min(begin + problem.keys_per_split, p.rows);
  for (int base = begin; base < end; base += kBatch) {
    float k[kBatch][PerLane], v[kBatch][PerLane], scores[kBatch];
#pragma unroll
    for (int j = 0; j < kBatch; j++)
      read(p.k, min(base + j, p.rows - 1), k[j]), read(p.v, min(base + j, p.rows - 1), v[j]);
#pragma unroll
    for (int j = 0; j < kBatch; j++) {
      float sum = 0;
#pragma unroll
      for (int i = 0; i < PerLane; i++) sum += q[i] * k[j][i];
      scores[j] = base + j < end ? sum_over(sum) * (p.scale * 1.4426950409f) : -INFINITY;
    }
#pragma unroll
    for (int profile = 0; profile < kProfiles; profile++) {
      float weight[kBatch], top = -INFINITY;
#pragma unroll
      for (int j = 0; j < kBatch; j++) {
        const bool sees =
            profile == 0 || seen[max(profile - 1, 0)].sees(key_block(p, min(base + j, p.rows - 1), profile));
        weight[j] = sees ? scores[j] : -INFINITY;
        top = fmaxf(top, weight[j]);
      }
      const float shrink = raise(most[profile], top);
      weights[profile] *= shrink;
#pragma unroll
      for (int i = 0; i < PerLane; i++) out[profile][i] *= shrink;
#pragma unroll
      for (int j = 0; j < kBatch; j++) {
        weight[j] = exp2_fast(weight[j] - most[profile]);
        weights[profile] += weight[j];
#pragma unroll
        for (int i = 0; i < PerLane; i++) out[profile][i] += weight[j] * v[j][i];
      }
    }
  }
#pragma unroll
  for (int profile = 0; profile < kProfiles; profile++) {
    const int64_t part = ((int64_t(head) * problem.splits + split) * p.samples + sample) * kProfiles + profile;
    if (lane == 0) problem.weights[part] = {most[profile], weights[profile]};
#pragma unroll
    for (int i = 0; i < PerLane; i++) {
      if (lane + 32 * i < p.head_dim) problem.outputs[part * p.head_dim + lane + 32 * i] = out[profile][i];
    }
  }
}

constexpr int kCompareWarps = 4;

/// Joins a sample's splits and compares; one warp each.
__global__ void __launch_bounds__(kCompareWarps * 32) compare(const ProfileProblem problem) {
  const svg_profile_heads_params& p = problem.p;
  const int head = blockIdx.x, sample = blockIdx.y * kCompareWarps + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (sample >= p.samples) return;
  const auto part = [&](int split, int profile) {
    return ((int64_t(head) * problem.splits + split) * p.samples + sample) * kProfiles + profile;
  };
  float most[kProfiles], total[kProfiles];
  for (int k = 0; k < kProfiles; k++) {
    most[k] = kLeastMaximum;
    for (int s = lane; s < problem.splits; s += 32) most[k] = fmaxf(most[k], problem.weights[part(s, k)].x);
    most[k] = max_over_warp(most[k]);
    total[k] = 0;
    for (int s = 0; s < problem.splits; s++) {
      const float2 weights = problem.weights[part(s, k)];
      total[k] += exp2_fast(weights.x - most[k]) * weights.y;
    }
  }
  float out[kProfiles][kMaxColumns / 32] = {};
  for (int s = 0; s < problem.splits; s++) {
#pragma unroll
    for (int k = 0; k < kProfiles; k++) {
      const float2 weights = problem.weights[part(s, k)];
      if (weights.y == 0) continue;  // then there is no output
      const float share = exp2_fast(weights.x - most[k]);
      const float* from = problem.outputs + part(s, k) * p.head_dim;
#pragma unroll
      for (int i = 0; i < kMaxColumns / 32; i++) {
        if (lane + 32 * i < p.head_dim) out[k][i] += share * from[lane + 32 * i];
      }
    }
  }
  double error[2] = {0, 0};
#pragma unroll
  for (int i = 0; i < kMaxColumns / 32; i++) {
#pragma unroll
    for (int k = 0; k < kProfiles; k++) out[k][i] = total[k] > 0 ? out[k][i] / total[k] : 0;  // seeing no key gives 0
#pragma unroll
    for (int mask = 0; mask < 2; mask++) {
      const float difference = out[1 + mask][i] - out[0][i];
      error[mask] += double(difference) * difference;
    }
  }
  for (int mask = 0; mask < 2; mask++) {
    for (int i = 16; i > 0; i /= 2) error[mask] += __shfl_xor_sync(0xffffffffu, error[mask], i);
  }
  if (lane == 0) problem.errors[int64_t(head) * p.samples + sample] = {error[0], error[1]};
}

/// The better mask of a head; one warp each.
__global__ void choose(const ProfileProblem problem) {
  const svg_profile_heads_params& p = problem.p;
  const int head = blockIdx.x, lane = threadIdx.x;
  double2 sum{0, 0};
  for (int sample = lane; sample < p.samples; sample += 32) {
    const double2 error = problem.errors[int64_t(head) * p.samples + sample];
    sum.x += error.x;
    sum.y += error.y;
  }
  for (int i = 16; i > 0; i /= 2) {
    sum.x += __shfl_xor_sync(0xffffffffu, sum.x, i);
    sum.y += __shfl_xor_sync(0xffffffffu, sum.y, i);
  }
  if (lane != 0) return;
  p.mse[head] = float(sum.x / (double(p.samples) * p.head_dim));
  p.mse[p.heads + head] = float(sum.y / (double(p.samples) * p.head_dim));
  p.best[head] = sum.y < sum.x ? 1 : 0;
}

template <class T>
void launch_attend(const ProfileProblem& problem, bool matrices, int groups, cudaStream_t stream) {
  const dim3 grid(problem.p.heads, problem.splits, groups);
  if constexpr (sizeof(T) == 2) {
    if (matrices && problem.p.head_dim <= 64) {
      return launch("attending to sampled rows", attend<T, 64>, grid, kThreads, kShared<64>, stream, problem);
    }
    if (matrices) {
      return launch("attending to sampled rows", attend<T, 128>, grid, kThreads, kShared<128>, stream, problem);
    }
  }
  const auto plain =
      problem.p.head_dim <= kMaxColumns / 2 ? attend_plain<T, kMaxColumns / 64> : attend_plain<T, kMaxColumns / 32>;
  launch("attending to sampled rows", plain, grid, kPlainWarps * 32, 0, stream, problem);
}

void profile(const svg_profile_heads_params& p, bool matrices, cudaStream_t stream) {
  ProfileProblem problem{};
  problem.p = p;
  const Device device = Device::current();
  const int groups = int(ceil_div(p.samples, matrices ? kBlockSamples : kPlainWarps));
  // Four waves of blocks, so that those with much to skip make up for others, but no split of less than a few tiles.
  const int64_t wanted = int64_t(4) * device.processors / (int64_t(p.heads) * groups);
  const int tiles = int(ceil_div(p.rows, kKeys)), most = int(ceil_div(tiles, 4));
  const int splits = int(wanted < 1 ? 1 : wanted < most ? wanted : most);
  problem.keys_per_split = int(ceil_div(tiles, splits)) * kKeys;
  problem.splits = int(ceil_div(p.rows, problem.keys_per_split));
  Workspace workspace(stream);
  const int64_t parts = int64_t(p.heads) * problem.splits * p.samples * kProfiles;
  workspace.add(problem.outputs, parts * p.head_dim);
  workspace.add(problem.weights, parts);
  workspace.add(problem.errors, int64_t(p.heads) * p.samples);
  workspace.allocate();
  if (matrices && device.uses_wgmma()) {
    attend_wgmma(problem, groups, stream);
  } else {
    with_type(p.dtype, [&](auto type) { launch_attend<decltype(type)>(problem, matrices, groups, stream); });
  }
  launch("comparing sampled rows", compare, dim3(p.heads, uint32_t(ceil_div(p.samples, kCompareWarps))),
         kCompareWarps * 32, 0, stream, problem);
  launch("choosing masks", choose, p.heads, 32, 0, stream, problem);
}

}  // namespace
}  // namespace svg

int32_t svg_profile_heads(const svg_profile_heads_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_profile_heads_params& p) {
    at_least("heads", p.heads, 1);
    at_least("head_dim", p.head_dim, 1);
    at_least("frames", p.frames, 1);
    at_least("tokens_per_frame", p.tokens_per_frame, 1);
    at_least("context_rows", p.context_rows, 0);
    if (p.rows != int64_t(p.frames) * p.tokens_per_frame + p.context_rows) {
      refuse("rows is %d, expected frames %d * tokens_per_frame %d + context_rows %d", p.rows, p.frames,
             p.tokens_per_frame, p.context_rows);
    }
    at_least("sink_keys", p.sink_keys, 0);
    at_least("band_blocks", p.band_blocks, 0);
    at_least("samples", p.samples, 1);
    finite("scale", p.scale);
    Arguments arguments;
    arguments.read("q", p.q, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("k", p.k, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("v", p.v, p.dtype, p.heads, p.rows, p.head_dim);
    arguments.read("sampled_rows", p.sampled_rows, p.samples);
    arguments.write("mse", p.mse, 2 * int64_t(p.heads));
    arguments.write("best", p.best, p.heads);
    if (p.head_dim > kMaxColumns) {
      unsupported("head_dim is %d, the CUDA library profiles heads of at most %d", p.head_dim, kMaxColumns);
    }
    if (p.samples > 65535 * kCompareWarps) {
      unsupported("samples is %d, the CUDA library takes at most %d", p.samples, 65535 * kCompareWarps);
    }
    bool matrices = p.dtype != SVG_F32 && p.head_dim % 8 == 0 && p.head_dim <= 128;
    for (const svg_heads* t : {&p.q, &p.k, &p.v}) {
      matrices = matrices && aligned(*t, p.dtype, p.heads, p.rows, 16);
    }
    profile(p, matrices, static_cast<cudaStream_t>(stream));
  });
}
