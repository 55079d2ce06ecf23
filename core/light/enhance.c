/* enhance.c - see enhance.h: the list of enhancers, their options, threads, blur. The enhancers are in enhance_*.c. */
#include "light/enhance.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/parallel.h"
#include "light/enhance_frame.h"

/* The enhancers: NAME stands for dgam_enhancer_NAME in enhance_NAME.c. */
#define ENHANCERS(X) X(gamma) X(equalise) X(clahe) X(retinex) X(lime)

#define DECLARE(name) extern const dgam_enhancer dgam_enhancer_##name;
ENHANCERS(DECLARE)

const dgam_enhancer *dgam_enhancer_at(size_t i) {
#define ADDRESS(name) &dgam_enhancer_##name,
  static const dgam_enhancer *const all[] = {ENHANCERS(ADDRESS)};
  return i < sizeof all / sizeof *all ? all[i] : NULL;
}

dgam_enhance dgam_enhance_defaults(const char *name) {
  dgam_enhance e = {0};
  for (size_t i = 0; (e.method = dgam_enhancer_at(i)) && strcmp(e.method->name, name) != 0;) i++;
  for (int i = 0; e.method && e.method->options[i].name; i++) e.option[i] = e.method->options[i].standard;
  return e;
}

static dgam_status check_value(const dgam_option *o, double value) {
  const char *words = o->words && o->kind != DGAM_PAIR ? o->words : o->name;
  double most = o->most != 0 ? o->most : (double)FLT_MAX, v = (double)(float)value; /* most enhancers compute in float */
  if ((o->kind == DGAM_WHOLE || o->kind == DGAM_PAIR) && value != floor(value))
    return dgam_fail(DGAM_EINVAL, "enhance: %s holds %g, expected whole numbers", words, value);
  if (v <= most && (o->above ? v > o->least : v >= o->least)) return DGAM_OK;
  char limit[48] = "";
  if (o->most != 0) snprintf(limit, sizeof limit, " and at most %g", o->most);
  return dgam_fail(DGAM_EINVAL, "enhance: %s %s %g, expected %s %g%s", words, o->kind == DGAM_PAIR ? "are" : "is", value,
                   o->above ? "above" : "at least", o->least, limit);
}

dgam_status dgam_enhance_set(dgam_enhance *e, const char *option, const double *values, size_t n) {
  int i = 0;
  while (e->method && e->method->options[i].name && strcmp(e->method->options[i].name, option) != 0) i++;
  if (!e->method || !e->method->options[i].name) return dgam_fail(DGAM_EINVAL, "enhance: there is no option '%s'", option);
  const dgam_option *o = &e->method->options[i];
  size_t fewest = o->kind == DGAM_PAIR ? 2 : 1, most = o->kind == DGAM_LIST ? DGAM_ENHANCE_VALUES : fewest;
  if (n < fewest || n > most)
    return dgam_fail(DGAM_EINVAL, fewest < most ? "enhance: there are %zu %s, expected %zu to %zu" : "enhance: %zu values for %s, expected %zu",
                     n, option, fewest, most);
  for (size_t k = 0; k < n; k++) DGAM_TRY(check_value(o, values[k]));
  e->option[i] = (dgam_values){.n = n};
  memcpy(e->option[i].v, values, n * sizeof *values);
  return DGAM_OK;
}

dgam_status dgam_enhance_check(const dgam_enhance *e, size_t h, size_t w) {
  if (!e->method) return dgam_fail(DGAM_EINVAL, "enhance: there is no such method");
  return e->method->check ? e->method->check(e, h, w) : DGAM_OK;
}

static size_t frame_scratch(const dgam_enhance *e, size_t h, size_t w) {
  return e->method && e->method->scratch ? e->method->scratch(e, h, w) : 0;
}

static size_t shares(const dgam_clip *clip) {
  size_t frames = clip->n * clip->t, threads = (size_t)dgam_threads();
  return frames < threads ? frames : threads;
}

size_t dgam_enhance_scratch(const dgam_enhance *e, const dgam_clip *clip) {
  return dgam_arena_need(shares(clip), dgam_arena_need(1, frame_scratch(e, clip->h, clip->w)));
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
    job->e->method->frame(job->e, &f, scratch);
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
    e->method->frame(e, &f, own);
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
