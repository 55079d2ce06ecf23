/* window.c - see window.h */
#include "nn/window.h"

#include <string.h>

dgam_status dgam_windows_plan(const size_t dims[3], const size_t window[3], const size_t shift[3], dgam_windows *w) {
  static const char axis[] = "DHW";
  memset(w, 0, sizeof *w);
  w->l = w->windows = w->tokens = w->table = 1;
  for (int a = 0; a < 3; a++) {
    if (dims[a] < 1 || dims[a] > INT32_MAX)
      return dgam_fail(DGAM_EINVAL, "windows: %c is %zu, expected 1 or more", axis[a], dims[a]);
    if (window[a] < 1 || window[a] > 1024)
      return dgam_fail(DGAM_EINVAL, "windows: the window along %c is %zu, expected 1 to 1024", axis[a], window[a]);
    if (shift[a] >= window[a])
      return dgam_fail(DGAM_EINVAL, "windows: the shift along %c is %zu, expected less than the window, %zu", axis[a],
                       shift[a], window[a]);
    int clipped = dims[a] <= window[a];
    w->dims[a] = dims[a];
    w->full[a] = window[a];
    w->size[a] = clipped ? dims[a] : window[a];
    w->shift[a] = clipped ? 0 : shift[a];
    w->count[a] = (dims[a] + w->size[a] - 1) / w->size[a];
    if (__builtin_mul_overflow(w->l, dims[a], &w->l) || w->l > INT32_MAX)
      return dgam_fail(DGAM_EINVAL, "windows: a map of %zu x %zu x %zu has more than 2^31 tokens", dims[0], dims[1],
                       dims[2]);
    w->windows *= w->count[a];
    w->tokens *= w->size[a];
    w->table *= 2 * window[a] - 1;
    if (w->shift[a]) w->masked = 1;
  }
  if (w->tokens > 65536) return dgam_fail(DGAM_EINVAL, "windows: a window has %zu tokens, expected 65536 or fewer", w->tokens);
  w->padded = (w->tokens + 15) / 16 * 16;
  return DGAM_OK;
}

int dgam_windows_index(const dgam_windows *w, size_t which, int32_t *index, int32_t *region) {
  size_t at[3] = {which / (w->count[1] * w->count[2]), which / w->count[2] % w->count[1], which % w->count[2]};
  size_t t = 0, p[3];
  int32_t id[3];
  for (p[0] = 0; p[0] < w->size[0]; p[0]++)
    for (p[1] = 0; p[1] < w->size[1]; p[1]++)
      for (p[2] = 0; p[2] < w->size[2]; p[2]++, t++) {
        size_t token = 0;
        int inside = 1;
        for (int a = 0; a < 3; a++) {
          size_t from = at[a] * w->size[a] + p[a] + w->shift[a];
          if (from >= w->count[a] * w->size[a]) from -= w->count[a] * w->size[a];
          if (from >= w->dims[a]) inside = 0;
          token = token * w->dims[a] + from;
          /* Only the last window along a shifted axis holds tokens from both ends. */
          id[a] = w->shift[a] && at[a] == w->count[a] - 1 && p[a] >= w->size[a] - w->shift[a];
        }
        index[t] = inside ? (int32_t)token : -1;
        if (region) region[t] = id[0] * 4 + id[1] * 2 + id[2];
      }
  if (region)
    for (; t < w->padded; t++) region[t] = 0;
  for (int a = 0; a < 3; a++)
    if (w->shift[a] && at[a] == w->count[a] - 1) return 1;
  return 0;
}

/* Row of the table for query i, key j of the full window is place(i) - place(j) + middle. */
static size_t place(const dgam_windows *w, size_t t) {
  size_t f1 = w->full[1], f2 = w->full[2];
  return (t / (f1 * f2) * (2 * f1 - 1) + t / f2 % f1) * (2 * f2 - 1) + t % f2;
}

void dgam_windows_bias(const dgam_windows *w, const float *table, size_t heads, size_t head, float *out,
                       float *scratch) {
  /* The head's column, reversed: a run of keys along W is then a run of floats. */
  for (size_t i = 0; i < w->table; i++) scratch[i] = table[(w->table - 1 - i) * heads + head];
  size_t middle = (w->table - 1) / 2, run = w->full[2];
  for (size_t i = 0; i < w->tokens; i++) {
    const float *from = scratch + middle - place(w, i);
    float *to = out + i * w->padded;
    for (size_t j = 0; j < w->tokens; j += run) {
      const float *src = from + place(w, j);
      size_t len = w->tokens - j < run ? w->tokens - j : run;
      if (len == 7) memcpy(to + j, src, 7 * sizeof *to); /* the published window: known lengths unroll */
      else if (len == 8) memcpy(to + j, src, 8 * sizeof *to);
      else memcpy(to + j, src, len * sizeof *to);
    }
    for (size_t j = w->tokens; j < w->padded; j++) to[j] = -1e30f;
  }
}

void dgam_windows_bias_grad(const dgam_windows *w, const float *dbias, size_t heads, size_t head, float *dtable,
                            float *scratch) {
  memset(scratch, 0, w->table * sizeof *scratch);
  size_t middle = (w->table - 1) / 2, run = w->full[2];
  for (size_t i = 0; i < w->tokens; i++) {
    float *to = scratch + middle - place(w, i);
    const float *from = dbias + i * w->padded;
    for (size_t j = 0; j < w->tokens; j += run) {
      float *dst = to + place(w, j);
      size_t len = w->tokens - j < run ? w->tokens - j : run;
      if (len == 7) /* the published window: known lengths unroll */
        for (size_t q = 0; q < 7; q++) dst[q] += from[j + q];
      else if (len == 8)
        for (size_t q = 0; q < 8; q++) dst[q] += from[j + q];
      else
        for (size_t q = 0; q < len; q++) dst[q] += from[j + q];
    }
  }
  for (size_t i = 0; i < w->table; i++) dtable[(w->table - 1 - i) * heads + head] += scratch[i];
}
