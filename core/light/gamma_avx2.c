/* gamma_avx2.c - see gamma_kernels.h */
#include "light/gamma_kernels.h"

#if defined(__AVX2__)
void dgam_pow_avx2(const float *logs, float scale, size_t count, float *p) {
  dgam_pow_loop(logs, scale, count, p);
}
#endif
