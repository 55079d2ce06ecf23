/* swin_block.h - one Video Swin block, forward and backward, without ever moving the feature map into windows.
 *
 *     x1 = x  + scale1 proj(attention(qkv(norm1(x))))       per window, through an index table (window.h)
 *     y  = x1 + scale2 fc2(gelu(fc1(norm2(x1))))            per tile of rows
 *
 * (Liu et al., Video Swin Transformer, CVPR 2022; padding, shift and clipping as in the official code: window.h.)
 * x, y: (N, D, H, W, C), dense, fp32 (letters: docs/design.md). Weights are stored as torch's Linear does, (out, in). With
 * type DGAM_BF16 the operands of matrix products are bf16. Their sums, the residual stream, LayerNorm, softmax and all
 * parameters stay fp32.
 *
 * Forward writes into `saved` what backward needs. With KEEP_LEAN that is the LayerNorm statistics, log-sum-exp and the
 * attention's output; backward computes the rest again. KEEP_ALL adds q, k, v, x1 and the hidden layer.
 * Results and gradients are the same to the bit from run to run and for any number of threads: tiles and sums follow from
 * the shape alone.
 *
 * Threading: call from one thread. The work is split with dgam_parallel_items, which answers Ctrl-C between tiles; the
 * outputs are then worth nothing.
 * Memory: `scratch` is the caller's block of dgam_swin_block_scratch() bytes, aligned to 64; its contents do not matter.
 * Two things take more: new products go into the cache of gemm.h, and a short last round of backward may allocate a block
 * for its products.
 */
#ifndef DGAM_NN_SWIN_BLOCK_H
#define DGAM_NN_SWIN_BLOCK_H

#include <stddef.h>

#include "nn/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dgam_keep {
  DGAM_KEEP_NONE = 0, /* inference: saved is NULL */
  DGAM_KEEP_LEAN = 1, /* save little, compute again in backward */
  DGAM_KEEP_ALL = 2   /* save what backward would have to compute again */
} dgam_keep;

typedef struct dgam_swin_block_desc {
  size_t n, d, h, w, c; /* the feature map */
  size_t heads;         /* divides c */
  size_t hidden;        /* width of the MLP */
  size_t window[3], shift[3]; /* as configured; clipping happens inside */
  dgam_dtype type;
  float eps;            /* of both LayerNorms; 1e-5 in every published model */
  dgam_keep keep;
} dgam_swin_block_desc;

typedef struct dgam_swin_block_params {
  const float *norm1_w, *norm1_b; /* (C) */
  const float *qkv_w, *qkv_b;     /* (3C, C); (3C) or NULL */
  const float *proj_w, *proj_b;   /* (C, C); (C) */
  const float *table;             /* ((2wd-1)(2wh-1)(2ww-1), heads): relative position bias */
  const float *norm2_w, *norm2_b; /* (C) */
  const float *fc1_w, *fc1_b;     /* (hidden, C); (hidden) */
  const float *fc2_w, *fc2_b;     /* (C, hidden); (C) */
} dgam_swin_block_params;

/* The order of both structs, for those who keep parameters as a list. */
enum {
  DGAM_SWIN_NORM1_W, DGAM_SWIN_NORM1_B, DGAM_SWIN_QKV_W, DGAM_SWIN_QKV_B, DGAM_SWIN_PROJ_W, DGAM_SWIN_PROJ_B, DGAM_SWIN_TABLE,
  DGAM_SWIN_NORM2_W, DGAM_SWIN_NORM2_B, DGAM_SWIN_FC1_W, DGAM_SWIN_FC1_B, DGAM_SWIN_FC2_W, DGAM_SWIN_FC2_B,
  DGAM_SWIN_PARAMS /* how many */
};

/* Gradients, shaped as the parameters; overwritten. A NULL member other than qkv_b is an error. */
typedef struct dgam_swin_block_grads {
  float *norm1_w, *norm1_b, *qkv_w, *qkv_b, *proj_w, *proj_b, *table;
  float *norm2_w, *norm2_b, *fc1_w, *fc1_b, *fc2_w, *fc2_b;
} dgam_swin_block_grads;

/* Bytes of scratch for forward (backward = 0) or backward (1) with the current number of threads; bytes of saved. */
DGAM_API dgam_status dgam_swin_block_scratch(const dgam_swin_block_desc *b, int backward, size_t *bytes);
DGAM_API dgam_status dgam_swin_block_saved(const dgam_swin_block_desc *b, size_t *bytes);

/* x -> y. scale: [OPTIONAL] (2, N), factor of each branch per clip (drop path: 0 or 1/keep); NULL is 1. A branch
 * whose factor is 0 is not computed. y must not overlap x. saved: aligned to 64; NULL exactly if keep is KEEP_NONE. */
DGAM_API dgam_status dgam_swin_block_forward(const dgam_swin_block_desc *b, const dgam_swin_block_params *p,
                                             const float *x, const float *scale, float *y, void *saved, void *scratch);

/* dy -> dx and all parameter gradients (overwritten). g NULL: only dx, a third cheaper. x, scale and saved are as given to
 * and written by forward. dx must not overlap x or dy. */
DGAM_API dgam_status dgam_swin_block_backward(const dgam_swin_block_desc *b, const dgam_swin_block_params *p,
                                              const float *x, const float *scale, const void *saved, const float *dy,
                                              float *dx, const dgam_swin_block_grads *g, void *scratch);

/* The same block written as the formulas stand, in double, one token at a time. fp32 only; allocates. Oracle of tests. */
DGAM_API dgam_status dgam_swin_block_reference(const dgam_swin_block_desc *b, const dgam_swin_block_params *p,
                                               const float *x, const float *scale, float *y);

#ifdef __cplusplus
}
#endif
#endif
