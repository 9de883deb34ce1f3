/**
 * Typed calls into the native kernels of {@code svg_kernels.h}.
 *
 * <p>Legend: H heads, S rows (tokens), D head dimension, F latent frames, P tokens per latent
 * frame. Index arrays are 32-bit, maps 8-bit, statistics 32-bit floats, all contiguous.
 */
package io.sparsevideo.kernels;
