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

static inline int scratch_entry(const struct dirent *e) {
  return strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
}

static inline size_t scratch_count(void) {
  size_t n = 0;
  DIR *d = opendir(scratch);
  for (struct dirent *e; d && (e = readdir(d));) n += (size_t)scratch_entry(e);
  if (d) closedir(d);
  return n;
}

static inline void scratch_empty(void) {
  DIR *d = opendir(scratch);
  for (struct dirent *e; d && (e = readdir(d));)
    if (scratch_entry(e)) unlinkat(dirfd(d), e->d_name, 0);
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

static inline void put_chunk(FILE *f, const char *name, uint32_t bytes) {
  uint8_t size[4] = {(uint8_t)bytes, (uint8_t)(bytes >> 8), (uint8_t)(bytes >> 16), (uint8_t)(bytes >> 24)};
  fwrite(name, 1, 4, f);
  fwrite(size, 1, 4, f);
}

static inline void put_words(FILE *f, const uint32_t *words, size_t n) {
  for (size_t i = 0; i < n; i++)
    for (int byte = 0; byte < 4; byte++) fputc((int)(words[i] >> (8 * byte) & 255), f);
}

/* Frames 0 .. n-1 of the film with a palette, uncompressed in AVI: index i of the first half stands for 3 bits of red, 3 of
 * green, 2 of blue; in the middle of the file another palette follows, for indices with all bits turned. */
static inline dgam_status film_write_palette(const char *path, const dgam_encoder_spec *spec, int n) {
  uint32_t w = (uint32_t)spec->width, h = (uint32_t)spec->height, row = (w + 3) / 4 * 4, size = row * h, palette[2][256];
  for (uint32_t i = 0; i < 256; i++)
    palette[0][i] = palette[1][255 - i] = (i >> 5) * 36 << 16 | (i >> 2 & 7) * 36 << 8 | (i & 3) * 85;
  uint32_t fps = (uint32_t)spec->fps_num, movi = 4 + (uint32_t)n * (8 + size) + 8 + 4 + 1024;
  uint32_t avih[14] = {1000000 / fps, 0, 0, 0, (uint32_t)n, 0, 1, size, w, h};
  uint32_t strh[14] = {0x73646976 /* vids */, 0, 0, 0, 0, 1, fps, 0, (uint32_t)n, size};
  uint32_t strf[10] = {40, w, h, 1 | 8 << 16, 0, size, 0, 0, 256};
  uint32_t strl = 4 + 8 + sizeof strh + 8 + sizeof strf + 1024, hdrl = 4 + 8 + sizeof avih + 8 + strl;
  uint8_t *rgb = malloc(3 * (size_t)w * h), *line = calloc(row, 1);
  FILE *f = fopen(path, "wb");
  assert_true(rgb && line && f);
  put_chunk(f, "RIFF", 4 + 8 + hdrl + 8 + movi);
  fwrite("AVI ", 1, 4, f);
  put_chunk(f, "LIST", hdrl);
  fwrite("hdrl", 1, 4, f);
  put_chunk(f, "avih", sizeof avih);
  put_words(f, avih, 14);
  put_chunk(f, "LIST", strl);
  fwrite("strl", 1, 4, f);
  put_chunk(f, "strh", sizeof strh);
  put_words(f, strh, 14);
  put_chunk(f, "strf", sizeof strf + 1024);
  put_words(f, strf, 10);
  put_words(f, palette[0], 256);
  put_chunk(f, "LIST", movi);
  fwrite("movi", 1, 4, f);
  for (int k = 0; k < n; k++) {
    int half = k >= n / 2;
    if (k == n / 2) {
      put_chunk(f, "00pc", 4 + 1024); /* from entry 0 on, 256 (written 0) entries: R, G, B, unused */
      put_words(f, (uint32_t[1]){0}, 1);
      for (int i = 0; i < 256; i++)
        for (int byte = 2; byte >= -1; byte--) fputc(byte < 0 ? 0 : (int)(palette[1][i] >> (8 * byte) & 255), f);
    }
    film_frame(rgb, (int)w, (int)h, k);
    put_chunk(f, "00db", size);
    for (uint32_t y = h; y-- > 0;) { /* from below */
      for (uint32_t x = 0; x < w; x++) {
        const uint8_t *p = rgb + 3 * ((size_t)y * w + x);
        line[x] = (uint8_t)((p[0] >> 5 << 5 | p[1] >> 5 << 2 | p[2] >> 6) ^ (half ? 255 : 0));
      }
      fwrite(line, 1, row, f);
    }
  }
  free(rgb), free(line);
  assert_int_equal(fclose(f), 0);
  return DGAM_OK;
}

/* Writes frames 0 .. n-1 of the film with `spec`. */
static inline dgam_status film_write(const char *path, const dgam_encoder_spec *spec, int n) {
  /* swscale makes no palettes */
  if (spec->pixels && strcmp(spec->pixels, "pal8") == 0) return film_write_palette(path, spec, n);
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
