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

/* x (tokens, hd) with row stride ld -> to (rows, hdp) fp32, times s; padding rows and columns 0. */
VEC void pack_rows(const void *x, size_t tokens, size_t hd, size_t ld, int bf, float s, float *to, size_t rows, size_t hdp) {
  for (size_t i = 0; i < rows; i++)
    for (size_t d = 0; d < hdp; d += VL) {
      size_t w = i >= tokens || d >= hd ? 0 : hd - d < VL ? hd - d : VL;
      vf v = {0};
      if (w == VL) v = vget(x, i * ld + d, bf) * s;
      else if (w) v = vget_n(x, i * ld + d, w, bf) * s;
      vstore(to + i * hdp + d, v);
    }
}

/* x (tokens, hd) with row stride ld -> to (hdp, padded) fp32, times s; columns from tokens on 0. */
VEC void pack_columns(const void *x, size_t tokens, size_t hd, size_t ld, int bf, float s, float *to, size_t padded, size_t hdp) {
  for (size_t j = 0; j < padded; j += VL)
    for (size_t d = 0; d < hdp; d += VL) {
      vf a[VL];
      size_t w = hd - d < VL ? hd - d : VL;
      UNROLL for (size_t q = 0; q < VL; q++) {
        a[q] = vset(0.f);
        if (j + q < tokens) a[q] = (w == VL ? vget(x, (j + q) * ld + d, bf) : vget_n(x, (j + q) * ld + d, w, bf)) * s;
      }
      vtranspose(a);
      UNROLL for (size_t q = 0; q < VL; q++) vstore(to + (d + q) * padded + j, a[q]);
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
    size_t row = least(i + r, job->tokens - 1);
    t->bias[r] = job->bias + row * job->padded;
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

/* s (R, padded) = scores; most[r]: their maxima, lane by lane. */
VEC void scores(const query_rows *t, const float *q, const float *kt, size_t padded, size_t depth, float *s, vf most[R],
                int words) {
  size_t j = 0;
  for (; j + 2 * VL <= padded; j += 2 * VL) {
    vf acc[R][2] = {{{0}}};
    product2(acc, q, depth, 1, kt + j, padded, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      vf x = score(t, r, j, acc[r][0], words), y = score(t, r, j + VL, acc[r][1], words);
      vstore(s + r * padded + j, x);
      vstore(s + r * padded + j + VL, y);
      most[r] = vmax(most[r], vmax(x, y));
    }
  }
  for (; j < padded; j += VL) {
    vf acc[R][1] = {{{0}}};
    product1(acc, q, depth, 1, kt + j, padded, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      vf x = score(t, r, j, acc[r][0], words);
      vstore(s + r * padded + j, x);
      most[r] = vmax(most[r], x);
    }
  }
}

/* Rows i.. of out (tokens, hd) = the rows of A B that exist, times s[r]: A (R, ..) with row stride ra, B (depth, hdp). */
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

/* Scores to e^(score - most), to `narrow` (R, padded) rounded if it is not NULL; inverse[r]: 1 / their sum. */
VEC void exponentials(const dgam_attention_job *job, size_t i, float *s, const vf most[R], float inverse[R],
                      uint16_t *narrow) {
  size_t padded = job->padded;
  for (size_t r = 0; r < R; r++) {
    float m = vhmax(most[r]);
    vf top = vset(m * LOG2E), sum = {0};
    for (size_t j = 0; j < padded; j += VL) {
      vf p = vexp2(vload(s + r * padded + j) * LOG2E - top);
      if (narrow) vstore_bf16(narrow + r * padded + j, p);
      else vstore(s + r * padded + j, p);
      sum += p;
    }
    float total = vsum(sum);
    inverse[r] = 1.f / total;
    if (job->lse && i + r < job->tokens) job->lse[i + r] = m + logf(total);
  }
}

VEC void attention_typed(const dgam_attention_job *job, int bf) {
  size_t tokens = job->tokens, hd = job->hd, padded = job->padded, hdp = (hd + VL - 1) / VL * VL, nq = (tokens + R - 1) / R * R;
  float *q = job->scratch, *kt = q + nq * hdp, *v = kt + padded * hdp, *s = v + padded * hdp;
  pack_rows(job->q, tokens, hd, job->ld, bf, job->scale, q, nq, hdp);
  pack_columns(job->k, tokens, hd, job->ld, bf, 1.f, kt, padded, hdp);
  pack_rows(job->v, tokens, hd, job->ld, bf, 1.f, v, tokens, hdp);
  for (size_t i = 0; i < tokens; i += R) {
    query_rows t;
    vf most[R];
    float inverse[R];
    rows_from(job, i, &t, 0);
    for (size_t r = 0; r < R; r++) most[r] = vset(-3e38f);
    scores(&t, q + i * hdp, kt, padded, hdp, s, most, 0);
    exponentials(job, i, s, most, inverse, NULL);
    put_product(job->out, job->ldo, i, least(R, tokens - i), hd, s, padded, v, hdp, tokens, inverse, bf, 0);
  }
}

#define TILES 2        /* register tiles of query rows handled together in backward */
#define RB (TILES * R) /* so the sums over queries are loaded and stored once in RB rows */

/* p (R, padded) = e^(score - lse), dp = dO V^T; dot[r]: p dp, lane by lane. */
VEC void probabilities(const query_rows *t, const float *lse, const float *q, const float *go, const float *kt,
                       const float *vt, size_t padded, size_t depth, float *p, float *dp, vf dot[R], int words) {
  size_t j = 0;
  for (; j + 2 * VL <= padded; j += 2 * VL) {
    vf acc[R][2] = {{{0}}};
    product2(acc, q, depth, 1, kt + j, padded, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      vstore(p + r * padded + j, vexp2(score(t, r, j, acc[r][0], words) * LOG2E - lse[r]));
      vstore(p + r * padded + j + VL, vexp2(score(t, r, j + VL, acc[r][1], words) * LOG2E - lse[r]));
    }
    vf grad[R][2] = {{{0}}};
    product2(grad, go, depth, 1, vt + j, padded, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      dot[r] += grad[r][0] * vload(p + r * padded + j) + grad[r][1] * vload(p + r * padded + j + VL);
      vstore(dp + r * padded + j, grad[r][0]);
      vstore(dp + r * padded + j + VL, grad[r][1]);
    }
  }
  for (; j < padded; j += VL) {
    vf acc[R][1] = {{{0}}};
    product1(acc, q, depth, 1, kt + j, padded, depth, words);
    UNROLL for (size_t r = 0; r < R; r++)
      vstore(p + r * padded + j, vexp2(score(t, r, j, acc[r][0], words) * LOG2E - lse[r]));
    vf grad[R][1] = {{{0}}};
    product1(grad, go, depth, 1, vt + j, padded, depth, words);
    UNROLL for (size_t r = 0; r < R; r++) {
      dot[r] += grad[r][0] * vload(p + r * padded + j);
      vstore(dp + r * padded + j, grad[r][0]);
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
    lse[r] = i + r < job->tokens ? job->lse[i + r] * LOG2E : 1e30f; /* rows past the end: P = 0 */
    dot[r] = vset(0.f);
  }
  probabilities(&t, lse, q, go, kt, vt, job->padded, depth, p, dp, dot, words);
}

/* dS at one vector of keys from P and dP, added to dbias where the row exists. */
VEC vf slope(const float *p, const float *dp, vf dot, float *dbias) {
  vf g = vload(p) * (vload(dp) - dot);
  if (dbias) vstore(dbias, vload(dbias) + g);
  return g;
}

/* to (tokens.., hdp) += A^T B: A (depth, padded), B (depth, hdp). */
VEC void add_transposed(float *to, size_t tokens, size_t hdp, const float *a, size_t padded, const float *b, size_t depth,
                        int words) {
  for (size_t j = 0; j < tokens; j += R) {
    size_t d = 0;
    for (; d + 2 * VL <= hdp; d += 2 * VL) {
      vf acc[R][2];
      UNROLL for (size_t r = 0; r < R; r++) {
        acc[r][0] = vload(to + (j + r) * hdp + d);
        acc[r][1] = vload(to + (j + r) * hdp + d + VL);
      }
      product2(acc, a + j, 1, padded, b + d, hdp, depth, words);
      UNROLL for (size_t r = 0; r < R; r++) {
        vstore(to + (j + r) * hdp + d, acc[r][0]);
        vstore(to + (j + r) * hdp + d + VL, acc[r][1]);
      }
    }
    for (; d < hdp; d += VL) {
      vf acc[R][1];
      UNROLL for (size_t r = 0; r < R; r++) acc[r][0] = vload(to + (j + r) * hdp + d);
      product1(acc, a + j, 1, padded, b + d, hdp, depth, words);
      UNROLL for (size_t r = 0; r < R; r++) vstore(to + (j + r) * hdp + d, acc[r][0]);
    }
  }
}

VEC void unpack_rows(const float *x, size_t tokens, size_t hd, size_t hdp, float s, void *to, size_t ld, int bf) {
  for (size_t i = 0; i < tokens; i++)
    for (size_t d = 0; d < hd; d += VL) {
      if (hd - d >= VL) vput(to, i * ld + d, vload(x + i * hdp + d) * s, bf);
      else vput_n(to, i * ld + d, vload(x + i * hdp + d) * s, hd - d, bf);
    }
}

/* P = exp(S - lse), dP = dO V^T, dS = P (dP - rowsum(P dP)); dV = P^T dO, dQ = scale dS K, dK = scale dS^T Q. */
VEC void attention_grad_typed(const dgam_attention_job *job, int bf) {
  size_t tokens = job->tokens, hd = job->hd, padded = job->padded, hdp = (hd + VL - 1) / VL * VL;
  size_t nq = (tokens + RB - 1) / RB * RB, nr = (tokens + R - 1) / R * R;
  float *q = job->scratch, *k = q + nq * hdp, *kt = k + padded * hdp, *vt = kt + padded * hdp, *go = vt + padded * hdp;
  float *dk = go + nq * hdp, *dv = dk + nr * hdp, *p = dv + nr * hdp, *ds = p + RB * padded + R, ones[R];
  pack_columns(job->v, tokens, hd, job->ld, bf, 1.f, vt, padded, hdp);
  pack_columns(job->k, tokens, hd, job->ld, bf, job->scale, kt, padded, hdp);
  pack_rows(job->k, tokens, hd, job->ld, bf, job->scale, k, tokens, hdp);
  pack_rows(job->q, tokens, hd, job->ld, bf, 1.f, q, nq, hdp);
  pack_rows(job->dout, tokens, hd, job->ldo, bf, 1.f, go, nq, hdp);
  memset(dk, 0, 2 * nr * hdp * sizeof *dk);
  memset(p + RB * padded, 0, R * sizeof *p);
  memset(ds + RB * padded, 0, R * sizeof *ds);
  for (size_t r = 0; r < R; r++) ones[r] = 1.f;
  for (size_t i = 0; i < tokens; i += RB) {
    size_t depth = i + R < tokens ? RB : R;
    for (size_t t = 0; t < depth; t += R) {
      float *pt = p + t * padded, *st = ds + t * padded;
      vf dot[R];
      probabilities_from(job, i + t, q + (i + t) * hdp, go + (i + t) * hdp, kt, vt, hdp, pt, st, dot, 0);
      for (size_t r = 0; r < R; r++) {
        vf d = vset(vsum(dot[r]));
        float *to = job->dbias && i + t + r < tokens ? job->dbias + (i + t + r) * padded : NULL;
        for (size_t j = 0; j < padded; j += VL)
          vstore(st + r * padded + j, slope(pt + r * padded + j, st + r * padded + j, d, to ? to + j : NULL));
      }
      put_product(job->dq, job->ld, i + t, least(R, tokens - i - t), hd, st, padded, k, hdp, tokens, ones, bf, 0);
    }
    add_transposed(dv, tokens, hdp, p, padded, go + i * hdp, depth, 0);
    add_transposed(dk, tokens, hdp, ds, padded, q + i * hdp, depth, 0);
  }
  unpack_rows(dk, tokens, hd, hdp, job->scale, job->dk, job->ld, bf);
  unpack_rows(dv, tokens, hd, hdp, 1.f, job->dv, job->ld, bf);
}

#ifdef __AVX512BF16__
static void attention_bf16(const dgam_attention_job *job) {
  size_t tokens = job->tokens, hd = job->hd, padded = job->padded, hdp = (hd + 15) / 16 * 16, hw = hdp / 2;
  size_t nq = (tokens + R - 1) / R * R;
  float *q = job->scratch, *kt = q + nq * hw, *v = kt + hw * padded, *p = v + padded / 2 * hdp, *s = p + R * padded / 2;
  word_rows(job->q, tokens, hd, job->ld, q, nq, hw);
  word_columns(job->k, tokens, hd, job->ld, kt, padded, hw);
  word_weave(job->v, tokens, hd, job->ld, v, padded, hdp);
  for (size_t i = 0; i < tokens; i += R) {
    query_rows t;
    vf most[R];
    float inverse[R];
    rows_from(job, i, &t, 1);
    for (size_t r = 0; r < R; r++) most[r] = vset(-3e38f);
    scores(&t, q + i * hw, kt, padded, hw, s, most, 1);
    exponentials(job, i, s, most, inverse, (uint16_t *)p);
    put_product(job->out, job->ldo, i, least(R, tokens - i), hd, p, padded / 2, v, hdp, padded / 2, inverse, 1, 1);
  }
}

static void attention_grad_bf16(const dgam_attention_job *job) {
  size_t tokens = job->tokens, hd = job->hd, padded = job->padded, hdp = (hd + 15) / 16 * 16, hw = hdp / 2;
  size_t nq = (tokens + RB - 1) / RB * RB, nr = (tokens + R - 1) / R * R;
  float *q = job->scratch, *go = q + nq * hw, *kt = go + nq * hw, *vt = kt + hw * padded, *k = vt + hw * padded;
  float *qw = k + padded / 2 * hdp, *gw = qw + nq / 2 * hdp, *dk = gw + nq / 2 * hdp, *dv = dk + nr * hdp;
  float *p = dv + nr * hdp, *dp = p + R * padded, *ds = dp + R * padded;
  float *pw = ds + R * padded / 2, *sw = pw + RB / 2 * padded + R;
  float scales[R];
  word_rows(job->q, tokens, hd, job->ld, q, nq, hw);
  word_rows(job->dout, tokens, hd, job->ldo, go, nq, hw);
  word_columns(job->k, tokens, hd, job->ld, kt, padded, hw);
  word_columns(job->v, tokens, hd, job->ld, vt, padded, hw);
  word_weave(job->k, tokens, hd, job->ld, k, padded, hdp);
  word_weave(job->q, tokens, hd, job->ld, qw, nq, hdp);
  word_weave(job->dout, tokens, hd, job->ldo, gw, nq, hdp);
  memset(dk, 0, 2 * nr * hdp * sizeof *dk);
  memset(pw + RB / 2 * padded, 0, R * sizeof *pw);
  memset(sw + RB / 2 * padded, 0, R * sizeof *sw);
  for (size_t r = 0; r < R; r++) scales[r] = job->scale;
  for (size_t i = 0; i < tokens; i += RB) {
    size_t depth = i + R < tokens ? RB : R;
    for (size_t t = 0; t < depth; t += R) {
      vf dot[R];
      probabilities_from(job, i + t, q + (i + t) * hw, go + (i + t) * hw, kt, vt, hw, p, dp, dot, 1);
      for (size_t r = 0; r < R; r += 2) {
        vf d[2] = {vset(vsum(dot[r])), vset(vsum(dot[r + 1]))};
        float *b[2] = {NULL, NULL};
        for (size_t e = 0; e < 2; e++)
          if (job->dbias && i + t + r + e < tokens) b[e] = job->dbias + (i + t + r + e) * padded;
        float *pairs = pw + (t + r) / 2 * padded, *woven = sw + (t + r) / 2 * padded;
        for (size_t j = 0; j < padded; j += VL) {
          vf g[2];
          UNROLL for (size_t e = 0; e < 2; e++) {
            size_t at = (r + e) * padded + j;
            g[e] = slope(p + at, dp + at, d[e], b[e] ? b[e] + j : NULL);
            vstore_bf16((uint16_t *)ds + at, g[e]);
          }
          vstore(woven + j, weave2(g[0], g[1]));
          vstore(pairs + j, weave2(vload(p + r * padded + j), vload(p + (r + 1) * padded + j)));
        }
      }
      put_product(job->dq, job->ld, i + t, least(R, tokens - i - t), hd, ds, padded / 2, k, hdp, padded / 2, scales, 1, 1);
    }
    add_transposed(dv, tokens, hdp, pw, padded, gw + i / 2 * hdp, depth / 2, 1);
    add_transposed(dk, tokens, hdp, sw, padded, qw + i / 2 * hdp, depth / 2, 1);
  }
  unpack_rows(dk, tokens, hd, hdp, job->scale, job->dk, job->ld, 1);
  unpack_rows(dv, tokens, hd, hdp, 1.f, job->dv, job->ld, 1);
}
#endif
