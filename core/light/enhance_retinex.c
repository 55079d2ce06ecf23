/* enhance_retinex.c - multi-scale retinex with colour restoration; see enhance.h */
#include <math.h>
#include <string.h>

#include "light/enhance_frame.h"

enum { SCALES, DYNAMIC, RESTORE };

/* One plane of pixels, one blurred, three of results, and the blur's. */
static size_t retinex_scratch(const dgam_enhance *e, size_t h, size_t w) {
  (void)e;
  size_t plane;
  if (dgam_mul_overflow(h, w, &plane)) return SIZE_MAX;
  size_t planes = dgam_arena_need(5 * plane, sizeof(float)), blur = dgam_blur_scratch(h, w);
  return planes == SIZE_MAX || blur > SIZE_MAX - planes ? SIZE_MAX : planes + blur;
}

static void retinex(const dgam_enhance *e, const dgam_frame *f, void *scratch) {
  size_t count = f->h * f->w;
  const dgam_values *scales = &e->option[SCALES];
  float *pixels = scratch, *blurred = pixels + count, *result = blurred + count, logs[257], sum_logs[3 * 255 + 4];
  void *more = (unsigned char *)scratch + dgam_arena_need(5 * count, sizeof(float));
  for (int v = 0; v < 256; v++) logs[v] = logf((float)v + 1);
  for (int v = 0; v <= 3 * 255; v++) sum_logs[v] = logf((float)v + 3);

  for (int c = 0; c < 3; c++) {
    float *r = result + (size_t)c * count;
    for (size_t y = 0; y < f->h; y++)
      for (size_t x = 0; x < f->w; x++) {
        uint8_t v = f->in[c][(ptrdiff_t)y * f->stride + (ptrdiff_t)x];
        pixels[y * f->w + x] = v;
        r[y * f->w + x] = logs[v];
      }
    for (size_t s = 0; s < scales->n; s++) {
      dgam_blur(pixels, f->h, f->w, (float)scales->v[s], blurred, more);
      for (size_t i = 0; i < count; i++) r[i] -= logf(blurred[i] + 1) / (float)scales->n;
    }
  }
  if (dgam_option_of(e, RESTORE) != 0)
    for (size_t y = 0; y < f->h; y++)
      for (size_t x = 0; x < f->w; x++) {
        ptrdiff_t at = (ptrdiff_t)y * f->stride + (ptrdiff_t)x;
        float sum = sum_logs[f->in[0][at] + f->in[1][at] + f->in[2][at]];
        for (size_t c = 0; c < 3; c++)
          result[c * count + y * f->w + x] *= logs[f->in[c][at]] + 4.852030264f - sum; /* log 128 */
      }

  double sum = 0, squares = 0;
  for (size_t i = 0; i < 3 * count; i++) sum += (double)result[i];
  double mean = sum / (3.0 * (double)count);
  for (size_t i = 0; i < 3 * count; i++) squares += ((double)result[i] - mean) * ((double)result[i] - mean);
  double half = (double)(float)dgam_option_of(e, DYNAMIC) * sqrt(squares / (3.0 * (double)count));
  for (size_t c = 0; c < 3; c++)
    for (size_t y = 0; y < f->h; y++) {
      const uint8_t *in = f->in[c] + (ptrdiff_t)y * f->stride;
      uint8_t *out = f->out[c] + y * f->w;
      const float *r = result + c * count + y * f->w;
      if (half < 1e-5) memcpy(out, in, f->w); /* a frame without contrast stays as it is */
      else
        for (size_t x = 0; x < f->w; x++) out[x] = dgam_to_byte((float)(255 * ((double)r[x] - mean + half) / (2 * half)));
    }
}

const dgam_enhancer dgam_enhancer_retinex = {
    .name = "retinex",
    .options = {[SCALES] = {"scales", DGAM_LIST, {3, {15, 80, 250}}, 0, DGAM_BLUR_MOST, .above = 1, .words = "a scale"}, /* pixels */
                [DYNAMIC] = {"dynamic", DGAM_NUMBER, {1, {1.2}}, .above = 1}, /* k; smaller is harsher */
                [RESTORE] = {"restore", DGAM_FLAG, {1, {1}}, .most = 1}},     /* colour */
    .scratch = retinex_scratch, .frame = retinex};
