/* kernels_impl.h - the kernels of kernels.h, written once in vectors of VL floats. Included by kernels_LEVEL.c, which
 * defines KERNELS (the name of the table) and R (rows of a register tile). */
#include <math.h>

#include "nn/kernels.h"
#include "nn/vec.h"

#define UNROLL _Pragma("GCC unroll 32")

/* --- LayerNorm --- */

VEC void layernorm_rows(size_t rows, size_t c, const float *x, const int32_t *index, const float *w, const float *b,
                        float eps, void *y, int bf, float *mean, float *rstd) {
  size_t full = c / VL * VL, rest = c - full;
  for (size_t r = 0; r < rows; r++) {
    if (index && index[r] < 0) {
      memset((char *)y + r * c * (bf ? 2 : 4), 0, c * (bf ? 2 : 4));
      continue;
    }
    size_t row = index ? (size_t)index[r] : r;
    const float *p = x + row * c;
    /* Two passes over a row that stays in the first-level cache: exact where one pass would cancel. */
    vf s0 = {0}, s1 = {0};
    size_t i = 0;
    for (; i + 2 * VL <= full; i += 2 * VL) s0 += vload(p + i), s1 += vload(p + i + VL);
    for (; i < full; i += VL) s0 += vload(p + i);
    if (rest) s1 += vload_n(p + full, rest);
    float mu = vsum(s0 + s1) / (float)c;
    vf vmu = vset(mu), q0 = {0}, q1 = {0};
    for (i = 0; i + 2 * VL <= full; i += 2 * VL) {
      vf d0 = vload(p + i) - vmu, d1 = vload(p + i + VL) - vmu;
      q0 += d0 * d0, q1 += d1 * d1;
    }
    for (; i < full; i += VL) {
      vf d = vload(p + i) - vmu;
      q0 += d * d;
    }
    float var = vsum(q0 + q1);
    for (i = full; i < c; i++) var += (p[i] - mu) * (p[i] - mu);
    float rs = 1.f / sqrtf(var / (float)c + eps);
    vf vrs = vset(rs);
    for (i = 0; i < full; i += VL) vput(y, r * c + i, (vload(p + i) - vmu) * vrs * vload(w + i) + vload(b + i), bf);
    if (rest)
      vput_n(y, r * c + full, (vload_n(p + full, rest) - vmu) * vrs * vload_n(w + full, rest) + vload_n(b + full, rest),
             rest, bf);
    if (mean) mean[row] = mu;
    if (rstd) rstd[row] = rs;
  }
}

static void layernorm(size_t rows, size_t c, const float *x, const int32_t *index, const float *w, const float *b,
                      float eps, void *y, int bf, float *mean, float *rstd) {
  if (bf) layernorm_rows(rows, c, x, index, w, b, eps, y, 1, mean, rstd);
  else layernorm_rows(rows, c, x, index, w, b, eps, y, 0, mean, rstd);
}

/* g = dy w, xhat = (x - mean) rstd:  dx = rstd (g - mean(g) - xhat mean(g xhat)) */
static void layernorm_grad(size_t rows, size_t c, const float *x, const int32_t *index, const float *w,
                           const float *mean, const float *rstd, const float *dy, const float *base, float *out,
                           float *dw, float *db) {
  size_t full = c / VL * VL, rest = c - full;
  for (size_t r = 0; r < rows; r++) {
    if (index && index[r] < 0) continue;
    size_t row = index ? (size_t)index[r] : r;
    const float *p = x + row * c, *d = dy + r * c;
    vf mu = vset(mean[row]), rs = vset(rstd[row]), s1 = {0}, s2 = {0};
    for (size_t i = 0; i < full; i += VL) {
      vf dv = vload(d + i), xh = (vload(p + i) - mu) * rs, g = dv * vload(w + i);
      vstore(dw + i, vload(dw + i) + dv * xh);
      vstore(db + i, vload(db + i) + dv);
      s1 += g, s2 += g * xh;
    }
    if (rest) {
      vf dv = vload_n(d + full, rest), xh = (vload_n(p + full, rest) - mu) * rs, g = dv * vload_n(w + full, rest);
      vstore_n(dw + full, vload_n(dw + full, rest) + dv * xh, rest);
      vstore_n(db + full, vload_n(db + full, rest) + dv, rest);
      s1 += g, s2 += g * xh; /* lanes past the end: dv is 0 there */
    }
    vf m1 = vset(vsum(s1) / (float)c), m2 = vset(vsum(s2) / (float)c);
    const float *o = base ? base + row * c : NULL;
    float *to = out + row * c;
    for (size_t i = 0; i < full; i += VL) {
      vf xh = (vload(p + i) - mu) * rs, g = vload(d + i) * vload(w + i);
      vf dx = rs * (g - m1 - xh * m2);
      vstore(to + i, o ? vload(o + i) + dx : dx);
    }
    if (rest) {
      vf xh = (vload_n(p + full, rest) - mu) * rs, g = vload_n(d + full, rest) * vload_n(w + full, rest);
      vf dx = rs * (g - m1 - xh * m2);
      vstore_n(to + full, o ? vload_n(o + full, rest) + dx : dx, rest);
    }
  }
}

/* --- GELU, exact: x Phi(x) --- */

VEC vf gelu1(vf x) { return x * 0.5f * (1.f + verf(x * 0.70710678f)); }

VEC void gelu_all(size_t n, const void *h, void *y, int bf) {
  size_t i = 0;
  for (; i + VL <= n; i += VL) vput(y, i, gelu1(vget(h, i, bf)), bf);
  if (i < n) vput_n(y, i, gelu1(vget_n(h, i, n - i, bf)), n - i, bf);
}

static void gelu(size_t n, const void *h, void *y, int bf) {
  if (bf) gelu_all(n, h, y, 1);
  else gelu_all(n, h, y, 0);
}

VEC void gelu_grad1(vf x, vf *y, vf *slope) {
  vf cdf = 0.5f + 0.5f * verf(x * 0.70710678f);
  *y = x * cdf;
  *slope = cdf + x * 0.39894228f * vexp(x * x * -0.5f);
}

VEC void gelu_grad_all(size_t n, const void *h, const void *dy, void *dh, void *y, int bf) {
  size_t i = 0;
  vf a, s;
  for (; i + VL <= n; i += VL) {
    gelu_grad1(vget(h, i, bf), &a, &s);
    vf d = vget(dy, i, bf) * s;
    if (y) vput(y, i, a, bf);
    vput(dh, i, d, bf);
  }
  if (i < n) {
    gelu_grad1(vget_n(h, i, n - i, bf), &a, &s);
    vf d = vget_n(dy, i, n - i, bf) * s;
    if (y) vput_n(y, i, a, n - i, bf);
    vput_n(dh, i, d, n - i, bf);
  }
}

static void gelu_grad(size_t n, const void *h, const void *dy, void *dh, void *y, int bf) {
  if (bf) gelu_grad_all(n, h, dy, dh, y, 1);
  else gelu_grad_all(n, h, dy, dh, y, 0);
}

/* --- moving rows --- */

VEC void gather_rows(size_t rows, size_t c, const float *x, const int32_t *index, float s, void *out, int bf) {
  size_t full = c / VL * VL, rest = c - full;
  for (size_t r = 0; r < rows; r++) {
    if (index && index[r] < 0) {
      memset((char *)out + r * c * (bf ? 2 : 4), 0, c * (bf ? 2 : 4));
      continue;
    }
    const float *p = x + (index ? (size_t)index[r] : r) * c;
    for (size_t i = 0; i < full; i += VL) vput(out, r * c + i, s * vload(p + i), bf);
    if (rest) vput_n(out, r * c + full, s * vload_n(p + full, rest), rest, bf);
  }
}

static void gather(size_t rows, size_t c, const float *x, const int32_t *index, float s, void *out, int bf) {
  if (bf) gather_rows(rows, c, x, index, s, out, 1);
  else gather_rows(rows, c, x, index, s, out, 0);
}

static void scatter(size_t rows, size_t c, const float *t, const int32_t *index, float s, const float *x, float *y) {
  size_t full = c / VL * VL, rest = c - full;
  for (size_t r = 0; r < rows; r++) {
    if (index && index[r] < 0) continue;
    size_t at = (index ? (size_t)index[r] : r) * c;
    for (size_t i = 0; i < full; i += VL) vstore(y + at + i, vload(x + at + i) + s * vload(t + r * c + i));
    if (rest)
      vstore_n(y + at + full, vload_n(x + at + full, rest) + s * vload_n(t + r * c + full, rest), rest);
  }
}

VEC void colsum_all(size_t rows, size_t c, const void *a, size_t ld, int bf, float *sum) {
  size_t j = 0;
  for (; j + 4 * VL <= c; j += 4 * VL) {
    vf s[4];
    UNROLL for (int q = 0; q < 4; q++) s[q] = vload(sum + j + (size_t)q * VL);
    for (size_t r = 0; r < rows; r++) UNROLL for (int q = 0; q < 4; q++) s[q] += vget(a, r * ld + j + (size_t)q * VL, bf);
    UNROLL for (int q = 0; q < 4; q++) vstore(sum + j + (size_t)q * VL, s[q]);
  }
  for (; j < c; j += VL) {
    size_t w = c - j < VL ? c - j : VL;
    vf s = vload_n(sum + j, w);
    for (size_t r = 0; r < rows; r++) s += vget_n(a, r * ld + j, w, bf);
    vstore_n(sum + j, s, w);
  }
}

static void colsum(size_t rows, size_t c, const void *a, size_t ld, int bf, float *sum) {
  if (bf) colsum_all(rows, c, a, ld, 1, sum);
  else colsum_all(rows, c, a, ld, 0, sum);
}

static void to_bf16(size_t n, const float *x, uint16_t *y) {
  size_t i = 0;
  for (; i + VL <= n; i += VL) vstore_bf16(y + i, vload(x + i));
  if (i < n) vstore_bf16_n(y + i, vload_n(x + i, n - i), n - i);
}

static void from_bf16(size_t n, const uint16_t *x, float *y) {
  size_t i = 0;
  for (; i + VL <= n; i += VL) vstore(y + i, vload_bf16(x + i));
  if (i < n) vstore_n(y + i, vload_bf16_n(x + i, n - i), n - i);
}

/* --- AdamW --- */

static void adamw(size_t n, float *p, const float *g, float *m, float *v, float keep, float b1, float beta2, float b2,
                  float step, float root, float eps) {
  for (size_t i = 0; i < n; i += VL) {
    size_t w = n - i < VL ? n - i : VL;
    int all = w == VL;
    vf gi = all ? vload(g + i) : vload_n(g + i, w), mi = all ? vload(m + i) : vload_n(m + i, w);
    vf si = all ? vload(v + i) : vload_n(v + i, w), pi = all ? vload(p + i) : vload_n(p + i, w);
    mi = mi + (gi - mi) * b1;
    si = si * beta2 + gi * gi * b2;
    pi = pi * keep - step * mi / (vsqrt(si) / root + eps);
    if (all) vstore(m + i, mi), vstore(v + i, si), vstore(p + i, pi);
    else vstore_n(m + i, mi, w), vstore_n(v + i, si, w), vstore_n(p + i, pi, w);
  }
}

/* --- window attention ---
 * Everything is a product of R rows by NV vectors kept in registers: acc[r][v] += A[r, k] B[k, v]. A element (r, k) is
 * at a[r ra + k ka]; a row of B is kb floats. */

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

/* rows (n.., hdp) -> to (hdp, np), columns from n on 0. */
VEC void transpose(const float *rows, size_t n, size_t hdp, float *to, size_t np) {
  for (size_t j = 0; j < np; j += VL)
    for (size_t d = 0; d < hdp; d++) {
      vf v = {0};
      for (size_t q = 0; q < VL; q++) v[q] = j + q < n ? rows[(j + q) * hdp + d] : 0.f;
      vstore(to + d * np + j, v);
    }
}

/* Scores of one vector of keys: product + position bias, -100 where the regions differ. */
VEC vf score(vf s, const float *bias, const int32_t *region, int32_t mine) {
  s += vload(bias);
  if (region) {
    vi reg;
    memcpy(&reg, region, sizeof reg);
    s += (vf)((vi)(reg != mine) & (vi)vset(-100.f));
  }
  return s;
}

VEC size_t least(size_t a, size_t b) { return a < b ? a : b; }

VEC void attention_typed(const dgam_attention_job *job, int bf) {
  size_t n = job->n, hd = job->hd, np = job->np, hdp = (hd + VL - 1) / VL * VL, nq = (n + R - 1) / R * R;
  float *q = job->scratch, *k = q + nq * hdp, *kt = k + np * hdp, *v = kt + np * hdp, *s = v + np * hdp;
  pack_rows(job->q, n, hd, job->ld, bf, job->scale, q, nq, hdp);
  pack_rows(job->k, n, hd, job->ld, bf, 1.f, k, n, hdp);
  pack_rows(job->v, n, hd, job->ld, bf, 1.f, v, n, hdp);
  transpose(k, n, hdp, kt, np);
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
      tile2(acc, q + i * hdp, hdp, 1, kt + j, np, hdp);
      UNROLL for (size_t r = 0; r < R; r++) {
        vf x = score(acc[r][0], bias[r] + j, job->region ? job->region + j : NULL, mine[r]);
        vf y = score(acc[r][1], bias[r] + j + VL, job->region ? job->region + j + VL : NULL, mine[r]);
        vstore(s + r * np + j, x);
        vstore(s + r * np + j + VL, y);
        most[r] = vmax(most[r], vmax(x, y));
      }
    }
    for (; j < np; j += VL) {
      vf acc[R][1] = {{{0}}};
      tile1(acc, q + i * hdp, hdp, 1, kt + j, np, hdp);
      UNROLL for (size_t r = 0; r < R; r++) {
        vf x = score(acc[r][0], bias[r] + j, job->region ? job->region + j : NULL, mine[r]);
        vstore(s + r * np + j, x);
        most[r] = vmax(most[r], x);
      }
    }
    float inverse[R];
    for (size_t r = 0; r < R; r++) {
      float m = vhmax(most[r]);
      vf top = vset(m), sum = {0};
      for (j = 0; j < np; j += VL) {
        vf p = vexp(vload(s + r * np + j) - top);
        vstore(s + r * np + j, p);
        sum += p;
      }
      float total = vsum(sum);
      inverse[r] = 1.f / total;
      if (job->lse && i + r < n) job->lse[i + r] = m + logf(total);
    }
    size_t rows = least(R, n - i), d = 0;
    for (; d + 2 * VL <= hdp; d += 2 * VL) {
      vf acc[R][2] = {{{0}}};
      tile2(acc, s, np, 1, v + d, hdp, n);
      UNROLL for (size_t r = 0; r < R; r++) {
        if (r < rows) {
          acc[r][0] *= inverse[r];
          acc[r][1] *= inverse[r];
          if (d + 2 * VL <= hd) {
            vput(job->out, (i + r) * job->ldo + d, acc[r][0], bf);
            vput(job->out, (i + r) * job->ldo + d + VL, acc[r][1], bf);
          } else {
            vput_n(job->out, (i + r) * job->ldo + d, acc[r][0], VL, bf);
            vput_n(job->out, (i + r) * job->ldo + d + VL, acc[r][1], hd - d - VL, bf);
          }
        }
      }
    }
    for (; d < hdp; d += VL) {
      vf acc[R][1] = {{{0}}};
      tile1(acc, s, np, 1, v + d, hdp, n);
      UNROLL for (size_t r = 0; r < R; r++)
        if (r < rows) vput_n(job->out, (i + r) * job->ldo + d, acc[r][0] * inverse[r], least(hd - d, VL), bf);
    }
  }
}

static void attention(const dgam_attention_job *j) {
  if (j->bf) attention_typed(j, 1);
  else attention_typed(j, 0);
}

#define TILES 2        /* register tiles of query rows handled together in backward */
#define RB (TILES * R) /* so the sums over queries are loaded and stored once in RB rows */

/* to (n.., hdp) += A^T B for RB query rows: A (RB, np), B (RB, hdp). */
VEC void add_transposed(float *to, size_t n, size_t hdp, const float *a, size_t np, const float *b) {
  for (size_t j = 0; j < n; j += R) {
    size_t d = 0;
    for (; d + 2 * VL <= hdp; d += 2 * VL) {
      vf acc[R][2];
      UNROLL for (size_t r = 0; r < R; r++) {
        acc[r][0] = vload(to + (j + r) * hdp + d);
        acc[r][1] = vload(to + (j + r) * hdp + d + VL);
      }
      tile2(acc, a + j, 1, np, b + d, hdp, RB);
      UNROLL for (size_t r = 0; r < R; r++) {
        vstore(to + (j + r) * hdp + d, acc[r][0]);
        vstore(to + (j + r) * hdp + d + VL, acc[r][1]);
      }
    }
    for (; d < hdp; d += VL) {
      vf acc[R][1];
      UNROLL for (size_t r = 0; r < R; r++) acc[r][0] = vload(to + (j + r) * hdp + d);
      tile1(acc, a + j, 1, np, b + d, hdp, RB);
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
  float *dk = go + nq * hdp, *dv = dk + nr * hdp, *p = dv + nr * hdp, *ds = p + RB * np + R;
  pack_rows(job->v, n, hd, job->ld, bf, 1.f, k, n, hdp);
  transpose(k, n, hdp, vt, np);
  pack_rows(job->k, n, hd, job->ld, bf, job->scale, k, n, hdp);
  transpose(k, n, hdp, kt, np);
  pack_rows(job->q, n, hd, job->ld, bf, 1.f, q, nq, hdp);
  pack_rows(job->dout, n, hd, job->ldo, bf, 1.f, go, nq, hdp);
  memset(dk, 0, 2 * nr * hdp * sizeof *dk);
  memset(p + RB * np, 0, R * sizeof *p);
  memset(ds + RB * np, 0, R * sizeof *ds);
  for (size_t i = 0; i < n; i += RB) {
    for (size_t t = 0; t < RB; t += R) {
      float *pt = p + t * np, *st = ds + t * np;
      const float *bias[R];
      int32_t mine[R];
      float lse[R];
      vf dot[R];
      for (size_t r = 0; r < R; r++) {
        size_t row = least(i + t + r, n - 1);
        bias[r] = job->bias + row * np;
        mine[r] = job->region ? job->region[row] : 0;
        lse[r] = i + t + r < n ? job->lse[row] : 1e30f; /* rows past the end: P = 0 */
        dot[r] = vset(0.f);
      }
      size_t j = 0;
      for (; j + 2 * VL <= np; j += 2 * VL) {
        vf acc[R][2] = {{{0}}};
        tile2(acc, q + (i + t) * hdp, hdp, 1, kt + j, np, hdp);
        UNROLL for (size_t r = 0; r < R; r++) {
          vf x = score(acc[r][0], bias[r] + j, job->region ? job->region + j : NULL, mine[r]);
          vf y = score(acc[r][1], bias[r] + j + VL, job->region ? job->region + j + VL : NULL, mine[r]);
          vstore(pt + r * np + j, vexp(x - lse[r]));
          vstore(pt + r * np + j + VL, vexp(y - lse[r]));
        }
        vf grad[R][2] = {{{0}}};
        tile2(grad, go + (i + t) * hdp, hdp, 1, vt + j, np, hdp);
        UNROLL for (size_t r = 0; r < R; r++) {
          dot[r] += grad[r][0] * vload(pt + r * np + j) + grad[r][1] * vload(pt + r * np + j + VL);
          vstore(st + r * np + j, grad[r][0]);
          vstore(st + r * np + j + VL, grad[r][1]);
        }
      }
      for (; j < np; j += VL) {
        vf acc[R][1] = {{{0}}};
        tile1(acc, q + (i + t) * hdp, hdp, 1, kt + j, np, hdp);
        UNROLL for (size_t r = 0; r < R; r++) {
          vf x = score(acc[r][0], bias[r] + j, job->region ? job->region + j : NULL, mine[r]);
          vstore(pt + r * np + j, vexp(x - lse[r]));
        }
        vf grad[R][1] = {{{0}}};
        tile1(grad, go + (i + t) * hdp, hdp, 1, vt + j, np, hdp);
        UNROLL for (size_t r = 0; r < R; r++) {
          dot[r] += grad[r][0] * vload(pt + r * np + j);
          vstore(st + r * np + j, grad[r][0]);
        }
      }
      for (size_t r = 0; r < R; r++) {
        vf d = vset(vsum(dot[r]));
        float *to = job->dbias && i + t + r < n ? job->dbias + (i + t + r) * np : NULL;
        for (j = 0; j < np; j += VL) {
          vf g = vload(pt + r * np + j) * (vload(st + r * np + j) - d);
          vstore(st + r * np + j, g);
          if (to) vstore(to + j, vload(to + j) + g);
        }
      }
      size_t rows = i + t < n ? least(R, n - i - t) : 0, d = 0;
      if (!rows) continue;
      for (; d + 2 * VL <= hdp; d += 2 * VL) {
        vf acc[R][2] = {{{0}}};
        tile2(acc, st, np, 1, k + d, hdp, n);
        UNROLL for (size_t r = 0; r < R; r++) {
          if (r < rows) {
            vput_n(job->dq, (i + t + r) * job->ld + d, acc[r][0], least(hd - d, VL), bf);
            vput_n(job->dq, (i + t + r) * job->ld + d + VL, acc[r][1], least(hd - d - VL, VL), bf);
          }
        }
      }
      for (; d < hdp; d += VL) {
        vf acc[R][1] = {{{0}}};
        tile1(acc, st, np, 1, k + d, hdp, n);
        UNROLL for (size_t r = 0; r < R; r++)
          if (r < rows) vput_n(job->dq, (i + t + r) * job->ld + d, acc[r][0], least(hd - d, VL), bf);
      }
    }
    add_transposed(dv, n, hdp, p, np, go + i * hdp);
    add_transposed(dk, n, hdp, ds, np, q + i * hdp);
  }
  unpack_rows(dk, n, hd, hdp, job->scale, job->dk, job->ld, bf);
  unpack_rows(dv, n, hd, hdp, 1.f, job->dv, job->ld, bf);
}

static void attention_grad(const dgam_attention_job *j) {
  if (j->bf) attention_grad_typed(j, 1);
  else attention_grad_typed(j, 0);
}

const dgam_nn_kernels KERNELS = {layernorm, layernorm_grad, gelu,      gelu_grad, gather,    scatter,
                                 colsum,    to_bf16,        from_bf16, adamw,     attention, attention_grad};
