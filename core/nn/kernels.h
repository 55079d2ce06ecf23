/* kernels.h - the inner loops of core/nn, one set per instruction-set level. Internal to the core.
 *
 * All of them run on the calling thread, allocate nothing and cannot fail; the drivers (norm.c, attention.c,
 * swin_block.c, ...) check arguments and split the work. `bf` says that a void buffer holds bf16 (1) or fp32 (0).
 * Row kernels with an `index` read or write row index[r] of the indexed buffer; -1 is a padding row; NULL is 0,1,2...
 */
#ifndef DGAM_NN_KERNELS_H
#define DGAM_NN_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "nn/attention.h"

typedef struct dgam_nn_kernels {
  /* y[r] = (x[i] - mean) rstd w + b for row i = index[r]; padding rows become 0. mean, rstd (by i) may be NULL. */
  void (*layernorm)(size_t rows, size_t c, const float *x, const int32_t *index, const float *w, const float *b,
                    float eps, void *y, int bf, float *mean, float *rstd);
  /* out[i] = base[i] + d(loss)/dx[i]; dw, db (c) accumulated. dy (rows, c) fp32. out may be x or base; base NULL is 0. */
  void (*layernorm_grad)(size_t rows, size_t c, const float *x, const int32_t *index, const float *w,
                         const float *mean, const float *rstd, const float *dy, const float *base, float *out,
                         float *dw, float *db);
  void (*gelu)(size_t count, const void *h, void *y, int bf); /* y may be h */
  /* y = gelu(h), dh = dy gelu'(h); y may be h, dh may be dy; y NULL: not wanted. dy fp32 or as h. */
  void (*gelu_grad)(size_t count, const void *h, const void *dy, void *dh, void *y, int bf);
  /* out[r] = s x[index[r]], 0 for padding. */
  void (*gather)(size_t rows, size_t c, const float *x, const int32_t *index, float s, void *out, int bf);
  /* y[i] = x[i] + s t[r], i = index[r]; padding rows are dropped. y may be x. */
  void (*scatter)(size_t rows, size_t c, const float *t, const int32_t *index, float s, const float *x, float *y);
  /* sum[j] += column j of a (rows, c) matrix with row stride ld. */
  void (*colsum)(size_t rows, size_t c, const void *a, size_t ld, int bf, float *sum);
  void (*to_bf16)(size_t count, const float *x, uint16_t *y);
  void (*from_bf16)(size_t count, const uint16_t *x, float *y);
  /* adamw.h: m += (g - m) b1; v = v beta2 + g^2 b2; p = p keep - step m / (sqrt(v) / root + eps). */
  void (*adamw)(size_t count, float *p, const float *g, float *m, float *v, float keep, float b1, float beta2, float b2,
                float step, float root, float eps);
  void (*attention)(const dgam_attention_job *j);
  void (*attention_grad)(const dgam_attention_job *j);
} dgam_nn_kernels;

extern const dgam_nn_kernels dgam_nn_kernels_plain, dgam_nn_kernels_avx2, dgam_nn_kernels_avx512,
    dgam_nn_kernels_avx512bf;

/* The set for dgam_cpu_level(). */
const dgam_nn_kernels *dgam_nn_kernels_get(void);

#endif
