#include <cstring>
#include <string>

#include "launch.h"

namespace svg {
namespace {

decltype(&cuTensorMapEncodeTiled) tensor_map_encoder() {
  static const auto encoder = [] {
    void* symbol = nullptr;
    cudaDriverEntryPointQueryResult found;
    check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &symbol, 12000, cudaEnableDefault, &found),
          "finding cuTensorMapEncodeTiled in the driver");
    if (found != cudaDriverEntryPointSuccess) unsupported("the driver has no cuTensorMapEncodeTiled");
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(symbol);
  }();
  return encoder;
}

/// For a message: "128 by 4680 by 40".
template <class T>
std::string listed(const T* values, int count) {
  std::string text = std::to_string(values[0]);
  for (int i = 1; i < count; i++) text += " by " + std::to_string(values[i]);
  return text;
}

}  // namespace

Device Device::current() {
  Device device;
  int major, minor;
  check(cudaGetDevice(&device.id), "finding the current device");
  check(cudaDeviceGetAttribute(&device.processors, cudaDevAttrMultiProcessorCount, device.id), "reading the device");
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device.id), "reading the device");
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device.id), "reading the device");
  check(cudaDeviceGetAttribute(&device.block_shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, device.id),
        "reading the device");
  device.capability = 10 * major + minor;
  if (device.capability < 80) {
    unsupported("device %d has compute capability %d.%d, expected 8.0 or later", device.id, major, minor);
  }
  return device;
}

bool Device::uses_wgmma() const {
  const char* path = std::getenv("SVG_CUDA_MMA");
  return capability == 90 && (path == nullptr || std::strcmp(path, "sync") != 0);
}

template <int Dims>
CUtensorMap tensor_map(const void* data, int32_t dtype, const cuuint64_t (&sizes)[Dims],
                       const cuuint64_t (&strides)[Dims - 1], const cuuint32_t (&box)[Dims]) {
  cuuint32_t steps[Dims];
  for (cuuint32_t& step : steps) step = 1;
  CUtensorMap map;
  const CUresult result =
      tensor_map_encoder()(&map, dtype == SVG_F16 ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
                           Dims, const_cast<void*>(data), sizes, strides, box, steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
                           box[0] == 64 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_64B,
                           CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  if (result != CUDA_SUCCESS) {
    unsupported("a tensor at %p of %s elements, %s bytes apart, cannot be copied in boxes of %s (CUresult %d)", data,
                listed(sizes, Dims).c_str(), listed(strides, Dims - 1).c_str(), listed(box, Dims).c_str(), int(result));
  }
  return map;
}
template CUtensorMap tensor_map(const void*, int32_t, const cuuint64_t (&)[3], const cuuint64_t (&)[2],
                                const cuuint32_t (&)[3]);
template CUtensorMap tensor_map(const void*, int32_t, const cuuint64_t (&)[4], const cuuint64_t (&)[3],
                                const cuuint32_t (&)[4]);

CUtensorMap tensor_map(const svg_heads& tensor, int32_t dtype, int heads, int rows, int width, int box_rows,
                       int box_columns) {
  // A dimension of one entry has no stride to speak of, but the engine wants a valid one.
  return tensor_map<3>(tensor.data, dtype, {cuuint64_t(width), cuuint64_t(rows), cuuint64_t(heads)},
                       {cuuint64_t(rows > 1 ? tensor.row_stride * 2 : width * 2),
                        cuuint64_t(heads > 1 ? tensor.head_stride * 2 : width * 2)},
                       {cuuint32_t(box_columns), cuuint32_t(box_rows), 1});
}

// From the device's default pool, so that callers whose memory comes from there share it. By default that gives free
// memory back whenever the device is waited for; who calls often sets its release threshold.
void Workspace::allocate() {
  void* block = nullptr;
  check(cudaMallocAsync(&block, size_, stream_), "allocating the working buffers");
  block_ = static_cast<char*>(block);
  for (int i = 0; i < count_; i++) *pieces_[i].pointer = block_ + pieces_[i].offset;
}

}  // namespace svg
