/* heads.c - see heads.h */
#include "nn/heads.h"

#include <string.h>

#include "base/parallel.h"
#include "nn/kernels.h"

typedef struct heads_job {
  const dgam_nn_kernels *k;
  dgam_heads_desc d;
  const float *x, *w, *b, *mask, *dlogits;
  const int64_t *head;
  float *pooled, *logits, *dx;
} heads_job;

static dgam_status check(const dgam_heads_desc *d, const int64_t *head) {
  size_t all;
  if (d->n < 1 || d->l < 1 || d->c < 1 || d->heads < 1 || d->classes < 1 ||
      __builtin_mul_overflow(d->n * d->l, d->c, &all) || __builtin_mul_overflow(d->heads * d->classes, d->c, &all))
    return dgam_fail(DGAM_EINVAL, "pooled_heads: N, L, C, heads, classes are %zu, %zu, %zu, %zu, %zu, expected 1 or more",
                     d->n, d->l, d->c, d->heads, d->classes);
  for (size_t i = 0; i < d->n; i++)
    if (head[i] < 0 || (uint64_t)head[i] >= d->heads)
      return dgam_fail(DGAM_EINVAL, "pooled_heads: sample %zu asks for head %lld, expected 0 to %zu", i,
                       (long long)head[i], d->heads - 1);
  return DGAM_OK;
}

static dgam_status forward(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  heads_job *j = ctx;
  size_t c = j->d.c, classes = j->d.classes;
  for (size_t i = begin; i < end; i++) {
    float *p = j->pooled + i * c;
    memset(p, 0, c * sizeof *p);
    j->k->colsum(j->d.l, c, j->x + i * j->d.l * c, c, 0, p);
    for (size_t q = 0; q < c; q++) p[q] = p[q] / (float)j->d.l * (j->mask ? j->mask[i * c + q] : 1.f);
    for (size_t k = 0; k < classes; k++) {
      size_t row = (size_t)j->head[i] * classes + k;
      double s = j->b ? j->b[row] : 0;
      for (size_t q = 0; q < c; q++) s += (double)p[q] * j->w[row * c + q];
      j->logits[i * classes + k] = (float)s;
    }
  }
  return DGAM_OK;
}

dgam_status dgam_heads_forward(const dgam_heads_desc *d, const float *x, const float *w, const float *b,
                               const int64_t *head, const float *mask, float *pooled, float *logits) {
  DGAM_TRY(check(d, head));
  heads_job j = {.k = dgam_nn_kernels_get(), .d = *d, .x = x, .w = w, .b = b, .mask = mask, .head = head,
                 .pooled = pooled, .logits = logits};
  return dgam_parallel(d->n, forward, &j);
}

static dgam_status backward(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  heads_job *j = ctx;
  size_t c = j->d.c, classes = j->d.classes;
  for (size_t i = begin; i < end; i++) {
    float *first = j->dx + i * j->d.l * c;
    for (size_t q = 0; q < c; q++) first[q] = 0;
    for (size_t k = 0; k < classes; k++) {
      const float *w = j->w + ((size_t)j->head[i] * classes + k) * c;
      float g = j->dlogits[i * classes + k];
      for (size_t q = 0; q < c; q++) first[q] += g * w[q];
    }
    for (size_t q = 0; q < c; q++) first[q] = first[q] / (float)j->d.l * (j->mask ? j->mask[i * c + q] : 1.f);
    for (size_t l = 1; l < j->d.l; l++) memcpy(first + l * c, first, c * sizeof *first);
  }
  return DGAM_OK;
}

dgam_status dgam_heads_backward(const dgam_heads_desc *d, const float *pooled, const float *w, const int64_t *head,
                                const float *mask, const float *dlogits, float *dx, float *dw, float *db) {
  DGAM_TRY(check(d, head));
  size_t c = d->c, classes = d->classes;
  heads_job j = {.d = *d, .w = w, .mask = mask, .head = head, .dlogits = dlogits, .dx = dx};
  DGAM_TRY(dgam_parallel(d->n, backward, &j));
  memset(dw, 0, d->heads * classes * c * sizeof *dw);
  if (db) memset(db, 0, d->heads * classes * sizeof *db);
  for (size_t i = 0; i < d->n; i++)
    for (size_t k = 0; k < classes; k++) {
      size_t row = (size_t)head[i] * classes + k;
      float g = dlogits[i * classes + k];
      for (size_t q = 0; q < c; q++) dw[row * c + q] += g * pooled[i * c + q];
      if (db) db[row] += g;
    }
  return DGAM_OK;
}
