/**
 * A DJL engine for NVIDIA GPUs over the CUDA driver and the kernels of this project, without
 * libtorch.
 *
 * <p>{@code Engine.getEngine("SvgCuda").newBaseManager(Device.gpu(0))} opens a tree of managers:
 * one stream, on which everything that its arrays are used for runs in order. Closing a manager
 * frees its arrays; closing the tree's first manager also waits for the stream and closes it.
 *
 * <p>The engine moves, views, copies and casts tensors and does elementary arithmetic; what models
 * spend time in is called through {@link io.sparsevideo.tensor.TensorOps}. Every other operation of
 * {@link ai.djl.ndarray.NDArray} throws {@link UnsupportedOperationException} with its name. {@code
 * docs/decisions/cuda-engine.md} tells why.
 */
package io.sparsevideo.cuda.engine;
