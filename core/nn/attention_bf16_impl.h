/* attention_bf16_impl.h - window attention on bf16 operands with vdpbf16ps; part of kernels_impl.h.
 *
 * vdpbf16ps multiplies pairs: sum[lane] += a[2 lane] b[2 lane] + a[2 lane + 1] b[2 lane + 1], in fp32. So every operand
 * is laid out in words of two bf16 that lie next to each other along the sum: rows of words (what a tile broadcasts),
 * words transposed (sums over dimensions), or two rows woven into one (sums over tokens). Scores, softmax and all sums
 * are fp32; probabilities and dS are rounded to bf16 where they enter a product. */

/* acc[r][v] += A[r] B over `depth` words; as tile2 and tile1. */
VEC void pairs2(vf acc[R][2], const uint32_t *a, size_t ra, size_t ka, const uint32_t *b, size_t kb, size_t depth) {
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

VEC void pairs1(vf acc[R][1], const uint32_t *a, size_t ra, size_t ka, const uint32_t *b, size_t kb, size_t depth) {
  for (size_t k = 0; k < depth; k++) {
    __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
    UNROLL for (int r = 0; r < R; r++)
      acc[r][0] = (vf)_mm512_dpbf16_ps((__m512)acc[r][0], (__m512bh)_mm512_set1_epi32((int)a[(size_t)r * ra]), b0);
    a += ka, b += kb;
  }
}

/* 16 bf16 of row i from dimension d on; zeroes outside (n, hd). */
VEC __m256i row16(const uint16_t *x, size_t i, size_t d, size_t n, size_t hd, size_t ld) {
  /* Not by a mask: an empty one does not keep a load from an unmapped page from costing 100 cycles. */
  if (i >= n || d >= hd) return _mm256_setzero_si256();
  if (hd - d >= 16) return _mm256_loadu_si256((const __m256i *)(x + i * ld + d));
  return _mm256_maskz_loadu_epi16((__mmask16)((1u << (hd - d)) - 1u), x + i * ld + d);
}

/* x (n, hd) -> rows of words (rows, hw). */
VEC void word_rows(const uint16_t *x, size_t n, size_t hd, size_t ld, uint32_t *to, size_t rows, size_t hw) {
  for (size_t i = 0; i < rows; i++)
    for (size_t d = 0; d < hw; d += 8) _mm256_storeu_si256((__m256i *)(to + i * hw + d), row16(x, i, 2 * d, n, hd, ld));
}

/* x (n, hd) -> words transposed (hw, np). */
VEC void word_columns(const uint16_t *x, size_t n, size_t hd, size_t ld, uint32_t *to, size_t np, size_t hw) {
  for (size_t j = 0; j < np; j += 16)
    for (size_t d = 0; d < hw; d += 8) {
      __m512i a[8], b[8]; /* a: rows q and q + 8 side by side, then 4 x 4 blocks turned in two steps */
      UNROLL for (size_t q = 0; q < 8; q++)
        a[q] = _mm512_inserti64x4(_mm512_castsi256_si512(row16(x, j + q, 2 * d, n, hd, ld)),
                                  row16(x, j + q + 8, 2 * d, n, hd, ld), 1);
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
        _mm512_storeu_si512(to + (d + q) * np + j, _mm512_permutex2var_epi64(a[q], low, a[q + 4]));
        _mm512_storeu_si512(to + (d + q + 4) * np + j, _mm512_permutex2var_epi64(a[q], high, a[q + 4]));
      }
    }
}

/* x (n, hd) -> rows 2i and 2i+1 woven (rows / 2, hdp). */
VEC void word_weave(const uint16_t *x, size_t n, size_t hd, size_t ld, uint32_t *to, size_t rows, size_t hdp) {
  for (size_t i = 0; i < rows; i += 2)
    for (size_t d = 0; d < hdp; d += 16) {
      __m512i even = _mm512_cvtepu16_epi32(row16(x, i, d, n, hd, ld));
      __m512i odd = _mm512_cvtepu16_epi32(row16(x, i + 1, d, n, hd, ld));
      _mm512_storeu_si512(to + i / 2 * hdp + d, _mm512_or_si512(even, _mm512_slli_epi32(odd, 16)));
    }
}

/* Two vectors rounded to bf16 one behind the other; or woven, (x[i], y[i]) in word i. */
VEC __m512i narrow2(vf x, vf y) { return (__m512i)_mm512_cvtne2ps_pbh((__m512)y, (__m512)x); }
VEC __m512i weave2(vf x, vf y) {
  const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                         5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
  return _mm512_permutexvar_epi16(order, narrow2(x, y));
}

/* out (rows.., hd) = the rows of A B that exist, times s[r]: A words (R, depth), B woven (depth, hdp). */
VEC void put_product(uint16_t *out, size_t ld, size_t rows, size_t hd, const uint32_t *a, const uint32_t *b, size_t hdp,
                     size_t depth, const float *s) {
  size_t d = 0;
  for (; d + 2 * VL <= hdp; d += 2 * VL) {
    vf acc[R][2] = {{{0}}};
    pairs2(acc, a, depth, 1, b + d, hdp, depth);
    UNROLL for (size_t r = 0; r < R; r++) {
      if (r >= rows) continue;
      vstore_bf16(out + r * ld + d, acc[r][0] * s[r]);
      vstore_bf16_n(out + r * ld + d + VL, acc[r][1] * s[r], least(hd - d - VL, VL));
    }
  }
  for (; d < hdp; d += VL) {
    vf acc[R][1] = {{{0}}};
    pairs1(acc, a, depth, 1, b + d, hdp, depth);
    UNROLL for (size_t r = 0; r < R; r++)
      if (r < rows) vstore_bf16_n(out + r * ld + d, acc[r][0] * s[r], least(hd - d, VL));
  }
}

static void attention_bf16(const dgam_attention_job *job) {
  size_t n = job->n, hd = job->hd, np = job->np, hdp = (hd + 15) / 16 * 16, hw = hdp / 2, nq = (n + R - 1) / R * R;
  uint32_t *q = (uint32_t *)job->scratch, *kt = q + nq * hw, *v = kt + hw * np, *p = v + np / 2 * hdp;
  float *s = (float *)(p + R * np / 2);
  word_rows(job->q, n, hd, job->ld, q, nq, hw);
  word_columns(job->k, n, hd, job->ld, kt, np, hw);
  word_weave(job->v, n, hd, job->ld, v, np, hdp);
  for (size_t i = 0; i < n; i += R) {
    const float *bias[R];
    int32_t mine[R];
    vf most[R];
    for (size_t r = 0; r < R; r++) {
      size_t row = least(i + r, n - 1);
      bias[r] = job->bias + row * np;
      mine[r] = job->region ? job->region[row] : 0;
      most[r] = vset(-3e38f);
    }
    size_t j = 0;
    for (; j + 2 * VL <= np; j += 2 * VL) {
      vf acc[R][2] = {{{0}}};
      pairs2(acc, q + i * hw, hw, 1, kt + j, np, hw);
      UNROLL for (size_t r = 0; r < R; r++) {
        vf x = score(acc[r][0] * job->scale, bias[r] + j, job->region ? job->region + j : NULL, mine[r]);
        vf y = score(acc[r][1] * job->scale, bias[r] + j + VL, job->region ? job->region + j + VL : NULL, mine[r]);
        vstore(s + r * np + j, x);
        vstore(s + r * np + j + VL, y);
        most[r] = vmax(most[r], vmax(x, y));
      }
    }
    for (; j < np; j += VL) {
      vf acc[R][1] = {{{0}}};
      pairs1(acc, q + i * hw, hw, 1, kt + j, np, hw);
      UNROLL for (size_t r = 0; r < R; r++) {
        vf x = score(acc[r][0] * job->scale, bias[r] + j, job->region ? job->region + j : NULL, mine[r]);
        vstore(s + r * np + j, x);
        most[r] = vmax(most[r], x);
      }
    }
    float inverse[R];
    for (size_t r = 0; r < R; r++) {
      float m = vhmax(most[r]);
      vf top = vset(m * LOG2E), sum = {0};
      uint16_t *to = (uint16_t *)(p + r * np / 2);
      for (j = 0; j + 2 * VL <= np; j += 2 * VL) {
        vf x = vexp2(vload(s + r * np + j) * LOG2E - top), y = vexp2(vload(s + r * np + j + VL) * LOG2E - top);
        _mm512_storeu_si512(to + j, narrow2(x, y));
        sum += x + y;
      }
      for (; j < np; j += VL) {
        vf x = vexp2(vload(s + r * np + j) * LOG2E - top);
        vstore_bf16(to + j, x);
        sum += x;
      }
      float total = vsum(sum);
      inverse[r] = 1.f / total;
      if (job->lse && i + r < n) job->lse[i + r] = m + logf(total);
    }
    put_product((uint16_t *)job->out + i * job->ldo, job->ldo, least(R, n - i), hd, p, v, hdp, np / 2, inverse);
  }
}

/* to (n.., hdp) += A^T B: A woven (depth, np), B woven (depth, hdp). */
VEC void add_woven(float *to, size_t n, size_t hdp, const uint32_t *a, size_t np, const uint32_t *b, size_t depth) {
  for (size_t j = 0; j < n; j += R) {
    size_t d = 0;
    for (; d + 2 * VL <= hdp; d += 2 * VL) {
      vf acc[R][2];
      UNROLL for (size_t r = 0; r < R; r++) {
        acc[r][0] = vload(to + (j + r) * hdp + d);
        acc[r][1] = vload(to + (j + r) * hdp + d + VL);
      }
      pairs2(acc, a + j, 1, np, b + d, hdp, depth);
      UNROLL for (size_t r = 0; r < R; r++) {
        vstore(to + (j + r) * hdp + d, acc[r][0]);
        vstore(to + (j + r) * hdp + d + VL, acc[r][1]);
      }
    }
    for (; d < hdp; d += VL) {
      vf acc[R][1];
      UNROLL for (size_t r = 0; r < R; r++) acc[r][0] = vload(to + (j + r) * hdp + d);
      pairs1(acc, a + j, 1, np, b + d, hdp, depth);
      UNROLL for (size_t r = 0; r < R; r++) vstore(to + (j + r) * hdp + d, acc[r][0]);
    }
  }
}

/* dS of a pair of rows from P and dP at key j, added to dbias where the row exists. */
VEC vf slope(const float *p, const float *dp, vf dot, float *dbias) {
  vf g = vload(p) * (vload(dp) - dot);
  if (dbias) vstore(dbias, vload(dbias) + g);
  return g;
}

static void attention_grad_bf16(const dgam_attention_job *job) {
  size_t n = job->n, hd = job->hd, np = job->np, hdp = (hd + 15) / 16 * 16, hw = hdp / 2;
  size_t nq = (n + RB - 1) / RB * RB, nr = (n + R - 1) / R * R;
  uint32_t *q = (uint32_t *)job->scratch, *go = q + nq * hw, *kt = go + nq * hw, *vt = kt + hw * np;
  uint32_t *k = vt + hw * np, *qw = k + np / 2 * hdp, *gw = qw + nq / 2 * hdp;
  float *dk = (float *)(gw + nq / 2 * hdp), *dv = dk + nr * hdp, *pf = dv + nr * hdp, *sf = pf + R * np;
  uint32_t *ds = (uint32_t *)(sf + R * np), *pw = ds + R * np / 2, *sw = pw + RB / 2 * np + R;
  word_rows(job->q, n, hd, job->ld, q, nq, hw);
  word_rows(job->dout, n, hd, job->ldo, go, nq, hw);
  word_columns(job->k, n, hd, job->ld, kt, np, hw);
  word_columns(job->v, n, hd, job->ld, vt, np, hw);
  word_weave(job->k, n, hd, job->ld, k, np, hdp);
  word_weave(job->q, n, hd, job->ld, qw, nq, hdp);
  word_weave(job->dout, n, hd, job->ldo, gw, nq, hdp);
  memset(dk, 0, 2 * nr * hdp * sizeof *dk);
  memset(pw + RB / 2 * np, 0, R * sizeof *pw);
  memset(sw + RB / 2 * np, 0, R * sizeof *sw);
  float scales[R];
  for (size_t r = 0; r < R; r++) scales[r] = job->scale;
  for (size_t i = 0; i < n; i += RB) {
    size_t depth = i + R < n ? RB : R;
    for (size_t t = 0; t < depth; t += R) {
      const float *bias[R];
      int32_t mine[R];
      float lse[R];
      vf dot[R];
      for (size_t r = 0; r < R; r++) {
        size_t row = least(i + t + r, n - 1);
        bias[r] = job->bias + row * np;
        mine[r] = job->region ? job->region[row] : 0;
        lse[r] = i + t + r < n ? job->lse[row] * LOG2E : 1e30f; /* rows past the end: P = 0 */
        dot[r] = vset(0.f);
      }
      size_t j = 0;
      for (; j + 2 * VL <= np; j += 2 * VL) {
        vf acc[R][2] = {{{0}}};
        pairs2(acc, q + (i + t) * hw, hw, 1, kt + j, np, hw);
        UNROLL for (size_t r = 0; r < R; r++) {
          vf x = score(acc[r][0] * job->scale, bias[r] + j, job->region ? job->region + j : NULL, mine[r]);
          vf y = score(acc[r][1] * job->scale, bias[r] + j + VL, job->region ? job->region + j + VL : NULL, mine[r]);
          vstore(pf + r * np + j, vexp2(x * LOG2E - lse[r]));
          vstore(pf + r * np + j + VL, vexp2(y * LOG2E - lse[r]));
        }
        vf grad[R][2] = {{{0}}};
        pairs2(grad, go + (i + t) * hw, hw, 1, vt + j, np, hw);
        UNROLL for (size_t r = 0; r < R; r++) {
          dot[r] += grad[r][0] * vload(pf + r * np + j) + grad[r][1] * vload(pf + r * np + j + VL);
          vstore(sf + r * np + j, grad[r][0]);
          vstore(sf + r * np + j + VL, grad[r][1]);
        }
      }
      for (; j < np; j += VL) {
        vf acc[R][1] = {{{0}}};
        pairs1(acc, q + (i + t) * hw, hw, 1, kt + j, np, hw);
        UNROLL for (size_t r = 0; r < R; r++) {
          vf x = score(acc[r][0] * job->scale, bias[r] + j, job->region ? job->region + j : NULL, mine[r]);
          vstore(pf + r * np + j, vexp2(x * LOG2E - lse[r]));
        }
        vf grad[R][1] = {{{0}}};
        pairs1(grad, go + (i + t) * hw, hw, 1, vt + j, np, hw);
        UNROLL for (size_t r = 0; r < R; r++) {
          dot[r] += grad[r][0] * vload(pf + r * np + j);
          vstore(sf + r * np + j, grad[r][0]);
        }
      }
      for (size_t r = 0; r < R; r += 2) {
        vf d0 = vset(vsum(dot[r])), d1 = vset(vsum(dot[r + 1]));
        const float *p0 = pf + r * np, *p1 = p0 + np, *s0 = sf + r * np, *s1 = s0 + np;
        float *b0 = job->dbias && i + t + r < n ? job->dbias + (i + t + r) * np : NULL;
        float *b1 = b0 && i + t + r + 1 < n ? b0 + np : NULL;
        uint16_t *row0 = (uint16_t *)(ds + r * np / 2), *row1 = row0 + np;
        uint32_t *pairs = pw + (t + r) / 2 * np, *slopes = sw + (t + r) / 2 * np;
        for (j = 0; j + 2 * VL <= np; j += 2 * VL) {
          size_t h = j + VL;
          vf g00 = slope(p0 + j, s0 + j, d0, b0 ? b0 + j : NULL), g01 = slope(p0 + h, s0 + h, d0, b0 ? b0 + h : NULL);
          vf g10 = slope(p1 + j, s1 + j, d1, b1 ? b1 + j : NULL), g11 = slope(p1 + h, s1 + h, d1, b1 ? b1 + h : NULL);
          _mm512_storeu_si512(row0 + j, narrow2(g00, g01));
          _mm512_storeu_si512(row1 + j, narrow2(g10, g11));
          _mm512_storeu_si512(slopes + j, weave2(g00, g10));
          _mm512_storeu_si512(slopes + h, weave2(g01, g11));
          _mm512_storeu_si512(pairs + j, weave2(vload(p0 + j), vload(p1 + j)));
          _mm512_storeu_si512(pairs + h, weave2(vload(p0 + h), vload(p1 + h)));
        }
        for (; j < np; j += VL) {
          vf g0 = slope(p0 + j, s0 + j, d0, b0 ? b0 + j : NULL), g1 = slope(p1 + j, s1 + j, d1, b1 ? b1 + j : NULL);
          vstore_bf16(row0 + j, g0);
          vstore_bf16(row1 + j, g1);
          _mm512_storeu_si512(slopes + j, weave2(g0, g1));
          _mm512_storeu_si512(pairs + j, weave2(vload(p0 + j), vload(p1 + j)));
        }
      }
      put_product((uint16_t *)job->dq + (i + t) * job->ld, job->ld, least(R, n - i - t), hd, ds, k, hdp, np / 2, scales);
    }
    add_woven(dv, n, hdp, pw, np, gw + i / 2 * hdp, depth / 2);
    add_woven(dk, n, hdp, sw, np, qw + i / 2 * hdp, depth / 2);
  }
  unpack_rows(dk, n, hd, hdp, job->scale, job->dk, job->ld, 1);
  unpack_rows(dv, n, hd, hdp, 1.f, job->dv, job->ld, 1);
}
