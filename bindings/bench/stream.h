/* stream.h - the rate at which this machine moves memory: the limit that memory-bound kernels are held against.
 *
 * One pass over four arrays of n floats in place, p = max(p, g), m = max(m, g), v = max(v, g): four reads and three
 * writes for each element. That is the traffic of AdamW with next to no arithmetic. Every variant and every further pass
 * gives the same values. The bandwidth is DGAM_STREAM_BYTES n / the time of the fastest variant. The fastest differs
 * between processors, and a limit must not be lower than what an honest kernel can reach.
 */
#ifndef DGAM_BENCH_STREAM_H
#define DGAM_BENCH_STREAM_H

#include <stddef.h>

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum dgam_stream_way {
  DGAM_STREAM_SIMPLE = 0, /* all four arrays abreast, ordinary stores */
  DGAM_STREAM_AHEAD,      /* the same with software prefetch */
  DGAM_STREAM_STRIPS,     /* a few KB of each array fetched in turn, so that memory pages stay open */
  DGAM_STREAM_BYPASS,     /* stores that go past the caches (non-temporal) */
  DGAM_STREAM_WAYS
} dgam_stream_way;

#define DGAM_STREAM_BYTES 28 /* read and written per element */

/* Makes `passes` passes on all threads of dgam_threads(), at the vector width of dgam_cpu_level(). A thread makes all passes
 * over its share without waiting for the others, so shares that fit a cache measure that cache. The arrays do not overlap
 * and are aligned to 64 bytes. DGAM_EINVAL: another alignment or way. */
dgam_status dgam_stream(size_t n, float *p, const float *g, float *m, float *v, dgam_stream_way way, size_t passes);

#ifdef __cplusplus
}
#endif
#endif
