/* gamma_kernels.h - the inner loops of gamma.c and how one set is chosen for this CPU. Private to core/light. */
#ifndef DGAM_LIGHT_GAMMA_KERNELS_H
#define DGAM_LIGHT_GAMMA_KERNELS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/vec.h"

/* A 256-entry table in the form that a mapping kernel wants; each kernel has its own. */
typedef struct dgam_lut {
  _Alignas(64) unsigned char bytes[1024];
} dgam_lut;

/* p[i] = 2^(logs[i] * scale), i < count. count is a multiple of 16, logs are at most 0. Results below 2^-126 become 0. */
typedef void (*dgam_pow_fn)(const float *logs, float scale, size_t count, float *p);

typedef struct dgam_map_kernels {
  void (*prepare)(const float *table, dgam_lut *lut);
  /* out[i] = table[row[i]], i < w */
  void (*row)(const uint8_t *row, size_t w, const dgam_lut *lut, void *out);
  /* Four rows of one channel and frame into ceil(w/4) patches: pixel (y, x) goes to element 96 (x/4) + 4 y + x%4.
   * A row that is NULL and columns from w on become 0. */
  void (*patches)(const uint8_t *const rows[4], size_t w, const dgam_lut *lut, void *out);
} dgam_map_kernels;

/* Loops shared by every level; compiled once per file with that file's instructions. */

static inline float dgam_bf16_to_f32(uint16_t b) {
  uint32_t bits = (uint32_t)b << 16;
  float f;
  memcpy(&f, &bits, sizeof f);
  return f;
}

static inline uint16_t dgam_f32_to_bf16(float f) { /* to nearest even; NaN stays NaN */
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  if (f != f) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* 2^x = 2^i 2^f with i the nearest whole number: Taylor series in f to the 7th power (|f| <= 1/2, error 6e-9). Not vexp2
 * of vec.h, which is within 3e-7: enough for a softmax, but tables would change in their last bits. */
static inline void dgam_pow_loop(const float *logs, float scale, size_t count, float *p) {
  for (size_t i = 0; i < count; i += VL) {
    vf x = vload(logs + i) * scale;
    vi enough = x > -126.0f; /* below, the result is 0 */
    x = (vf)((vi)x & enough);
    vi whole = __builtin_convertvector(x - 0.5f, vi); /* x is at most 0: truncation rounds to nearest */
    vf f = (x - __builtin_convertvector(whole, vf)) * 0.693147180559945f;
    vf series = f * (1.0f / 5040) + 1.0f / 720;
    series = series * f + 1.0f / 120;
    series = series * f + 1.0f / 24;
    series = series * f + 1.0f / 6;
    series = series * f + 0.5f;
    series = series * f + 1.0f;
    series = series * f + 1.0f;
    vi power = (whole + 127) << 23;
    vstore(p + i, (vf)((vi)(series * (vf)power) & enough));
  }
}

/* What the levels provide; gamma.c asks dgam_cpu_level() first. */
void dgam_pow_avx2(const float *logs, float scale, size_t count, float *p);
void dgam_pow_avx512(const float *logs, float scale, size_t count, float *p);
extern const dgam_map_kernels dgam_map_f32_avx512bf, dgam_map_bf16_avx512bf;

#endif
