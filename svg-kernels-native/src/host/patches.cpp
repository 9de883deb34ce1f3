// Video to patches and back: svg_patchify.
#include "../common/patches.h"

#include "arguments.h"
#include "parallel.h"

namespace svg {
namespace {

template <class T>
void move_patch(const Patches& patches, T* patch, T* row, bool inverse) {
  for (int c = 0; c < patches.channels; c++) {
    for (int t = 0; t < patches.patch_frames; t++) {
      for (int h = 0; h < patches.patch_height; h++) {
        for (int w = 0; w < patches.patch_width; w++) {
          T& in_video = patch[patches.in_video(c, t, h, w)];
          T& in_token = row[patches.in_token(c, t, h, w)];
          if (inverse) {
            in_video = in_token;
          } else {
            in_token = in_video;
          }
        }
      }
    }
  }
}

template <class T>
void move(const svg_patchify_params& p, const Patches& patches) {
  const int frames = p.frames / p.patch_frames, height = p.height / p.patch_height, width = p.width / p.patch_width;
#pragma omp parallel for collapse(2) schedule(static) if (worth_threads(int64_t(patches.tokens) * patches.elements))
  for (int frame = 0; frame < frames; frame++) {
    for (int y = 0; y < height; y++) {
      T* row = static_cast<T*>(p.tokens.data) + (int64_t(frame) * height + y) * width * p.tokens.row_stride;
      for (int x = 0; x < width; x++, row += p.tokens.row_stride) {
        T* const patch = static_cast<T*>(p.video) +
                         patches.in_video(0, frame * p.patch_frames, y * p.patch_height, x * p.patch_width);
        move_patch(patches, patch, row, p.inverse != 0);
      }
    }
  }
}

}  // namespace
}  // namespace svg

int32_t svg_patchify(const svg_patchify_params* params, svg_stream) {
  using namespace svg;
  return run(__func__, params, [](const svg_patchify_params& p) {
    const Patches patches(p);
    const svg_heads video{p.video, 0, patches.elements};  // as rows, for the checks
    Arguments arguments;
    if (p.inverse != 0) {
      arguments.read("tokens", p.tokens, p.dtype, 1, patches.tokens, patches.elements);
      arguments.write("video", video, p.dtype, 1, patches.tokens, patches.elements);
    } else {
      arguments.read("video", video, p.dtype, 1, patches.tokens, patches.elements);
      arguments.write("tokens", p.tokens, p.dtype, 1, patches.tokens, patches.elements);
    }
    if (p.dtype == SVG_F32) {
      move<uint32_t>(p, patches);
    } else {
      move<uint16_t>(p, patches);
    }
  });
}
