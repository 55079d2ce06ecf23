/* parallel.h - the one way the core uses threads.
 *
 * dgam_parallel(n, fn, ctx) splits 0 .. n-1 into one contiguous range per thread (OpenMP, the pool that oneDNN and
 * libtorch use too) and calls fn(ctx, begin, end, ith, nth) once for each. Where OpenMP gives fewer threads than were asked
 * for, a thread takes several ranges. The split depends only on n and the thread
 * count, so sums that are combined in the order of `ith` are bit-identical from run to run. Inside fn nothing spawns
 * threads again. Called from inside a parallel region it runs on the calling thread alone.
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

/* Threads the core uses: what dgam_set_threads() was given, else the default. Never more than OpenMP gives
 * (OMP_THREAD_LIMIT, OMP_MAX_ACTIVE_LEVELS), and never more than 64 or twice the processors, whichever is more. */
DGAM_API int dgam_threads(void);
DGAM_API void dgam_set_threads(int n);         /* n < 1: back to the default */
DGAM_API void dgam_set_default_threads(int n); /* n < 1: OpenMP's number (OMP_NUM_THREADS, else all processors) */

/* To be called before oneDNN computes: makes this thread ask OpenMP for no more threads than that. oneDNN deals out its
 * work by the number it asked for, and leaves undone what was meant for threads that are missing. */
DGAM_API void dgam_whole_teams(void);

/* Runs fn over [0, n). Of several failures the caller gets that of the lowest range. n = 0 does nothing. */
DGAM_API dgam_status dgam_parallel(size_t n, dgam_parallel_fn fn, void *ctx);

/* The same for items that take long or differ in cost: a thread takes the next item when it is free, so fn is called
 * with ranges of one, many times by each thread, and a thread that was held up does not keep the others waiting. Which
 * thread gets an item is not fixed: what fn computes may depend on `ith` for nothing but scratch memory. Before every item
 * dgam_interrupted() is asked, so after Ctrl-C the items under way end and the others are left out (DGAM_EINTERRUPTED). */
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
