/* gamma_avx512.c - see gamma_kernels.h */
#include "light/gamma_kernels.h"

#if defined(__AVX512F__)
void dgam_pow_avx512(const float *logs, float scale, size_t count, float *p) {
  dgam_pow_loop(logs, scale, count, p);
}
#endif
