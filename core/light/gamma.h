/* gamma.h - gamma intensity correction (GIC) of uint8 clips through tables.
 *
 * One expert with gamma g maps a frame, in one of two domains (clip.h):
 *   normalised   x = (v - mean[c]) / std[c], lo and hi the frame's extremes over channels and pixels,
 *                y = ((x - lo) / (hi - lo + 1e-5))^(1/g) (hi - lo) + lo              (the official code)
 *   pixel        y = (255 (v / 255)^(1/g) - mean[c]) / std[c]                        (the paper's equation 6)
 * A mixture of E experts with weights lambda gives sum_e lambda_e y_e. In the pixel domain the pixels are mixed first and
 * normalised afterwards, which is the same if the weights sum to 1. In both domains the result is normalised and depends
 * only on (frame, channel, v). So a table of 3 x 256 entries for each frame is enough, and the cost over pixels does not
 * depend on E. Backward needs only the upstream gradient summed for each table entry.
 *
 *   dgam_histogram_clip -> dgam_gic_table -> dgam_gic_apply            forward
 *   dgam_gic_scatter -> dgam_gic_table_backward                        gradient for lambda and for gamma
 *
 * Letters: N clips, T frames, H rows, W columns, E experts; P = ceil(T/2) ceil(H/4) ceil(W/4) patches of 3 x 2 x 4 x 4.
 */
#ifndef DGAM_LIGHT_GAMMA_H
#define DGAM_LIGHT_GAMMA_H

#include "light/clip.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_gic {
  dgam_domain domain;
  dgam_norm norm;
  size_t experts;       /* E, at least 1 */
  const float *weights; /* (N,E) */
  const float *gammas;  /* (E), the same for all clips, or (N,E) */
  size_t gamma_stride;  /* 0, or E where each clip has its own gammas */
} dgam_gic;

/* Where a pixel goes. */
typedef enum dgam_layout {
  DGAM_LAYOUT_CLIP = 0,   /* (N,3,T,H,W) */
  DGAM_LAYOUT_PATCHES = 1 /* (N,P,96): the patches that a 2x4x4 Conv3d of stride 2x4x4 reads, in its order (t,h,w), each
                             flattened as the weight is (c,t,y,x); zero where a patch reaches over the clip's end */
} dgam_layout;

/* Tables for the frames whose counts are hist (N,T,3,256): table (N,T,3,256), overwritten. Entries below or above all values
 * of a frame's channel are 0. Runs on all threads, one frame at a time, 9 KB of stack each.
 * DGAM_EINVAL: a gamma that is not a finite number above 0, no experts, a bad norm. */
DGAM_API dgam_status dgam_gic_table(const dgam_gic *gic, const uint32_t *hist, size_t n, size_t t, float *table);

/* Gradients from sums (N,T,3,256) of dgam_gic_scatter: dweights (N,E) and dgammas (N,E), overwritten, NULL if not
 * wanted. Where the clips share their gammas the caller adds dgammas up over N. Runs on all threads, one clip at a time,
 * 8 KB of stack each. */
DGAM_API dgam_status dgam_gic_table_backward(const dgam_gic *gic, const uint32_t *hist, size_t n, size_t t,
                                             const double *sums, float *dweights, float *dgammas);

/* Maps every pixel through its table (N,T,3,256): out in `layout`, float32, or bfloat16 (round to nearest even) if
 * bf16 is not 0; overwritten completely. Runs on all threads: a plane, or a row of patches, at a time. The same bits
 * on every CPU level. out must not overlap the clip. */
DGAM_API dgam_status dgam_gic_apply(const dgam_clip *clip, const float *table, dgam_layout layout, int bf16, void *out);

/* The backward of dgam_gic_apply: sums (N,T,3,256), overwritten, are the gradients of all pixels with that value.
 * grad is as `out` there; padding is ignored. Runs on all threads, one frame at a time, 16 KB of stack each. */
DGAM_API dgam_status dgam_gic_scatter(const dgam_clip *clip, const void *grad, dgam_layout layout, int bf16,
                                      double *sums);

/* Number of patches P of one clip. */
static inline size_t dgam_gic_patches(size_t t, size_t h, size_t w) {
  return ((t + 1) / 2) * ((h + 3) / 4) * ((w + 3) / 4);
}

/* The reference: the formulas above, pixel by pixel in double, no tables: out (N,3,T,H,W). */
DGAM_API dgam_status dgam_gic_naive(const dgam_gic *gic, const dgam_clip *clip, float *out);

#ifdef __cplusplus
}
#endif
#endif
