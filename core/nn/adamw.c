/* adamw.c - see adamw.h */
#include "nn/adamw.h"

#include <math.h>

#include "base/parallel.h"
#include "nn/kernels.h"

typedef struct adamw_job {
  const dgam_nn_kernels *k;
  size_t count;
  float *p, *m, *v;
  const float *g;
  float keep, b1, beta2, b2, step, root, eps;
} adamw_job;

dgam_status dgam_adamw_check(double lr, double beta1, double beta2, double eps, double decay, long long t) {
  if (!(lr >= 0)) return dgam_fail(DGAM_EINVAL, "adamw: lr is %g, expected 0 or more", lr);
  if (!(beta1 >= 0 && beta1 < 1) || !(beta2 >= 0 && beta2 < 1))
    return dgam_fail(DGAM_EINVAL, "adamw: betas are %g and %g, expected 0 to below 1", beta1, beta2);
  if (!(eps >= 0)) return dgam_fail(DGAM_EINVAL, "adamw: eps is %g, expected 0 or more", eps);
  if (!(decay >= 0)) return dgam_fail(DGAM_EINVAL, "adamw: weight_decay is %g, expected 0 or more", decay);
  if (t < 1) return dgam_fail(DGAM_EINVAL, "adamw: step is %lld, expected 1 or more", t);
  return DGAM_OK;
}

#define CHUNK 4096 /* elements in a unit; 64 bytes x 256, so threads share no cache line */

static dgam_status part(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  adamw_job *j = ctx;
  size_t at = begin * CHUNK, stop = end * CHUNK < j->count ? end * CHUNK : j->count;
  j->k->adamw(stop - at, j->p + at, j->g + at, j->m + at, j->v + at, j->keep, j->b1, j->beta2, j->b2, j->step,
              j->root, j->eps);
  return DGAM_OK;
}

dgam_status dgam_adamw(size_t count, float *p, const float *g, float *m, float *v, double lr, double beta1, double beta2,
                       double eps, double decay, long long t) {
  DGAM_TRY(dgam_adamw_check(lr, beta1, beta2, eps, decay, t));
  adamw_job j = {dgam_nn_kernels_get(), count, p, m, v, g, (float)(1 - lr * decay), (float)(1 - beta1), (float)beta2,
                 (float)(1 - beta2), (float)(lr / (1 - pow(beta1, (double)t))), (float)sqrt(1 - pow(beta2, (double)t)), (float)eps};
  return dgam_parallel((count + CHUNK - 1) / CHUNK, part, &j);
}

dgam_status dgam_adamw_reference(size_t count, float *p, const float *g, float *m, float *v, double lr, double beta1,
                                 double beta2, double eps, double decay, long long t) {
  DGAM_TRY(dgam_adamw_check(lr, beta1, beta2, eps, decay, t));
  double c1 = 1 - pow(beta1, (double)t), c2 = 1 - pow(beta2, (double)t);
  for (size_t i = 0; i < count; i++) {
    double mi = beta1 * m[i] + (1 - beta1) * g[i], vi = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
    m[i] = (float)mi;
    v[i] = (float)vi;
    p[i] = (float)(p[i] * (1 - lr * decay) - lr / c1 * mi / (sqrt(vi) / sqrt(c2) + eps));
  }
  return DGAM_OK;
}
