/* Products against three loops: shapes, strides, transposes, types, what is fused; the cache; many threads at once. */
#include "test.h"

#include <omp.h>

#include "base/parallel.h"
#include "nn/gemm.h"
#include "nn/linear.h"

/* n values in [-1, 1] of the type. */
static void *values(dgam_rng *r, size_t n, dgam_dtype t) {
  float *p = randoms(r, n, 1);
  if (t == DGAM_F32) return p;
  uint16_t *h = shorten(p, n);
  free(p);
  return h;
}

static void check(const dgam_gemm_desc *d) {
  dgam_rng r;
  dgam_rng_init(&r, 3, d->m * 31 + d->n * 7 + d->k);
  size_t lda = d->lda ? d->lda : d->at ? d->m : d->k, ldb = d->ldb ? d->ldb : d->bt ? d->k : d->n;
  size_t ldc = d->ldc ? d->ldc : d->n, nc = d->m * ldc;
  void *a = values(&r, (d->at ? d->k : d->m) * lda, d->in), *b = values(&r, (d->bt ? d->n : d->k) * ldb, d->in);
  void *c = values(&r, nc, d->out), *want = malloc(nc * dgam_dtype_size(d->out));
  float *bias = values(&r, d->n, DGAM_F32);
  memcpy(want, c, nc * dgam_dtype_size(d->out));
  assert_ok(dgam_gemm_once(d, a, b, bias, c));
  assert_ok(dgam_gemm_reference(d, a, b, bias, want));
  for (size_t i = 0; i < nc; i++) {
    double got = d->out == DGAM_F32 ? ((float *)c)[i] : wide(((uint16_t *)c)[i]);
    double wanted = d->out == DGAM_F32 ? ((float *)want)[i] : wide(((uint16_t *)want)[i]);
    double allowed = 1e-6 * (4 + (double)d->k) + (d->out == DGAM_BF16 ? 0.01 * fabs(wanted) + 1e-3 : 1e-6 * fabs(wanted));
    if (!(fabs(got - wanted) <= allowed))
      fail_msg("(%zu,%zu,%zu) ld %zu %zu %zu at %d bt %d bias %d add %d gelu %d in %d out %d: element %zu is %g, not %g",
               d->m, d->n, d->k, lda, ldb, ldc, d->at, d->bt, d->bias, d->accumulate, d->gelu, (int)d->in, (int)d->out, i,
               got, wanted);
  }
  free(a), free(b), free(c), free(want), free(bias);
}

static void products_match_reference(void **state) {
  (void)state;
  static const size_t sizes[][3] = {{1, 1, 1},   {1, 33, 45},  {7, 1, 9},    {16, 16, 16}, {33, 1, 135},  {1, 16, 135},
                                    {5, 50, 40}, {49, 96, 24}, {98, 40, 96}, {64, 1, 1},   {200, 33, 77}, {3, 130, 300}};
  int bf16 = dgam_gemm_has_bf16();
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int bits = 0; bits < 256; bits++) {
      dgam_gemm_desc d = {.m = sizes[i][0], .n = sizes[i][1], .k = sizes[i][2], .at = bits & 1, .bt = bits >> 1 & 1,
                          .bias = bits >> 2 & 1, .accumulate = bits >> 3 & 1, .gelu = bits >> 4 & 1,
                          .in = bits >> 5 & 1 ? DGAM_BF16 : DGAM_F32, .out = bits >> 6 & 1 ? DGAM_BF16 : DGAM_F32, .threads = i & 1};
      if (bits >> 7) d.lda = d.m + d.k + 3, d.ldb = d.n + d.k + 5, d.ldc = d.n + 2;
      if ((d.accumulate && d.gelu) || d.out > d.in || (d.in == DGAM_BF16 && !bf16)) continue;
      if (d.accumulate && d.out == DGAM_BF16) continue; /* not used: sums stay fp32 */
      check(&d);
    }
}

static void cache_shares_and_lets_go(void **state) {
  (void)state;
  dgam_gemm_clear();
  assert_int_equal(dgam_gemm_cached(), 0);
  dgam_gemm_desc d = {.m = 8, .n = 8, .k = 8, .threads = 1};
  const dgam_gemm *a, *b;
  assert_ok(dgam_gemm_get(&d, &a));
  assert_ok(dgam_gemm_get(&d, &b));
  assert_ptr_equal(a, b);
  assert_int_equal(dgam_gemm_cached(), 1);
  dgam_gemm_clear(); /* held: stays */
  assert_int_equal(dgam_gemm_cached(), 1);
  dgam_gemm_put(a), dgam_gemm_put(b);
  dgam_gemm_clear();
  assert_int_equal(dgam_gemm_cached(), 0);
}

typedef struct shared {
  const dgam_gemm *g;
  const float *a, *b, *want;
  size_t n;
} shared;

static dgam_status many(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  shared *s = ctx;
  float *c = malloc(s->n * s->n * sizeof *c);
  void *scratch = aligned_alloc(64, dgam_gemm_scratch(s->g) + 64);
  dgam_status status = DGAM_OK;
  for (size_t i = begin; i < end && status == DGAM_OK; i++) {
    status = dgam_gemm_run(s->g, s->a, s->b, NULL, c, scratch);
    if (status == DGAM_OK && memcmp(c, s->want, s->n * s->n * sizeof *c))
      status = dgam_fail(DGAM_EINTERNAL, "run %zu differs", i);
  }
  free(c), free(scratch);
  return status;
}

static void threads_share_a_product(void **state) {
  (void)state;
  enum { SIZE = 96 };
  dgam_rng r;
  dgam_rng_init(&r, 1, 1);
  float *a = values(&r, SIZE * SIZE, DGAM_F32), *b = values(&r, SIZE * SIZE, DGAM_F32);
  float want[SIZE * SIZE];
  dgam_gemm_desc d = {.m = SIZE, .n = SIZE, .k = SIZE, .threads = 1};
  assert_ok(dgam_gemm_once(&d, a, b, NULL, want));
  shared s = {NULL, a, b, want, SIZE};
  assert_ok(dgam_gemm_get(&d, &s.g));
  dgam_set_threads(4);
  assert_ok(dgam_parallel(64, many, &s));
  dgam_set_threads(0);
  dgam_gemm_put(s.g);
  free(a), free(b);
}

static void linear_matches(void **state) {
  (void)state;
  enum { M = 37, NN = 29, K = 53 };
  dgam_rng r;
  dgam_rng_init(&r, 2, 2);
  float *x = values(&r, M * K, DGAM_F32), *w = values(&r, NN * K, DGAM_F32), *b = values(&r, NN, DGAM_F32);
  float *dy = values(&r, M * NN, DGAM_F32);
  float y[M * NN], dx[M * K], dw[NN * K], db[NN], want[M * K + NN * K];
  for (int bf = 0; bf < 2; bf++) {
    if (bf && !dgam_gemm_has_bf16()) continue;
    dgam_dtype t = bf ? DGAM_BF16 : DGAM_F32;
    double allowed = bf ? 0.1 : 1e-4;
    size_t bytes;
    assert_ok(dgam_linear_scratch(M, NN, K, t, &bytes));
    void *scratch = aligned_alloc(64, bytes + 64);
    assert_ok(dgam_linear_forward(M, NN, K, x, w, b, y, t, scratch));
    dgam_gemm_desc d = {.m = M, .n = NN, .k = K, .bt = 1, .bias = 1};
    assert_ok(dgam_gemm_reference(&d, x, w, b, want));
    assert_close(y, want, M * NN, allowed, "y");
    assert_ok(dgam_linear_backward(M, NN, K, x, w, dy, dx, dw, db, t, scratch));
    d = (dgam_gemm_desc){.m = M, .n = K, .k = NN};
    assert_ok(dgam_gemm_reference(&d, dy, w, NULL, want));
    assert_close(dx, want, M * K, allowed, "dx");
    d = (dgam_gemm_desc){.m = NN, .n = K, .k = M, .at = 1};
    assert_ok(dgam_gemm_reference(&d, dy, x, NULL, want));
    assert_close(dw, want, NN * K, allowed, "dw");
    for (int j = 0; j < NN; j++) {
      want[j] = 0;
      for (int i = 0; i < M; i++) want[j] += dy[i * NN + j];
    }
    assert_close(db, want, NN, 1e-4, "db");
    free(scratch);
  }
  free(x), free(w), free(b), free(dy);
}

static void refuses_nonsense(void **state) {
  (void)state;
  const dgam_gemm *g;
  assert_fails(dgam_gemm_get(&(dgam_gemm_desc){.m = 0, .n = 2, .k = 3}, &g), DGAM_EINVAL, "0, 2, 3");
  assert_fails(dgam_gemm_get(&(dgam_gemm_desc){.m = 4, .n = 2, .k = 3, .lda = 2}, &g), DGAM_EINVAL, "2, 2, 2");
  assert_fails(dgam_gemm_get(&(dgam_gemm_desc){.m = 4, .n = 2, .k = 3, .gelu = 1, .accumulate = 1}, &g), DGAM_EINVAL,
               "exclude");
  assert_fails(dgam_gemm_get(&(dgam_gemm_desc){.m = 4, .n = 2, .k = 3, .out = DGAM_BF16}, &g), DGAM_EINVAL, "bf16");
  assert_fails(dgam_gemm_get(&(dgam_gemm_desc){.m = 4, .n = 2, .k = 3, .in = DGAM_F64}, &g), DGAM_EINVAL, "float64");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(products_match_reference),
                                     cmocka_unit_test(cache_shares_and_lets_go),
                                     cmocka_unit_test(threads_share_a_product), cmocka_unit_test(linear_matches),
                                     cmocka_unit_test(refuses_nonsense)};
  return cmocka_run_group_tests_name("nn_gemm", tests, NULL, NULL);
}
