/* The inner loops against their formulas in double, at every instruction-set level this machine has: window attention
 * in fp32 and bf16, LayerNorm, GELU, AdamW, column sums, rounding to bf16. Odd sizes, guards behind every buffer. */
#include "test.h"

#include "base/cpu.h"
#include "base/parallel.h"
#include "nn/adamw.h"
#include "nn/attention.h"
#include "nn/linear.h"
#include "nn/norm.h"

static const dgam_cpu levels[] = {DGAM_CPU_PLAIN, DGAM_CPU_AVX2, DGAM_CPU_AVX512, DGAM_CPU_AVX512BF};
enum { LEVELS = sizeof levels / sizeof *levels };

/* Largest difference, relative to the largest wanted value. */
static void check_rows(const void *got, int bf, const float *want, size_t n, size_t hd, size_t ld, double tolerance,
                       const char *what) {
  double worst = 0, top = 0.05; /* some are all zero */
  for (size_t i = 0; i < n; i++)
    for (size_t d = 0; d < hd; d++) {
      double w = want[i * ld + d], g = bf ? wide(((const uint16_t *)got)[i * ld + d]) : ((const float *)got)[i * ld + d];
      if (!(fabs(g - w) <= worst)) worst = fabs(g - w);
      if (fabs(w) > top) top = fabs(w);
    }
  if (!(worst <= tolerance * top)) fail_msg("%s is off by %g of %g", what, worst, top);
}

/* One head among three of a fused qkv matrix, against the formulas on the same operands. */
static void attention_case(size_t tokens, size_t hd, int bf, int masked, dgam_cpu level) {
  size_t padded = DGAM_ROUND16(tokens), ld = 9 * hd, ldo = 3 * hd, es = bf ? 2 : 4;
  dgam_rng r;
  dgam_rng_init(&r, tokens, hd);
  float *qkv = randoms(&r, tokens * ld, 2), *dout = randoms(&r, tokens * ldo, 1);
  float *bias = randoms(&r, tokens * padded, 1), *dbias = guarded(tokens * padded * 4);
  float *out = guarded(tokens * ldo * 4), *dqkv = guarded(tokens * ld * 4), *lse = guarded(tokens * 4);
  int32_t *region = guarded(padded * 4);
  for (size_t i = 0; i < padded; i++) region[i] = i < tokens ? (int32_t)(i * 3 / tokens) : 0;
  for (size_t i = 0; i < tokens; i++)
    for (size_t t = tokens; t < padded; t++) bias[i * padded + t] = -1e30f;
  uint16_t *hqkv = bf ? shorten(qkv, tokens * ld) : NULL, *hdout = bf ? shorten(dout, tokens * ldo) : NULL;
  dgam_attention_job j = {.tokens = tokens, .hd = hd, .padded = padded, .ld = ld, .ldo = ldo,
                          .scale = 1 / sqrtf((float)hd), .q = qkv + hd,
                          .k = qkv + 4 * hd, .v = qkv + 7 * hd, .bias = bias, .region = masked ? region : NULL,
                          .out = out + hd, .lse = lse, .dout = dout + hd, .dq = dqkv + hd, .dk = dqkv + 4 * hd,
                          .dv = dqkv + 7 * hd, .dbias = dbias};
  memset(dbias, 0, tokens * padded * 4);
  assert_ok(dgam_attention_forward_reference(&j));
  assert_ok(dgam_attention_backward_reference(&j));

  size_t scratch = DGAM_ATTENTION_SCRATCH(tokens, hd) * sizeof(float);
  char *gout = guarded(tokens * ldo * es), *gdqkv = guarded(tokens * ld * es);
  float *glse = guarded(tokens * 4), *gdbias = guarded(tokens * padded * 4), *work = guarded(scratch);
  memset(gdbias, 0, tokens * padded * 4);
  dgam_attention_job g = j;
  g.bf = bf, g.out = gout + hd * es, g.lse = glse, g.dbias = gdbias, g.scratch = work;
  g.dq = gdqkv + hd * es, g.dk = gdqkv + 4 * hd * es, g.dv = gdqkv + 7 * hd * es;
  if (bf) g.q = hqkv + hd, g.k = hqkv + 4 * hd, g.v = hqkv + 7 * hd, g.dout = hdout + hd;
  dgam_cpu before = dgam_cpu_limit(level);
  assert_ok(dgam_attention_forward(&g));
  assert_ok(dgam_attention_backward(&g));
  dgam_cpu_limit(before);

  /* fp32: rounding of sums over tokens. bf16: what is stored, and P and dS inside, carry 8 bits; errors partly cancel. */
  double exact = bf ? 0.012 : 2e-5, slope = bf ? 0.02 : 5e-5;
  char what[96];
  snprintf(what, sizeof what, "tokens %zu, hd %zu, %s, %s%s", tokens, hd, dgam_cpu_name(level), bf ? "bf16" : "fp32",
           masked ? ", masked" : "");
  check_rows(g.out, bf, j.out, tokens, hd, ldo, exact, what);
  check_rows(g.lse, 0, j.lse, 1, tokens, tokens, 2e-5, what);
  check_rows(g.dq, bf, j.dq, tokens, hd, ld, slope, what);
  check_rows(g.dk, bf, j.dk, tokens, hd, ld, slope, what);
  check_rows(g.dv, bf, j.dv, tokens, hd, ld, slope, what);
  check_rows(g.dbias, 0, j.dbias, tokens, tokens, padded, bf ? 1e-3 : 5e-5, what);
  /* Neighbouring heads keep what they held. */
  for (size_t i = 0; i < tokens * ldo * es; i++)
    if ((i / es % ldo) / hd != 1 && (unsigned char)gout[i] != 0xff) fail_msg("%s: another head was written", what);
  check_guard(gout, tokens * ldo * es, "out"), check_guard(gdqkv, tokens * ld * es, "dqkv");
  check_guard(glse, tokens * 4, "lse");
  check_guard(gdbias, tokens * padded * 4, "dbias"), check_guard(work, scratch, "scratch");
  void *all[] = {qkv, dout, bias, out, dqkv, lse, dbias, region, hqkv, hdout, gout, gdqkv, glse, gdbias, work};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void attention_matches(void **state) {
  (void)state;
  static const size_t tokens[] = {1, 2, 13, 15, 16, 17, 29, 48, 49, 98}, dims[] = {1, 8, 15, 16, 20, 32, 33, 48, 64, 65};
  for (int l = 0; l < LEVELS; l++)
    for (int bf = 0; bf < 2; bf++) {
      for (size_t a = 0; a < sizeof tokens / sizeof *tokens; a++)
        for (size_t b = 0; b < sizeof dims / sizeof *dims; b++)
          attention_case(tokens[a], dims[b], bf, (int)(a + b) % 2, levels[l]);
      attention_case(392, 32, bf, 1, levels[l]);
      attention_case(256, 16, bf, 0, levels[l]);
    }
}

static void layernorm_matches(void **state) {
  (void)state;
  static const size_t widths[] = {1, 3, 16, 24, 33, 96, 130, 1024};
  for (int l = 0; l < LEVELS; l++)
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
      size_t c = widths[i], rows = 1 + 200 / c + i % 3;
      dgam_rng r;
      dgam_rng_init(&r, 7, c);
      float *x = randoms(&r, rows * c, 3), *w = randoms(&r, c, 1), *b = randoms(&r, c, 1), *dy = randoms(&r, rows * c, 1);
      for (size_t q = 0; q < rows * c; q++) x[q] += 20; /* a mean far from 0, where one pass would cancel */
      float *y = guarded(rows * c * 4), *mean = guarded(rows * 4), *rstd = guarded(rows * 4), *want = guarded(rows * c * 4);
      float *wmean = guarded(rows * 4), *wrstd = guarded(rows * 4), *dx = guarded(rows * c * 4), *wdx = guarded(rows * c * 4);
      float *dw = guarded(c * 4), *db = guarded(c * 4), *wdw = guarded(c * 4), *wdb = guarded(c * 4);
      float *work = guarded(dgam_layernorm_scratch(rows, c) * 4);
      dgam_cpu before = dgam_cpu_limit(levels[l]);
      assert_ok(dgam_layernorm_forward(rows, c, x, w, b, 1e-5f, y, mean, rstd));
      assert_ok(dgam_layernorm_backward(rows, c, x, w, mean, rstd, dy, dx, dw, db, work));
      dgam_cpu_limit(before);
      dgam_layernorm_forward_reference(rows, c, x, w, b, 1e-5f, want, wmean, wrstd);
      dgam_layernorm_backward_reference(rows, c, x, w, wmean, wrstd, dy, wdx, wdw, wdb);
      if (c > 1) { /* a single value is its own mean: only rounding is left of it */
        assert_close(y, want, rows * c, 2e-4, dgam_cpu_name(levels[l]));
        check_rows(dx, 0, wdx, rows, c, c, 2e-4, "dx"), check_rows(dw, 0, wdw, 1, c, c, 2e-4, "dw");
      }
      assert_close(mean, wmean, rows, 1e-5, "mean");
      check_rows(db, 0, wdb, 1, c, c, 1e-5, "db");
      check_guard(y, rows * c * 4, "y"), check_guard(dx, rows * c * 4, "dx"), check_guard(dw, c * 4, "dw");
      void *all[] = {x, w, b, dy, y, mean, rstd, want, wmean, wrstd, dx, wdx, dw, db, wdw, wdb, work};
      for (size_t q = 0; q < sizeof all / sizeof *all; q++) free(all[q]);
    }
}

static void gelu_matches(void **state) {
  (void)state;
  for (int l = 0; l < LEVELS; l++)
    for (size_t n = 1; n < 12000; n = n * 7 / 2 + 1) {
      float *x = guarded(n * 4), *dy = guarded(n * 4), *y = guarded(n * 4), *dx = guarded(n * 4);
      for (size_t i = 0; i < n; i++) x[i] = (float)(-6 + 12 * ((double)i + 0.5) / (double)n), dy[i] = 1 + (float)(i % 5);
      dgam_cpu before = dgam_cpu_limit(levels[l]);
      assert_ok(dgam_gelu_forward(n, x, y));
      assert_ok(dgam_gelu_backward(n, x, dy, dx));
      dgam_cpu_limit(before);
      for (size_t i = 0; i < n; i++) {
        double t = x[i], cdf = 0.5 * (1 + erf(t * M_SQRT1_2)), slope = cdf + t * exp(-0.5 * t * t) / sqrt(2 * M_PI);
        if (!(fabs(y[i] - t * cdf) < 3e-6)) fail_msg("%s: gelu(%g) is %g", dgam_cpu_name(levels[l]), t, (double)y[i]);
        if (!(fabs(dx[i] - dy[i] * slope) < 1e-5)) fail_msg("%s: gelu'(%g) is %g", dgam_cpu_name(levels[l]), t, (double)dx[i]);
      }
      check_guard(y, n * 4, "y"), check_guard(dx, n * 4, "dx");
      free(x), free(dy), free(y), free(dx);
    }
}

static void adamw_matches(void **state) {
  (void)state;
  for (int l = 0; l < LEVELS; l++)
    for (size_t n = 1; n < 20000; n = n * 5 + 2) {
      dgam_rng r;
      dgam_rng_init(&r, 9, n);
      float *p[2], *m[2], *v[2], *g = randoms(&r, n, 1);
      for (int i = 0; i < 2; i++) {
        dgam_rng_init(&r, 10, n);
        p[i] = randoms(&r, n, 1), m[i] = guarded(n * 4), v[i] = guarded(n * 4);
        memset(m[i], 0, n * 4), memset(v[i], 0, n * 4);
      }
      dgam_cpu before = dgam_cpu_limit(levels[l]);
      for (long long t = 1; t <= 4; t++) assert_ok(dgam_adamw(n, p[0], g, m[0], v[0], 1e-2, 0.9, 0.999, 1e-8, 0.05, t));
      dgam_cpu_limit(before);
      for (long long t = 1; t <= 4; t++)
        assert_ok(dgam_adamw_reference(n, p[1], g, m[1], v[1], 1e-2, 0.9, 0.999, 1e-8, 0.05, t));
      assert_close(p[0], p[1], n, 1e-6, dgam_cpu_name(levels[l]));
      assert_close(m[0], m[1], n, 1e-6, "m"), assert_close(v[0], v[1], n, 1e-6, "v");
      check_guard(p[0], n * 4, "p"), check_guard(m[0], n * 4, "m"), check_guard(v[0], n * 4, "v");
      free(g);
      for (int i = 0; i < 2; i++) free(p[i]), free(m[i]), free(v[i]);
    }
}

static void sums_and_rounding_match(void **state) {
  (void)state;
  static const float specials[] = {0.f, -0.f, INFINITY, -INFINITY, 1.00390625f, 1.01171875f, 3.3961776e38f, -1.5f, 1e-30f};
  for (int l = 0; l < LEVELS; l++)
    for (size_t n = 1; n < 300; n = n * 2 + 5) {
      size_t rows = 37;
      dgam_rng r;
      dgam_rng_init(&r, 12, n);
      float *a = randoms(&r, rows * n, 1), *sum = guarded(n * 4);
      uint16_t *h = guarded(rows * n * 2);
      for (size_t i = 0; i < rows * n && i < sizeof specials / sizeof *specials; i++) a[i] = specials[i];
      dgam_cpu before = dgam_cpu_limit(levels[l]);
      assert_ok(dgam_to_bf16(rows * n, a, h));
      for (size_t i = 0; i < rows * n; i++)
        if (h[i] != narrow(a[i])) fail_msg("%s: %g became %g", dgam_cpu_name(levels[l]), (double)a[i], (double)wide(h[i]));
      a[0] = NAN;
      assert_ok(dgam_to_bf16(rows * n, a, h));
      assert_true(wide(h[0]) != wide(h[0]));
      for (size_t i = 0; i < rows * n && i < sizeof specials / sizeof *specials; i++) a[i] = 1;
      assert_ok(dgam_column_sums(rows, n, a, sum));
      dgam_cpu_limit(before);
      for (size_t c = 0; c < n; c++) {
        double want = 0;
        for (size_t i = 0; i < rows; i++) want += a[i * n + c];
        if (!(fabs(sum[c] - want) < 1e-5)) fail_msg("column %zu sums to %g, not %g", c, (double)sum[c], want);
      }
      check_guard(h, rows * n * 2, "bf16"), check_guard(sum, n * 4, "sum");
      free(a), free(sum), free(h);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(attention_matches), cmocka_unit_test(layernorm_matches),
                                     cmocka_unit_test(gelu_matches), cmocka_unit_test(adamw_matches),
                                     cmocka_unit_test(sums_and_rounding_match)};
  return cmocka_run_group_tests_name("nn_kernels", tests, NULL, NULL);
}
