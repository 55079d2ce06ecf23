/* norm.c - see norm.h */
#include "nn/norm.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "nn/kernels.h"

typedef struct norm_job {
  const dgam_nn_kernels *k;
  size_t rows, c, chunk;
  const float *x, *w, *b, *dy, *cmean, *crstd;
  float *y, *mean, *rstd, *partial, eps;
} norm_job;

static dgam_status check(size_t rows, size_t c) {
  size_t all;
  if (rows < 1 || c < 1 || __builtin_mul_overflow(rows, c, &all) || all > SIZE_MAX / 8)
    return dgam_fail(DGAM_EINVAL, "layer_norm: %zu rows of %zu, expected 1 or more of each", rows, c);
  return DGAM_OK;
}

static dgam_status forward(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  norm_job *j = ctx;
  j->k->layernorm(end - begin, j->c, j->x + begin * j->c, NULL, j->w, j->b, j->eps, j->y + begin * j->c, 0,
                  j->mean ? j->mean + begin : NULL, j->rstd ? j->rstd + begin : NULL);
  return DGAM_OK;
}

dgam_status dgam_layernorm_forward(size_t rows, size_t c, const float *x, const float *w, const float *b, float eps,
                                   float *y, float *mean, float *rstd) {
  DGAM_TRY(check(rows, c));
  norm_job j = {.k = dgam_nn_kernels_get(), .c = c, .x = x, .w = w, .b = b, .y = y, .mean = mean, .rstd = rstd,
                .eps = eps};
  return dgam_parallel(rows, forward, &j);
}

#define PARTS 64 /* partial sums at most */

static size_t chunk_rows(size_t rows) {
  size_t chunk = (rows + PARTS - 1) / PARTS;
  return chunk < 32 ? 32 : chunk;
}

size_t dgam_layernorm_scratch(size_t rows, size_t c) { return (rows + chunk_rows(rows) - 1) / chunk_rows(rows) * 2 * c; }

static dgam_status backward(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  norm_job *j = ctx;
  size_t c = j->c;
  for (size_t u = begin; u < end; u++) {
    size_t row = u * j->chunk, rows = j->rows - row < j->chunk ? j->rows - row : j->chunk;
    float *part = j->partial + u * 2 * c;
    memset(part, 0, 2 * c * sizeof *part);
    j->k->layernorm_grad(rows, c, j->x + row * c, NULL, j->w, j->cmean + row, j->crstd + row, j->dy + row * c, NULL,
                         j->y + row * c, part, part + c);
  }
  return DGAM_OK;
}

dgam_status dgam_layernorm_backward(size_t rows, size_t c, const float *x, const float *w, const float *mean,
                                    const float *rstd, const float *dy, float *dx, float *dw, float *db,
                                    float *scratch) {
  DGAM_TRY(check(rows, c));
  norm_job j = {.k = dgam_nn_kernels_get(), .rows = rows, .c = c, .chunk = chunk_rows(rows), .x = x, .w = w, .dy = dy,
                .cmean = mean, .crstd = rstd, .y = dx, .partial = scratch};
  size_t parts = (rows + j.chunk - 1) / j.chunk;
  DGAM_TRY(dgam_parallel(parts, backward, &j));
  memset(dw, 0, c * sizeof *dw);
  memset(db, 0, c * sizeof *db);
  j.k->colsum(parts, c, scratch, 2 * c, 0, dw);
  j.k->colsum(parts, c, scratch + c, 2 * c, 0, db);
  return DGAM_OK;
}

#define CHUNK 4096 /* elements of GELU in one unit */

typedef struct gelu_job {
  const dgam_nn_kernels *k;
  size_t count;
  const float *x, *dy;
  float *out;
} gelu_job;

static dgam_status gelu(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  gelu_job *j = ctx;
  size_t at = begin * CHUNK, stop = end * CHUNK < j->count ? end * CHUNK : j->count;
  j->k->gelu(stop - at, j->x + at, j->out + at, 0);
  return DGAM_OK;
}

dgam_status dgam_gelu_forward(size_t count, const float *x, float *y) {
  gelu_job j = {.k = dgam_nn_kernels_get(), .count = count, .x = x, .out = y};
  return dgam_parallel((count + CHUNK - 1) / CHUNK, gelu, &j);
}

static dgam_status gelu_grad(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  gelu_job *j = ctx;
  size_t at = begin * CHUNK, stop = end * CHUNK < j->count ? end * CHUNK : j->count;
  j->k->gelu_grad(stop - at, j->x + at, j->dy + at, j->out + at, NULL, 0);
  return DGAM_OK;
}

dgam_status dgam_gelu_backward(size_t count, const float *x, const float *dy, float *dx) {
  gelu_job j = {.k = dgam_nn_kernels_get(), .count = count, .x = x, .dy = dy, .out = dx};
  return dgam_parallel((count + CHUNK - 1) / CHUNK, gelu_grad, &j);
}

/* --- references --- */

void dgam_layernorm_forward_reference(size_t rows, size_t c, const float *x, const float *w, const float *b, float eps,
                                      float *y, float *mean, float *rstd) {
  for (size_t r = 0; r < rows; r++) {
    double m = 0, v = 0;
    for (size_t i = 0; i < c; i++) m += x[r * c + i];
    m /= (double)c;
    for (size_t i = 0; i < c; i++) v += (x[r * c + i] - m) * (x[r * c + i] - m);
    double rs = 1 / sqrt(v / (double)c + eps);
    for (size_t i = 0; i < c; i++) y[r * c + i] = (float)((x[r * c + i] - m) * rs * w[i] + b[i]);
    if (mean) mean[r] = (float)m;
    if (rstd) rstd[r] = (float)rs;
  }
}

void dgam_layernorm_backward_reference(size_t rows, size_t c, const float *x, const float *w, const float *mean,
                                       const float *rstd, const float *dy, float *dx, float *dw, float *db) {
  memset(dw, 0, c * sizeof *dw);
  memset(db, 0, c * sizeof *db);
  for (size_t r = 0; r < rows; r++) {
    double m1 = 0, m2 = 0;
    for (size_t i = 0; i < c; i++) {
      double xh = ((double)x[r * c + i] - mean[r]) * rstd[r], g = (double)dy[r * c + i] * w[i];
      m1 += g / (double)c;
      m2 += g * xh / (double)c;
      dw[i] += (float)(dy[r * c + i] * xh);
      db[i] += dy[r * c + i];
    }
    for (size_t i = 0; i < c; i++) {
      double xh = ((double)x[r * c + i] - mean[r]) * rstd[r], g = (double)dy[r * c + i] * w[i];
      dx[r * c + i] = (float)(rstd[r] * (g - m1 - xh * m2));
    }
  }
}
