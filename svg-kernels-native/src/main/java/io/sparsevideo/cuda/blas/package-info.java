/**
 * Matrix products on a GPU through NVIDIA's cuBLASLt, which is not part of this project: {@link
 * io.sparsevideo.cuda.blas.CublasLt} finds it in a CUDA toolkit, in a jar or where a property says.
 */
package io.sparsevideo.cuda.blas;
