/* kernels_avx2.c - the kernels of kernels_impl.h at this level. */
#define KERNELS dgam_nn_kernels_avx2
#define R 6 /* rows of a register tile: 12 accumulators of 16 registers */
#if defined(__AVX2__)
#include "nn/kernels_impl.h"
#else
typedef int dgam_nn_kernels_avx2_not_built; /* another architecture */
#endif
