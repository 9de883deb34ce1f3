// Functions that both libraries are built from.
#pragma once

#ifdef __CUDACC__
#define SVG_HOST_DEVICE __host__ __device__
#else
#define SVG_HOST_DEVICE
#endif
