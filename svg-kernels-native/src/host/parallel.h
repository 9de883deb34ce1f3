// When to wake the other threads.
#pragma once

#include <omp.h>

#include <cstdint>

namespace svg {

/// Whether a region of so many elementary operations (multiply-adds, or numbers moved) is worth it. Starting and ending
/// one costs microseconds at best, and a scheduler's time slice where other threads, say those of another OpenMP
/// runtime in the same process, hold the cores; this many operations take well under a millisecond.
inline bool worth_threads(int64_t operations) { return operations >= (int64_t(1) << 23); }

}  // namespace svg
