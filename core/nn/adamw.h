/* adamw.h - AdamW (Loshchilov and Hutter, ICLR 2019) over flat fp32 buffers, one pass, as torch.optim.AdamW computes it:
 *
 *     p *= 1 - lr decay;  m += (g - m)(1 - beta1);  v = beta2 v + (1 - beta2) g^2
 *     p -= lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 *
 * All four buffers have `count` elements and do not overlap. t counts from 1. The limit is memory bandwidth: 28 bytes an
 * element. Split over the threads; results do not depend on their number.
 */
#ifndef DGAM_NN_ADAMW_H
#define DGAM_NN_ADAMW_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* DGAM_EINVAL for lr < 0, a beta outside [0, 1), eps < 0, decay < 0 or t < 1. dgam_adamw_check only checks. */
DGAM_API dgam_status dgam_adamw_check(double lr, double beta1, double beta2, double eps, double decay, long long t);
DGAM_API dgam_status dgam_adamw(size_t count, float *p, const float *g, float *m, float *v, double lr, double beta1,
                                double beta2, double eps, double decay, long long t);
DGAM_API dgam_status dgam_adamw_reference(size_t count, float *p, const float *g, float *m, float *v, double lr,
                                          double beta1, double beta2, double eps, double decay, long long t);

#ifdef __cplusplus
}
#endif
#endif
