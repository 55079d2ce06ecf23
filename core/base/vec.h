/* vec.h - one vector of floats, at the width of the instruction set this file is compiled for.
 *
 * For kernels that are compiled once for each level (core/nn/kernels_impl.h, core/light/gamma_kernels.h,
 * bindings/bench/stream_impl.h); not for headers that users include. The vector types of GCC and clang carry the arithmetic, so the plain build is portable C.
 * Intrinsics stand only where the compiler finds no good instruction of its own.
 */
#ifndef DGAM_BASE_VEC_H
#define DGAM_BASE_VEC_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#define VL 16 /* floats in a vector */
#elif defined(__AVX2__)
#include <immintrin.h>
#define VL 8
#else
#define VL 4
#endif

typedef float vf __attribute__((vector_size(VL * 4)));
typedef int32_t vi __attribute__((vector_size(VL * 4)));
typedef uint32_t vu __attribute__((vector_size(VL * 4)));
typedef uint16_t vh __attribute__((vector_size(VL * 2)));
typedef uint8_t vb __attribute__((vector_size(VL)));

#define VEC static inline __attribute__((always_inline, unused))

VEC vf vset(float x) { return x - (vf){0}; }
VEC vf vload(const float *p) {
  vf v;
  memcpy(&v, p, sizeof v);
  return v;
}
VEC void vstore(float *p, vf v) { memcpy(p, &v, sizeof v); }

/* The first `count` floats (0 <= count <= VL); the rest 0. */
VEC vf vload_n(const float *p, size_t count) {
#if defined(__AVX512F__)
  return (vf)_mm512_maskz_loadu_ps((__mmask16)((1u << count) - 1u), p);
#else
  vf v = {0};
  memcpy(&v, p, count * sizeof *p);
  return v;
#endif
}
VEC void vstore_n(float *p, vf v, size_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(p, (__mmask16)((1u << count) - 1u), (__m512)v);
#else
  memcpy(p, &v, count * sizeof *p);
#endif
}

VEC vf vselect(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }

VEC vf vmax(vf a, vf b) {
#if defined(__AVX512F__)
  return (vf)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (vf)_mm256_max_ps((__m256)a, (__m256)b);
#else
  return vselect(a > b, a, b);
#endif
}
VEC vf vmin(vf a, vf b) {
#if defined(__AVX512F__)
  return (vf)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
  return (vf)_mm256_min_ps((__m256)a, (__m256)b);
#else
  return vselect(a < b, a, b);
#endif
}

VEC vf vsqrt(vf a) {
#if defined(__AVX512F__)
  return (vf)_mm512_sqrt_ps((__m512)a);
#elif defined(__AVX2__)
  return (vf)_mm256_sqrt_ps((__m256)a);
#else
  for (int i = 0; i < VL; i++) a[i] = __builtin_sqrtf(a[i]);
  return a;
#endif
}

/* Sums and maxima over the lanes, always in the same order: halves, quarters, ... */
#if defined(__AVX2__)
VEC __m128 vfold(vf v, int max) {
#if defined(__AVX512F__)
  __m256 h0 = _mm512_castps512_ps256((__m512)v), h1 = (__m256)_mm512_extractf64x4_pd((__m512d)v, 1);
  h0 = max ? _mm256_max_ps(h0, h1) : _mm256_add_ps(h0, h1);
#else
  __m256 h0 = (__m256)v;
#endif
  __m128 q0 = _mm256_castps256_ps128(h0), q1 = _mm256_extractf128_ps(h0, 1);
  q0 = max ? _mm_max_ps(q0, q1) : _mm_add_ps(q0, q1);
  q1 = _mm_movehl_ps(q0, q0);
  q0 = max ? _mm_max_ps(q0, q1) : _mm_add_ps(q0, q1);
  q1 = _mm_shuffle_ps(q0, q0, 1);
  return max ? _mm_max_ss(q0, q1) : _mm_add_ss(q0, q1);
}
VEC float vsum(vf v) { return _mm_cvtss_f32(vfold(v, 0)); }
VEC float vhmax(vf v) { return _mm_cvtss_f32(vfold(v, 1)); }
#else
VEC float vsum(vf v) {
  for (int w = VL / 2; w > 0; w /= 2)
    for (int i = 0; i < w; i++) v[i] += v[i + w];
  return v[0];
}
VEC float vhmax(vf v) {
  float m = v[0];
  for (int i = 1; i < VL; i++) m = v[i] > m ? v[i] : m;
  return m;
}
#endif

/* Lane i becomes element which[i] of the 2 VL that a and b are together. */
VEC vf vpick(vf a, vf b, vi which) {
#if defined(__clang__) /* has shuffles of constant lanes only */
  float both[2 * VL];
  vstore(both, a), vstore(both + VL, b);
  for (int i = 0; i < VL; i++) a[i] = both[which[i]];
  return a;
#else
  return __builtin_shuffle(a, b, which);
#endif
}

/* The VL x VL matrix of rows a becomes its transpose: off-diagonal blocks change places, halves, then quarters, ... */
VEC void vtranspose(vf a[VL]) {
  _Pragma("GCC unroll 8") for (int w = VL / 2; w > 0; w /= 2) {
    vi low, high;
    _Pragma("GCC unroll 16") for (int i = 0; i < VL; i++) {
      low[i] = i & w ? VL + i - w : i;
      high[i] = i & w ? VL + i : i + w;
    }
    _Pragma("GCC unroll 16") for (int q = 0; q < VL; q++) {
      if (q & w) continue;
      vf x = vpick(a[q], a[q + w], low);
      a[q + w] = vpick(a[q], a[q + w], high);
      a[q] = x;
    }
  }
}

/* bfloat16: the upper half of a float. Rounded to nearest even; a NaN stays a NaN. */
VEC vf vload_bf16(const uint16_t *p) {
  vh h;
  memcpy(&h, p, sizeof h);
  return (vf)(__builtin_convertvector(h, vu) << 16);
}
VEC vh vround_bf16(vf v) {
#if defined(__AVX512BF16__)
  return (vh)_mm512_cvtneps_pbh((__m512)v); /* numbers below 2^-126 become 0 */
#else
  vu u = (vu)v, r = u + 0x7fffu + ((u >> 16) & 1u);
  vu nan = (vu)(v != v);
  r = (~nan & r) | (nan & 0x7fc00000u);
  return __builtin_convertvector(r >> 16, vh);
#endif
}
VEC void vstore_bf16(uint16_t *p, vf v) {
  vh h = vround_bf16(v);
  memcpy(p, &h, sizeof h);
}
VEC vf vload_bf16_n(const uint16_t *p, size_t count) {
  vh h = {0};
#if defined(__AVX512F__)
  h = (vh)_mm256_maskz_loadu_epi16((__mmask16)((1u << count) - 1u), p);
#else
  memcpy(&h, p, count * sizeof *p);
#endif
  return (vf)(__builtin_convertvector(h, vu) << 16);
}
VEC void vstore_bf16_n(uint16_t *p, vf v, size_t count) {
  vh h = vround_bf16(v);
#if defined(__AVX512F__)
  _mm256_mask_storeu_epi16(p, (__mmask16)((1u << count) - 1u), (__m256i)h);
#else
  memcpy(p, &h, count * sizeof *p);
#endif
}

/* Elements of either type: `bf` is a constant at every call, so the test disappears. */
VEC vf vget(const void *p, size_t i, int bf) {
  return bf ? vload_bf16((const uint16_t *)p + i) : vload((const float *)p + i);
}
VEC vf vget_n(const void *p, size_t i, size_t count, int bf) {
  return bf ? vload_bf16_n((const uint16_t *)p + i, count) : vload_n((const float *)p + i, count);
}
VEC void vput(void *p, size_t i, vf v, int bf) {
  if (bf) vstore_bf16((uint16_t *)p + i, v);
  else vstore((float *)p + i, v);
}
VEC void vput_n(void *p, size_t i, vf v, size_t count, int bf) {
  if (bf) vstore_bf16_n((uint16_t *)p + i, v, count);
  else vstore_n((float *)p + i, v, count);
}

/* 2^t for t <= 127, relative error below 3e-7. Exactly 0 below -126, so that no denormal is made. NaN for NaN: vmax passes it
 * on from its second argument only. */
VEC vf vexp2(vf t) {
#if defined(__AVX512F__)
  vf r = (vf)_mm512_reduce_ps((__m512)t, 0x08), whole = t - r; /* r: what is left of the nearest whole number */
#else
  vf whole = (vmax(vset(-126.f), t) + 12582912.f) - 12582912.f, r = t - whole;
#endif
  vf p = r * 1.32764719e-3f + 9.67554133e-3f;
  p = p * r + 5.55071327e-2f;
  p = p * r + 2.40221197e-1f;
  p = p * r + 6.93146967e-1f;
  p = p * r + 1.f;
#if defined(__AVX512F__)
  __mmask16 keep = _mm512_cmp_ps_mask((__m512)t, _mm512_set1_ps(-126.f), _CMP_NLT_UQ);
  return (vf)_mm512_maskz_scalef_ps(keep, (__m512)p, (__m512)whole);
#else
  vi e = __builtin_convertvector(whole, vi) << 23;
  return (vf)(((vi)p + e) & ~(vi)(t < -126.f));
#endif
}

#define LOG2E 1.44269504f /* e^x is vexp2(x * LOG2E) */
/* erf(x) within 3e-7: a rational function of x^2 on [-4, 4], beyond which it is +-1 in fp32. */
VEC vf verf(vf x) {
  vf t = vmax(vmin(x, vset(4.f)), vset(-4.f)), s = t * t;
  vf p = s * -2.72614225801306e-10f + 2.77068142495902e-08f;
  p = p * s + -2.10102402082508e-06f;
  p = p * s + -5.69250639462346e-05f;
  p = p * s + -7.34990630326855e-04f;
  p = p * s + -2.95459980854025e-03f;
  p = p * s + -1.60960333262415e-02f;
  vf q = s * -1.45660718464996e-05f + -2.13374055278905e-04f;
  q = q * s + -1.68282697438203e-03f;
  q = q * s + -7.37332916720468e-03f;
  q = q * s + -1.42647390514189e-02f;
  return t * p / q;
}

#endif
