/* histogram.c - see histogram.h */
#include "light/histogram.h"

#include <string.h>

#include "base/parallel.h"

void dgam_histogram_plane_naive(const uint8_t *plane, size_t h, size_t w, ptrdiff_t stride, uint32_t *hist) {
  memset(hist, 0, 256 * sizeof *hist);
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) hist[plane[(ptrdiff_t)y * stride + (ptrdiff_t)x]]++;
}

static void count_row(const uint8_t *row, size_t w, uint32_t table[8][256]) {
  size_t x = 0;
  for (; x + 8 <= w; x += 8) {
    uint64_t eight; /* in any byte order: which pixel goes to which table does not matter */
    memcpy(&eight, row + x, sizeof eight);
    for (int k = 0; k < 8; k++) table[k][eight >> (8 * k) & 255]++;
  }
  for (; x < w; x++) table[x & 7][row[x]]++;
}

void dgam_histogram_plane(const uint8_t *plane, size_t h, size_t w, ptrdiff_t stride, uint32_t *hist) {
  uint32_t table[8][256];
  memset(table, 0, sizeof table);
  if (stride == (ptrdiff_t)w) w *= h, h = 1; /* one long row */
  for (size_t y = 0; y < h; y++) count_row(plane + (ptrdiff_t)y * stride, w, table);
  for (int v = 0; v < 256; v++) {
    uint32_t sum = 0;
    for (int k = 0; k < 8; k++) sum += table[k][v];
    hist[v] = sum;
  }
}

typedef struct task {
  const dgam_clip *clip;
  uint32_t *hist;
} task;

static dgam_status count_planes(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  const task *job = ctx;
  const dgam_clip *clip = job->clip;
  for (size_t i = begin; i < end; i++) {
    size_t c = i % 3, t = i / 3 % clip->t, n = i / 3 / clip->t;
    dgam_histogram_plane(dgam_clip_plane(clip, n, c, t), clip->h, clip->w, clip->sh, job->hist + 256 * i);
  }
  return DGAM_OK;
}

dgam_status dgam_histogram_clip(const dgam_clip *clip, uint32_t *hist) {
  DGAM_TRY(dgam_clip_check(clip, "histogram"));
  task job = {clip, hist};
  return dgam_parallel(clip->n * clip->t * 3, count_planes, &job);
}
