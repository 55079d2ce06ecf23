/* enhance.c - see enhance.h: parameters, threads, blur. The enhancers are in enhance_*.c. */
#include "light/enhance.h"

#include <math.h>
#include <string.h>

#include "base/parallel.h"
#include "light/enhance_frame.h"

dgam_enhance dgam_enhance_defaults(dgam_enhancer method) {
  dgam_enhance e = {.method = method, .clip_limit = 2, .tiles_x = 8, .tiles_y = 8, .scales = 3, .scale = {15, 80, 250},
                    .dynamic = 1.2f, .restore = 1, .alpha = 0.15f, .gamma = 0.8f, .sigma = 2, .brighten = 2.2};
  return e;
}

static dgam_status positive(const char *method, const char *what, float value) {
  if (isfinite(value) && value > 0) return DGAM_OK;
  return dgam_fail(DGAM_EINVAL, "%s: %s is %g, expected a finite number above 0", method, what, (double)value);
}

/* The time a blur takes grows with its deviation. */
static dgam_status deviation(const char *method, const char *what, float value) {
  if (value > 0 && value <= DGAM_BLUR_MOST) return DGAM_OK;
  return dgam_fail(DGAM_EINVAL, "%s: %s is %g, expected above 0 and at most %d pixels", method, what, (double)value,
                   DGAM_BLUR_MOST);
}

dgam_status dgam_enhance_check(const dgam_enhance *e, size_t h, size_t w) {
  switch (e->method) {
    case DGAM_EQUALISE: return DGAM_OK;
    case DGAM_CLAHE:
      if (!isfinite(e->clip_limit) || e->clip_limit < 0)
        return dgam_fail(DGAM_EINVAL, "clahe: clip limit is %g, expected 0 or more", (double)e->clip_limit);
      if (e->tiles_x < 1 || e->tiles_y < 1 || e->tiles_x > w || e->tiles_y > h)
        return dgam_fail(DGAM_EINVAL, "clahe: %zu x %zu tiles on a frame of %zu x %zu, expected 1 or more of each and no "
                         "more than rows and columns", e->tiles_y, e->tiles_x, h, w);
      return DGAM_OK;
    case DGAM_RETINEX:
      if (e->scales < 1 || e->scales > DGAM_RETINEX_SCALES)
        return dgam_fail(DGAM_EINVAL, "retinex: there are %zu scales, expected 1 to %d", e->scales, DGAM_RETINEX_SCALES);
      for (size_t s = 0; s < e->scales; s++) DGAM_TRY(deviation("retinex", "a scale", e->scale[s]));
      return positive("retinex", "dynamic", e->dynamic);
    case DGAM_LIME:
      if (!isfinite(e->gamma) || e->gamma < 0)
        return dgam_fail(DGAM_EINVAL, "lime: gamma is %g, expected 0 or more", (double)e->gamma);
      DGAM_TRY(positive("lime", "alpha", e->alpha));
      return deviation("lime", "sigma", e->sigma);
    case DGAM_BRIGHTEN: return positive("gamma", "gamma", (float)e->brighten);
  }
  return dgam_fail(DGAM_EINVAL, "enhance: there is no method %d", (int)e->method);
}

static size_t frame_scratch(const dgam_enhance *e, size_t h, size_t w) {
  switch (e->method) {
    case DGAM_CLAHE: return dgam_clahe_scratch(e, h, w);
    case DGAM_RETINEX: return dgam_retinex_scratch(h, w);
    case DGAM_LIME: return dgam_lime_scratch(h, w);
    case DGAM_EQUALISE: case DGAM_BRIGHTEN: break;
  }
  return 0;
}

static size_t shares(const dgam_clip *clip) {
  size_t frames = clip->n * clip->t, threads = (size_t)dgam_threads();
  return frames < threads ? frames : threads;
}

size_t dgam_enhance_scratch(const dgam_enhance *e, const dgam_clip *clip) {
  return dgam_arena_need(shares(clip), dgam_arena_need(1, frame_scratch(e, clip->h, clip->w)));
}

static void brighten(const dgam_enhance *e, const dgam_frame *f) {
  uint8_t map[256];
  for (int v = 0; v < 256; v++) map[v] = (uint8_t)(255 * pow(v / 255.0, 1 / e->brighten) + (e->truncate ? 0 : 0.5));
  for (size_t c = 0; c < 3; c++)
    for (size_t y = 0; y < f->h; y++)
      for (size_t x = 0; x < f->w; x++) f->out[c][y * f->w + x] = map[f->in[c][(ptrdiff_t)y * f->stride + (ptrdiff_t)x]];
}

static void enhance_frame(const dgam_enhance *e, const dgam_frame *f, void *scratch) {
  switch (e->method) {
    case DGAM_EQUALISE: dgam_equalise_frame(e, f, scratch); break;
    case DGAM_CLAHE: dgam_clahe_frame(e, f, scratch); break;
    case DGAM_RETINEX: dgam_retinex_frame(e, f, scratch); break;
    case DGAM_LIME: dgam_lime_frame(e, f, scratch); break;
    case DGAM_BRIGHTEN: brighten(e, f); break;
  }
}

typedef struct task {
  const dgam_enhance *e;
  const dgam_clip *clip;
  uint8_t *out;
  unsigned char *scratch; /* `each` bytes for each share */
  size_t each;
} task;

static dgam_status enhance_frames(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  const task *job = ctx;
  const dgam_clip *clip = job->clip;
  void *scratch = job->each ? job->scratch + job->each * (size_t)ith : NULL;
  for (size_t i = begin; i < end; i++) {
    if (dgam_interrupted()) return dgam_fail_interrupted();
    size_t n = i / clip->t, t = i % clip->t;
    dgam_frame f = {.stride = clip->sh, .h = clip->h, .w = clip->w};
    for (size_t c = 0; c < 3; c++) {
      f.in[c] = dgam_clip_plane(clip, n, c, t);
      f.out[c] = job->out + ((n * 3 + c) * clip->t + t) * clip->h * clip->w;
    }
    enhance_frame(job->e, &f, scratch);
  }
  return DGAM_OK;
}

dgam_status dgam_enhance_clip(const dgam_enhance *e, const dgam_clip *clip, uint8_t *out, dgam_arena *arena) {
  DGAM_TRY(dgam_clip_check(clip, "enhance"));
  DGAM_TRY(dgam_enhance_check(e, clip->h, clip->w));
  if (clip->n == 0) return DGAM_OK;
  size_t each = dgam_arena_need(1, frame_scratch(e, clip->h, clip->w));
  task job = {e, clip, out, each ? dgam_arena_alloc(arena, shares(clip), each) : NULL, each};
  if (each && !job.scratch)
    return dgam_fail(DGAM_ENOMEM, "enhance: the arena has %zu bytes left, %zu are needed for frames of %zu x %zu",
                     arena->size - arena->used, dgam_enhance_scratch(e, clip), clip->h, clip->w);
  return dgam_parallel(clip->n * clip->t, enhance_frames, &job);
}

size_t dgam_enhance_alone_scratch(const dgam_enhance *e, size_t h, size_t w) {
  size_t own = dgam_arena_need(1, frame_scratch(e, h, w)), copy = h > SIZE_MAX / 3 ? SIZE_MAX : dgam_arena_need(3 * h, w);
  return own == SIZE_MAX || copy > SIZE_MAX - own ? SIZE_MAX : own + copy;
}

dgam_status dgam_enhance_alone(const dgam_enhance *e, uint8_t *data, size_t frames, size_t plane, size_t frame, size_t h,
                               size_t w, void *scratch) {
  DGAM_TRY(dgam_enhance_check(e, h, w));
  uint8_t *copy = scratch;
  void *own = copy + dgam_arena_need(3 * h, w);
  for (size_t t = 0; t < frames; t++) {
    if (dgam_interrupted()) return dgam_fail_interrupted();
    dgam_frame f = {.stride = w, .h = h, .w = w};
    for (size_t c = 0; c < 3; c++) {
      f.out[c] = data + t * frame + c * plane;
      f.in[c] = memcpy(copy + c * h * w, f.out[c], h * w);
    }
    enhance_frame(e, &f, own);
  }
  return DGAM_OK;
}

/* --- Gaussian blur ---
 * With reflected borders a blur of n samples is a product with an n x n matrix: sample i of the infinite, reflected
 * signal is sample fold(i) of the real one, so the kernel's tails, however long, add up within 0 .. n-1. */

size_t dgam_blur_scratch(size_t h, size_t w) { /* two planes and one row of the matrix */
  size_t plane;
  if (dgam_mul_overflow(h, w, &plane)) return SIZE_MAX;
  size_t planes = dgam_arena_need(2 * plane, sizeof(float)), row = dgam_arena_need(h > w ? h : w, sizeof(float));
  return planes == SIZE_MAX || row > SIZE_MAX - planes ? SIZE_MAX : planes + row;
}

static size_t fold(ptrdiff_t i, size_t n) {
  if (n == 1) return 0;
  ptrdiff_t period = 2 * ((ptrdiff_t)n - 1);
  i %= period;
  if (i < 0) i += period;
  return (size_t)(i < (ptrdiff_t)n ? i : period - i);
}

/* Down the columns: out (H,W), row y = sum_k matrix[y][k] in[k]; `row` holds a row of the matrix. */
static void blur_down(const float *in, size_t h, size_t w, float sigma, float *out, float *row) {
  ptrdiff_t radius = (ptrdiff_t)ceilf(4 * sigma);
  double total = 1;
  for (ptrdiff_t d = 1; d <= radius; d++) total += 2 * exp(-0.5 * (double)(d * d) / ((double)sigma * (double)sigma));
  for (size_t y = 0; y < h; y++) {
    memset(row, 0, h * sizeof *row);
    size_t first = h, last = 0;
    for (ptrdiff_t d = -radius; d <= radius; d++) {
      size_t k = fold((ptrdiff_t)y + d, h);
      row[k] += (float)(exp(-0.5 * (double)(d * d) / ((double)sigma * (double)sigma)) / total);
      first = k < first ? k : first;
      last = k > last ? k : last;
    }
    memset(out + y * w, 0, w * sizeof *out);
    for (size_t k = first; k <= last; k++)
      for (size_t x = 0; x < w; x++) out[y * w + x] += row[k] * in[k * w + x];
  }
}

static void transpose(const float *in, size_t h, size_t w, float *out) {
  for (size_t y0 = 0; y0 < h; y0 += 16)
    for (size_t x = 0; x < w; x++)
      for (size_t y = y0; y < h && y < y0 + 16; y++) out[x * h + y] = in[y * w + x];
}

void dgam_blur(const float *in, size_t h, size_t w, float sigma, float *out, void *scratch) {
  float *a = scratch, *b = a + h * w;
  float *row = (float *)((unsigned char *)scratch + dgam_arena_need(2 * h * w, sizeof(float)));
  blur_down(in, h, w, sigma, a, row);
  transpose(a, h, w, b);
  blur_down(b, w, h, sigma, a, row);
  transpose(a, w, h, out);
}
