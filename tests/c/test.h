/* test.h - what C tests share: cmocka, checks that print what went wrong, guarded and random buffers, bf16. */
#ifndef DGAM_TEST_H
#define DGAM_TEST_H

#include <assert.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/status.h"
#include "level.h"

/* The call must succeed; its message is printed if it does not. */
#define assert_ok(call)                                                        \
  do {                                                                         \
    dgam_status ok_ = (call);                                                  \
    if (ok_ != DGAM_OK) fail_msg("%s: %s", dgam_status_name(ok_), dgam_error()); \
  } while (0)

/* The call must fail with `code` and a message that contains `word`. */
#define assert_fails(call, code, word)                                                                           \
  do {                                                                                                           \
    dgam_status got_ = (call);                                                                                   \
    if (got_ != (code)) fail_msg("status is %s, expected %s", dgam_status_name(got_), dgam_status_name(code));   \
    if (!strstr(dgam_error(), (word))) fail_msg("message is \"%s\", expected it to name \"%s\"", dgam_error(), (word)); \
  } while (0)

/* Largest |got - want| over n values must be at most `tolerance`; a NaN fails. */
static inline void assert_close(const float *got, const float *want, size_t n, double tolerance, const char *what) {
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < n; i++) {
    double d = fabs((double)got[i] - (double)want[i]);
    if (!(d <= worst)) worst = d, at = i;
    if (d != d) break;
  }
  if (!(worst <= tolerance))
    fail_msg("%s: element %zu is %.9g, expected %.9g (off by %.3g, allowed %.3g)", what, at, (double)got[at],
             (double)want[at], worst, tolerance);
}

enum { GUARD = 64 };

/* `bytes` of memory, each 0xff (as floats: NaN), that end in a guard of known bytes. */
static inline void *guarded(size_t bytes) {
  char *p = aligned_alloc(64, (bytes + GUARD + 63) / 64 * 64);
  memset(p, 0xff, bytes);
  memset(p + bytes, 0x5a, GUARD);
  return p;
}
static inline void check_guard(const void *p, size_t bytes, const char *what) {
  for (size_t i = 0; i < GUARD; i++)
    if (((const unsigned char *)p)[bytes + i] != 0x5a) fail_msg("%s was written past its end", what);
}

/* n numbers between -size and size, guarded. */
static inline float *randoms(dgam_rng *r, size_t n, double size) {
  float *p = guarded(n * sizeof *p);
  for (size_t i = 0; i < n; i++) p[i] = (float)(size * (2 * dgam_rng_uniform(r) - 1));
  return p;
}

/* fp32 to bf16, rounded to nearest even, and back. */
static inline uint16_t narrow(float f) {
  uint32_t u;
  memcpy(&u, &f, sizeof u);
  return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
static inline float wide(uint16_t h) {
  uint32_t u = (uint32_t)h << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

/* Rounds every value to bf16 and returns the short form, guarded. */
static inline uint16_t *shorten(float *x, size_t n) {
  uint16_t *h = guarded(n * sizeof *h);
  for (size_t i = 0; i < n; i++) h[i] = narrow(x[i]), x[i] = wide(h[i]);
  return h;
}

#endif
