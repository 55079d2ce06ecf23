/* linear.h - y = x W^T + b for any (m, k) and W (n, k), forward and backward, on oneDNN with all threads.
 *
 * x, y, weights and gradients are dense fp32. With DGAM_BF16 the operands of the products are rounded to bf16 first; sums
 * stay fp32. oneDNN may split sums by the number of threads: bits are the same from run to run, but the last ones may differ
 * with another number of threads. Outputs are overwritten and overlap no input. scratch: dgam_linear_scratch() bytes,
 * aligned to 64.
 */
#ifndef DGAM_NN_LINEAR_H
#define DGAM_NN_LINEAR_H

#include <stddef.h>

#include "nn/gemm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of scratch that covers forward and backward. */
DGAM_API dgam_status dgam_linear_scratch(size_t m, size_t n, size_t k, dgam_dtype type, size_t *bytes);

/* bias (n) may be NULL. */
DGAM_API dgam_status dgam_linear_forward(size_t m, size_t n, size_t k, const float *x, const float *w,
                                         const float *bias, float *y, dgam_dtype type, void *scratch);

/* dx (m, k), dw (n, k), db (n): each may be NULL when not wanted. */
DGAM_API dgam_status dgam_linear_backward(size_t m, size_t n, size_t k, const float *x, const float *w,
                                          const float *dy, float *dx, float *dw, float *db, dgam_dtype type,
                                          void *scratch);

/* Sums over the rows of a dense (rows, c) matrix -> sum (c), overwritten; all threads, order fixed by shape. */
DGAM_API dgam_status dgam_column_sums(size_t rows, size_t c, const float *a, float *sum);

/* fp32 -> bf16, all threads. */
DGAM_API dgam_status dgam_to_bf16(size_t count, const float *x, uint16_t *y);

#ifdef __cplusplus
}
#endif
#endif
