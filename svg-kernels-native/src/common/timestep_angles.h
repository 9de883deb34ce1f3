// The angles of svg_timestep_embedding, in the order of operations that its header states.
#pragma once

#include <cmath>

#include "host_device.h"
#include "svg_kernels.h"

namespace svg {

/// Elementary functions are evaluated in double precision and rounded, so that both libraries agree.
SVG_HOST_DEVICE inline float timestep_angle(const svg_timestep_embedding_params& p, float timestep, int i) {
  const float exponent = float(-std::log(double(p.max_period))) * float(i) / (p.width / 2 - p.downscale_freq_shift);
  const float frequency = float(std::exp(double(exponent)));
  return p.scale * (timestep * frequency);
}

/// Column d of a timestep's row.
SVG_HOST_DEVICE inline float timestep_column(const svg_timestep_embedding_params& p, float timestep, int d) {
  const int half = p.width / 2;
  if (d == 2 * half) return 0;
  const double angle = timestep_angle(p, timestep, d % half);
  return float((d < half) == (p.flip_sin_to_cos != 0) ? std::cos(angle) : std::sin(angle));
}

}  // namespace svg
