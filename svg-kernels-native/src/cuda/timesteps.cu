// Sinusoidal embedding of timesteps: svg_timestep_embedding. A few hundred numbers; a launch is what it costs.
#include "../common/timestep_angles.h"
#include "launch.h"
#include "vectors.cuh"

namespace svg {
namespace {

constexpr int kThreads = 128;

template <class T>
__global__ void __launch_bounds__(kThreads) embed(const svg_timestep_embedding_params p) {
  const int d = blockIdx.y * kThreads + threadIdx.x, row = blockIdx.x;
  if (d >= p.width) return;
  static_cast<T*>(p.out.data)[row * p.out.row_stride + d] = from_float<T>(timestep_column(p, p.timesteps[row], d));
}

}  // namespace
}  // namespace svg

int32_t svg_timestep_embedding(const svg_timestep_embedding_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_timestep_embedding_params& p) {
    at_least("rows", p.rows, 1);
    in_range("width", p.width, 2, 65536);
    if (!(p.downscale_freq_shift < float(p.width / 2))) {
      refuse("downscale_freq_shift is %g, expected less than %d", double(p.downscale_freq_shift), p.width / 2);
    }
    finite("downscale_freq_shift", p.downscale_freq_shift);
    finite("scale", p.scale);
    finite("max_period", p.max_period);
    if (p.max_period <= 0) refuse("max_period is %g, expected more than 0", double(p.max_period));
    Arguments arguments;
    arguments.read("timesteps", p.timesteps, p.rows);
    arguments.write("out", p.out, p.dtype, 1, p.rows, p.width);
    with_type(p.dtype, [&](auto type) {
      launch("embedding timesteps", embed<decltype(type)>, dim3(p.rows, uint32_t(ceil_div(p.width, kThreads))),
             kThreads, 0, static_cast<cudaStream_t>(stream), p);
    });
  });
}
