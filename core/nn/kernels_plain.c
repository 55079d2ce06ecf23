/* kernels_plain.c - the kernels of kernels_impl.h at this level. */
#define KERNELS dgam_nn_kernels_plain
#define R 6 /* rows of a register tile: R x 2 accumulators */
#include "nn/kernels_impl.h"
