/* test.h - what every C test needs: cmocka and a few checks that print what went wrong. */
#ifndef DGAM_TEST_H
#define DGAM_TEST_H

#include <assert.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/status.h"

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

#endif
