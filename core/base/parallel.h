/* parallel.h - the one way the core uses threads.
 *
 * dgam_parallel(n, fn, ctx) splits 0 .. n-1 into one contiguous range per thread (OpenMP, the pool that oneDNN and
 * libtorch use too) and calls fn(ctx, begin, end, ith, nth) once for each. If OpenMP gives fewer threads than were asked for,
 * a thread takes several ranges. The split depends only on n and the thread count, so sums that are combined in the order of
 * `ith` are bit-identical from run to run. Inside fn no further threads are started: a call within a parallel region runs on
 * the calling thread alone.
 */
#ifndef DGAM_BASE_PARALLEL_H
#define DGAM_BASE_PARALLEL_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef dgam_status (*dgam_parallel_fn)(void *ctx, size_t begin, size_t end, int ith, int nth);

enum { DGAM_MAX_THREADS = 4096 }; /* that may be asked for */

/* Threads the core uses: what dgam_set_threads() was given, else the default. At most what OpenMP gives (OMP_THREAD_LIMIT,
 * OMP_MAX_ACTIVE_LEVELS), and at most 64 or twice the number of processors, whichever is more. */
DGAM_API int dgam_threads(void);
DGAM_API void dgam_set_threads(int n);         /* n < 1: back to the default */
DGAM_API void dgam_set_default_threads(int n); /* n < 1: OpenMP's number (OMP_NUM_THREADS, else all processors) */

/* Call it before oneDNN computes. It makes this thread ask OpenMP for no more threads than OpenMP gives. oneDNN splits its
 * work by the number it asked for; the share of a missing thread would stay undone. */
DGAM_API void dgam_whole_teams(void);

/* Runs fn over [0, n). Of several failures the caller gets that of the lowest range. n = 0 does nothing. */
DGAM_API dgam_status dgam_parallel(size_t n, dgam_parallel_fn fn, void *ctx);

/* The same for items that take long or differ in cost. A thread takes the next item when it is free, so a slow thread does not
 * keep the others waiting. fn is called many times by each thread, for one item at a time. Which thread gets an item is not
 * fixed: fn may use `ith` only to choose scratch memory. After Ctrl-C, items that have begun are finished and the others are
 * left out (DGAM_EINTERRUPTED). */
DGAM_API dgam_status dgam_parallel_items(size_t n, dgam_parallel_fn fn, void *ctx);

/* The share of [0, n) that belongs to thread ith of nth; every thread's differs by at most one item. */
static inline void dgam_partition(size_t n, int ith, int nth, size_t *begin, size_t *end) {
  size_t each = n / (size_t)nth, extra = n % (size_t)nth, i = (size_t)ith;
  *begin = i * each + (i < extra ? i : extra);
  *end = *begin + each + (i < extra ? 1 : 0);
}

#ifdef __cplusplus
}
#endif
#endif
