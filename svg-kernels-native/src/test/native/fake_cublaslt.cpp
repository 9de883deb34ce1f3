// What io.sparsevideo.cuda.blas calls of cuBLASLt, on host memory, for tests without a GPU: column-major products of
// floats and bfloat16, one or a strided batch, with bias and GELU. It is as strict as the tests need: attributes of the
// wrong size, matrices that do not fit and memory that is less aligned than was promised are refused.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <set>

namespace {

enum Status { kSuccess = 0, kNotInitialized = 1, kInvalidValue = 7, kNotSupported = 15 };
enum Type { kFloat = 0, kHalf = 2, kBfloat16 = 14 };
enum Epilogue { kDefault = 1, kBias = 4, kGelu = 32, kGeluBias = 36 };

struct Object {};
struct Descriptor : Object {
  int32_t transpose_a = 0;
  uint32_t epilogue = kDefault;
  const char* bias = nullptr;
};
struct Layout : Object {
  int type;
  uint64_t rows, columns;
  int64_t leading;
  int32_t batch = 1;
  int64_t batch_stride = 0;

  const char* matrix(const char* data, int i) const { return data + i * batch_stride * (type == kFloat ? 4 : 2); }
  char* matrix(char* data, int i) const { return data + i * batch_stride * (type == kFloat ? 4 : 2); }
};
struct Preference : Object {
  uint64_t workspace = 0;
  uint32_t alignments[4] = {256, 256, 256, 256};
};
struct Algorithm {
  uint64_t data[8];
};
struct Result {
  Algorithm algorithm;
  size_t workspace;
  int state;
  float waves;
  int reserved[4];
};

std::set<const void*> live;

template <class T>
int created(void** out, T* object) {
  live.insert(object);
  *out = object;
  return kSuccess;
}
template <class T>
int destroyed(T* object) {
  if (live.erase(object) == 0) return kInvalidValue;
  delete object;
  return kSuccess;
}

int size_of(int type) { return type == kFloat ? 4 : 2; }

float from_half(uint16_t half) {
  const int exponent = half >> 10 & 31, unit = std::max(exponent, 1) - 25;
  const float value = std::ldexp(float((half & 1023) + (exponent > 0 ? 1024 : 0)), unit);
  return half >> 15 ? -value : value;
}

/// Of a finite number within half precision's range.
uint16_t to_half(float value) {
  int exponent;
  std::frexp(value, &exponent);
  const int unit = std::max(exponent - 11, -24);
  return uint16_t(std::signbit(value) << 15 |
                  (int(std::nearbyint(std::ldexp(std::fabs(value), -unit))) + (unit + 24) * 1024));
}

float load(const char* matrix, const Layout& layout, uint64_t row, uint64_t column) {
  const char* at = matrix + (column * layout.leading + row) * size_of(layout.type);
  if (layout.type == kHalf) {
    uint16_t half;
    std::memcpy(&half, at, 2);
    return from_half(half);
  }
  uint32_t bits = 0;
  if (layout.type == kFloat) {
    std::memcpy(&bits, at, 4);
  } else {
    std::memcpy(reinterpret_cast<char*>(&bits) + 2, at, 2);
  }
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}

void store(char* matrix, const Layout& layout, uint64_t row, uint64_t column, float value) {
  char* at = matrix + (column * layout.leading + row) * size_of(layout.type);
  if (layout.type == kHalf) {
    const uint16_t half = to_half(value);
    std::memcpy(at, &half, 2);
    return;
  }
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if (layout.type == kFloat) {
    std::memcpy(at, &bits, 4);
  } else {
    bits += 0x7fff + (bits >> 16 & 1);
    std::memcpy(at, reinterpret_cast<char*>(&bits) + 2, 2);
  }
}

bool fits(const Descriptor& d, const Layout& a, const Layout& b, const Layout& out) {
  const uint64_t inner = d.transpose_a ? a.rows : a.columns, rows = d.transpose_a ? a.columns : a.rows;
  return inner == b.rows && out.rows == rows && out.columns == b.columns && a.type == b.type &&
         (out.type == a.type || out.type == kFloat) && a.batch == out.batch && b.batch == out.batch &&
         uint64_t(a.leading) >= a.rows && uint64_t(b.leading) >= b.rows && uint64_t(out.leading) >= out.rows;
}

}  // namespace

extern "C" {

/// Objects that were created and not destroyed.
int fake_cublaslt_live() { return int(live.size()); }

size_t cublasLtGetVersion() { return 130203; }
const char* cublasLtGetStatusName(int status) {
  return status == kNotSupported     ? "CUBLAS_STATUS_NOT_SUPPORTED"
         : status == kNotInitialized ? "CUBLAS_STATUS_NOT_INITIALIZED"
                                     : "CUBLAS_STATUS_INVALID_VALUE";
}
int cublasLtCreate(void** handle) { return created(handle, new Object()); }
int cublasLtDestroy(Object* handle) { return destroyed(handle); }

int cublasLtMatmulDescCreate(void** out, int compute, int scale) {
  return compute == 68 && scale == kFloat ? created(out, new Descriptor()) : kNotSupported;
}
int cublasLtMatmulDescSetAttribute(Descriptor* d, int attribute, const void* value, size_t size) {
  if (live.count(d) == 0) return kInvalidValue;
  if (attribute == 3 && size == 4) return std::memcpy(&d->transpose_a, value, 4), kSuccess;
  if (attribute == 7 && size == 4) return std::memcpy(&d->epilogue, value, 4), kSuccess;
  if (attribute == 8 && size == 8) return std::memcpy(&d->bias, value, 8), kSuccess;
  return kInvalidValue;
}
int cublasLtMatmulDescDestroy(Descriptor* d) { return destroyed(d); }

int cublasLtMatrixLayoutCreate(void** out, int type, uint64_t rows, uint64_t columns, int64_t leading) {
  Layout* layout = new Layout();
  *layout = {{}, type, rows, columns, leading};
  return created(out, layout);
}
int cublasLtMatrixLayoutSetAttribute(Layout* layout, int attribute, const void* value, size_t size) {
  if (live.count(layout) == 0) return kInvalidValue;
  if (attribute == 5 && size == 4) return std::memcpy(&layout->batch, value, 4), kSuccess;
  if (attribute == 6 && size == 8) return std::memcpy(&layout->batch_stride, value, 8), kSuccess;
  return kInvalidValue;
}
int cublasLtMatrixLayoutDestroy(Layout* layout) { return destroyed(layout); }

int cublasLtMatmulPreferenceCreate(void** out) { return created(out, new Preference()); }
int cublasLtMatmulPreferenceSetAttribute(Preference* p, int attribute, const void* value, size_t size) {
  if (attribute == 1 && size == 8) return std::memcpy(&p->workspace, value, 8), kSuccess;
  if (attribute < 5 || attribute > 8 || size != 4) return kInvalidValue;
  return std::memcpy(&p->alignments[attribute - 5], value, 4), kSuccess;
}
int cublasLtMatmulPreferenceDestroy(Preference* p) { return destroyed(p); }

int cublasLtMatmulAlgoGetHeuristic(void* handle, const Descriptor* d, const Layout* a, const Layout* b, const Layout* c,
                                   const Layout* out, const Preference* p, int wanted, Result* result, int* count) {
  if (live.count(handle) == 0 || wanted < 1) return kInvalidValue;
  if (a->columns == 13) return kNotInitialized;  // for the test of what is neither success nor "no algorithm"
  if (!fits(*d, *a, *b, *out) || c != out) return kNotSupported;
  if (a->type == kHalf && d->epilogue == kGeluBias) return kNotSupported;  // for the test of what has no algorithm
  for (int i = 0; i < 4; i++) result->algorithm.data[i] = p->alignments[i];
  result->state = kSuccess;
  return *count = 1, kSuccess;
}

int cublasLtMatmul(void* handle, const Descriptor* d, const float* alpha, const char* a, const Layout* a_layout,
                   const char* b, const Layout* b_layout, const float* beta, const char* c, const Layout* c_layout,
                   char* out, const Layout* out_layout, const Algorithm* algorithm, void* workspace,
                   size_t workspace_size, void* stream) {
  if (live.count(handle) == 0 || stream == nullptr || workspace == nullptr || workspace_size == 0) return kInvalidValue;
  if (!fits(*d, *a_layout, *b_layout, *out_layout) || c != out || c_layout != out_layout) return kInvalidValue;
  if (*alpha != 1 || *beta != 0) return kInvalidValue;
  const void* matrices[] = {a, b, c, out};
  for (int i = 0; i < 4; i++) {
    if (reinterpret_cast<uintptr_t>(matrices[i]) % algorithm->data[i] != 0) return kInvalidValue;
  }
  const bool has_bias = d->epilogue == kBias || d->epilogue == kGeluBias;
  if (has_bias && d->bias == nullptr) return kInvalidValue;
  const Layout bias_layout = {{}, out_layout->type, out_layout->rows, 1, int64_t(out_layout->rows)};
  const bool gelu = d->epilogue == kGelu || d->epilogue == kGeluBias;
  for (int i = 0; i < out_layout->batch; i++) {
    const char *left = a_layout->matrix(a, i), *right = b_layout->matrix(b, i);
    for (uint64_t column = 0; column < out_layout->columns; column++) {
      for (uint64_t row = 0; row < out_layout->rows; row++) {
        double sum = 0;
        for (uint64_t k = 0; k < b_layout->rows; k++) {
          sum += double(d->transpose_a ? load(left, *a_layout, k, row) : load(left, *a_layout, row, k)) *
                 load(right, *b_layout, k, column);
        }
        if (has_bias) sum += load(d->bias, bias_layout, row, 0);
        if (gelu) sum = sum / 2 * (1 + std::tanh(std::sqrt(2 / M_PI) * (sum + 0.044715 * sum * sum * sum)));
        store(out_layout->matrix(out, i), *out_layout, row, column, float(sum));
      }
    }
  }
  return kSuccess;
}

}  // extern "C"
