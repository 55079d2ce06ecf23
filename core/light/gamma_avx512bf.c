/* gamma_avx512bf.c - table look-ups with VBMI: 64 pixels at a time. Byte permutes, which base/vec.h (floats) has not.
 *
 * vpermi2b looks 64 bytes up in a table of 128. A table of 256 floats is kept as 4 byte planes of 256; each plane of the
 * result takes two look-ups and a blend by the pixel's top bit. Unpacking planes to floats works within 128-bit lanes:
 * of lane l, byte 4k+i comes out as element 4l+i of register k. So the order in which pixels are loaded decides where
 * they end up, and both layouts get whole aligned registers:
 *   row        lane l byte 4k+i = pixel 16k+4l+i       a 4x4 transpose of dwords, one vpermd
 *   patches    lane y           = 16 pixels of row y   register k is then patch k, (y,x) flattened: no shuffle at all
 */
#include "light/gamma_kernels.h"

#if defined(__AVX512VBMI__)
#include <immintrin.h>

static inline __mmask64 low_bits(size_t n) { return (1ull << n) - 1; } /* n < 64 */

typedef struct planes {
  __m512i part[4]; /* entries 0..63, 64..127, 128..191, 192..255 */
} planes;

static inline planes load_planes(const dgam_lut *lut, int plane) {
  planes p;
  for (int i = 0; i < 4; i++) p.part[i] = _mm512_load_si512(lut->bytes + 256 * plane + 64 * i);
  return p;
}

static inline __m512i look_up(__m512i pixels, const planes *p) {
  __m512i low = _mm512_permutex2var_epi8(p->part[0], pixels, p->part[1]);
  __m512i high = _mm512_permutex2var_epi8(p->part[2], pixels, p->part[3]);
  return _mm512_mask_mov_epi8(low, _mm512_movepi8_mask(pixels), high);
}

/* --- float32 --- */

static void prepare_f32(const float *table, dgam_lut *lut) {
  for (int v = 0; v < 256; v++) {
    uint32_t bits;
    memcpy(&bits, table + v, sizeof bits);
    for (int k = 0; k < 4; k++) lut->bytes[256 * k + v] = (unsigned char)(bits >> (8 * k));
  }
}

typedef struct four {
  __m512i reg[4];
} four;

static inline four look_up_f32(__m512i pixels, const planes p[4]) {
  __m512i b0 = look_up(pixels, p), b1 = look_up(pixels, p + 1), b2 = look_up(pixels, p + 2), b3 = look_up(pixels, p + 3);
  __m512i low0 = _mm512_unpacklo_epi8(b0, b1), low1 = _mm512_unpackhi_epi8(b0, b1);
  __m512i high0 = _mm512_unpacklo_epi8(b2, b3), high1 = _mm512_unpackhi_epi8(b2, b3);
  four f = {{_mm512_unpacklo_epi16(low0, high0), _mm512_unpackhi_epi16(low0, high0),
             _mm512_unpacklo_epi16(low1, high1), _mm512_unpackhi_epi16(low1, high1)}};
  return f;
}

static void row_f32(const uint8_t *row, size_t w, const dgam_lut *lut, void *out_) {
  float *out = out_;
  planes p[4];
  for (int k = 0; k < 4; k++) p[k] = load_planes(lut, k);
  const __m512i transpose = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  size_t x = 0;
  for (; x + 64 <= w; x += 64) {
    four f = look_up_f32(_mm512_permutexvar_epi32(transpose, _mm512_loadu_si512(row + x)), p);
    for (int k = 0; k < 4; k++) _mm512_storeu_si512(out + x + 16 * k, f.reg[k]);
  }
  if (x < w) {
    __m512i pixels = _mm512_maskz_loadu_epi8(low_bits(w - x), row + x);
    four f = look_up_f32(_mm512_permutexvar_epi32(transpose, pixels), p);
    for (size_t k = 0; x + 16 * k < w; k++) {
      size_t left = w - x - 16 * k;
      _mm512_mask_storeu_epi32(out + x + 16 * k, left < 16 ? (__mmask16)((1u << left) - 1) : 0xffff, f.reg[k]);
    }
  }
}

/* Lane y: up to 16 pixels of row y. */
static inline __m512i load_rows(const uint8_t *const rows[4], size_t x, __mmask16 columns) {
  __m128i r[4];
  for (int y = 0; y < 4; y++) r[y] = rows[y] ? _mm_maskz_loadu_epi8(columns, rows[y] + x) : _mm_setzero_si128();
  __m256i top = _mm256_inserti128_si256(_mm256_castsi128_si256(r[0]), r[1], 1);
  __m256i bottom = _mm256_inserti128_si256(_mm256_castsi128_si256(r[2]), r[3], 1);
  return _mm512_inserti64x4(_mm512_castsi256_si512(top), bottom, 1);
}

static inline unsigned row_bits(const uint8_t *const rows[4]) { /* bit 4y: row y is there */
  unsigned bits = 0;
  for (int y = 0; y < 4; y++) bits |= (unsigned)(rows[y] != NULL) << (4 * y);
  return bits;
}

/* Which of a patch's 16 elements are inside the clip, where `left` columns remain from its first one. */
static inline __mmask16 inside(unsigned bits, size_t left) {
  return (__mmask16)(bits * (left < 4 ? (1u << left) - 1 : 15u));
}

static void patches_f32(const uint8_t *const rows[4], size_t w, const dgam_lut *lut, void *out_) {
  float *out = out_;
  planes p[4];
  for (int k = 0; k < 4; k++) p[k] = load_planes(lut, k);
  unsigned bits = row_bits(rows);
  size_t x = 0;
  if (bits == 0x1111)
    for (; x + 16 <= w; x += 16, out += 4 * 96) {
      four f = look_up_f32(load_rows(rows, x, 0xffff), p);
      for (int k = 0; k < 4; k++) _mm512_storeu_si512(out + 96 * k, f.reg[k]);
    }
  for (; x < w; x += 16, out += 4 * 96) {
    size_t left = w - x;
    four f = look_up_f32(load_rows(rows, x, (__mmask16)low_bits(left < 16 ? left : 16)), p);
    for (size_t k = 0; k < 4 && 4 * k < left; k++)
      _mm512_storeu_si512(out + 96 * k, _mm512_maskz_mov_epi32(inside(bits, left - 4 * k), f.reg[k]));
  }
}

const dgam_map_kernels dgam_map_f32_avx512bf = {prepare_f32, row_f32, patches_f32};

/* --- bfloat16: two planes, and of lane l byte 8k+i comes out as element 8l+i of register k --- */

static void prepare_bf16(const float *table, dgam_lut *lut) {
  for (int v = 0; v < 256; v++) {
    uint16_t b = dgam_f32_to_bf16(table[v]);
    lut->bytes[v] = (unsigned char)b;
    lut->bytes[256 + v] = (unsigned char)(b >> 8);
  }
}

typedef struct two {
  __m512i reg[2];
} two;

static inline two look_up_bf16(__m512i pixels, const planes p[2]) {
  __m512i b0 = look_up(pixels, p), b1 = look_up(pixels, p + 1);
  two f = {{_mm512_unpacklo_epi8(b0, b1), _mm512_unpackhi_epi8(b0, b1)}};
  return f;
}

static void row_bf16(const uint8_t *row, size_t w, const dgam_lut *lut, void *out_) {
  uint16_t *out = out_;
  planes p[2] = {load_planes(lut, 0), load_planes(lut, 1)};
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7); /* lane l = pixels 8l.. and 32+8l.. */
  size_t x = 0;
  for (; x + 64 <= w; x += 64) {
    two f = look_up_bf16(_mm512_permutexvar_epi64(order, _mm512_loadu_si512(row + x)), p);
    _mm512_storeu_si512(out + x, f.reg[0]);
    _mm512_storeu_si512(out + x + 32, f.reg[1]);
  }
  if (x < w) {
    __mmask64 left = low_bits(w - x);
    two f = look_up_bf16(_mm512_permutexvar_epi64(order, _mm512_maskz_loadu_epi8(left, row + x)), p);
    _mm512_mask_storeu_epi16(out + x, (__mmask32)left, f.reg[0]);
    _mm512_mask_storeu_epi16(out + x + 32, (__mmask32)(left >> 32), f.reg[1]);
  }
}

/* Register r holds patches 2r and 2r+1, one a half, after dwords (4 pixels) were dealt out: lane 0 of register 0 is
 * rows 0 and 1 of patch 0, lane 1 rows 2 and 3, lanes 2 and 3 the same of patch 1; register 1 sits in the upper 8
 * bytes. */
static inline two look_up_rows_bf16(__m512i rows, const planes p[2]) {
  const __m512i deal = _mm512_setr_epi32(0, 4, 2, 6, 8, 12, 10, 14, 1, 5, 3, 7, 9, 13, 11, 15);
  return look_up_bf16(_mm512_permutexvar_epi32(deal, rows), p);
}

static void patches_bf16(const uint8_t *const rows[4], size_t w, const dgam_lut *lut, void *out_) {
  uint16_t *out = out_;
  planes p[2] = {load_planes(lut, 0), load_planes(lut, 1)};
  unsigned bits = row_bits(rows);
  size_t x = 0;
  if (bits == 0x1111)
    for (; x + 16 <= w; x += 16, out += 4 * 96) {
      two f = look_up_rows_bf16(load_rows(rows, x, 0xffff), p);
      for (int k = 0; k < 2; k++) {
        _mm256_storeu_si256((__m256i *)(out + 96 * 2 * k), _mm512_castsi512_si256(f.reg[k]));
        _mm256_storeu_si256((__m256i *)(out + 96 * (2 * k + 1)), _mm512_extracti64x4_epi64(f.reg[k], 1));
      }
    }
  for (; x < w; x += 16, out += 4 * 96) {
    size_t left = w - x;
    __mmask16 columns = (__mmask16)low_bits(left < 16 ? left : 16);
    two f = look_up_rows_bf16(load_rows(rows, x, columns), p);
    for (size_t k = 0; k < 4 && 4 * k < left; k++) {
      __m512i reg = f.reg[k / 2];
      __m256i patch = k % 2 ? _mm512_extracti64x4_epi64(reg, 1) : _mm512_castsi512_si256(reg);
      _mm256_storeu_si256((__m256i *)(out + 96 * k), _mm256_maskz_mov_epi16(inside(bits, left - 4 * k), patch));
    }
  }
}

const dgam_map_kernels dgam_map_bf16_avx512bf = {prepare_bf16, row_bf16, patches_bf16};
#endif
