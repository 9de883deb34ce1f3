/**
 * NVIDIA's CUDA driver: devices, their primary contexts, streams, graphs, events and memory.
 *
 * <p>{@link io.sparsevideo.cuda.CudaDriver} is the way in; whoever opens a context, stream, event
 * or memory closes it. Every operation may be called from any thread: where the driver wants the
 * context to be current on the thread, it is made so for the call. Code that launches work by
 * itself, such as another library on the same stream, calls {@link
 * io.sparsevideo.cuda.CudaContext#setCurrent} or {@link io.sparsevideo.cuda.CudaContext#enter}
 * first.
 *
 * <p>Device memory is a {@link java.lang.foreign.MemorySegment} whose address is a device pointer:
 * it can be sliced and handed to kernels, and must never be read or written by Java.
 *
 * <p>A call that the driver refuses throws {@link io.sparsevideo.cuda.CudaException}, with its name
 * of the error, the function and the arguments. Errors of earlier asynchronous work may surface in
 * any later call.
 */
package io.sparsevideo.cuda;
