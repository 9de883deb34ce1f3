// What the laboratory's checks share: counting, calling both libraries, refused arguments.
#pragma once

#include <cstdarg>

#include "lab.h"

namespace lab {

class Checker {
 public:
  explicit Checker(const Libraries& libraries) : lib_(libraries) {}

  int failures() const { return failures_; }
  void report() const { std::printf("checks: %d passed, %d failed\n", passed_, failures_); }

 protected:
  static std::string format(const char* text, ...) __attribute__((format(printf, 1, 2))) {
    char buffer[256];
    va_list values;
    va_start(values, text);
    std::vsnprintf(buffer, sizeof buffer, text, values);
    va_end(values);
    return buffer;
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
      const Library& library = side == Side::kHost ? lib_.host : lib_.cuda;
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

  static double of(Tensor& t, int h, int r, int d) { return get(t.array.at(Side::kHost), t.dtype, t.index(h, r, d)); }

  template <class Params>
  void on_device(const char* name, const Params& params) {
    if (lib_.cuda.call(name, params) != SVG_OK) expect(false, lib_.cuda.error());
  }

  template <class Params>
  void refused(const char* name, Params params, const char* text, int32_t expected,
               const std::function<void(Params&)>& spoil) {
    spoil(params);
    const int32_t status = lib_.cuda.call(name, params);
    const std::string message = lib_.cuda.error();
    expect(status == expected && message.find(text) != std::string::npos,
           format("%s should answer %d with '%s', but answers %d with ", name, expected, text, status) + message);
  }

  const Libraries& lib_;
  std::mt19937 random_{20250301};

 private:
  int passed_ = 0, failures_ = 0;
};

}  // namespace lab
