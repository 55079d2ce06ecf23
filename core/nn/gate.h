/* gate.h - the gating network on frame statistics, as it runs at test time:
 *
 *     lambda = softmax(W3 a2 + b3),  a_i = LeakyReLU(BatchNorm_i(W_i a_(i-1) + b_i)),  a_0 = stats
 *
 * BatchNorm with its running statistics; dropout does nothing. stats (N, widths[0]), lambda (N, widths[3]), dense fp32;
 * weights (out, in). The network is tiny: one thread, sums in double, about 50 us a clip.
 */
#ifndef DGAM_NN_GATE_H
#define DGAM_NN_GATE_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define DGAM_GATE_SLOPE 0.01 /* of the LeakyReLU below 0 */

typedef struct dgam_gate_layer {
  const float *w, *b;                               /* (out, in), (out) */
  const float *norm_w, *norm_b, *norm_mean, *norm_var; /* (out); NULL in the last layer */
} dgam_gate_layer;

/* widths: input, two hidden, experts (96, 128, 256, 5 in the paper with 32 frames). scratch: widths[1] + widths[2]
 * floats. DGAM_EINVAL for a width of 0. */
DGAM_API dgam_status dgam_gate_forward(size_t n, const size_t widths[4], const dgam_gate_layer layers[3], float eps,
                                       const float *stats, float *lambda, float *scratch);

#ifdef __cplusplus
}
#endif
#endif
