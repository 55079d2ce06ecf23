/* parallel.c - see parallel.h */
#include "base/parallel.h"

#include <omp.h>
#include <stdatomic.h>
#include <string.h>

static atomic_int wanted;  /* 0: the default */
static atomic_int usually; /* the default; 0: OpenMP's number */

/* More than this only costs: with 512 threads on two processors a second's work took a minute, with 4096 it did not end. */
static int most_useful(void) {
  static atomic_int most; /* OpenMP asks the system anew each time */
  int n = atomic_load_explicit(&most, memory_order_relaxed);
  if (n == 0) {
    n = 2 * omp_get_num_procs() > 64 ? 2 * omp_get_num_procs() : 64;
    atomic_store_explicit(&most, n, memory_order_relaxed);
  }
  return n;
}

/* The largest team that is formed, whatever is asked for. */
static int largest_team(void) {
  int given = omp_get_max_active_levels() < 1 ? 1 : omp_get_thread_limit(), useful = most_useful();
  return given < useful ? given : useful;
}

int dgam_threads(void) {
  int n = atomic_load_explicit(&wanted, memory_order_relaxed), most = largest_team();
  if (n == 0) n = atomic_load_explicit(&usually, memory_order_relaxed);
  if (n == 0) n = omp_get_max_threads();
  return n < most ? n : most;
}

void dgam_whole_teams(void) {
  if (omp_get_dynamic()) omp_set_dynamic(0);
  int most = largest_team();
  if (omp_get_max_threads() > most) omp_set_num_threads(most);
}

void dgam_set_threads(int n) { atomic_store_explicit(&wanted, n > 0 ? n : 0, memory_order_relaxed); }

void dgam_set_default_threads(int n) { atomic_store_explicit(&usually, n > 0 ? n : 0, memory_order_relaxed); }

/* Keeps the failure of the item that comes first. */
typedef struct failure {
  dgam_status status;
  size_t item;
  char text[DGAM_ERROR_ROOM];
} failure;

static void note(failure *f, dgam_status s, size_t item) {
#pragma omp critical(dgam_parallel_error)
  if (f->status == DGAM_OK || item < f->item) {
    f->status = s;
    f->item = item;
    strncpy(f->text, dgam_error(), sizeof f->text - 1);
  }
}

static int team_for(size_t n) {
  int nth = omp_in_parallel() ? 1 : dgam_threads();
  return (size_t)nth > n ? (int)n : nth;
}

dgam_status dgam_parallel(size_t n, dgam_parallel_fn fn, void *ctx) {
  if (n == 0) return DGAM_OK;
  int nth = team_for(n);
  if (nth == 1) return fn(ctx, 0, n, 0, 1);
  failure f = {.status = DGAM_OK};
#pragma omp parallel num_threads(nth)
  {
    int ith = omp_get_thread_num(), team = omp_get_num_threads();
    size_t begin, end;
    /* OpenMP may give fewer threads than asked for: each then takes several shares, so the split stays the same. */
    for (int share = ith; share < nth; share += team) {
      dgam_partition(n, share, nth, &begin, &end);
      dgam_status s = fn(ctx, begin, end, share, nth);
      if (s != DGAM_OK) {
        note(&f, s, begin);
        break;
      }
    }
  }
  return f.status == DGAM_OK ? DGAM_OK : dgam_fail(f.status, "%s", f.text);
}

static dgam_status run_item(dgam_parallel_fn fn, void *ctx, size_t item, int ith, int nth) {
  if (dgam_interrupted()) return dgam_fail_interrupted();
  return fn(ctx, item, item + 1, ith, nth);
}

dgam_status dgam_parallel_items(size_t n, dgam_parallel_fn fn, void *ctx) {
  if (n == 0) return DGAM_OK;
  int nth = team_for(n);
  if (nth == 1) {
    for (size_t item = 0; item < n; item++) DGAM_TRY(run_item(fn, ctx, item, 0, 1));
    return DGAM_OK;
  }
  failure f = {.status = DGAM_OK};
  atomic_size_t next = 0;
#pragma omp parallel num_threads(nth)
  {
    int ith = omp_get_thread_num();
    size_t item;
    while ((item = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed)) < n) {
      dgam_status s = run_item(fn, ctx, item, ith, nth);
      if (s != DGAM_OK) {
        note(&f, s, item);
        atomic_store_explicit(&next, n, memory_order_relaxed);
      }
    }
  }
  return f.status == DGAM_OK ? DGAM_OK : dgam_fail(f.status, "%s", f.text);
}
