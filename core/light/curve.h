/* curve.h - the light-enhancement curve of Zero-DCE (Guo et al., CVPR 2020, equation 3), forward and backward.
 *
 *   x_0 = x,   x_i = x_{i-1} + a_i x_{i-1} (1 - x_{i-1}),   out = x_I        every pixel has its own a_1 .. a_I
 *
 * Letters: N images, C channels, P pixels (or T H W of a clip), I iterations. x, out and their gradients are (N,C,P),
 * a is (N,I*C,P) with channel i*C + c, as the network puts them out. float32, contiguous, values of x meant for [0, 1].
 */
#ifndef DGAM_LIGHT_CURVE_H
#define DGAM_LIGHT_CURVE_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DGAM_CURVE_MOST = 64 }; /* iterations */

/* out is overwritten; it may be x. Runs on all threads. DGAM_EINVAL: I is not 1 .. DGAM_CURVE_MOST. */
DGAM_API dgam_status dgam_curve(const float *x, const float *a, size_t n, size_t c, size_t p, size_t iterations,
                                float *out);

/* dx (N,C,P) and da (N,I*C,P) from dout (N,C,P), overwritten; the x_i are computed again. dx may be dout. Runs on all
 * threads, 16 KB of stack each. */
DGAM_API dgam_status dgam_curve_backward(const float *dout, const float *x, const float *a, size_t n, size_t c, size_t p,
                                         size_t iterations, float *dx, float *da);

#ifdef __cplusplus
}
#endif
#endif
