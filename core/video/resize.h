/* resize.h - bilinear resizing as OpenCV's INTER_LINEAR does it for 8-bit pictures, of only the part that is asked for.
 *
 * Output pixel d of n, source length m: s = (d + 0.5) m/n - 0.5 (float), weights of pixels floor(s) and floor(s)+1 in
 * 11-bit fixed point, clamped at the border of the source rectangle. First rows, then columns, with OpenCV's rounding:
 * h = (a0 p0 + a1 p1) >> 4, out = ((b0 h0 >> 16) + (b1 h1 >> 16) + 2) >> 2. No antialiasing, as in OpenCV.
 *
 * A plan holds the weights of one (rectangle size, resized size, window, flip); it is made once and used for every
 * frame of a clip. A plan may be used by one thread at a time: it owns the row buffers.
 */
#ifndef DGAM_VIDEO_RESIZE_H
#define DGAM_VIDEO_RESIZE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_resize dgam_resize;

/* The picture (w, h) is thought of as resized to (rw, rh); the window (ow, oh) whose top left corner is (ox, oy) in the
 * resized picture is what comes out, mirrored left to right if `flip`. Sizes are 1 .. 32768 and the window lies inside
 * (rw, rh), else DGAM_EINVAL. */
typedef struct dgam_resize_spec {
  int w, h;
  int rw, rh;
  int ox, oy, ow, oh;
  int flip;
} dgam_resize_spec;

DGAM_API dgam_status dgam_resize_create(dgam_resize **out, const dgam_resize_spec *spec);
DGAM_API void dgam_resize_destroy(dgam_resize *r); /* NULL is fine */

/* src is [h,w,3] uint8, rows `stride` bytes apart; dst is three planes [oh,ow] uint8, `plane` bytes apart, overwritten.
 * src and dst must not overlap. Nothing is read past the last pixel of a row. */
DGAM_API void dgam_resize_run(dgam_resize *r, const uint8_t *src, size_t stride, uint8_t *dst, size_t plane);

/* The reference: the same result, one pixel at a time. */
DGAM_API void dgam_resize_naive(const dgam_resize_spec *s, const uint8_t *src, size_t stride, uint8_t *dst, size_t plane);

/* Rows of the source that the window reads, for a caller that converts only those: [*first, *last]. */
DGAM_API void dgam_resize_rows(const dgam_resize *r, int *first, int *last);
/* Columns likewise. */
DGAM_API void dgam_resize_columns(const dgam_resize *r, int *first, int *last);

#ifdef __cplusplus
}
#endif
#endif
