// Video to patches and back: svg_patchify.
#include "../common/patches.h"

#include <vector>

#include "arguments.h"
#include "parallel.h"

namespace svg {
namespace {

template <class T>
void move(const svg_patchify_params& p, const Patches& patches) {
  std::vector<int64_t> offsets(patches.elements);
  for (int i = 0; i < patches.elements; i++) offsets[i] = patches.offset(i);
#pragma omp parallel for schedule(static) if (worth_threads(int64_t(patches.tokens) * patches.elements))
  for (int token = 0; token < patches.tokens; token++) {
    T* const patch = static_cast<T*>(p.video) + patches.start(token);
    T* const row = static_cast<T*>(p.tokens.data) + token * p.tokens.row_stride;
    if (p.inverse != 0) {
      for (int i = 0; i < patches.elements; i++) patch[offsets[i]] = row[i];
    } else {
      for (int i = 0; i < patches.elements; i++) row[i] = patch[offsets[i]];
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
