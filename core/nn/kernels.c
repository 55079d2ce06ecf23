/* kernels.c - see kernels.h */
#include "nn/kernels.h"

#include "base/cpu.h"

const dgam_nn_kernels *dgam_nn_kernels_get(void) {
#if defined(__x86_64__)
  dgam_cpu level = dgam_cpu_level();
  if (level >= DGAM_CPU_AVX512BF) return &dgam_nn_kernels_avx512bf;
  if (level >= DGAM_CPU_AVX512) return &dgam_nn_kernels_avx512;
  if (level >= DGAM_CPU_AVX2) return &dgam_nn_kernels_avx2;
#endif
  return &dgam_nn_kernels_plain;
}
