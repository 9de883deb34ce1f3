// Sinusoidal embedding of timesteps: svg_timestep_embedding.
#include <vector>

#include "../common/timestep_angles.h"
#include "arguments.h"

int32_t svg_timestep_embedding(const svg_timestep_embedding_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_timestep_embedding_params& p) {
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
    const Tensor out = arguments.write("out", p.out, p.dtype, 1, p.rows, p.width);
    std::vector<float> row(p.width);
    for (int r = 0; r < p.rows; r++) {
      for (int d = 0; d < p.width; d++) row[d] = timestep_column(p, p.timesteps[r], d);
      out.write_row(0, r, row.data());
    }
  });
}
