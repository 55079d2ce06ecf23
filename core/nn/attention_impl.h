/* attention_impl.h - window attention in registers; part of kernels_impl.h.
 *
 * Everything is a product of R rows by NV vectors kept in registers: acc[r][v] += A[r, k] B[k, v]. A element (r, k) is
 * at a[r ra + k ka]; a row of B is kb elements. Elements are fp32, or words of two bf16 that lie next to each other along
 * the sum (`words`, a constant at every call; see attention_bf16_impl.h); both take four bytes. */

VEC void tile2(vf acc[R][2], const float *a, size_t ra, size_t ka, const float *b, size_t kb, size_t depth) {
  for (size_t k = 0; k < depth; k++) {
    vf b0 = vload(b), b1 = vload(b + VL);
    UNROLL for (int r = 0; r < R; r++) {
      vf x = vset(a[(size_t)r * ra]);
      acc[r][0] += x * b0;
      acc[r][1] += x * b1;
    }
    a += ka, b += kb;
  }
}

VEC void tile1(vf acc[R][1], const float *a, size_t ra, size_t ka, const float *b, size_t kb, size_t depth) {
  for (size_t k = 0; k < depth; k++) {
    vf b0 = vload(b);
    UNROLL for (int r = 0; r < R; r++) acc[r][0] += vset(a[(size_t)r * ra]) * b0;
    a += ka, b += kb;
  }
}

#ifdef __AVX512BF16__
#include "nn/attention_bf16_impl.h"
#else
#define pairs2(...) (void)0 /* words are not used below that level */
#define pairs1(...) (void)0
#endif

VEC void product2(vf acc[R][2], const float *a, size_t ra, size_t ka, const float *b, size_t kb, size_t depth, int words) {
  if (words) pairs2(acc, (const word *)a, ra, ka, (const word *)b, kb, depth);
  else tile2(acc, a, ra, ka, b, kb, depth);
}

VEC void product1(vf acc[R][1], const float *a, size_t ra, size_t ka, const float *b, size_t kb, size_t depth, int words) {
  if (words) pairs1(acc, (const word *)a, ra, ka, (const word *)b, kb, depth);
  else tile1(acc, a, ra, ka, b, kb, depth);
}

VEC size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* x (n, hd) with row stride ld -> to (rows, hdp) fp32, times s; padding rows and columns 0. */
VEC void pack_rows(const void *x, size_t n, size_t hd, size_t ld, int bf, float s, float *to, size_t rows, size_t hdp) {
  for (size_t i = 0; i < rows; i++)
    for (size_t d = 0; d < hdp; d += VL) {
      size_t w = i >= n || d >= hd ? 0 : hd - d < VL ? hd - d : VL;
      vf v = {0};
      if (w == VL) v = vget(x, i * ld + d, bf) * s;
      else if (w) v = vget_n(x, i * ld + d, w, bf) * s;
      vstore(to + i * hdp + d, v);
    }
}

/* x (n, hd) with row stride ld -> to (hdp, np) fp32, times s; columns from n on 0. */
VEC void pack_columns(const void *x, size_t n, size_t hd, size_t ld, int bf, float s, float *to, size_t np, size_t hdp) {
  for (size_t j = 0; j < np; j += VL)
    for (size_t d = 0; d < hdp; d += VL) {
      vf a[VL];
      size_t w = hd - d < VL ? hd - d : VL;
      UNROLL for (size_t q = 0; q < VL; q++) {
        a[q] = vset(0.f);
        if (j + q < n) a[q] = (w == VL ? vget(x, (j + q) * ld + d, bf) : vget_n(x, (j + q) * ld + d, w, bf)) * s;
      }
      vtranspose(a);
      UNROLL for (size_t q = 0; q < VL; q++) vstore(to + (d + q) * np + j, a[q]);
    }
}

/* R query rows under way. */
typedef struct query_rows {
  const float *bias[R];
  const int32_t *region;
  int32_t mine[R];
  float scale; /* what scores are still to be multiplied by */
} query_rows;

VEC void rows_from(const dgam_attention_job *job, size_t i, query_rows *t, int words) {
  t->region = job->region;
  t->scale = words ? job->scale : 1.f; /* fp32 operands are multiplied as they are packed */
  for (size_t r = 0; r < R; r++) {
    size_t row = least(i + r, job->n - 1);
    t->bias[r] = job->bias + row * job->np;
    t->mine[r] = job->region ? job->region[row] : 0;
  }
}

/* Scores of row r and one vector of keys: product + position bias, -100 where the regions differ. */
VEC vf score(const query_rows *t, size_t r, size_t j, vf s, int words) {
  if (words) s *= t->scale;
  s += vload(t->bias[r] + j);
  if (t->region) {
    vi reg;
    memcpy(&reg, t->region + j, sizeof reg);
    s += (vf)((vi)(reg != t->mine[r]) & (vi)vset(-100.f));
  }
  return s;
}

/* s (R, np) = scores; most[r]: their maxima, lane by lane. */
VEC void scores(const query_rows *t, const float *q, const float *kt, size_t np, size_t depth, float *s, vf most[R],
                int words) {
  size_t j = 0;
  for (; j + 2 * VL <= np; j += 2 * VL) {
    vf acc[R][2] = {{{0}}};
    product2(acc, q, depth, 1, kt + j, np, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      vf x = score(t, r, j, acc[r][0], words), y = score(t, r, j + VL, acc[r][1], words);
      vstore(s + r * np + j, x);
      vstore(s + r * np + j + VL, y);
      most[r] = vmax(most[r], vmax(x, y));
    }
  }
  for (; j < np; j += VL) {
    vf acc[R][1] = {{{0}}};
    product1(acc, q, depth, 1, kt + j, np, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      vf x = score(t, r, j, acc[r][0], words);
      vstore(s + r * np + j, x);
      most[r] = vmax(most[r], x);
    }
  }
}

/* Rows i.. of out (n, hd) = the rows of A B that exist, times s[r]: A (R, ..) with row stride ra, B (depth, hdp). */
VEC void put_product(void *out, size_t ld, size_t i, size_t rows, size_t hd, const float *a, size_t ra, const float *b,
                     size_t hdp, size_t depth, const float *s, int bf, int words) {
  size_t d = 0;
  for (; d + 2 * VL <= hdp; d += 2 * VL) {
    vf acc[R][2] = {{{0}}};
    product2(acc, a, ra, 1, b + d, hdp, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      if (r >= rows) continue;
      vput(out, (i + r) * ld + d, acc[r][0] * s[r], bf);
      if (hd - d >= 2 * VL) vput(out, (i + r) * ld + d + VL, acc[r][1] * s[r], bf);
      else vput_n(out, (i + r) * ld + d + VL, acc[r][1] * s[r], hd - d - VL, bf);
    }
  }
  for (; d < hdp; d += VL) {
    vf acc[R][1] = {{{0}}};
    product1(acc, a, ra, 1, b + d, hdp, depth, words);
    UNROLL for (size_t r = 0; r < R; r++)
      if (r < rows) vput_n(out, (i + r) * ld + d, acc[r][0] * s[r], least(hd - d, VL), bf);
  }
}

/* Scores to e^(score - most), to `narrow` (R, np) rounded if it is not NULL; inverse[r]: 1 / their sum. */
VEC void exponentials(const dgam_attention_job *job, size_t i, float *s, const vf most[R], float inverse[R],
                      uint16_t *narrow) {
  size_t np = job->np;
  for (size_t r = 0; r < R; r++) {
    float m = vhmax(most[r]);
    vf top = vset(m * LOG2E), sum = {0};
    for (size_t j = 0; j < np; j += VL) {
      vf p = vexp2(vload(s + r * np + j) * LOG2E - top);
      if (narrow) vstore_bf16(narrow + r * np + j, p);
      else vstore(s + r * np + j, p);
      sum += p;
    }
    float total = vsum(sum);
    inverse[r] = 1.f / total;
    if (job->lse && i + r < job->n) job->lse[i + r] = m + logf(total);
  }
}

VEC void attention_typed(const dgam_attention_job *job, int bf) {
  size_t n = job->n, hd = job->hd, np = job->np, hdp = (hd + VL - 1) / VL * VL, nq = (n + R - 1) / R * R;
  float *q = job->scratch, *kt = q + nq * hdp, *v = kt + np * hdp, *s = v + np * hdp;
  pack_rows(job->q, n, hd, job->ld, bf, job->scale, q, nq, hdp);
  pack_columns(job->k, n, hd, job->ld, bf, 1.f, kt, np, hdp);
  pack_rows(job->v, n, hd, job->ld, bf, 1.f, v, n, hdp);
  for (size_t i = 0; i < n; i += R) {
    query_rows t;
    vf most[R];
    float inverse[R];
    rows_from(job, i, &t, 0);
    for (size_t r = 0; r < R; r++) most[r] = vset(-3e38f);
    scores(&t, q + i * hdp, kt, np, hdp, s, most, 0);
    exponentials(job, i, s, most, inverse, NULL);
    put_product(job->out, job->ldo, i, least(R, n - i), hd, s, np, v, hdp, n, inverse, bf, 0);
  }
}

#define TILES 2        /* register tiles of query rows handled together in backward */
#define RB (TILES * R) /* so the sums over queries are loaded and stored once in RB rows */

/* p (R, np) = e^(score - lse), dp = dO V^T; dot[r]: p dp, lane by lane. */
VEC void probabilities(const query_rows *t, const float *lse, const float *q, const float *go, const float *kt,
                       const float *vt, size_t np, size_t depth, float *p, float *dp, vf dot[R], int words) {
  size_t j = 0;
  for (; j + 2 * VL <= np; j += 2 * VL) {
    vf acc[R][2] = {{{0}}};
    product2(acc, q, depth, 1, kt + j, np, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      vstore(p + r * np + j, vexp2(score(t, r, j, acc[r][0], words) * LOG2E - lse[r]));
      vstore(p + r * np + j + VL, vexp2(score(t, r, j + VL, acc[r][1], words) * LOG2E - lse[r]));
    }
    vf grad[R][2] = {{{0}}};
    product2(grad, go, depth, 1, vt + j, np, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      dot[r] += grad[r][0] * vload(p + r * np + j) + grad[r][1] * vload(p + r * np + j + VL);
      vstore(dp + r * np + j, grad[r][0]);
      vstore(dp + r * np + j + VL, grad[r][1]);
    }
  }
  for (; j < np; j += VL) {
    vf acc[R][1] = {{{0}}};
    product1(acc, q, depth, 1, kt + j, np, depth, words);
    UNROLL for (size_t r = 0; r < R; r++)
      vstore(p + r * np + j, vexp2(score(t, r, j, acc[r][0], words) * LOG2E - lse[r]));
    vf grad[R][1] = {{{0}}};
    product1(grad, go, depth, 1, vt + j, np, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      dot[r] += grad[r][0] * vload(p + r * np + j);
      vstore(dp + r * np + j, grad[r][0]);
    }
  }
}

/* The same for the rows from i on; fills in what they need. */
VEC void probabilities_from(const dgam_attention_job *job, size_t i, const float *q, const float *go, const float *kt,
                            const float *vt, size_t depth, float *p, float *dp, vf dot[R], int words) {
  query_rows t;
  float lse[R];
  rows_from(job, i, &t, words);
  for (size_t r = 0; r < R; r++) {
    lse[r] = i + r < job->n ? job->lse[i + r] * LOG2E : 1e30f; /* rows past the end: P = 0 */
    dot[r] = vset(0.f);
  }
  probabilities(&t, lse, q, go, kt, vt, job->np, depth, p, dp, dot, words);
}

/* dS at one vector of keys from P and dP, added to dbias where the row exists. */
VEC vf slope(const float *p, const float *dp, vf dot, float *dbias) {
  vf g = vload(p) * (vload(dp) - dot);
  if (dbias) vstore(dbias, vload(dbias) + g);
  return g;
}

/* to (n.., hdp) += A^T B: A (depth, np), B (depth, hdp). */
VEC void add_transposed(float *to, size_t n, size_t hdp, const float *a, size_t np, const float *b, size_t depth,
                        int words) {
  for (size_t j = 0; j < n; j += R) {
    size_t d = 0;
    for (; d + 2 * VL <= hdp; d += 2 * VL) {
      vf acc[R][2];
      UNROLL for (size_t r = 0; r < R; r++) {
        acc[r][0] = vload(to + (j + r) * hdp + d);
        acc[r][1] = vload(to + (j + r) * hdp + d + VL);
      }
      product2(acc, a + j, 1, np, b + d, hdp, depth, words);
      UNROLL for (size_t r = 0; r < R; r++) {
        vstore(to + (j + r) * hdp + d, acc[r][0]);
        vstore(to + (j + r) * hdp + d + VL, acc[r][1]);
      }
    }
    for (; d < hdp; d += VL) {
      vf acc[R][1];
      UNROLL for (size_t r = 0; r < R; r++) acc[r][0] = vload(to + (j + r) * hdp + d);
      product1(acc, a + j, 1, np, b + d, hdp, depth, words);
      UNROLL for (size_t r = 0; r < R; r++) vstore(to + (j + r) * hdp + d, acc[r][0]);
    }
  }
}

VEC void unpack_rows(const float *x, size_t n, size_t hd, size_t hdp, float s, void *to, size_t ld, int bf) {
  for (size_t i = 0; i < n; i++)
    for (size_t d = 0; d < hd; d += VL) {
      if (hd - d >= VL) vput(to, i * ld + d, vload(x + i * hdp + d) * s, bf);
      else vput_n(to, i * ld + d, vload(x + i * hdp + d) * s, hd - d, bf);
    }
}

/* P = exp(S - lse), dP = dO V^T, dS = P (dP - rowsum(P dP)); dV = P^T dO, dQ = scale dS K, dK = scale dS^T Q. */
VEC void attention_grad_typed(const dgam_attention_job *job, int bf) {
  size_t n = job->n, hd = job->hd, np = job->np, hdp = (hd + VL - 1) / VL * VL, nq = (n + RB - 1) / RB * RB;
  size_t nr = (n + R - 1) / R * R;
  float *q = job->scratch, *k = q + nq * hdp, *kt = k + np * hdp, *vt = kt + np * hdp, *go = vt + np * hdp;
  float *dk = go + nq * hdp, *dv = dk + nr * hdp, *p = dv + nr * hdp, *ds = p + RB * np + R, ones[R];
  pack_columns(job->v, n, hd, job->ld, bf, 1.f, vt, np, hdp);
  pack_columns(job->k, n, hd, job->ld, bf, job->scale, kt, np, hdp);
  pack_rows(job->k, n, hd, job->ld, bf, job->scale, k, n, hdp);
  pack_rows(job->q, n, hd, job->ld, bf, 1.f, q, nq, hdp);
  pack_rows(job->dout, n, hd, job->ldo, bf, 1.f, go, nq, hdp);
  memset(dk, 0, 2 * nr * hdp * sizeof *dk);
  memset(p + RB * np, 0, R * sizeof *p);
  memset(ds + RB * np, 0, R * sizeof *ds);
  for (size_t r = 0; r < R; r++) ones[r] = 1.f;
  for (size_t i = 0; i < n; i += RB) {
    size_t depth = i + R < n ? RB : R;
    for (size_t t = 0; t < depth; t += R) {
      float *pt = p + t * np, *st = ds + t * np;
      vf dot[R];
      probabilities_from(job, i + t, q + (i + t) * hdp, go + (i + t) * hdp, kt, vt, hdp, pt, st, dot, 0);
      for (size_t r = 0; r < R; r++) {
        vf d = vset(vsum(dot[r]));
        float *to = job->dbias && i + t + r < n ? job->dbias + (i + t + r) * np : NULL;
        for (size_t j = 0; j < np; j += VL)
          vstore(st + r * np + j, slope(pt + r * np + j, st + r * np + j, d, to ? to + j : NULL));
      }
      put_product(job->dq, job->ld, i + t, least(R, n - i - t), hd, st, np, k, hdp, n, ones, bf, 0);
    }
    add_transposed(dv, n, hdp, p, np, go + i * hdp, depth, 0);
    add_transposed(dk, n, hdp, ds, np, q + i * hdp, depth, 0);
  }
  unpack_rows(dk, n, hd, hdp, job->scale, job->dk, job->ld, bf);
  unpack_rows(dv, n, hd, hdp, 1.f, job->dv, job->ld, bf);
}

#ifdef __AVX512BF16__
static void attention_bf16(const dgam_attention_job *job) {
  size_t n = job->n, hd = job->hd, np = job->np, hdp = (hd + 15) / 16 * 16, hw = hdp / 2, nq = (n + R - 1) / R * R;
  float *q = job->scratch, *kt = q + nq * hw, *v = kt + hw * np, *p = v + np / 2 * hdp, *s = p + R * np / 2;
  word_rows(job->q, n, hd, job->ld, q, nq, hw);
  word_columns(job->k, n, hd, job->ld, kt, np, hw);
  word_weave(job->v, n, hd, job->ld, v, np, hdp);
  for (size_t i = 0; i < n; i += R) {
    query_rows t;
    vf most[R];
    float inverse[R];
    rows_from(job, i, &t, 1);
    for (size_t r = 0; r < R; r++) most[r] = vset(-3e38f);
    scores(&t, q + i * hw, kt, np, hw, s, most, 1);
    exponentials(job, i, s, most, inverse, (uint16_t *)p);
    put_product(job->out, job->ldo, i, least(R, n - i), hd, p, np / 2, v, hdp, np / 2, inverse, 1, 1);
  }
}

static void attention_grad_bf16(const dgam_attention_job *job) {
  size_t n = job->n, hd = job->hd, np = job->np, hdp = (hd + 15) / 16 * 16, hw = hdp / 2;
  size_t nq = (n + RB - 1) / RB * RB, nr = (n + R - 1) / R * R;
  float *q = job->scratch, *go = q + nq * hw, *kt = go + nq * hw, *vt = kt + hw * np, *k = vt + hw * np;
  float *qw = k + np / 2 * hdp, *gw = qw + nq / 2 * hdp, *dk = gw + nq / 2 * hdp, *dv = dk + nr * hdp;
  float *p = dv + nr * hdp, *dp = p + R * np, *ds = dp + R * np, *pw = ds + R * np / 2, *sw = pw + RB / 2 * np + R;
  float scales[R];
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
  for (size_t r = 0; r < R; r++) scales[r] = job->scale;
  for (size_t i = 0; i < n; i += RB) {
    size_t depth = i + R < n ? RB : R;
    for (size_t t = 0; t < depth; t += R) {
      vf dot[R];
      probabilities_from(job, i + t, q + (i + t) * hw, go + (i + t) * hw, kt, vt, hw, p, dp, dot, 1);
      for (size_t r = 0; r < R; r += 2) {
        vf d[2] = {vset(vsum(dot[r])), vset(vsum(dot[r + 1]))};
        float *b[2] = {NULL, NULL};
        for (size_t e = 0; e < 2; e++)
          if (job->dbias && i + t + r + e < n) b[e] = job->dbias + (i + t + r + e) * np;
        float *pairs = pw + (t + r) / 2 * np, *woven = sw + (t + r) / 2 * np;
        for (size_t j = 0; j < np; j += VL) {
          vf g[2];
          UNROLL for (size_t e = 0; e < 2; e++) {
            size_t at = (r + e) * np + j;
            g[e] = slope(p + at, dp + at, d[e], b[e] ? b[e] + j : NULL);
            vstore_bf16((uint16_t *)ds + at, g[e]);
          }
          vstore(woven + j, weave2(g[0], g[1]));
          vstore(pairs + j, weave2(vload(p + r * np + j), vload(p + (r + 1) * np + j)));
        }
      }
      put_product(job->dq, job->ld, i + t, least(R, n - i - t), hd, ds, np / 2, k, hdp, np / 2, scales, 1, 1);
    }
    add_transposed(dv, n, hdp, pw, np, gw + i / 2 * hdp, depth / 2, 1);
    add_transposed(dk, n, hdp, sw, np, qw + i / 2 * hdp, depth / 2, 1);
  }
  unpack_rows(dk, n, hd, hdp, job->scale, job->dk, job->ld, 1);
  unpack_rows(dv, n, hd, hdp, 1.f, job->dv, job->ld, 1);
}
#endif
