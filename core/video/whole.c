/* whole.c - see whole.h */
#include "video/whole.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

typedef struct walk {
  const dgam_input *in;
  char *why;
  size_t n;
  int left; /* reads: a file of endless empty boxes is not followed to its end */
} walk;

enum { MOST_READS = 1 << 22 };

static int get(walk *w, uint64_t at, uint8_t *to, size_t n) {
  return w->left-- > 0 && at <= w->in->size && n <= w->in->size - at && dgam_input_read(w->in, at, to, n) == DGAM_OK;
}

static int is_cut(const walk *w, const char *part, uint64_t end) {
  if (end <= w->in->size) return 0;
  snprintf(w->why, w->n, "cut off: the file ends at byte %llu, its %s goes on to byte %llu", (unsigned long long)w->in->size, part,
           (unsigned long long)end);
  return 1;
}

/* There is nothing of the container at `at`, where something must be. */
static int is_gap(const walk *w, const char *part, uint64_t at) {
  snprintf(w->why, w->n, "a gap: there is no %s at byte %llu of %llu", part, (unsigned long long)at, (unsigned long long)w->in->size);
  return 1;
}

static uint64_t big_endian(const uint8_t *p, int n) {
  uint64_t v = 0;
  while (n-- > 0) v = v << 8 | *p++;
  return v;
}

static uint32_t little_endian(const uint8_t *p) {
  return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Boxes that hold frames. What follows the last one may be anything. */
static int mp4_broken(walk *w) {
  uint8_t b[16];
  for (uint64_t at = 0; get(w, at, b, 8);) {
    uint64_t size = big_endian(b, 4);
    if (size == 1 && get(w, at + 8, b + 8, 8)) size = big_endian(b + 8, 8);
    if (size < 8 || size > UINT64_MAX - at) return 0; /* to the end of the file, or no box */
    at += size;
    if (memcmp(b + 4, "mdat", 4) == 0 && is_cut(w, "mdat", at)) return 1;
  }
  return 0;
}

/* RIFF lists whose chunks are frames, sound and indexes; a list within is gone into. */
static int movi_broken(walk *w, uint64_t at, uint64_t end) {
  uint8_t b[8];
  while (end > 8 && at < end - 8) {
    if (!get(w, at, b, 8)) return 0;
    if (!isalnum(b[0]) || !isalnum(b[1])) return is_gap(w, "chunk", at);
    uint64_t size = little_endian(b + 4);
    at += memcmp(b, "LIST", 4) == 0 ? 12 : 8 + size + (size & 1);
  }
  return 0;
}

static int avi_broken(walk *w) {
  uint8_t b[12];
  for (uint64_t at = 0; get(w, at, b, 12);) {
    uint64_t size = little_endian(b + 4);
    if (memcmp(b, "RIFF", 4) == 0) {
      at += 12;
    } else if (memcmp(b, "LIST", 4) == 0 && memcmp(b + 8, "movi", 4) == 0) {
      if (size < 4 || size >= 0x7ffffff0) return 0; /* never filled in */
      if (is_cut(w, "list of frames", at + 8 + size) || movi_broken(w, at + 12, at + 8 + size)) return 1;
      at += 8 + size + (size & 1);
    } else {
      if (!isalnum(b[0]) || !isalnum(b[1])) return 0;
      at += 8 + size + (size & 1);
    }
  }
  return 0;
}

/* A number of 1 to 8 bytes whose first tells how many: with its marking bit (an id) or without (a size). UINT64_MAX: size not
 * known. Returns its bytes, 0 if there is none. */
static int ebml_number(walk *w, uint64_t at, int most, uint64_t *value) {
  uint8_t b[8];
  int n = 1;
  if (!get(w, at, b, 1)) return 0;
  while (n <= most && !(b[0] & 0x80 >> (n - 1))) n++;
  if (n > most || !get(w, at, b, (size_t)n)) return 0;
  *value = big_endian(b, n);
  if (most == 4) return n;
  *value &= ((uint64_t)1 << 7 * n) - 1;
  if (*value == ((uint64_t)1 << 7 * n) - 1) *value = UINT64_MAX;
  return n;
}

static int matroska_broken(walk *w) {
  enum { SEGMENT = 0x18538067, CLUSTER = 0x1f43b675 };
  uint64_t at = 0, end = 0, id, size;
  while (!end || at < end) {
    int n = ebml_number(w, at, 4, &id), m = n ? ebml_number(w, at + (uint64_t)n, 8, &size) : 0;
    if (!m) return end && w->left > 0 ? is_gap(w, "element", at) : 0;
    at += (uint64_t)(n + m);
    if (size == UINT64_MAX || size > UINT64_MAX - at) return 0;
    if (id == SEGMENT) {
      end = at + size;
      if (is_cut(w, "segment", end)) return 1;
    } else if (id != CLUSTER) {
      at += size;
    }
  }
  return 0;
}

int dgam_whole_file(const dgam_input *in, const char *format, char *why, size_t n) {
  walk w = {in, why, n, MOST_READS};
  if (strncmp(format, "mov,", 4) == 0) return !mp4_broken(&w);
  if (strcmp(format, "avi") == 0) return !avi_broken(&w);
  if (strncmp(format, "matroska,", 9) == 0) return !matroska_broken(&w);
  return 1;
}
