/* resize_avx2.c - see resize_rows.h. 16-bit integers and byte shuffles, which base/vec.h (floats) has not. */
#include "video/resize_rows.h"

#ifdef __AVX2__
#include <immintrin.h>
#include <string.h>

/* Two pixels from p and q: words r0 r1 g0 g1 b0 b1 0 0 in each half, times their weights, >> 4. */
static inline __m256i pair(const uint8_t *row, const dgam_resize_tap *p, const dgam_resize_tap *q) {
  const __m256i spread = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
  int32_t wp, wq;
  memcpy(&wp, p->a, 4);
  memcpy(&wq, q->a, 4);
  __m128i a = _mm_loadl_epi64((const __m128i *)(row + 3 * (ptrdiff_t)p->at));
  __m128i b = _mm_loadl_epi64((const __m128i *)(row + 3 * (ptrdiff_t)q->at));
  __m256i pixels = _mm256_shuffle_epi8(_mm256_set_m128i(b, a), spread);
  __m256i weights = _mm256_set_m128i(_mm_set1_epi32(wq), _mm_set1_epi32(wp));
  return _mm256_srai_epi32(_mm256_madd_epi16(pixels, weights), 4);
}

void dgam_resize_across_avx2(const uint8_t *row, const dgam_resize_tap *x, size_t begin, size_t end, int16_t *out) {
  size_t i = begin;
  for (; i + 4 <= end; i += 4)
    _mm256_storeu_si256((__m256i *)(out + 4 * i), _mm256_packs_epi32(pair(row, x + i, x + i + 2), pair(row, x + i + 1, x + i + 3)));
  for (; i < end; i++) {
    const uint8_t *p = row + 3 * (ptrdiff_t)x[i].at;
    for (int c = 0; c < 3; c++) out[4 * i + (size_t)c] = (int16_t)((x[i].a[0] * p[c] + x[i].a[1] * p[c + 3]) >> 4);
  }
}

static inline __m256i blend16(const int16_t *h0, const int16_t *h1, __m256i b0, __m256i b1) {
  __m256i u = _mm256_mulhi_epi16(_mm256_loadu_si256((const __m256i *)h0), b0);
  __m256i v = _mm256_mulhi_epi16(_mm256_loadu_si256((const __m256i *)h1), b1);
  return _mm256_srai_epi16(_mm256_add_epi16(_mm256_add_epi16(u, v), _mm256_set1_epi16(2)), 2);
}

void dgam_resize_down_avx2(const int16_t *h0, const int16_t *h1, int b0, int b1, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
  const __m256i w0 = _mm256_set1_epi16((short)b0), w1 = _mm256_set1_epi16((short)b1);
  const __m256i in_order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7), planes = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const __m256i by_colour = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
  size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    __m256i p = _mm256_packus_epi16(blend16(h0 + 4 * i, h1 + 4 * i, w0, w1), blend16(h0 + 4 * i + 16, h1 + 4 * i + 16, w0, w1));
    p = _mm256_shuffle_epi8(_mm256_permutevar8x32_epi32(p, in_order), by_colour);
    p = _mm256_permutevar8x32_epi32(p, planes);
    __m128i rg = _mm256_castsi256_si128(p);
    _mm_storel_epi64((__m128i *)(r + i), rg);
    _mm_storel_epi64((__m128i *)(g + i), _mm_unpackhi_epi64(rg, rg)); /* unlike storeh_pd, for any address */
    _mm_storel_epi64((__m128i *)(b + i), _mm256_extracti128_si256(p, 1));
  }
  for (; i < n; i++) {
    r[i] = dgam_resize_blend(h0[4 * i], h1[4 * i], b0, b1);
    g[i] = dgam_resize_blend(h0[4 * i + 1], h1[4 * i + 1], b0, b1);
    b[i] = dgam_resize_blend(h0[4 * i + 2], h1[4 * i + 2], b0, b1);
  }
}
#endif
