#include <omp.h>

#include <cstdio>

#include "simd.h"
#include "svg_kernels.h"

int32_t svg_abi_version(void) { return SVG_ABI_VERSION; }

const char* svg_build_info(void) {
  static char text[64] = "";
  static const int length = std::snprintf(text, sizeof text, "host, openmp, %d threads, %s", omp_get_max_threads(),
                                          svg::instruction_set_name());
  return length > 0 ? text : "host";
}
