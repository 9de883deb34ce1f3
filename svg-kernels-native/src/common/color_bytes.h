// The arithmetic of svg_color_bytes.
#pragma once

#include <cmath>
#include <cstdint>

#include "host_device.h"

namespace svg {

/// A colour of [-1, 1] as a byte: clipped, scaled, rounded half up. What is not a number becomes 0.
SVG_HOST_DEVICE inline uint8_t color_byte(float x) {
  const float clipped = x >= 1 ? 1 : x > -1 ? x : -1;
  return uint8_t(roundf((clipped + 1) * 127.5f));
}

}  // namespace svg
