// The kernel laboratory: first every function of the CUDA library against the host library, then times.
//   lab DIRECTORY [check|time|all] [name] [--quick]
// DIRECTORY holds the two libraries, name picks functions, --quick times attention on few heads only.
#include "lab.h"

int main(int count, char** arguments) {
  const bool quick = count > 2 && std::strcmp(arguments[count - 1], "--quick") == 0;
  if (quick) count--;
  if (count < 2) {
    std::printf("usage: lab DIRECTORY [check|time|all] [name] [--quick]\n");
    return 2;
  }
  const std::string directory = arguments[1], what = count > 2 ? arguments[2] : "all",
                    only = count > 3 ? arguments[3] : "";
  const lab::Libraries libraries{lab::Library(directory + "/libsvg_kernels_cuda.so"),
                                 lab::Library(directory + "/libsvg_kernels_host.so")};
  // As callers do that call often: otherwise every wait would give the working memory back.
  cudaMemPool_t pool;
  uint64_t keep = UINT64_MAX;
  CUDA_OK(cudaDeviceGetDefaultMemPool(&pool, 0));
  CUDA_OK(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep));
  cudaDeviceProp device;
  CUDA_OK(cudaGetDeviceProperties(&device, 0));
  std::printf("%s, %d multiprocessors; %s | %s\n", device.name, device.multiProcessorCount,
              libraries.cuda.text("svg_build_info"), libraries.host.text("svg_build_info"));
  int failures = 0;
  const bool attention = only.empty() || only.rfind("attention", 0) == 0, others = only.empty() || !attention;
  if (what != "time" && others) failures += lab::check_all(libraries, only);
  if (what != "time" && attention) failures += lab::check_attention(libraries, only);
  if (what != "check" && others) lab::time_all(libraries, only);
  if (what != "check" && attention) lab::time_attention(libraries, only, quick);
  return failures == 0 ? 0 : 1;
}
