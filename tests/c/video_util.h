/* video_util.h - pictures and files that the video tests share. */
#ifndef VIDEO_UTIL_H
#define VIDEO_UTIL_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"
#include "video/decode.h"
#include "video/encode.h"

/* A fresh folder for one test program; removed with everything in it by scratch_remove. */
static char scratch[256];

static inline int scratch_make(void **state) {
  (void)state;
  const char *base = getenv("TMPDIR");
  snprintf(scratch, sizeof scratch, "%s/dgam_video_XXXXXX", base ? base : "/tmp");
  return mkdtemp(scratch) ? 0 : -1;
}

static inline size_t scratch_count(void) {
  size_t n = 0;
  DIR *d = opendir(scratch);
  for (struct dirent *e; d && (e = readdir(d));) n += e->d_name[0] != '.';
  if (d) closedir(d);
  return n;
}

static inline void scratch_empty(void) {
  DIR *d = opendir(scratch);
  for (struct dirent *e; d && (e = readdir(d));)
    if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
  if (d) closedir(d);
}

static inline int scratch_remove(void **state) {
  (void)state;
  scratch_empty();
  return rmdir(scratch);
}

/* Path of a file in the scratch folder; four may be in use at once. */
static inline const char *scratch_path(const char *name) {
  static char paths[4][512];
  static int next;
  char *p = paths[next++ % 4];
  snprintf(p, sizeof paths[0], "%s/%s", scratch, name);
  return p;
}

static inline unsigned char *read_file(const char *path, size_t *n) {
  FILE *f = fopen(path, "rb");
  assert_non_null(f);
  fseek(f, 0, SEEK_END);
  *n = (size_t)ftell(f);
  rewind(f);
  unsigned char *bytes = malloc(*n + 1);
  assert_non_null(bytes);
  assert_int_equal(fread(bytes, 1, *n, f), *n);
  fclose(f);
  return bytes;
}

static inline void write_file(const char *path, const void *bytes, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

/* Frame number `k` of the test film, RGB [H,W,3]: smooth shading that drifts, with 10 square bits of k along the top
 * edge (in a grid of 10 columns and 8 rows), so that a decoded frame tells its own number through any lossy codec. */
static inline void film_frame(uint8_t *rgb, int w, int h, int k) {
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      uint8_t *p = rgb + 3 * ((size_t)y * (size_t)w + (size_t)x);
      int row = y * 8 / h, bit = x * 10 / w;
      if (row < 2)
        p[0] = p[1] = p[2] = (k >> bit) & 1 ? 220 : 30;
      else {
        p[0] = (uint8_t)(40 + 150 * x / w);
        p[1] = (uint8_t)(40 + 150 * y / h);
        p[2] = (uint8_t)(40 + (x + y + 3 * k) % 120);
      }
    }
}

/* The number a frame of the film carries; rgb planes [3,H,W]. */
static inline int film_number(const uint8_t *rgb, int w, int h) {
  int k = 0;
  for (int bit = 0; bit < 10; bit++) {
    int x = (2 * bit + 1) * w / 20, y = h / 8;
    if (rgb[(size_t)w * (size_t)h + (size_t)y * (size_t)w + (size_t)x] > 125) k |= 1 << bit;
  }
  return k;
}

/* Film numbers of `n` frames of an open video, w x h. */
static inline void film_numbers(dgam_video *v, const int64_t *frames, size_t n, int w, int h, int *numbers) {
  size_t size = 3 * (size_t)w * (size_t)h;
  uint8_t *out = malloc(n * size);
  assert_non_null(out);
  assert_ok(dgam_video_frames(v, frames, n, out));
  for (size_t i = 0; i < n; i++) numbers[i] = film_number(out + i * size, w, h);
  free(out);
}

/* Writes frames 0 .. n-1 of the film with `spec`. */
static inline dgam_status film_write(const char *path, const dgam_encoder_spec *spec, int n) {
  dgam_encoder *e;
  DGAM_TRY(dgam_encoder_open(&e, path, spec));
  uint8_t *rgb = malloc((size_t)3 * (size_t)spec->width * (size_t)spec->height);
  dgam_status s = rgb ? DGAM_OK : DGAM_ENOMEM;
  for (int k = 0; k < n && s == DGAM_OK; k++) {
    film_frame(rgb, spec->width, spec->height, k);
    s = dgam_encoder_rgb(e, rgb, 0);
  }
  free(rgb);
  if (s != DGAM_OK) {
    dgam_encoder_abandon(&e);
    return s;
  }
  return dgam_encoder_finish(&e);
}

#endif
