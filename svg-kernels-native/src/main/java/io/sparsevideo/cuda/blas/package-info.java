/**
 * Linear layers on a GPU through NVIDIA's cuBLASLt, which is not part of this project: {@link
 * io.sparsevideo.cuda.blas.CublasLt} finds it in a CUDA toolkit or where a property says.
 */
package io.sparsevideo.cuda.blas;
