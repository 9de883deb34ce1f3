// Every function of the CUDA library against the host library: odd sizes, random inputs, poisoned outputs, and refused
// arguments.
#include "checks.h"

namespace lab {

int check_all(const Libraries& libraries, const std::string& only) {
  Checker checker(libraries);
  const std::pair<const char*, void (*)(Checker&)> all[] = {
      {"kmeans", check_kmeans},
      {"sort_labels", check_sort_labels},
      {"rows", check_rows_in_order},
      {"patches", check_patches},
      {"timesteps", check_timesteps},
      {"color_bytes", check_color_bytes},
      {"block_map", check_block_map},
      {"softmax", check_softmax},
      {"gather_rows", check_gather_rows},
      {"block_density", check_block_density},
      {"profile", check_profile},
      {"norms", check_norms},
      {"channel_norm", check_channel_norm},
      {"convolution", check_convolution},
      {"rope", check_rope},
      {"elementwise", check_elementwise},
      {"refusals", check_refusals},
      {"arguments", check_bad_arguments},
      {"indices", check_wild_indices},
      {"views", check_views},
      {"plain", check_plain_elementwise},
  };
  for (const auto& [name, check] : all) {
    if (only.empty() || only == name) check(checker);
  }
  checker.report();
  return checker.failures();
}

}  // namespace lab
