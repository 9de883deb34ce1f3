// The kernel laboratory: first every function of the CUDA library against the host library, then times.
//   lab DIRECTORY [check|time|all] [name]      DIRECTORY holds the two libraries; name picks functions
#include "lab.h"

int main(int count, char** arguments) {
  if (count < 2) {
    std::printf("usage: lab DIRECTORY [check|time|all] [name]\n");
    return 2;
  }
  const std::string directory = arguments[1], what = count > 2 ? arguments[2] : "all",
                    only = count > 3 ? arguments[3] : "";
  const lab::Libraries libraries{lab::Library(directory + "/libsvg_kernels_cuda.so"),
                                 lab::Library(directory + "/libsvg_kernels_host.so")};
  cudaDeviceProp device;
  CUDA_OK(cudaGetDeviceProperties(&device, 0));
  std::printf("%s, %d multiprocessors; %s | %s\n", device.name, device.multiProcessorCount,
              libraries.cuda.text("svg_build_info"), libraries.host.text("svg_build_info"));
  int failures = 0;
  if (what != "time") failures = lab::check_all(libraries, only);
  if (what != "check") lab::time_all(libraries, only);
  return failures == 0 ? 0 : 1;
}
