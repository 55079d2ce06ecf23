/* patch.h - where a Swin transformer's feature map comes from, and how it shrinks between stages.
 *
 * Embedding: every block of (pt, ph, pw) pixels becomes one token: y = norm(W patch + b). This is the official code's
 * convolution with stride = kernel, done as gather + product. The clip is padded with zeros at the end of T, H, W to
 * whole patches. A patch is stored in the order of the convolution weight, (channel, t, y, x), so the gamma kernel of
 * core/light can write patches directly.
 *
 * Merging: the four tokens of a 2 x 2 block, in the order (0,0), (1,0), (0,1), (1,1) of (row, column), become one of 4C
 * channels; LayerNorm; y = W x with W (2C, 4C). Odd H or W is padded with zeros, which take part in the norm.
 *
 * Everything dense and fp32 (with type DGAM_BF16 operands of products are bf16). Work is split with dgam_parallel_items, by
 * shape alone: results and gradients are the same to the bit for any number of threads. scratch: aligned to 64, sizes from
 * the queries, for the current number of threads.
 */
#ifndef DGAM_NN_PATCH_H
#define DGAM_NN_PATCH_H

#include <stddef.h>

#include "nn/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_patch_embed_desc {
  size_t n, channels, t, h, w; /* the clip (n, channels, t, h, w) */
  size_t patch[3];             /* pt, ph, pw */
  size_t c;                    /* channels of a token */
  int patches;                 /* 1: input is already patches, (n, D, H', W', channels pt ph pw) */
  int norm;                    /* 1: LayerNorm after the product */
  float eps;
  dgam_dtype type;
} dgam_patch_embed_desc;

/* D, H', W' of the result. */
DGAM_API dgam_status dgam_patch_embed_dims(const dgam_patch_embed_desc *d, size_t dims[3]);
/* Bytes of scratch for both directions; floats of `saved` (0 without norm). */
DGAM_API dgam_status dgam_patch_embed_sizes(const dgam_patch_embed_desc *d, size_t *scratch, size_t *saved);

/* x: clip or patches -> y (n, D, H', W', c). weight (c, channels pt ph pw), bias (c) or NULL, norm_w, norm_b (c).
 * saved: NULL in inference. */
DGAM_API dgam_status dgam_patch_embed_forward(const dgam_patch_embed_desc *d, const float *x, const float *weight,
                                              const float *bias, const float *norm_w, const float *norm_b, float *y,
                                              float *saved, void *scratch);

/* dx, shaped as x, may be NULL; the parameters' gradients too. All overwritten. */
DGAM_API dgam_status dgam_patch_embed_backward(const dgam_patch_embed_desc *d, const float *x, const float *weight,
                                               const float *norm_w, const float *saved, const float *dy, float *dx,
                                               float *dweight, float *dbias, float *dnorm_w, float *dnorm_b,
                                               void *scratch);

typedef struct dgam_patch_merge_desc {
  size_t n, d, h, w, c; /* x (n, d, h, w, c) -> y (n, d, ceil(h/2), ceil(w/2), out) */
  size_t out;           /* 2c in every published model */
  float eps;
  dgam_dtype type;
} dgam_patch_merge_desc;

/* Bytes of scratch for both directions; floats of `saved`. */
DGAM_API dgam_status dgam_patch_merge_sizes(const dgam_patch_merge_desc *d, size_t *scratch, size_t *saved);

/* norm_w, norm_b (4c); weight (out, 4c). saved: NULL in inference. */
DGAM_API dgam_status dgam_patch_merge_forward(const dgam_patch_merge_desc *d, const float *x, const float *norm_w,
                                              const float *norm_b, const float *weight, float *y, float *saved,
                                              void *scratch);
DGAM_API dgam_status dgam_patch_merge_backward(const dgam_patch_merge_desc *d, const float *x, const float *norm_w,
                                               const float *norm_b, const float *weight, const float *saved,
                                               const float *dy, float *dx, float *dnorm_w, float *dnorm_b,
                                               float *dweight, void *scratch);

#ifdef __cplusplus
}
#endif
#endif
