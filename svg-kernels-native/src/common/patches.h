// Where the elements of patches lie: svg_patchify, in both libraries.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "host_device.h"
#include "svg_kernels.h"

namespace svg {

// Both libraries have these (arguments.h).
[[noreturn]] void refuse(const char* format, ...);
void at_least(const char* name, int64_t value, int64_t least);
void in_range(const char* name, int64_t value, int64_t least, int64_t most);

/// The grid of patches of a video (channels, frames, height, width).
struct Patches {
  int channels, frames, height, width;
  int patch_frames, patch_height, patch_width;
  int order;             // svg_patch_order
  int tokens, elements;  // elements of a token

  /// Refuses what does not divide into patches.
  explicit Patches(const svg_patchify_params& p)
      : channels(p.channels), frames(p.frames), height(p.height), width(p.width), patch_frames(p.patch_frames),
        patch_height(p.patch_height), patch_width(p.patch_width), order(p.order) {
    at_least("channels", channels, 1);
    check("frames", frames, "patch_frames", patch_frames);
    check("height", height, "patch_height", patch_height);
    check("width", width, "patch_width", patch_width);
    in_range("order", order, SVG_PATCH_CTHW, SVG_PATCH_HWTC);
    elements = product("the elements of a token", 65536, {channels, patch_frames, patch_height, patch_width});
    tokens = product("the tokens", INT32_MAX, {frames / patch_frames, height / patch_height, width / patch_width});
  }

  /// Where an element of the video is in it.
  SVG_HOST_DEVICE int64_t in_video(int c, int t, int h, int w) const {
    return ((int64_t(c) * frames + t) * height + h) * width + w;
  }
  /// Where an element of a patch is in the token.
  SVG_HOST_DEVICE int in_token(int c, int t, int h, int w) const {
    if (order == SVG_PATCH_CTHW) return ((c * patch_frames + t) * patch_height + h) * patch_width + w;
    if (order == SVG_PATCH_THWC) return ((t * patch_height + h) * patch_width + w) * channels + c;
    return ((h * patch_width + w) * patch_frames + t) * channels + c;
  }

 private:
  static void check(const char* name, int size, const char* patch_name, int patch) {
    at_least(patch_name, patch, 1);
    at_least(name, size, 1);
    if (size % patch != 0) refuse("%s is %d, expected a multiple of %s %d", name, size, patch_name, patch);
  }
  static int product(const char* name, int most, std::initializer_list<int> factors) {
    int64_t result = 1;
    for (int factor : factors) {
      result *= factor;
      if (result > most) refuse("%s are at least %lld, expected at most %d", name, (long long)result, most);
    }
    return int(result);
  }
};

}  // namespace svg
