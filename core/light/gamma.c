/* gamma.c - see gamma.h */
#include "light/gamma.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "light/gamma_kernels.h"

static dgam_status check(const dgam_gic *gic, size_t n) {
  DGAM_TRY(dgam_norm_check(&gic->norm, "gic"));
  if (gic->experts < 1) return dgam_fail(DGAM_EINVAL, "gic: there are no experts, expected at least 1");
  size_t rows = gic->gamma_stride ? n : 1;
  for (size_t i = 0; i < rows; i++)
    for (size_t e = 0; e < gic->experts; e++) {
      float g = gic->gammas[i * gic->gamma_stride + e];
      if (!isfinite(g) || g <= 0)
        return dgam_fail(DGAM_EINVAL, "gic: gamma %zu is %g, expected a finite number above 0", e + 1, (double)g);
    }
  return DGAM_OK;
}

/* --- tables --- */

static void pow_plain(const float *logs, float scale, size_t count, float *p) {
  dgam_pow_loop(logs, scale, count, p);
}

static dgam_pow_fn choose_pow(void) {
#if defined(__x86_64__)
  if (dgam_cpu_level() >= DGAM_CPU_AVX512) return dgam_pow_avx512;
  if (dgam_cpu_level() >= DGAM_CPU_AVX2) return dgam_pow_avx2;
#endif
  return pow_plain;
}

/* What all experts share of one frame: y = sum_e weight_e (b^(1/g_e) gain + add) + shift, b the base, log2 of it kept. */
typedef struct frame {
  float logs[3][256]; /* log2 of the base, at most 0; -1e30 for a base of 0 and for values that do not occur */
  int first[3], last[3]; /* values that occur lie between */
  float gain[3], add[3], shift[3];
} frame;

/* hist (3,256) -> *f */
static void study(const dgam_gic *gic, const uint32_t *hist, frame *f) {
  float lo = INFINITY, hi = -INFINITY, base[3][256];
  for (int c = 0; c < 3; c++) {
    float mean = gic->norm.mean[c], std = gic->norm.std[c];
    f->first[c] = 0, f->last[c] = 255;
    while (f->first[c] < 255 && !hist[256 * c + f->first[c]]) f->first[c]++;
    while (f->last[c] > f->first[c] && !hist[256 * c + f->last[c]]) f->last[c]--;
    for (int v = f->first[c]; v <= f->last[c]; v++) base[c][v] = ((float)v - mean) / std;
    lo = fminf(lo, base[c][f->first[c]]);
    hi = fmaxf(hi, base[c][f->last[c]]);
  }
  for (int c = 0; c < 3; c++) {
    if (gic->domain == DGAM_PIXEL) {
      f->gain[c] = 255.0f / gic->norm.std[c], f->add[c] = 0, f->shift[c] = -gic->norm.mean[c] / gic->norm.std[c];
    } else {
      f->gain[c] = hi - lo, f->add[c] = lo, f->shift[c] = 0;
    }
    for (int v = 0; v < 256; v++) {
      float b = 0;
      if (v >= f->first[c] && v <= f->last[c])
        b = gic->domain == DGAM_PIXEL ? (float)v / 255.0f : (base[c][v] - lo) / (hi - lo + 1e-5f);
      f->logs[c][v] = b > 0 ? log2f(b) : -1e30f;
    }
  }
}

typedef struct table_task {
  const dgam_gic *gic;
  const uint32_t *hist;
  size_t t;
  float *table;
} table_task;

static dgam_status make_tables(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  const table_task *job = ctx;
  const dgam_gic *gic = job->gic;
  dgam_pow_fn power = choose_pow();
  frame f;
  for (size_t i = begin; i < end; i++) {
    size_t n = i / job->t;
    const float *weights = gic->weights + n * gic->experts, *gammas = gic->gammas + n * gic->gamma_stride;
    float p[256], sum[256], total = 0;
    study(gic, job->hist + 768 * i, &f);
    for (size_t e = 0; e < gic->experts; e++) total += weights[e];
    for (int c = 0; c < 3; c++) {
      float *out = job->table + 768 * i + 256 * c;
      size_t low = (size_t)f.first[c] / 16 * 16, count = (size_t)f.last[c] / 16 * 16 + 16 - low;
      memset(sum, 0, sizeof sum);
      for (size_t e = 0; e < gic->experts; e++) {
        power(f.logs[c] + low, 1.0f / gammas[e], count, p + low);
        for (size_t v = low; v < low + count; v++) sum[v] += weights[e] * p[v];
      }
      memset(out, 0, 256 * sizeof *out);
      for (int v = f.first[c]; v <= f.last[c]; v++) out[v] = sum[v] * f.gain[c] + (total * f.add[c] + f.shift[c]);
    }
  }
  return DGAM_OK;
}

dgam_status dgam_gic_table(const dgam_gic *gic, const uint32_t *hist, size_t n, size_t t, float *table) {
  DGAM_TRY(check(gic, n));
  table_task job = {gic, hist, t, table};
  return dgam_parallel(n * t, make_tables, &job);
}

typedef struct table_backward_task {
  const dgam_gic *gic;
  const uint32_t *hist;
  size_t t;
  const double *sums;
  float *dweights, *dgammas;
} table_backward_task;

/* sum_v s[v] p[v] and sum_v s[v] p[v] log2 b[v]; eight partial sums, always added up in the same order. */
static void contract(const double *s, const float *p, const float *logs, double *plain, double *logged) {
  double a[8] = {0}, b[8] = {0};
  for (int v = 0; v < 256; v += 8)
    for (int k = 0; k < 8; k++) {
      double sp = s[v + k] * (double)p[v + k];
      a[k] += sp;
      b[k] += logs[v + k] > -1e29f ? sp * (double)logs[v + k] : 0.0;
    }
  *plain = ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
  *logged = ((b[0] + b[1]) + (b[2] + b[3])) + ((b[4] + b[5]) + (b[6] + b[7]));
}

/* dy/dweight_e = b^(1/g) gain + add;  dy/dg = weight_e gain b^(1/g) ln(b) (-1/g^2) */
static dgam_status contract_tables(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  const table_backward_task *job = ctx;
  const dgam_gic *gic = job->gic;
  dgam_pow_fn power = choose_pow();
  frame f;
  for (size_t n = begin; n < end; n++)
    for (size_t e0 = 0; e0 < gic->experts; e0 += 16) { /* 16 experts share a visit of the frames */
      size_t count = gic->experts - e0 < 16 ? gic->experts - e0 : 16;
      const float *weights = gic->weights + n * gic->experts + e0, *gammas = gic->gammas + n * gic->gamma_stride + e0;
      double dweight[16] = {0}, dgamma[16] = {0};
      for (size_t t = 0; t < job->t; t++) {
        size_t i = n * job->t + t;
        study(gic, job->hist + 768 * i, &f);
        for (int c = 0; c < 3; c++) {
          const double *s = job->sums + 768 * i + 256 * c;
          double all = 0;
          for (int v = 0; v < 256; v++) all += s[v];
          for (size_t e = 0; e < count; e++) {
            float p[256];
            double plain, logged;
            power(f.logs[c], 1.0f / gammas[e], 256, p);
            contract(s, p, f.logs[c], &plain, &logged);
            dweight[e] += plain * (double)f.gain[c] + all * (double)f.add[c];
            dgamma[e] += logged * (double)f.gain[c];
          }
        }
      }
      for (size_t e = 0; e < count; e++) {
        double g = (double)gammas[e];
        if (job->dweights) job->dweights[n * gic->experts + e0 + e] = (float)dweight[e];
        if (job->dgammas)
          job->dgammas[n * gic->experts + e0 + e] = (float)(dgamma[e] * (double)weights[e] * -M_LN2 / (g * g));
      }
    }
  return DGAM_OK;
}

dgam_status dgam_gic_table_backward(const dgam_gic *gic, const uint32_t *hist, size_t n, size_t t, const double *sums,
                                    float *dweights, float *dgammas) {
  DGAM_TRY(check(gic, n));
  table_backward_task job = {gic, hist, t, sums, dweights, dgammas};
  return dgam_parallel(n, contract_tables, &job);
}

/* --- mapping pixels --- */

static void prepare_f32(const float *table, dgam_lut *lut) { memcpy(lut->bytes, table, 256 * sizeof *table); }

static void row_f32(const uint8_t *row, size_t w, const dgam_lut *lut, void *out_) {
  const float *table = (const void *)lut->bytes;
  float *out = out_;
  for (size_t x = 0; x < w; x++) out[x] = table[row[x]];
}

static void patches_f32(const uint8_t *const rows[4], size_t w, const dgam_lut *lut, void *out_) {
  const float *table = (const void *)lut->bytes;
  for (size_t y = 0; y < 4; y++) {
    float *out = (float *)out_ + 4 * y;
    const uint8_t *row = rows[y];
    for (size_t x = 0; x < w; x += 4, out += 96)
      if (row && x + 4 <= w)
        for (size_t k = 0; k < 4; k++) out[k] = table[row[x + k]];
      else
        for (size_t k = 0; k < 4; k++) out[k] = row && x + k < w ? table[row[x + k]] : 0;
  }
}

static const dgam_map_kernels map_f32 = {prepare_f32, row_f32, patches_f32};

static void prepare_bf16(const float *table, dgam_lut *lut) {
  uint16_t *out = (void *)lut->bytes;
  for (int v = 0; v < 256; v++) out[v] = dgam_f32_to_bf16(table[v]);
}

static void row_bf16(const uint8_t *row, size_t w, const dgam_lut *lut, void *out_) {
  const uint16_t *table = (const void *)lut->bytes;
  uint16_t *out = out_;
  for (size_t x = 0; x < w; x++) out[x] = table[row[x]];
}

static void patches_bf16(const uint8_t *const rows[4], size_t w, const dgam_lut *lut, void *out_) {
  const uint16_t *table = (const void *)lut->bytes;
  for (size_t y = 0; y < 4; y++) {
    uint16_t *out = (uint16_t *)out_ + 4 * y;
    const uint8_t *row = rows[y];
    for (size_t x = 0; x < w; x += 4, out += 96)
      if (row && x + 4 <= w)
        for (size_t k = 0; k < 4; k++) out[k] = table[row[x + k]];
      else
        for (size_t k = 0; k < 4; k++) out[k] = row && x + k < w ? table[row[x + k]] : 0;
  }
}

static const dgam_map_kernels map_bf16 = {prepare_bf16, row_bf16, patches_bf16};

static const dgam_map_kernels *choose_map(int bf16) {
#if defined(__x86_64__)
  if (dgam_cpu_level() >= DGAM_CPU_AVX512BF) return bf16 ? &dgam_map_bf16_avx512bf : &dgam_map_f32_avx512bf;
#endif
  return bf16 ? &map_bf16 : &map_f32;
}

typedef struct apply_task {
  const dgam_clip *clip;
  const float *table;
  size_t item; /* bytes of an output element */
  const dgam_map_kernels *map;
  unsigned char *out;
} apply_task;

static dgam_status apply_planes(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  const apply_task *job = ctx;
  const dgam_clip *clip = job->clip;
  dgam_lut lut;
  for (size_t i = begin; i < end; i++) { /* in output order: n, c, t */
    size_t t = i % clip->t, c = i / clip->t % 3, n = i / clip->t / 3;
    const uint8_t *plane = dgam_clip_plane(clip, n, c, t);
    unsigned char *out = job->out + i * clip->h * clip->w * job->item;
    job->map->prepare(job->table + ((n * clip->t + t) * 3 + c) * 256, &lut);
    if (clip->sh == (ptrdiff_t)clip->w) {
      job->map->row(plane, clip->h * clip->w, &lut, out);
      continue;
    }
    for (size_t y = 0; y < clip->h; y++)
      job->map->row(plane + (ptrdiff_t)y * clip->sh, clip->w, &lut, out + y * clip->w * job->item);
  }
  return DGAM_OK;
}

static dgam_status apply_patches(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  const apply_task *job = ctx;
  const dgam_clip *clip = job->clip;
  size_t tp = (clip->t + 1) / 2, hp = (clip->h + 3) / 4, wp = (clip->w + 3) / 4, ready = SIZE_MAX;
  dgam_lut lut[2][3];
  for (size_t i = begin; i < end; i++) { /* rows of patches: n, t/2, y/4 */
    size_t band = i % hp, pair = i / hp, n = pair / tp, t0 = pair % tp * 2;
    for (size_t dt = 0; dt < 2; dt++)
      for (size_t c = 0; c < 3; c++) {
        int there = t0 + dt < clip->t;
        if (ready != pair && there)
          job->map->prepare(job->table + ((n * clip->t + t0 + dt) * 3 + c) * 256, &lut[dt][c]);
        const uint8_t *rows[4];
        for (size_t y = 0; y < 4; y++)
          rows[y] = there && 4 * band + y < clip->h
                        ? dgam_clip_plane(clip, n, c, t0 + dt) + (ptrdiff_t)(4 * band + y) * clip->sh
                        : NULL;
        /* a frame that is not there needs a table all the same, though none of its entries reaches the output */
        unsigned char *out = job->out + (i * wp * 96 + 32 * c + 16 * dt) * job->item;
        job->map->patches(rows, clip->w, &lut[there ? dt : 0][c], out);
      }
    ready = pair;
  }
  return DGAM_OK;
}

dgam_status dgam_gic_apply(const dgam_clip *clip, const float *table, dgam_layout layout, int bf16, void *out) {
  DGAM_TRY(dgam_clip_check(clip, "gic"));
  apply_task job = {clip, table, bf16 ? sizeof(uint16_t) : sizeof(float), choose_map(bf16), out};
  if (layout == DGAM_LAYOUT_PATCHES)
    return dgam_parallel(clip->n * ((clip->t + 1) / 2) * ((clip->h + 3) / 4), apply_patches, &job);
  return dgam_parallel(clip->n * 3 * clip->t, apply_planes, &job);
}

/* --- backward of the mapping --- */

typedef struct scatter_task {
  const dgam_clip *clip;
  const void *grad;
  dgam_layout layout;
  int bf16;
  double *sums;
} scatter_task;

static inline float gradient(const scatter_task *job, size_t i) {
  return job->bf16 ? dgam_bf16_to_f32(((const uint16_t *)job->grad)[i]) : ((const float *)job->grad)[i];
}

/* Adds count pixels, whose gradients start at element `at`, to eight private tables: neighbours that have the same
 * value do not wait for each other's sum. */
static inline void scatter_run(const scatter_task *job, const uint8_t *row, size_t count, size_t at, size_t lane,
                               double table[8][256]) {
  for (size_t x = 0; x < count; x++) table[(lane + x) & 7][row[x]] += (double)gradient(job, at + x);
}

static dgam_status scatter_frames(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  const scatter_task *job = ctx;
  const dgam_clip *clip = job->clip;
  size_t hp = (clip->h + 3) / 4, wp = (clip->w + 3) / 4, tp = (clip->t + 1) / 2;
  double table[8][256];
  for (size_t i = begin; i < end; i++) {
    size_t t = i % clip->t, n = i / clip->t;
    for (size_t c = 0; c < 3; c++) {
      const uint8_t *plane = dgam_clip_plane(clip, n, c, t);
      memset(table, 0, sizeof table);
      for (size_t y = 0; y < clip->h; y++) {
        const uint8_t *row = plane + (ptrdiff_t)y * clip->sh;
        if (job->layout == DGAM_LAYOUT_CLIP) {
          scatter_run(job, row, clip->w, (((n * 3 + c) * clip->t + t) * clip->h + y) * clip->w, 0, table);
          continue;
        }
        size_t at = ((n * tp + t / 2) * hp + y / 4) * wp * 96 + 32 * c + 16 * (t % 2) + 4 * (y % 4), x = 0;
        for (; x + 4 <= clip->w; x += 4, at += 96) scatter_run(job, row + x, 4, at, x, table);
        if (x < clip->w) scatter_run(job, row + x, clip->w - x, at, x, table);
      }
      double *out = job->sums + (i * 3 + c) * 256;
      for (int v = 0; v < 256; v++) {
        out[v] = 0;
        for (int k = 0; k < 8; k++) out[v] += table[k][v];
      }
    }
  }
  return DGAM_OK;
}

dgam_status dgam_gic_scatter(const dgam_clip *clip, const void *grad, dgam_layout layout, int bf16, double *sums) {
  DGAM_TRY(dgam_clip_check(clip, "gic backward"));
  scatter_task job = {clip, grad, layout, bf16, sums};
  return dgam_parallel(clip->n * clip->t, scatter_frames, &job);
}

/* --- reference --- */

dgam_status dgam_gic_naive(const dgam_gic *gic, const dgam_clip *clip, float *out) {
  DGAM_TRY(dgam_clip_check(clip, "gic"));
  DGAM_TRY(check(gic, clip->n));
  size_t frame_size = clip->h * clip->w;
  for (size_t n = 0; n < clip->n; n++)
    for (size_t t = 0; t < clip->t; t++) {
      double lo = INFINITY, hi = -INFINITY;
      for (int pass = 0; pass < 2; pass++) /* first the extremes, then the pixels */
        for (size_t c = 0; c < 3; c++)
          for (size_t i = 0; i < frame_size; i++) {
            double mean = (double)gic->norm.mean[c], std = (double)gic->norm.std[c], y = 0;
            double v = dgam_clip_plane(clip, n, c, t)[(ptrdiff_t)(i / clip->w) * clip->sh + (ptrdiff_t)(i % clip->w)];
            double x = (v - mean) / std;
            if (pass == 0) {
              lo = fmin(lo, x), hi = fmax(hi, x);
              continue;
            }
            for (size_t e = 0; e < gic->experts; e++) {
              double g = (double)gic->gammas[n * gic->gamma_stride + e];
              double weight = (double)gic->weights[n * gic->experts + e];
              if (gic->domain == DGAM_PIXEL) y += weight * 255 * pow(v / 255, 1 / g);
              else y += weight * (pow((x - lo) / (hi - lo + 1e-5), 1 / g) * (hi - lo) + lo);
            }
            if (gic->domain == DGAM_PIXEL) y = (y - mean) / std;
            out[((n * 3 + c) * clip->t + t) * frame_size + i] = (float)y;
          }
    }
  return DGAM_OK;
}
