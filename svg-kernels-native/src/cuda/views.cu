// Copies and arithmetic over views of any layout, for what is off the hot path: svg_copy, svg_elementwise.
//
// Bytes: every element once in, once out. A thread takes one unit at a time: of a copy the widest that all rows are
// made of, 16 bytes where they are aligned; of arithmetic one element, but where all views are of one type and lie one
// behind the other several units of 16 bytes, all loads before the first use. Rows that are not contiguous cost more.
#include <algorithm>

#include "../common/views.h"
#include "launch.h"
#include "vectors.cuh"

namespace svg {
namespace {

constexpr int kThreads = 256;

/// The address of element `index` in each view.
template <int N, class Index>
__device__ inline void locate(const Loops<N>& loops, Index index, char* (&at)[N]) {
#pragma unroll
  for (int v = 0; v < N; v++) at[v] = loops.data[v];
  for (int d = loops.dims - 1; d > 0; d--) {
    const Index size = Index(loops.sizes[d]), rest = index / size, i = index - rest * size;
#pragma unroll
    for (int v = 0; v < N; v++) at[v] += int64_t(i) * loops.strides[v][d];
    index = rest;
  }
#pragma unroll
  for (int v = 0; v < N; v++) at[v] += int64_t(index) * loops.strides[v][0];
}

template <class Unit, class Index>
__global__ void __launch_bounds__(kThreads) copy_units(const Loops<2> loops) {
  const Index count = Index(loops.count), step = Index(gridDim.x) * kThreads;
  // Index has room for count + step, so that this ends.
  for (Index i = Index(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) {
    char* at[2];
    locate(loops, i, at);
    *reinterpret_cast<Unit*>(at[1]) = *reinterpret_cast<const Unit*>(at[0]);
  }
}

__device__ inline float load_as_float(const char* at, int dtype) {
  if (dtype == SVG_F32) return *reinterpret_cast<const float*>(at);
  if (dtype == SVG_F16) return to_float(*reinterpret_cast<const f16*>(at));
  return to_float(*reinterpret_cast<const bf16*>(at));
}

__device__ inline void store_float(char* at, int dtype, float value) {
  if (dtype == SVG_F32) {
    *reinterpret_cast<float*>(at) = value;
  } else if (dtype == SVG_F16) {
    *reinterpret_cast<f16*>(at) = from_float<f16>(value);
  } else {
    *reinterpret_cast<bf16*>(at) = from_float<bf16>(value);
  }
}

struct Operation {
  int op, x_dtype, y_dtype, out_dtype;
  bool has_y;
  float scalar;
};

/// Calls body with the function of a svg_elementwise_op.
template <class Body>
__device__ inline void with_operation(int op, Body body) {
  switch (op) {
    case SVG_ADD:
      return body([](float x, float y) { return x + y; });
    case SVG_SUBTRACT:
      return body([](float x, float y) { return x - y; });
    case SVG_MULTIPLY:
      return body([](float x, float y) { return x * y; });
    case SVG_DIVIDE:
      return body([](float x, float y) { return __fdiv_rn(x, y); });
    case SVG_MINIMUM:
      return body([](float x, float y) { return x < y || x != x ? x : y; });
    default:
      return body([](float x, float y) { return x > y || x != x ? x : y; });
  }
}

template <class Index>
__global__ void __launch_bounds__(kThreads) combine(const Loops<3> loops, const Operation o) {
  const Index count = Index(loops.count), step = Index(gridDim.x) * kThreads;
  for (Index i = Index(blockIdx.x) * kThreads + threadIdx.x; i < count; i += step) {
    char* at[3];
    locate(loops, i, at);
    const float x = load_as_float(at[0], o.x_dtype);
    const float y = o.has_y ? load_as_float(at[1], o.y_dtype) : o.scalar;
    float result;
    with_operation(o.op, [&](auto apply) { result = apply(x, y); });
    store_float(at[2], o.out_dtype, result);
  }
}

constexpr int kUnits = 4;  // of each operand under way in a thread

/// x, y where there is one, and out are contiguous, of one type and aligned to 16 bytes.
template <class T, bool HasY>
__global__ void __launch_bounds__(kThreads)
    combine_units(const T* x, const T* y, T* out, int64_t count, const Operation o) {
  constexpr int N = kVector<T>;
  const int64_t units = count / N, first = int64_t(blockIdx.x) * kUnits * kThreads + threadIdx.x;
  with_operation(o.op, [&](auto apply) {
    Vector<T, N> xs[kUnits], ys[kUnits];
#pragma unroll
    for (int r = 0; r < kUnits; r++) {
      const int64_t i = first + r * kThreads;
      if (i < units) {
        xs[r] = load<N>(x + i * N);
        if (HasY) ys[r] = load<N>(y + i * N);
      }
    }
#pragma unroll
    for (int r = 0; r < kUnits; r++) {
      const int64_t i = first + r * kThreads;
      if (i < units) {
        float values[N], by[N];
        widen(xs[r], values);
        if (HasY) widen(ys[r], by);
#pragma unroll
        for (int j = 0; j < N; j++) values[j] = apply(values[j], HasY ? by[j] : o.scalar);
        store(out + i * N, narrow<T, N>(values));
      }
    }
    if (first < count % N) {  // what is left over behind the last unit
      const int64_t i = units * N + first;
      out[i] = from_float<T>(apply(to_float(x[i]), HasY ? to_float(y[i]) : o.scalar));
    }
  });
}

/// Whether combine_units has it.
bool is_plain(const Loops<3>& loops, const Operation& o) {
  if (loops.dims != 1 || o.x_dtype != o.out_dtype || (o.has_y && o.y_dtype != o.out_dtype)) return false;
  for (int v = 0; v < 3; v++) {
    if (loops.strides[v][0] != element_size(o.out_dtype) || reinterpret_cast<uintptr_t>(loops.data[v]) % 16 != 0) {
      return false;
    }
  }
  return loops.count / (kUnits * kThreads) < INT32_MAX;
}

template <class T>
void launch_units(const Loops<3>& loops, const Operation& o, cudaStream_t stream) {
  const int64_t blocks = ceil_div(ceil_div(loops.count, kVector<T>), kUnits * kThreads);
  const auto kernel = o.has_y ? combine_units<T, true> : combine_units<T, false>;
  launch("combining arrays", kernel, uint32_t(blocks), kThreads, 0, stream, reinterpret_cast<const T*>(loops.data[0]),
         reinterpret_cast<const T*>(loops.data[1]), reinterpret_cast<T*>(loops.data[2]), loops.count, o);
}

uint32_t blocks_for(int64_t count) {
  constexpr int64_t kMost = 1 << 16;  // the rest is the kernels' loop
  return uint32_t(std::min(ceil_div(count, kThreads), kMost));
}

/// Whether 32 bits hold every index and one step beyond.
bool is_small(int64_t count) { return count + int64_t(blocks_for(count)) * kThreads <= UINT32_MAX; }

/// The widest unit that the innermost dimension, contiguous in both views, and all rows of both are made of.
int unit_of(const Loops<2>& loops, int element_size) {
  const int inner = loops.dims - 1;
  if (loops.strides[0][inner] != element_size || loops.strides[1][inner] != element_size) return element_size;
  uint64_t bits = 16 | uint64_t(loops.sizes[inner]) * element_size;
  for (int v = 0; v < 2; v++) {
    bits |= reinterpret_cast<uintptr_t>(loops.data[v]);
    for (int d = 0; d < inner; d++) bits |= uint64_t(loops.strides[v][d]);
  }
  return int(bits & -bits);
}

template <class Unit>
void copy(Loops<2> loops, int element_size, cudaStream_t stream) {
  const int inner = loops.dims - 1;
  if (sizeof(Unit) != size_t(element_size)) {
    loops.count = loops.count / loops.sizes[inner] * (loops.sizes[inner] * element_size / int64_t(sizeof(Unit)));
    loops.sizes[inner] = loops.sizes[inner] * element_size / int64_t(sizeof(Unit));
    for (int v = 0; v < 2; v++) loops.strides[v][inner] = sizeof(Unit);
  }
  const auto kernel = is_small(loops.count) ? copy_units<Unit, uint32_t> : copy_units<Unit, uint64_t>;
  launch("copying a view", kernel, blocks_for(loops.count), kThreads, 0, stream, loops);
}

}  // namespace
}  // namespace svg

int32_t svg_copy(const svg_copy_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_copy_params& p) {
    const Loops<2> loops = copy_loops(p);
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    switch (unit_of(loops, p.element_size)) {
      case 16:
        return copy<uint4>(loops, p.element_size, on);
      case 8:
        return copy<uint2>(loops, p.element_size, on);
      case 4:
        return copy<uint32_t>(loops, p.element_size, on);
      case 2:
        return copy<uint16_t>(loops, p.element_size, on);
      default:
        return copy<uint8_t>(loops, p.element_size, on);
    }
  });
}

int32_t svg_elementwise(const svg_elementwise_params* params, svg_stream stream) {
  using namespace svg;
  return run(__func__, params, [stream](const svg_elementwise_params& p) {
    const Loops<3> loops = elementwise_loops(p);
    const Operation operation = {p.op, p.x_dtype, p.y_dtype, p.out_dtype, p.y.data != nullptr, p.scalar};
    const cudaStream_t on = static_cast<cudaStream_t>(stream);
    if (is_plain(loops, operation)) {
      return with_type(p.out_dtype, [&](auto type) { launch_units<decltype(type)>(loops, operation, on); });
    }
    const auto kernel = is_small(loops.count) ? combine<uint32_t> : combine<uint64_t>;
    launch("combining views", kernel, blocks_for(loops.count), kThreads, 0, on, loops, operation);
  });
}
