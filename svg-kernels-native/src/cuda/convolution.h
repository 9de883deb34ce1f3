// What the dispatcher of svg_convolution and its Hopper kernel share.
#pragma once

#include "../common/convolution.h"
#include "launch.h"

namespace svg {

/// Whether the Hopper kernel has this convolution: 2-byte elements, and pixels that the bulk copy engine can read.
bool suits_wgmma(const Convolution& convolution);
void convolution_wgmma(const Convolution& convolution, const Device& device, cudaStream_t stream);

}  // namespace svg
