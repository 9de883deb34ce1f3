#include "simd.h"

#include <cstdlib>
#include <cstring>

namespace svg {

static InstructionSet detect() {
#if defined(__x86_64__)
  const char* wanted = std::getenv("SVG_KERNELS_ISA");
  const bool any = wanted == nullptr;
  __builtin_cpu_init();
  if (any && __builtin_cpu_supports("x86-64-v4")) return InstructionSet::kV4;
  if ((any || std::strcmp(wanted, "x86-64-v3") == 0) && __builtin_cpu_supports("x86-64-v3")) return InstructionSet::kV3;
#endif
  return InstructionSet::kBaseline;
}

InstructionSet instruction_set() {
  static const InstructionSet set = detect();
  return set;
}

const char* instruction_set_name() {
  switch (instruction_set()) {
    case InstructionSet::kV4:
      return "x86-64-v4";
    case InstructionSet::kV3:
      return "x86-64-v3";
    case InstructionSet::kBaseline:
      break;
  }
  return "baseline";
}

}  // namespace svg
