/* resize.c - see resize.h */
#include "video/resize.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "video/resize_rows.h"

#if defined(__x86_64__)
#define DGAM_X86
#endif

enum { SCALE = 2048, MAX_SIDE = 32768 };

struct dgam_resize {
  dgam_resize_spec spec;
  dgam_resize_tap *x, *y; /* for each output column, row: the left or upper pixel and the two weights */
  size_t begin, end;      /* output columns for which a load of 8 bytes stays inside the source row */
  int16_t *rows;          /* room for the two below */
  int16_t *row[2];        /* two source rows after the horizontal pass: [ow][4] */
  int held[2];            /* which source rows those are; -1: none */
};

/* --- weights --- */

/* Tap of output pixel d of n over m source pixels. The pair (i, i+1) always exists when m > 1. */
static dgam_resize_tap tap(int d, int n, int m) {
  double scale = 1.0 / ((double)n / m);
  float f = (float)((d + 0.5) * scale - 0.5);
  int i = (int)floorf(f);
  f -= (float)i;
  if (i < 0) i = 0, f = 0;
  if (i >= m - 1) i = m - 1, f = 0;
  dgam_resize_tap t = {i, {(int16_t)lrintf((1.f - f) * SCALE), (int16_t)lrintf(f * SCALE)}};
  if (i == m - 1 && m > 1) t = (dgam_resize_tap){m - 2, {0, SCALE}};
  return t;
}

static int inside(int offset, int window, int whole) { return offset >= 0 && window >= 1 && offset <= whole - window; }

dgam_status dgam_resize_create(dgam_resize **out, const dgam_resize_spec *s) {
  *out = NULL;
  if (s->w < 1 || s->h < 1 || s->rw < 1 || s->rh < 1 || s->w > MAX_SIDE || s->h > MAX_SIDE || s->rw > MAX_SIDE || s->rh > MAX_SIDE)
    return dgam_fail(DGAM_EINVAL, "resize: from %d x %d to %d x %d, expected sides of 1 to %d", s->w, s->h, s->rw, s->rh, MAX_SIDE);
  if (!inside(s->ox, s->ow, s->rw) || !inside(s->oy, s->oh, s->rh))
    return dgam_fail(DGAM_EINVAL, "resize: window %d x %d at (%d, %d) leaves the %d x %d picture", s->ow, s->oh, s->ox, s->oy,
                     s->rw, s->rh);
  size_t ow = (size_t)s->ow, oh = (size_t)s->oh, line = (4 * ow + 31) / 32 * 32; /* whole cache lines */
  dgam_resize *r = calloc(1, sizeof *r);
  if (r) {
    r->x = malloc((ow + oh) * sizeof *r->x);
    r->rows = aligned_alloc(64, 2 * line * sizeof *r->rows);
  }
  if (!r || !r->x || !r->rows) {
    dgam_resize_destroy(r);
    return dgam_fail(DGAM_ENOMEM, "no memory to resize to %d x %d", s->ow, s->oh);
  }
  memset(r->rows, 0, 2 * line * sizeof *r->rows);
  r->spec = *s;
  r->y = r->x + ow;
  r->row[0] = r->rows;
  r->row[1] = r->rows + line;
  for (size_t i = 0; i < ow; i++) r->x[i] = tap(s->ox + (int)(s->flip ? ow - 1 - i : i), s->rw, s->w);
  for (size_t i = 0; i < oh; i++) r->y[i] = tap(s->oy + (int)i, s->rh, s->h);
  while (r->begin < ow && 3 * r->x[r->begin].at + 8 > 3 * s->w) r->begin++;
  r->end = r->begin;
  while (r->end < ow && 3 * r->x[r->end].at + 8 <= 3 * s->w) r->end++;
  *out = r;
  return DGAM_OK;
}

void dgam_resize_destroy(dgam_resize *r) {
  if (!r) return;
  free(r->x);
  free(r->rows);
  free(r);
}

void dgam_resize_rows(const dgam_resize *r, int *first, int *last) {
  int more = r->spec.h > 1;
  *first = r->y[0].at;
  *last = r->y[r->spec.oh - 1].at + more;
}

void dgam_resize_columns(const dgam_resize *r, int *first, int *last) {
  int more = r->spec.w > 1, a = r->x[0].at, b = r->x[r->spec.ow - 1].at;
  *first = a < b ? a : b;
  *last = (a < b ? b : a) + more;
}

/* --- the two passes --- */

/* Columns begin .. end-1, one pixel at a time; `next` is 3, or 0 where the picture is one pixel wide. */
static void across(const uint8_t *row, const dgam_resize_tap *x, size_t begin, size_t end, int next, int16_t *out) {
  for (size_t i = begin; i < end; i++) {
    const uint8_t *p = row + 3 * (ptrdiff_t)x[i].at;
    for (int c = 0; c < 3; c++) out[4 * i + (size_t)c] = (int16_t)((x[i].a[0] * p[c] + x[i].a[1] * p[c + next]) >> 4);
  }
}

static void down(const int16_t *h0, const int16_t *h1, int b0, int b1, size_t n, uint8_t *r, uint8_t *g, uint8_t *b) {
  for (size_t i = 0; i < n; i++) {
    r[i] = dgam_resize_blend(h0[4 * i], h1[4 * i], b0, b1);
    g[i] = dgam_resize_blend(h0[4 * i + 1], h1[4 * i + 1], b0, b1);
    b[i] = dgam_resize_blend(h0[4 * i + 2], h1[4 * i + 2], b0, b1);
  }
}

static void source_row(dgam_resize *r, const uint8_t *src, size_t stride, int y, int slot, int avx2) {
  if (r->held[slot] == y) return;
  if (slot == 0 && r->held[1] == y) { /* going down the picture, the lower row becomes the upper one */
    int16_t *t = r->row[0];
    r->row[0] = r->row[1], r->row[1] = t;
    r->held[1] = r->held[0];
    r->held[0] = y;
    return;
  }
  const uint8_t *row = src + (size_t)y * stride;
  size_t ow = (size_t)r->spec.ow, begin = avx2 ? r->begin : ow, end = avx2 ? r->end : ow;
  int next = r->spec.w > 1 ? 3 : 0;
  across(row, r->x, 0, begin, next, r->row[slot]);
#ifdef DGAM_X86
  if (avx2) dgam_resize_across_avx2(row, r->x, begin, end, r->row[slot]);
#endif
  across(row, r->x, end, ow, next, r->row[slot]);
  r->held[slot] = y;
}

void dgam_resize_run(dgam_resize *r, const uint8_t *src, size_t stride, uint8_t *dst, size_t plane) {
  int avx2 = dgam_cpu_level() >= DGAM_CPU_AVX2, more = r->spec.h > 1;
  size_t ow = (size_t)r->spec.ow, oh = (size_t)r->spec.oh;
  r->held[0] = r->held[1] = -1;
  for (size_t i = 0; i < oh; i++) {
    const dgam_resize_tap *t = &r->y[i];
    source_row(r, src, stride, t->at, 0, avx2);
    if (more) source_row(r, src, stride, t->at + 1, 1, avx2);
    const int16_t *h0 = r->row[0], *h1 = more ? r->row[1] : r->row[0];
    uint8_t *out = dst + i * ow;
#ifdef DGAM_X86
    if (avx2) {
      dgam_resize_down_avx2(h0, h1, t->a[0], t->a[1], ow, out, out + plane, out + 2 * plane);
      continue;
    }
#endif
    down(h0, h1, t->a[0], t->a[1], ow, out, out + plane, out + 2 * plane);
  }
}

void dgam_resize_naive(const dgam_resize_spec *s, const uint8_t *src, size_t stride, uint8_t *dst, size_t plane) {
  for (int y = 0; y < s->oh; y++)
    for (int x = 0; x < s->ow; x++) {
      dgam_resize_tap v = tap(s->oy + y, s->rh, s->h), h = tap(s->ox + (s->flip ? s->ow - 1 - x : x), s->rw, s->w);
      const uint8_t *p = src + (size_t)v.at * stride + 3 * (size_t)h.at, *q = s->h > 1 ? p + stride : p;
      int next = s->w > 1 ? 3 : 0;
      for (int c = 0; c < 3; c++) {
        int upper = (h.a[0] * p[c] + h.a[1] * p[c + next]) >> 4, lower = (h.a[0] * q[c] + h.a[1] * q[c + next]) >> 4;
        dst[(size_t)c * plane + (size_t)y * (size_t)s->ow + (size_t)x] = dgam_resize_blend(upper, lower, v.a[0], v.a[1]);
      }
    }
}
