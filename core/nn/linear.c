/* linear.c - see linear.h */
#include "nn/linear.h"

#include <string.h>

#include "base/parallel.h"
#include "nn/kernels.h"

typedef struct rows_job {
  const dgam_nn_kernels *k;
  size_t rows, count;
  const float *from;
  void *to;
} rows_job;

#define CHUNK 16384

static dgam_status narrow(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  rows_job *j = ctx;
  size_t at = begin * CHUNK, stop = end * CHUNK < j->count ? end * CHUNK : j->count;
  j->k->to_bf16(stop - at, j->from + at, (uint16_t *)j->to + at);
  return DGAM_OK;
}

dgam_status dgam_to_bf16(size_t count, const float *x, uint16_t *y) {
  rows_job j = {.k = dgam_nn_kernels_get(), .count = count, .from = x, .to = y};
  return dgam_parallel((count + CHUNK - 1) / CHUNK, narrow, &j);
}

#define COLUMNS 64 /* columns summed by one unit */

static dgam_status sum_columns(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  rows_job *j = ctx;
  size_t at = begin * COLUMNS, stop = end * COLUMNS < j->count ? end * COLUMNS : j->count;
  memset((float *)j->to + at, 0, (stop - at) * sizeof(float));
  j->k->colsum(j->rows, stop - at, j->from + at, j->count, 0, (float *)j->to + at);
  return DGAM_OK;
}

dgam_status dgam_column_sums(size_t rows, size_t c, const float *a, float *sum) {
  rows_job j = {dgam_nn_kernels_get(), rows, c, a, sum};
  return dgam_parallel_items((c + COLUMNS - 1) / COLUMNS, sum_columns, &j);
}

enum { FORWARD, DX, DW };

static dgam_gemm_desc product(int which, size_t m, size_t n, size_t k, int bias, dgam_dtype type) {
  if (which == FORWARD) return (dgam_gemm_desc){.m = m, .n = n, .k = k, .bt = 1, .bias = bias, .in = type};
  if (which == DX) return (dgam_gemm_desc){.m = m, .n = k, .k = n, .in = type};
  return (dgam_gemm_desc){.m = n, .n = k, .k = m, .at = 1, .in = type};
}

static size_t round64(size_t bytes) { return (bytes + 63) / 64 * 64; }

dgam_status dgam_linear_scratch(size_t m, size_t n, size_t k, dgam_dtype type, size_t *bytes) {
  size_t most = 0;
  for (int bias = 0; bias < 2; bias++)
    for (int which = FORWARD; which <= DW; which++) {
      const dgam_gemm *g;
      dgam_gemm_desc d = product(which, m, n, k, bias, type);
      DGAM_TRY(dgam_gemm_get(&d, &g));
      size_t need = dgam_gemm_scratch(g);
      dgam_gemm_put(g);
      if (need > most) most = need;
    }
  *bytes = round64(most);
  if (type == DGAM_BF16) *bytes += round64(m * k * 2) + round64(n * k * 2) + round64(m * n * 2);
  return DGAM_OK;
}

static dgam_status multiply(const dgam_gemm_desc *d, const void *a, const void *b, const float *bias, float *c,
                            void *work) {
  const dgam_gemm *g;
  DGAM_TRY(dgam_gemm_get(d, &g));
  dgam_status s = dgam_gemm_run(g, a, b, bias, c, work);
  dgam_gemm_put(g);
  return s;
}

/* A bf16 copy of `a` at *scratch, which moves on; or `a` itself. */
static dgam_status operand(const float *a, size_t count, dgam_dtype type, char **scratch, const void **out) {
  *out = a;
  if (type != DGAM_BF16) return DGAM_OK;
  *out = *scratch;
  *scratch += round64(count * 2);
  return dgam_to_bf16(count, a, (uint16_t *)(uintptr_t)*out);
}

dgam_status dgam_linear_forward(size_t m, size_t n, size_t k, const float *x, const float *w, const float *bias,
                                float *y, dgam_dtype type, void *scratch) {
  char *at = scratch;
  const void *a, *b;
  DGAM_TRY(operand(x, m * k, type, &at, &a));
  DGAM_TRY(operand(w, n * k, type, &at, &b));
  dgam_gemm_desc d = product(FORWARD, m, n, k, bias != NULL, type);
  return multiply(&d, a, b, bias, y, at);
}

dgam_status dgam_linear_backward(size_t m, size_t n, size_t k, const float *x, const float *w, const float *dy,
                                 float *dx, float *dw, float *db, dgam_dtype type, void *scratch) {
  char *at = scratch;
  const void *g, *a;
  DGAM_TRY(operand(dy, m * n, type, &at, &g));
  if (dx) {
    DGAM_TRY(operand(w, n * k, type, &at, &a));
    dgam_gemm_desc d = product(DX, m, n, k, 0, type);
    DGAM_TRY(multiply(&d, g, a, NULL, dx, at));
  }
  if (dw) {
    DGAM_TRY(operand(x, m * k, type, &at, &a));
    dgam_gemm_desc d = product(DW, m, n, k, 0, type);
    DGAM_TRY(multiply(&d, g, a, NULL, dw, at));
  }
  return db ? dgam_column_sums(m, n, dy, db) : DGAM_OK;
}
