// What the dispatcher of svg_convolution and its Hopper kernel share.
#pragma once

#include "../common/convolution.h"
#include "launch.h"

namespace svg {

/// Whether the Hopper kernel has this convolution: 2-byte elements, pixels and weights that the bulk copy engine can
/// read (made of 16-byte pieces), a stride of 1, no repeated pixels but those that fold into four convolutions of the
/// clip as it is (twice, by 3 x 3 taps in a border of 1), and a kernel whose box of pixels fits into shared memory.
bool suits_wgmma(const Convolution& convolution);
void convolution_wgmma(const Convolution& convolution, const Device& device, cudaStream_t stream);

}  // namespace svg
