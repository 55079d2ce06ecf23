/* attention_impl.h - window attention in fp32 registers; part of kernels_impl.h. Operands may be stored as bf16.
 *
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
  float *q = job->scratch, *kt = q + nq * hdp, *v = kt + np * hdp, *s = v + np * hdp;
  pack_rows(job->q, n, hd, job->ld, bf, job->scale, q, nq, hdp);
  pack_columns(job->k, n, hd, job->ld, bf, 1.f, kt, np, hdp);
  pack_rows(job->v, n, hd, job->ld, bf, 1.f, v, n, hdp);
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
      vf top = vset(m * LOG2E), sum = {0};
      for (j = 0; j < np; j += VL) {
        vf p = vexp2(vload(s + r * np + j) * LOG2E - top);
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

#define TILES 2        /* register tiles of query rows handled together in backward */
#define RB (TILES * R) /* so the sums over queries are loaded and stored once in RB rows */

/* to (n.., hdp) += A^T B for `depth` query rows: A (depth, np), B (depth, hdp). */
VEC void add_transposed(float *to, size_t n, size_t hdp, const float *a, size_t np, const float *b, size_t depth) {
  for (size_t j = 0; j < n; j += R) {
    size_t d = 0;
    for (; d + 2 * VL <= hdp; d += 2 * VL) {
      vf acc[R][2];
      UNROLL for (size_t r = 0; r < R; r++) {
        acc[r][0] = vload(to + (j + r) * hdp + d);
        acc[r][1] = vload(to + (j + r) * hdp + d + VL);
      }
      tile2(acc, a + j, 1, np, b + d, hdp, depth);
      UNROLL for (size_t r = 0; r < R; r++) {
        vstore(to + (j + r) * hdp + d, acc[r][0]);
        vstore(to + (j + r) * hdp + d + VL, acc[r][1]);
      }
    }
    for (; d < hdp; d += VL) {
      vf acc[R][1];
      UNROLL for (size_t r = 0; r < R; r++) acc[r][0] = vload(to + (j + r) * hdp + d);
      tile1(acc, a + j, 1, np, b + d, hdp, depth);
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
  pack_columns(job->v, n, hd, job->ld, bf, 1.f, vt, np, hdp);
  pack_columns(job->k, n, hd, job->ld, bf, job->scale, kt, np, hdp);
  pack_rows(job->k, n, hd, job->ld, bf, job->scale, k, n, hdp);
  pack_rows(job->q, n, hd, job->ld, bf, 1.f, q, nq, hdp);
  pack_rows(job->dout, n, hd, job->ldo, bf, 1.f, go, nq, hdp);
  memset(dk, 0, 2 * nr * hdp * sizeof *dk);
  memset(p + RB * np, 0, R * sizeof *p);
  memset(ds + RB * np, 0, R * sizeof *ds);
  for (size_t i = 0; i < n; i += RB) {
    size_t depth = i + R < n ? RB : R;
    for (size_t t = 0; t < depth; t += R) {
      float *pt = p + t * np, *st = ds + t * np;
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
        tile2(acc, q + (i + t) * hdp, hdp, 1, kt + j, np, hdp);
        UNROLL for (size_t r = 0; r < R; r++) {
          vf x = score(acc[r][0], bias[r] + j, job->region ? job->region + j : NULL, mine[r]);
          vf y = score(acc[r][1], bias[r] + j + VL, job->region ? job->region + j + VL : NULL, mine[r]);
          vstore(pt + r * np + j, vexp2(x * LOG2E - lse[r]));
          vstore(pt + r * np + j + VL, vexp2(y * LOG2E - lse[r]));
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
          vstore(pt + r * np + j, vexp2(x * LOG2E - lse[r]));
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
      size_t rows = least(R, n - i - t), d = 0;
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
    add_transposed(dv, n, hdp, p, np, go + i * hdp, depth);
    add_transposed(dk, n, hdp, ds, np, q + i * hdp, depth);
  }
  unpack_rows(dk, n, hd, hdp, job->scale, job->dk, job->ld, bf);
  unpack_rows(dv, n, hd, hdp, 1.f, job->dv, job->ld, bf);
}
