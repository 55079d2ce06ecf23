/* Tests of core/base: status, arena, random numbers, thread partition. */
#include "test.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/cpu.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "light/camera.h"

static void status_keeps_message(void **state) {
  (void)state;
  assert_int_equal(dgam_fail(DGAM_EINVAL, "clip_len is %d", 7), DGAM_EINVAL);
  assert_string_equal(dgam_error(), "clip_len is 7");
}

/* A path that is too long for the message: its ends and the reason stay, and no character is cut in two. */
static void status_keeps_the_reason(void **state) {
  (void)state;
  char path[6001];
  for (size_t i = 0; i < 6000; i += 2) memcpy(path + i, "\xc3\xa9", 2);
  for (size_t n = 900; n <= 6000; n += 100)
    for (size_t shift = 0; shift < 4; shift++) {
      path[n] = 0;
      dgam_fail(DGAM_EIO, "%.*s%s/last.avi: cannot open: %s", (int)shift, "/ab", path, "File name too long");
      size_t length = strlen(dgam_error()), reason = strlen("\xc3\xa9/last.avi: cannot open: File name too long");
      assert_true(length < DGAM_ERROR_ROOM && length > 900);
      assert_string_equal(dgam_error() + length - reason, "\xc3\xa9/last.avi: cannot open: File name too long");
      for (const char *c = dgam_error(); *c; c++)
        if (*c == '\xc3') assert_int_equal(*++c, '\xa9');
        else assert_int_not_equal(*c, '\xa9');
      path[n] = '\xc3';
    }
}

static void arena_aligns_and_refuses(void **state) {
  (void)state;
  dgam_arena a;
  assert_ok(dgam_arena_init(&a, dgam_arena_need(3, 5) + dgam_arena_need(1, 100)));
  void *p = dgam_arena_alloc(&a, 3, 5), *q = dgam_arena_alloc(&a, 1, 100);
  assert_non_null(p);
  assert_non_null(q);
  assert_int_equal((uintptr_t)p % DGAM_ALIGN, 0);
  assert_int_equal((uintptr_t)q % DGAM_ALIGN, 0);
  assert_null(dgam_arena_alloc(&a, 1, 1));
  assert_null(dgam_arena_alloc(&a, SIZE_MAX / 2, 3)); /* product overflows */
  dgam_arena_reset(&a);
  assert_ptr_equal(dgam_arena_alloc(&a, 1, 1), p);
  dgam_arena_free(&a);
  assert_int_equal(dgam_arena_need(SIZE_MAX, 2), SIZE_MAX);
}

/* Known answers from the authors' Random123 distribution (kat_vectors, philox4x32 10). */
static void philox_known_answers(void **state) {
  (void)state;
  uint32_t zero_c[4] = {0}, zero_k[2] = {0}, out[4];
  dgam_rng_philox(zero_c, zero_k, out);
  uint32_t want0[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
  assert_memory_equal(out, want0, sizeof out);
  uint32_t ones_c[4] = {~0u, ~0u, ~0u, ~0u}, ones_k[2] = {~0u, ~0u};
  dgam_rng_philox(ones_c, ones_k, out);
  uint32_t want1[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
  assert_memory_equal(out, want1, sizeof out);
}

static void draws_have_right_moments(void **state) {
  (void)state;
  enum { N = 200000 };
  dgam_rng r;
  dgam_rng_init(&r, 42, 7);
  double s = 0, s2 = 0;
  for (int i = 0; i < N; i++) {
    double x = dgam_rng_normal(&r);
    s += x;
    s2 += x * x;
  }
  assert_true(fabs(s / N) < 5 / sqrt(N));
  assert_true(fabs(s2 / N - 1) < 5 * sqrt(2.0 / N));
  const double means[] = {0.05, 0.7, 4, 9.9, 10.1, 60, 5000};
  for (size_t m = 0; m < sizeof means / sizeof *means; m++) {
    double mean = means[m];
    s = s2 = 0;
    for (int i = 0; i < N; i++) {
      double x = dgam_rng_poisson(&r, mean);
      s += x;
      s2 += (x - mean) * (x - mean);
    }
    assert_true(fabs(s / N - mean) < 5 * sqrt(mean / N));
    assert_true(fabs(s2 / N / mean - 1) < 5 * sqrt((2 + 1 / mean) / N));
  }
  size_t count[7] = {0};
  for (int i = 0; i < 70000; i++) count[dgam_rng_below(&r, 7)]++;
  for (int i = 0; i < 7; i++) assert_true(fabs((double)count[i] - 10000) < 5 * 100);
}

/* lgamma() writes the sign of its result to a global, which rows in parallel would race for. */
static void draws_write_no_global(void **state) {
  (void)state;
  dgam_rng r;
  dgam_rng_init(&r, 1, 1);
  signgam = 7;
  for (int i = 0; i < 1000; i++) dgam_rng_poisson(&r, 60);
  assert_true(dgam_tukey_sd(-0.07) > 0);
  assert_int_equal(signgam, 7);
}

typedef struct shares {
  int seen[1000];
  int fail_at;
} shares;

static dgam_status count_share(void *ctx, size_t begin, size_t end, int ith, int nth) {
  shares *s = ctx;
  assert(ith < nth);
  for (size_t i = begin; i < end; i++) s->seen[i]++;
  if (s->fail_at >= (int)begin && s->fail_at < (int)end) return dgam_fail(DGAM_EINVAL, "share with %d failed", s->fail_at);
  return DGAM_OK;
}

static void parallel_covers_once_and_reports(void **state) {
  (void)state;
  const size_t sizes[] = {0, 1, 2, 3, 17, 1000};
  for (int threads = 1; threads <= 9; threads += 4) {
    dgam_set_threads(threads);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      shares s = {.fail_at = -1};
      assert_ok(dgam_parallel(sizes[i], count_share, &s));
      for (size_t j = 0; j < 1000; j++) assert_int_equal(s.seen[j], j < sizes[i]);
      assert_ok(dgam_parallel_items(sizes[i], count_share, &s));
      for (size_t j = 0; j < 1000; j++) assert_int_equal(s.seen[j], j < sizes[i] ? 2 : 0);
    }
    shares s = {.fail_at = 999};
    assert_int_equal(dgam_parallel(1000, count_share, &s), DGAM_EINVAL);
    assert_string_equal(dgam_error(), "share with 999 failed");
    s.fail_at = 500;
    assert_int_equal(dgam_parallel_items(1000, count_share, &s), DGAM_EINVAL);
    assert_string_equal(dgam_error(), "share with 500 failed");
  }
  dgam_set_threads(0);
}

static void threads_go_back_to_the_default(void **state) {
  (void)state;
  dgam_set_threads(0);
  int openmp = dgam_threads();
  dgam_set_default_threads(3);
  assert_int_equal(dgam_threads(), 3);
  dgam_set_threads(2);
  assert_int_equal(dgam_threads(), 2);
  dgam_set_threads(0);
  assert_int_equal(dgam_threads(), 3);
  dgam_set_default_threads(0);
  assert_int_equal(dgam_threads(), openmp);
}

static void cpu_level_can_be_lowered(void **state) {
  (void)state;
  dgam_cpu best = dgam_cpu_level();
  dgam_cpu_limit(DGAM_CPU_PLAIN);
  assert_int_equal(dgam_cpu_level(), DGAM_CPU_PLAIN);
  dgam_cpu_limit(DGAM_CPU_AVX512BF);
  assert_true(dgam_cpu_level() >= best);
  dgam_cpu_limit(best);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(status_keeps_message),         cmocka_unit_test(status_keeps_the_reason),
      cmocka_unit_test(arena_aligns_and_refuses),
      cmocka_unit_test(philox_known_answers),         cmocka_unit_test(draws_have_right_moments),
      cmocka_unit_test(draws_write_no_global),
      cmocka_unit_test(parallel_covers_once_and_reports), cmocka_unit_test(threads_go_back_to_the_default),
      cmocka_unit_test(cpu_level_can_be_lowered),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
