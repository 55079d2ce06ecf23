/* norm.h - LayerNorm and GELU over dense fp32 buffers, forward and backward.
 *
 *     LayerNorm: y = (x - mean) rstd w + b, mean and biased variance over the last dimension, rstd = (var + eps)^-1/2
 *     GELU:      y = x Phi(x), Phi the normal distribution function through erf (within 3e-7)
 *
 * Work is split over the threads with dgam_parallel; sums over rows are split by shape alone, so they do not depend on
 * the number of threads. y may be x, dx may be dy; nothing else overlaps.
 */
#ifndef DGAM_NN_NORM_H
#define DGAM_NN_NORM_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* x, y (rows, c); w, b (c); mean, rstd (rows), [OPTIONAL], for backward. */
DGAM_API dgam_status dgam_layernorm_forward(size_t rows, size_t c, const float *x, const float *w, const float *b,
                                            float eps, float *y, float *mean, float *rstd);

/* dy (rows, c) -> dx (rows, c), dw and db (c), all overwritten. scratch: dgam_layernorm_scratch floats. */
DGAM_API dgam_status dgam_layernorm_backward(size_t rows, size_t c, const float *x, const float *w, const float *mean,
                                             const float *rstd, const float *dy, float *dx, float *dw, float *db,
                                             float *scratch);
DGAM_API size_t dgam_layernorm_scratch(size_t rows, size_t c);

DGAM_API dgam_status dgam_gelu_forward(size_t count, const float *x, float *y);
DGAM_API dgam_status dgam_gelu_backward(size_t count, const float *x, const float *dy, float *dx);

/* The formulas in double. */
DGAM_API void dgam_layernorm_forward_reference(size_t rows, size_t c, const float *x, const float *w, const float *b,
                                               float eps, float *y, float *mean, float *rstd);
DGAM_API void dgam_layernorm_backward_reference(size_t rows, size_t c, const float *x, const float *w,
                                                const float *mean, const float *rstd, const float *dy, float *dx,
                                                float *dw, float *db);

#ifdef __cplusplus
}
#endif
#endif
