/* stream.c - see stream.h */
#include "bench/stream.h"

#include <stdint.h>

#include "base/cpu.h"
#include "base/parallel.h"

typedef void pass_fn(size_t n, float *p, const float *g, float *m, float *v, dgam_stream_way way);
pass_fn dgam_stream_plain, dgam_stream_avx2, dgam_stream_avx512;

#define STREAM dgam_stream_plain
#include "bench/stream_impl.h"

#define UNIT 4096 /* floats; a multiple of STRIP, so that threads share no cache line */

typedef struct stream_job {
  pass_fn *pass;
  size_t n;
  float *p, *m, *v;
  const float *g;
  dgam_stream_way way;
  size_t passes;
} stream_job;

static dgam_status part(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  const stream_job *j = ctx;
  size_t at = begin * UNIT, stop = end * UNIT < j->n ? end * UNIT : j->n;
  for (size_t k = 0; k < j->passes; k++) j->pass(stop - at, j->p + at, j->g + at, j->m + at, j->v + at, j->way);
  return DGAM_OK;
}

dgam_status dgam_stream(size_t n, float *p, const float *g, float *m, float *v, dgam_stream_way way, size_t passes) {
  if ((unsigned)way >= DGAM_STREAM_WAYS)
    return dgam_fail(DGAM_EINVAL, "stream: way is %d, expected 0 to %d", (int)way, DGAM_STREAM_WAYS - 1);
  if (((uintptr_t)p | (uintptr_t)g | (uintptr_t)m | (uintptr_t)v) % 64)
    return dgam_fail(DGAM_EINVAL, "stream: the arrays are not aligned to 64 bytes");
  pass_fn *pass = dgam_stream_plain;
#if defined(__x86_64__)
  if (dgam_cpu_level() >= DGAM_CPU_AVX512)
    pass = dgam_stream_avx512;
  else if (dgam_cpu_level() >= DGAM_CPU_AVX2)
    pass = dgam_stream_avx2;
#endif
  stream_job j = {pass, n, p, m, v, g, way, passes};
  return dgam_parallel((n + UNIT - 1) / UNIT, part, &j);
}
