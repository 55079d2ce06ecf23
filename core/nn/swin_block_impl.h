/* swin_block_impl.h - what forward and backward of a Swin block share. Internal to core/nn. */
#ifndef DGAM_NN_SWIN_BLOCK_IMPL_H
#define DGAM_NN_SWIN_BLOCK_IMPL_H

#include <stdint.h>

#include "nn/kernels.h"
#include "nn/swin_block.h"
#include "nn/window.h"

/* Hands out aligned pieces of one block; with base NULL it only counts, so sizes and layouts come from the same code. */
typedef struct dgam_cut {
  char *base;
  size_t used;
} dgam_cut;

static inline void *dgam_cut_take(dgam_cut *c, size_t bytes) {
  void *p = c->base ? c->base + c->used : NULL;
  c->used += (bytes + 63) / 64 * 64;
  return p;
}

/* One product for each of the two row counts that cutting rows into tiles gives: a full tile and the last one. */
typedef struct dgam_tiled {
  size_t rows[2];
  const dgam_gemm *g[2];
} dgam_tiled;

/* What forward leaves for backward. Windows of clips whose branch is switched off are left out, without gaps. */
typedef struct dgam_block_saved {
  float *mean1, *rstd1, *mean2, *rstd2; /* (N L) by token */
  float *lse;                           /* (windows, heads, tokens) */
  char *o;                              /* (windows, tokens, C): attention's output before the projection */
  char *qkv;                            /* (windows, tokens, 3C), KEEP_ALL */
  char *h;                              /* (N L, hidden) before GELU, KEEP_ALL */
  float *x1;                            /* (N L, C), KEEP_ALL */
} dgam_block_saved;

typedef struct dgam_block {
  dgam_swin_block_desc d;
  dgam_windows w;
  const dgam_nn_kernels *k;
  size_t rows;     /* N L, tokens of the whole batch */
  size_t windows;  /* of the whole batch */
  size_t hd;       /* C / heads */
  size_t es;       /* bytes of an operand element */
  int bf;
  int threads;
} dgam_block;

/* Weights in the operands' type. */
typedef struct dgam_block_weights {
  const void *qkv, *proj, *fc1, *fc2;
} dgam_block_weights;

/* Attention of one head in one window: what forward and backward share.
 * q: the head's queries, with the keys and values in the same rows; bias: of all heads; region: of the window, NULL: all one */
static inline dgam_attention_job dgam_block_attention(const dgam_block *b, const char *q, const float *bias, const int32_t *region,
                                                      size_t head) {
  size_t tokens = b->w.tokens, c = b->d.c;
  return (dgam_attention_job){.tokens = tokens,
                              .hd = b->hd,
                              .padded = b->w.padded,
                              .ld = 3 * c,
                              .ldo = c,
                              .bf = b->bf,
                              .scale = 1.f / __builtin_sqrtf((float)b->hd),
                              .q = q,
                              .k = q + c * b->es,
                              .v = q + 2 * c * b->es,
                              .bias = bias + head * tokens * b->w.padded,
                              .region = region};
}

dgam_status dgam_block_init(const dgam_swin_block_desc *d, dgam_block *b);
void dgam_block_saved_layout(const dgam_block *b, dgam_cut *cut, dgam_block_saved *s);

/* Prepares `desc` (its m is set here) for tiles of `rows` out of `all`. `most` grows to the scratch needed. */
dgam_status dgam_tiled_get(dgam_tiled *t, dgam_gemm_desc desc, size_t rows, size_t all, size_t *most);
void dgam_tiled_put(dgam_tiled *t);
static inline const dgam_gemm *dgam_tiled_of(const dgam_tiled *t, size_t rows) {
  return rows == t->rows[0] ? t->g[0] : t->g[1];
}

/* Space for the weights in the operands' type (0 bytes for fp32), and filling it. */
size_t dgam_block_weights_bytes(const dgam_block *b);
dgam_status dgam_block_weights_make(const dgam_block *b, const dgam_swin_block_params *p, void *space,
                                    dgam_block_weights *w);

/* How many windows to take at once, so that a product has enough rows; 1 for large windows. */
size_t dgam_block_group(const dgam_block *b);

/* The position bias of every head, (heads, tokens, padded). scratch: threads x stride bytes. */
dgam_status dgam_block_bias_make(const dgam_block *b, const float *table, float *out, char *scratch, size_t stride);

/* Floats that one thread needs for attention or for a head's table. */
size_t dgam_block_head_scratch(const dgam_block *b);

/* dgam_swin_block_scratch for backward. */
dgam_status dgam_block_backward_scratch(const dgam_swin_block_desc *d, size_t *bytes);

/* Writes the numbers of the clips whose factor in this branch is not 0 into list (N); returns how many. */
size_t dgam_block_active(const dgam_block *b, const float *scale, uint32_t *list);

#endif
