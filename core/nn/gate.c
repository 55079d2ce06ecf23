/* gate.c - see gate.h */
#include "nn/gate.h"

#include <math.h>

dgam_status dgam_gate_forward(size_t n, const size_t widths[4], const dgam_gate_layer layers[3], float eps,
                              const float *stats, float *lambda, float *scratch) {
  for (int i = 0; i < 4; i++)
    if (widths[i] < 1) return dgam_fail(DGAM_EINVAL, "gate: width %d is 0, expected 1 or more", i);
  for (size_t s = 0; s < n; s++) {
    const float *in = stats + s * widths[0];
    float *outs[3] = {scratch, scratch + widths[1], lambda + s * widths[3]};
    for (int l = 0; l < 3; l++) {
      const dgam_gate_layer *a = &layers[l];
      for (size_t o = 0; o < widths[l + 1]; o++) {
        double sum = a->b[o];
        for (size_t i = 0; i < widths[l]; i++) sum += (double)in[i] * a->w[o * widths[l] + i];
        if (a->norm_w) {
          sum = (sum - a->norm_mean[o]) / sqrt((double)a->norm_var[o] + eps) * a->norm_w[o] + a->norm_b[o];
          if (sum < 0) sum *= DGAM_GATE_SLOPE;
        }
        outs[l][o] = (float)sum;
      }
      in = outs[l];
    }
    float *y = outs[2], most = y[0];
    double sum = 0;
    for (size_t o = 1; o < widths[3]; o++) most = y[o] > most ? y[o] : most;
    for (size_t o = 0; o < widths[3]; o++) sum += exp((double)y[o] - most);
    for (size_t o = 0; o < widths[3]; o++) y[o] = (float)(exp((double)y[o] - most) / sum);
  }
  return DGAM_OK;
}
