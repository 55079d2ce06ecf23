/* clip.c - see clip.h */
#include "light/clip.h"

#include <math.h>

#include "base/arena.h"

dgam_status dgam_clip_check(const dgam_clip *clip, const char *who) {
  size_t frame, count;
  if (clip->t < 1 || clip->h < 1 || clip->w < 1)
    return dgam_fail(DGAM_EINVAL, "%s: clip has %zu frames of %zu x %zu, expected at least 1 of 1 x 1", who, clip->t,
                     clip->h, clip->w);
  if (dgam_mul_overflow(clip->h, clip->w, &frame) || frame >= (size_t)1 << 31)
    return dgam_fail(DGAM_EINVAL, "%s: frames are %zu x %zu, expected fewer than 2^31 pixels", who, clip->h, clip->w);
  if (dgam_mul_overflow(frame, 3 * sizeof(double), &count) || dgam_mul_overflow(count, clip->t, &count) ||
      dgam_mul_overflow(count, clip->n ? clip->n : 1, &count) || count > PTRDIFF_MAX)
    return dgam_fail(DGAM_EINVAL, "%s: %zu clips of %zu frames of %zu x %zu do not fit into memory", who, clip->n,
                     clip->t, clip->h, clip->w);
  if (clip->n && !clip->data) return dgam_fail(DGAM_EINVAL, "%s: clip has no data", who);
  return DGAM_OK;
}

dgam_status dgam_norm_check(const dgam_norm *norm, const char *who) {
  for (int c = 0; c < 3; c++) {
    if (!isfinite(norm->mean[c]))
      return dgam_fail(DGAM_EINVAL, "%s: mean of channel %d is %g, expected a finite number", who, c + 1,
                       (double)norm->mean[c]);
    if (!isfinite(norm->std[c]) || norm->std[c] <= 0)
      return dgam_fail(DGAM_EINVAL, "%s: std of channel %d is %g, expected a number above 0", who, c + 1,
                       (double)norm->std[c]);
  }
  return DGAM_OK;
}
