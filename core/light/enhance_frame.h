/* enhance_frame.h - one frame, as the enhancers see it, and what they share. Private to core/light. */
#ifndef DGAM_LIGHT_ENHANCE_FRAME_H
#define DGAM_LIGHT_ENHANCE_FRAME_H

#include "light/enhance.h"

typedef struct dgam_frame {
  const uint8_t *in[3]; /* planes R, G, B, rows `stride` apart */
  ptrdiff_t stride;
  uint8_t *out[3]; /* planes (H,W), contiguous */
  size_t h, w;
} dgam_frame;

/* round half to even, held in 0 .. 255; NaN becomes 0 */
static inline uint8_t dgam_to_byte(float v) { return v > 0 ? (v < 255 ? (uint8_t)__builtin_rintf(v) : 255) : 0; }

/* Floats of scratch (dgam_blur_scratch) for a blur of planes (H,W); SIZE_MAX on overflow. */
size_t dgam_blur_scratch(size_t h, size_t w);

/* Gaussian of deviation sigma: out (H,W) from in (H,W); scratch of dgam_blur_scratch bytes, aligned. */
void dgam_blur(const float *in, size_t h, size_t w, float sigma, float *out, void *scratch);

/* The first value of option i of the method's table. */
static inline double dgam_option_of(const dgam_enhance *e, int i) { return e->option[i].v[0]; }

#endif
