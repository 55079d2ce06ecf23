/* kernels_impl.h - the kernels of kernels.h, written once in vectors of VL floats. Included by kernels_LEVEL.c, which
 * defines KERNELS (the name of the table) and R (rows of a register tile). */
#include <math.h>

#include "base/vec.h"
#include "nn/kernels.h"

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

VEC void gelu_all(size_t count, const void *h, void *y, int bf) {
  size_t i = 0;
  for (; i + VL <= count; i += VL) vput(y, i, gelu1(vget(h, i, bf)), bf);
  if (i < count) vput_n(y, i, gelu1(vget_n(h, i, count - i, bf)), count - i, bf);
}

static void gelu(size_t count, const void *h, void *y, int bf) {
  if (bf) gelu_all(count, h, y, 1);
  else gelu_all(count, h, y, 0);
}

VEC void gelu_grad1(vf x, vf *y, vf *slope) {
  vf cdf = 0.5f + 0.5f * verf(x * 0.70710678f);
  *y = x * cdf;
  *slope = cdf + x * 0.39894228f * vexp2(x * x * (-0.5f * LOG2E));
}

VEC void gelu_grad_all(size_t count, const void *h, const void *dy, void *dh, void *y, int bf) {
  size_t i = 0;
  vf a, s;
  for (; i + VL <= count; i += VL) {
    gelu_grad1(vget(h, i, bf), &a, &s);
    vf d = vget(dy, i, bf) * s;
    if (y) vput(y, i, a, bf);
    vput(dh, i, d, bf);
  }
  if (i < count) {
    gelu_grad1(vget_n(h, i, count - i, bf), &a, &s);
    vf d = vget_n(dy, i, count - i, bf) * s;
    if (y) vput_n(y, i, a, count - i, bf);
    vput_n(dh, i, d, count - i, bf);
  }
}

static void gelu_grad(size_t count, const void *h, const void *dy, void *dh, void *y, int bf) {
  if (bf) gelu_grad_all(count, h, dy, dh, y, 1);
  else gelu_grad_all(count, h, dy, dh, y, 0);
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

static void to_bf16(size_t count, const float *x, uint16_t *y) {
  size_t i = 0;
  for (; i + VL <= count; i += VL) vstore_bf16(y + i, vload(x + i));
  if (i < count) vstore_bf16_n(y + i, vload_n(x + i, count - i), count - i);
}

static void from_bf16(size_t count, const uint16_t *x, float *y) {
  size_t i = 0;
  for (; i + VL <= count; i += VL) vstore(y + i, vload_bf16(x + i));
  if (i < count) vstore_n(y + i, vload_bf16_n(x + i, count - i), count - i);
}

/* --- AdamW --- */

static void adamw(size_t count, float *p, const float *g, float *m, float *v, float keep, float b1, float beta2, float b2,
                  float step, float root, float eps) {
  for (size_t i = 0; i < count; i += VL) {
    size_t w = count - i < VL ? count - i : VL;
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

#include "nn/attention_impl.h"

static void attention(const dgam_attention_job *j) {
#ifdef __AVX512BF16__
  if (j->bf) {
    attention_bf16(j);
    return;
  }
#endif
  if (j->bf) attention_typed(j, 1);
  else attention_typed(j, 0);
}

static void attention_grad(const dgam_attention_job *j) {
#ifdef __AVX512BF16__
  if (j->bf) {
    attention_grad_bf16(j);
    return;
  }
#endif
  if (j->bf) attention_grad_typed(j, 1);
  else attention_grad_typed(j, 0);
}

const dgam_nn_kernels KERNELS = {layernorm, layernorm_grad, gelu,      gelu_grad, gather,    scatter,
                                 colsum,    to_bf16,        from_bf16, adamw,     attention, attention_grad};
