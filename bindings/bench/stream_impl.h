/* stream_impl.h - the passes of stream.h at the vector width that this file is compiled for. Included by stream.c,
 * stream_avx2.c and stream_avx512.c, which define STREAM (the function's name). Not for other files. */
#include "base/vec.h"
#include "bench/stream.h"

#if defined(__SSE2__) && !defined(__AVX2__)
#include <emmintrin.h>
#endif

#define LINE  16   /* floats in a cache line */
#define AHEAD 512  /* floats that are prefetched ahead */
#define STRIP 1024 /* floats of an array fetched at a time */

/* Past the caches; p is aligned to the vector. */
VEC void store_past(float *p, vf v) {
#if defined(__AVX512F__)
  _mm512_stream_ps(p, (__m512)v);
#elif defined(__AVX2__)
  _mm256_stream_ps(p, (__m256)v);
#elif defined(__SSE2__)
  _mm_stream_ps(p, (__m128)v);
#else
  vstore(p, v);
#endif
}

/* One cache line of the pass. */
VEC void line(float *p, const float *g, float *m, float *v, int past) {
  for (int i = 0; i < LINE; i += VL) {
    vf from = vload(g + i);
    float *out[3] = {p + i, m + i, v + i};
    for (int k = 0; k < 3; k++) {
      vf larger = vmax(vload(out[k]), from);
      if (past) store_past(out[k], larger);
      else vstore(out[k], larger);
    }
  }
}

void STREAM(size_t n, float *p, const float *g, float *m, float *v, dgam_stream_way way) {
  size_t i = 0, whole = n / LINE * LINE;
  if (way == DGAM_STREAM_BYPASS) {
    for (; i < whole; i += LINE) line(p + i, g + i, m + i, v + i, 1);
#ifdef __SSE2__
    _mm_sfence();
#endif
  } else if (way == DGAM_STREAM_AHEAD) {
    for (; i < whole; i += LINE) { /* a prefetch beyond the end does nothing */
      __builtin_prefetch(p + i + AHEAD, 1), __builtin_prefetch(g + i + AHEAD, 0);
      __builtin_prefetch(m + i + AHEAD, 1), __builtin_prefetch(v + i + AHEAD, 1);
      line(p + i, g + i, m + i, v + i, 0);
    }
  } else if (way == DGAM_STREAM_STRIPS) {
    for (; i < whole; i += STRIP) {
      size_t end = whole - i < STRIP ? whole : i + STRIP;
      for (size_t k = i; k < end; k += LINE) __builtin_prefetch(g + k, 0);
      for (size_t k = i; k < end; k += LINE) __builtin_prefetch(p + k, 1);
      for (size_t k = i; k < end; k += LINE) __builtin_prefetch(m + k, 1);
      for (size_t k = i; k < end; k += LINE) __builtin_prefetch(v + k, 1);
      for (size_t k = i; k < end; k += LINE) line(p + k, g + k, m + k, v + k, 0);
    }
  } else {
    for (; i < whole; i += LINE) line(p + i, g + i, m + i, v + i, 0);
  }
  for (i = whole; i < n; i++) {
    p[i] = p[i] > g[i] ? p[i] : g[i];
    m[i] = m[i] > g[i] ? m[i] : g[i];
    v[i] = v[i] > g[i] ? v[i] : g[i];
  }
}
