/* parallel.c - see parallel.h */
#include "base/parallel.h"

#include <omp.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static atomic_int wanted; /* 0: the default */

int dgam_threads(void) {
  int n = atomic_load_explicit(&wanted, memory_order_relaxed);
  if (n > 0) return n;
  const char *env = getenv("DGAMLUA_THREADS");
  n = env ? atoi(env) : 0;
  return n > 0 ? n : omp_get_max_threads();
}

void dgam_set_threads(int n) { atomic_store_explicit(&wanted, n > 0 ? n : 0, memory_order_relaxed); }

dgam_status dgam_parallel(size_t n, dgam_parallel_fn fn, void *ctx) {
  if (n == 0) return DGAM_OK;
  int nth = omp_in_parallel() ? 1 : dgam_threads();
  if ((size_t)nth > n) nth = (int)n;
  if (nth == 1) return fn(ctx, 0, n, 0, 1);

  dgam_status result = DGAM_OK;
  int failed_ith = -1;
  char text[1024] = "";
#pragma omp parallel num_threads(nth)
  {
    int ith = omp_get_thread_num(), team = omp_get_num_threads();
    size_t begin, end;
    /* OpenMP may give fewer threads than asked for: each then takes several shares, so the split stays the same. */
    for (int share = ith; share < nth; share += team) {
      dgam_partition(n, share, nth, &begin, &end);
      dgam_status s = fn(ctx, begin, end, share, nth);
      if (s != DGAM_OK) {
#pragma omp critical(dgam_parallel_error)
        if (failed_ith < 0 || share < failed_ith) {
          failed_ith = share;
          result = s;
          strncpy(text, dgam_error(), sizeof text - 1);
        }
        break;
      }
    }
  }
  return result == DGAM_OK ? DGAM_OK : dgam_fail(result, "%s", text);
}
