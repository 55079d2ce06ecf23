/* curve.c - see curve.h */
#include "light/curve.h"

#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"

enum { BLOCK = 64 }; /* pixels whose x_i stay in the first-level cache */

typedef struct task {
  const float *x, *a, *dout;
  float *out, *da; /* forward: out; backward: out is dx */
  size_t c, p, iterations, blocks;
} task;

/* One block: n pixels of plane `plane` from pixel `first` on. */
typedef struct place {
  size_t at; /* element of (N,C,P) */
  size_t a;  /* element of (N,I*C,P) of iteration 0; the next one is c * p further */
  size_t n;
} place;

static place find(const task *job, size_t i) {
  size_t plane = i / job->blocks, first = i % job->blocks * BLOCK;
  place q = {plane * job->p + first, (plane / job->c * job->iterations * job->c + plane % job->c) * job->p + first,
             job->p - first < BLOCK ? job->p - first : BLOCK};
  return q;
}

static dgam_status forward(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  const task *job = ctx;
  float v[BLOCK];
  for (size_t i = begin; i < end; i++) {
    place q = find(job, i);
    memcpy(v, job->x + q.at, q.n * sizeof *v);
    for (size_t k = 0; k < job->iterations; k++) {
      const float *a = job->a + q.a + k * job->c * job->p;
      for (size_t j = 0; j < q.n; j++) v[j] += a[j] * v[j] * (1 - v[j]);
    }
    memcpy(job->out + q.at, v, q.n * sizeof *v);
  }
  return DGAM_OK;
}

/* dx_{i-1} = dx_i (1 + a_i (1 - 2 x_{i-1})),  da_i = dx_i x_{i-1} (1 - x_{i-1}) */
static dgam_status backward(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  const task *job = ctx;
  float v[DGAM_CURVE_MOST][BLOCK], d[BLOCK];
  for (size_t i = begin; i < end; i++) {
    place q = find(job, i);
    memcpy(v[0], job->x + q.at, q.n * sizeof *v[0]);
    memcpy(d, job->dout + q.at, q.n * sizeof *d);
    for (size_t k = 0; k + 1 < job->iterations; k++) {
      const float *a = job->a + q.a + k * job->c * job->p;
      for (size_t j = 0; j < q.n; j++) v[k + 1][j] = v[k][j] + a[j] * v[k][j] * (1 - v[k][j]);
    }
    for (size_t k = job->iterations; k-- > 0;) {
      const float *a = job->a + q.a + k * job->c * job->p;
      float *da = job->da + q.a + k * job->c * job->p;
      for (size_t j = 0; j < q.n; j++) {
        da[j] = d[j] * v[k][j] * (1 - v[k][j]);
        d[j] *= 1 + a[j] * (1 - 2 * v[k][j]);
      }
    }
    memcpy(job->out + q.at, d, q.n * sizeof *d);
  }
  return DGAM_OK;
}

static dgam_status run(task *job, size_t n, dgam_parallel_fn fn) {
  if (job->iterations < 1 || job->iterations > DGAM_CURVE_MOST)
    return dgam_fail(DGAM_EINVAL, "dce_curve: %zu iterations, expected 1 to %d", job->iterations, DGAM_CURVE_MOST);
  job->blocks = (job->p + BLOCK - 1) / BLOCK;
  size_t planes, total;
  if (dgam_mul_overflow(n, job->c, &planes) || dgam_mul_overflow(planes, job->iterations, &total) ||
      dgam_mul_overflow(total, job->p, &total) || dgam_mul_overflow(total, sizeof(float), &total))
    return dgam_fail(DGAM_EINVAL, "dce_curve: %zu images of %zu channels of %zu pixels do not fit into memory", n, job->c,
                     job->p);
  return dgam_parallel(planes * job->blocks, fn, job);
}

dgam_status dgam_curve(const float *x, const float *a, size_t n, size_t c, size_t p, size_t iterations, float *out) {
  task job = {x, a, NULL, out, NULL, c, p, iterations, 0};
  return run(&job, n, forward);
}

dgam_status dgam_curve_backward(const float *dout, const float *x, const float *a, size_t n, size_t c, size_t p,
                                size_t iterations, float *dx, float *da) {
  task job = {x, a, dout, dx, da, c, p, iterations, 0};
  return run(&job, n, backward);
}
