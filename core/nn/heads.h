/* heads.h - mean over tokens, then the linear head that belongs to the sample:
 *
 *     pooled[n] = mean_l x[n, l] * mask[n],   logits[n] = W[head[n]] pooled[n] + b[head[n]]
 *
 * x (N, L, C); W (E, K, C); b (E, K) or NULL; head (N), 0-based; mask (N, C) or NULL: dropout factors. Dense fp32.
 * Split over the samples with dgam_parallel; sums have an order fixed by shape.
 */
#ifndef DGAM_NN_HEADS_H
#define DGAM_NN_HEADS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_heads_desc {
  size_t n, l, c, heads, classes;
} dgam_heads_desc;

/* pooled (N, C), after the mask, is written too: backward reads it. DGAM_EINVAL for a head outside 0 .. heads-1. */
DGAM_API dgam_status dgam_heads_forward(const dgam_heads_desc *d, const float *x, const float *w, const float *b,
                                        const int64_t *head, const float *mask, float *pooled, float *logits);

/* dlogits (N, K) -> dx (N, L, C), dw, db (may be NULL); all overwritten. */
DGAM_API dgam_status dgam_heads_backward(const dgam_heads_desc *d, const float *pooled, const float *w,
                                         const int64_t *head, const float *mask, const float *dlogits, float *dx,
                                         float *dw, float *db);

#ifdef __cplusplus
}
#endif
#endif
