/* gemm.h - every matrix product of the core: C = op(A) op(B) [+ bias] [+ C], on oneDNN.
 *
 * A product is described once (shape, strides, types, what is fused), looked up in a process-wide cache of prepared
 * primitives, and run as often as wanted. A prepared product is immutable and shared: any thread may run it at any
 * time, each with its own scratch.
 *
 *     const dgam_gemm *g;
 *     DGAM_TRY(dgam_gemm_get(&(dgam_gemm_desc){.m = M, .n = N, .k = K, .bt = 1, .bias = 1}, &g));
 *     DGAM_TRY(dgam_gemm_run(g, a, b, bias, c, scratch));          // scratch: dgam_gemm_scratch(g) bytes
 *     dgam_gemm_put(g);
 */
#ifndef DGAM_NN_GEMM_H
#define DGAM_NN_GEMM_H

#include <stddef.h>
#include <stdint.h>

#include "base/dtype.h"

#ifdef __cplusplus
extern "C" {
#endif

/* C (m,n) = op(A) (m,k) op(B) (k,n), row-major. Everything is part of the cache key; zero is the plain choice. */
typedef struct dgam_gemm_desc {
  size_t m, n, k;        /* each at least 1 */
  size_t lda, ldb, ldc;  /* elements from one stored row to the next; 0: dense */
  int at, bt;            /* 1: stored transposed, A as (k,m), B as (n,k) - a torch weight is a transposed B */
  int bias;              /* 1: adds bias[n], fp32 */
  int accumulate;        /* 1: adds to what C holds */
  int gelu;              /* 1: exact GELU on the result (not with accumulate) */
  dgam_dtype in, out;    /* of A and B; of C. DGAM_F32 (0 means that too) or DGAM_BF16; bf16 out needs bf16 in. Sums are
                            fp32 */
  int threads;           /* 1: stays on the calling thread (use this inside dgam_parallel); 0: all threads */
} dgam_gemm_desc;

typedef struct dgam_gemm dgam_gemm;

/* Finds or prepares the product. Inside a parallel region threads is taken as 1. Every get needs one put.
 * DGAM_EINVAL for impossible sizes, DGAM_EUNSUPPORTED if oneDNN has no such product here. Thread-safe. */
DGAM_API dgam_status dgam_gemm_get(const dgam_gemm_desc *d, const dgam_gemm **g);
DGAM_API void dgam_gemm_put(const dgam_gemm *g); /* NULL is allowed */

/* Bytes of scratch a run needs, aligned to 64; the same for any thread. */
DGAM_API size_t dgam_gemm_scratch(const dgam_gemm *g);

/* Runs it. C overlaps neither A nor B. bias is NULL if the description has none. DGAM_EINTERRUPTED: after Ctrl-C no
 * product is begun. */
DGAM_API dgam_status dgam_gemm_run(const dgam_gemm *g, const void *a, const void *b, const float *bias, void *c,
                                   void *scratch);

/* get + run + put with scratch of its own: for a product that stands alone. */
DGAM_API dgam_status dgam_gemm_once(const dgam_gemm_desc *d, const void *a, const void *b, const float *bias, void *c);

/* The same product with three loops in double; every description, no oneDNN. The test's oracle. */
DGAM_API dgam_status dgam_gemm_reference(const dgam_gemm_desc *d, const void *a, const void *b, const float *bias,
                                         void *c);

/* Prepared products held now; and give back those nobody holds. */
DGAM_API size_t dgam_gemm_cached(void);
DGAM_API void dgam_gemm_clear(void);

/* 1 if oneDNN has a fast implementation of bf16 products for this machine. Its reference is a thousand times slower and
 * does not count. */
DGAM_API int dgam_gemm_has_bf16(void);

/* oneDNN's version as "2.6.3". */
DGAM_API const char *dgam_gemm_library(void);

#ifdef __cplusplus
}
#endif
#endif
