/* attention_bf16_impl.h - products of bf16 operands with vdpbf16ps, and their layouts; part of attention_impl.h.
 *
 * vdpbf16ps multiplies pairs: sum[lane] += a[2 lane] b[2 lane] + a[2 lane + 1] b[2 lane + 1], in fp32. So every operand
 * is laid out in words of two bf16 that lie next to each other along the sum: rows of words (what a tile broadcasts),
 * words transposed (sums over dimensions), or two rows woven into one (sums over tokens). Scores, softmax and all sums
 * are fp32; probabilities and dS are rounded to bf16 where they enter a product. */

typedef uint32_t word __attribute__((may_alias)); /* buffers are declared as of floats */

/* acc[r][v] += A[r] B over `depth` words; as tile2 and tile1. */
VEC void pairs2(vf acc[R][2], const word *a, size_t ra, size_t ka, const word *b, size_t kb, size_t depth) {
  for (size_t k = 0; k < depth; k++) {
    __m512bh b0 = (__m512bh)_mm512_loadu_si512(b), b1 = (__m512bh)_mm512_loadu_si512(b + VL);
    UNROLL for (int r = 0; r < R; r++) {
      __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[(size_t)r * ra]);
      acc[r][0] = (vf)_mm512_dpbf16_ps((__m512)acc[r][0], x, b0);
      acc[r][1] = (vf)_mm512_dpbf16_ps((__m512)acc[r][1], x, b1);
    }
    a += ka, b += kb;
  }
}

VEC void pairs1(vf acc[R][1], const word *a, size_t ra, size_t ka, const word *b, size_t kb, size_t depth) {
  for (size_t k = 0; k < depth; k++) {
    __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
    UNROLL for (int r = 0; r < R; r++)
      acc[r][0] = (vf)_mm512_dpbf16_ps((__m512)acc[r][0], (__m512bh)_mm512_set1_epi32((int)a[(size_t)r * ra]), b0);
    a += ka, b += kb;
  }
}

/* 16 bf16 of row i from dimension d on; zeroes outside (tokens, hd). */
VEC __m256i row16(const void *from, size_t i, size_t d, size_t tokens, size_t hd, size_t ld) {
  const uint16_t *x = from;
  /* Not by a mask: an empty one does not keep a load from an unmapped page from costing 100 cycles. */
  if (i >= tokens || d >= hd) return _mm256_setzero_si256();
  if (hd - d >= 16) return _mm256_loadu_si256((const __m256i *)(x + i * ld + d));
  return _mm256_maskz_loadu_epi16((__mmask16)((1u << (hd - d)) - 1u), x + i * ld + d);
}

/* x (tokens, hd) -> rows of words (rows, hw). */
VEC void word_rows(const void *x, size_t tokens, size_t hd, size_t ld, float *to, size_t rows, size_t hw) {
  for (size_t i = 0; i < rows; i++)
    for (size_t d = 0; d < hw; d += 8) _mm256_storeu_si256((__m256i *)(to + i * hw + d), row16(x, i, 2 * d, tokens, hd, ld));
}

/* x (tokens, hd) -> words transposed (hw, padded). */
VEC void word_columns(const void *x, size_t tokens, size_t hd, size_t ld, float *to, size_t padded, size_t hw) {
  for (size_t j = 0; j < padded; j += 16)
    for (size_t d = 0; d < hw; d += 8) {
      __m512i a[8], b[8]; /* a: rows q and q + 8 side by side, then 4 x 4 blocks turned in two steps */
      UNROLL for (size_t q = 0; q < 8; q++)
        a[q] = _mm512_inserti64x4(_mm512_castsi256_si512(row16(x, j + q, 2 * d, tokens, hd, ld)),
                                  row16(x, j + q + 8, 2 * d, tokens, hd, ld), 1);
      UNROLL for (size_t q = 0; q < 8; q += 2) {
        b[q] = _mm512_unpacklo_epi32(a[q], a[q + 1]);
        b[q + 1] = _mm512_unpackhi_epi32(a[q], a[q + 1]);
      }
      UNROLL for (size_t q = 0; q < 8; q += 4) {
        a[q] = _mm512_unpacklo_epi64(b[q], b[q + 2]);
        a[q + 1] = _mm512_unpackhi_epi64(b[q], b[q + 2]);
        a[q + 2] = _mm512_unpacklo_epi64(b[q + 1], b[q + 3]);
        a[q + 3] = _mm512_unpackhi_epi64(b[q + 1], b[q + 3]);
      }
      /* In each half: a[q] holds columns q and q + 4 of rows 0-3, a[q + 4] of rows 4-7; the upper half 8 rows on. */
      const __m512i low = _mm512_setr_epi64(0, 1, 8, 9, 4, 5, 12, 13);
      const __m512i high = _mm512_setr_epi64(2, 3, 10, 11, 6, 7, 14, 15);
      UNROLL for (size_t q = 0; q < 4; q++) {
        _mm512_storeu_si512(to + (d + q) * padded + j, _mm512_permutex2var_epi64(a[q], low, a[q + 4]));
        _mm512_storeu_si512(to + (d + q + 4) * padded + j, _mm512_permutex2var_epi64(a[q], high, a[q + 4]));
      }
    }
}

/* x (tokens, hd) -> rows 2i and 2i+1 woven (rows / 2, hdp). */
VEC void word_weave(const void *x, size_t tokens, size_t hd, size_t ld, float *to, size_t rows, size_t hdp) {
  for (size_t i = 0; i < rows; i += 2)
    for (size_t d = 0; d < hdp; d += 16) {
      __m512i even = _mm512_cvtepu16_epi32(row16(x, i, d, tokens, hd, ld));
      __m512i odd = _mm512_cvtepu16_epi32(row16(x, i + 1, d, tokens, hd, ld));
      _mm512_storeu_si512(to + i / 2 * hdp + d, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
    }
}

/* Two vectors rounded to bf16 and woven: (x[i], y[i]) in word i. */
VEC vf weave2(vf x, vf y) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return (vf)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh((__m512)y, (__m512)x));
}
