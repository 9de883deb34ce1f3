// What the laboratory's checks share: counting, calling both libraries, comparing their results, refused arguments.
#pragma once

#include <cstdarg>

#include "lab.h"

namespace lab {

[[gnu::format(printf, 1, 2)]] inline std::string format(const char* text, ...) {
  char buffer[256];
  va_list values;
  va_start(values, text);
  std::vsnprintf(buffer, sizeof buffer, text, values);
  va_end(values);
  return buffer;
}

/// What the host has at a place of a tensor.
inline double of(Tensor& t, int h, int r, int d) { return get(t.array.at(Side::kHost), t.dtype, t.index(h, r, d)); }

class Checker {
 public:
  explicit Checker(const Libraries& libraries) : libraries(libraries) {}

  int failures() const { return failures_; }
  void report() {
    if (passed_ + failures_ == 0) expect(false, "no check has this name");
    std::printf("checks: %d passed, %d failed\n", passed_, failures_);
  }

  void expect(bool holds, const std::string& what) {
    holds ? passed_++ : failures_++;
    if (!holds) std::printf("FAIL: %s\n", what.c_str());
  }

  /// Runs the function in both libraries; make(side) gives the params with that side's pointers.
  template <class Make>
  bool both(const char* name, Make make) {
    bool fine = true;
    for (Side side : {Side::kHost, Side::kDevice}) {
      auto params = make(side);
      params.struct_size = sizeof params;
      const Library& library = side == Side::kHost ? libraries.host : libraries.cuda;
      const int32_t status = library.call(name, params);
      if (status != SVG_OK) {
        expect(false, format("%s answers %d on the %s: ", name, status, side == Side::kHost ? "host" : "device") +
                          library.error());
        fine = false;
      }
    }
    const cudaError_t result = cudaDeviceSynchronize();
    if (result != cudaSuccess) {
      std::printf("FAIL: %s: %s\n", name, cudaGetErrorString(result));
      std::exit(1);
    }
    return fine;
  }

  void equal(const std::string& what, Array& array) {
    const std::vector<uint8_t> device = array.download();
    const uint8_t* host = array.at<uint8_t>(Side::kHost);
    size_t different = 0, first = 0;
    for (size_t i = device.size(); i-- > 0;) {
      if (device[i] != host[i]) different++, first = i;
    }
    expect(different == 0,
           what + format(": %zu of %zu bytes differ, the first at %zu", different, device.size(), first));
  }

  /// ||device - host|| / ||host|| over a tensor. Both round exact values, so that few of the rounded ones differ;
  /// `roundings` is above 1 where the device rounds what the host does not.
  void near(const std::string& what, Tensor& tensor, int32_t dtype, int roundings = 1) {
    const double most = roundings * (dtype == SVG_F32 ? 2e-6 : dtype == SVG_F16 ? 1e-4 : 8e-4);
    const std::vector<uint8_t> device = tensor.array.download();
    double difference = 0, norm = 0;
    for (int h = 0; h < tensor.heads; h++) {
      for (int r = 0; r < tensor.rows; r++) {
        for (int d = 0; d < tensor.width; d++) {
          const size_t i = tensor.index(h, r, d);
          const double a = get(device.data(), tensor.dtype, i), b = get(tensor.array.at(Side::kHost), tensor.dtype, i);
          difference += (a - b) * (a - b);
          norm += b * b;
        }
      }
    }
    const double error = std::sqrt(difference / norm);
    expect(error <= most, what + format(": error %.2e, expected at most %.0e", error, most));
  }

  template <class Params>
  void on_device(const char* name, const Params& params) {
    if (libraries.cuda.call(name, params) != SVG_OK) expect(false, libraries.cuda.error());
  }

  template <class Params>
  void refused(const char* name, Params params, const char* text, int32_t expected,
               const std::function<void(Params&)>& spoil) {
    spoil(params);
    const int32_t status = libraries.cuda.call(name, params);
    const std::string message = libraries.cuda.error();
    expect(status == expected && message.find(text) != std::string::npos,
           format("%s should answer %d with '%s', but answers %d with ", name, expected, text, status) + message);
  }

  const Libraries& libraries;
  std::mt19937 random{20250301};

 private:
  int passed_ = 0, failures_ = 0;
};

}  // namespace lab
