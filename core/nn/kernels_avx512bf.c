/* kernels_avx512bf.c - the kernels of kernels_impl.h at this level. */
#define KERNELS dgam_nn_kernels_avx512bf
#define R 14 /* rows of a register tile: 28 accumulators of 32 registers */
#if defined(__AVX512BF16__)
#include "nn/kernels_impl.h"
#else
typedef int dgam_nn_kernels_avx512bf_not_built; /* another architecture */
#endif
