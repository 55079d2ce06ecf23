/* resize_rows.h - the two inner loops of resize.c, plain and AVX2; not for other modules.
 *
 * A horizontally resized row is [n][4] int16: R, G, B and an unused word, so that a pixel is one 8-byte store.
 */
#ifndef DGAM_VIDEO_RESIZE_ROWS_H
#define DGAM_VIDEO_RESIZE_ROWS_H

#include <stddef.h>
#include <stdint.h>

typedef struct dgam_resize_tap {
  int32_t at;   /* left or upper pixel */
  int16_t a[2]; /* weights of pixels at and at + 1, sum about 2048 */
} dgam_resize_tap;

/* out[i] = (a0 row[at] + a1 row[at+1]) >> 4 for output columns begin .. end-1. Reads 8 bytes from row + 3 at. */
void dgam_resize_across_avx2(const uint8_t *row, const dgam_resize_tap *x, size_t begin, size_t end, int16_t *out);

/* Blends two rows with weights b0, b1 into three planes of n bytes. */
void dgam_resize_down_avx2(const int16_t *h0, const int16_t *h1, int b0, int b1, size_t n, uint8_t *r, uint8_t *g, uint8_t *b);

static inline uint8_t dgam_resize_blend(int h0, int h1, int b0, int b1) {
  return (uint8_t)((((b0 * h0) >> 16) + ((b1 * h1) >> 16) + 2) >> 2);
}

#endif
