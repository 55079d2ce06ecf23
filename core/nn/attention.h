/* attention.h - attention inside one window, one head:
 *
 *     S = scale Q K^T + bias + mask,   P = softmax(S),   O = P V
 *
 * Q, K, V, O are (tokens, hd) with rows `ld` (O: `ldo`) elements apart, so they can be columns of a fused qkv matrix, fp32
 * or bf16. bias is (tokens, padded) fp32. `padded` is tokens rounded up to 16; the columns that it adds hold -1e30
 * (dgam_windows_bias makes it so).
 * mask is -100 where region[i] != region[j]. Softmax and sums are fp32. Forward can leave the log-sum-exp of each row,
 * from which backward computes P again:
 *
 *     dV = P^T dO,  dP = dO V^T,  dS = P (dP - rowsum(P dP)),  dQ = scale dS K,  dK = scale dS^T Q,  dbias += dS
 *
 * The fast kernels keep tiles of R query rows by two vectors of keys in registers (R = 14 with AVX-512, 6 below). Where
 * the processor has vdpbf16ps, bf16 operands are multiplied as they are; P and dS are rounded to bf16 for their products.
 * Below that level bf16 operands are widened to fp32.
 * One thread, no allocation; many may run at once on their own scratch.
 */
#ifndef DGAM_NN_ATTENTION_H
#define DGAM_NN_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dgam_attention_job {
  size_t tokens, hd;     /* of the window; channels of the head */
  size_t padded;         /* tokens rounded up to 16 */
  size_t ld, ldo;        /* row strides of q, k, v (and dq, dk, dv), of out and dout */
  int bf;                /* 1: q, k, v, out and their gradients are bf16 */
  float scale;           /* hd^-1/2 */
  const void *q, *k, *v; /* (tokens, hd) */
  const float *bias;     /* (tokens, padded) */
  const int32_t *region; /* [OPTIONAL] (padded) */
  void *out;             /* [OUT] forward: (tokens, hd) */
  float *lse;            /* (tokens): [OPTIONAL] [OUT] of forward, read by backward */
  const void *dout;      /* backward: (tokens, hd) */
  void *dq, *dk, *dv;    /* [OUT] backward: (tokens, hd), overwritten */
  float *dbias;          /* [OPTIONAL] [OUT] backward: (tokens, padded), accumulated into */
  float *scratch;        /* DGAM_ATTENTION_SCRATCH(tokens, hd) floats, aligned to 64; not used by the references */
} dgam_attention_job;

#define DGAM_ROUND16(tokens) (((size_t)(tokens) + 15) / 16 * 16)
#define DGAM_ATTENTION_SCRATCH(tokens, hd) ((8 * DGAM_ROUND16(hd) + 60) * (DGAM_ROUND16(tokens) + 48) + 64)

/* DGAM_EINVAL if sizes or strides do not fit together or a needed buffer is NULL. */
DGAM_API dgam_status dgam_attention_forward(const dgam_attention_job *j);
DGAM_API dgam_status dgam_attention_backward(const dgam_attention_job *j);

/* The formulas above in double, fp32 operands only; they allocate. Oracles of the tests. */
DGAM_API dgam_status dgam_attention_forward_reference(const dgam_attention_job *j);
DGAM_API dgam_status dgam_attention_backward_reference(const dgam_attention_job *j);

#ifdef __cplusplus
}
#endif
#endif
