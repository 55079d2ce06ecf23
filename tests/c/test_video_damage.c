/* Tests of what dgam_video_count finds wrong with a file (decode.c, whole.c): cut off, with holes, with bit errors, and nothing of files
 * that are sound however they start and end. test_video_exact.c asks the same of every kind of file. */
#include "video_kinds.h"

#include <fcntl.h>

#include "base/rng.h"
#include "video/decode.h"

enum { W = 160, H = 96, N = 100 };

static const struct film {
  const char *name, *codec, *options;
} films[] = {{"a.avi", "mjpeg", NULL},
             {"b.avi", "mpeg4", "g=12:bf=2:b=800000"},
             {"c.avi", "libx264", "g=12:bf=3:preset=veryfast"},
             {"d.mkv", "libx264", "g=12:bf=3:preset=veryfast"},
             {"e.mkv", "ffv1", "g=1"},
             {"f.webm", "libvpx-vp9", VP9},
             {"g.mp4", "mpeg4", "g=12:bf=2:b=800000"},
             {"h.mp4", "libx264", "g=12:bf=3:preset=veryfast"},
             {"i.mp4", "libx265", X265("bframes=3:open-gop=0")},
             {"j.mov", "mjpeg", NULL}},
  streams[] = {{"k.ts", "mpeg2video", "g=12:bf=2:b=2000000"},
               {"l.mpg", "mpeg1video", "g=12:bf=2:b=2000000"},
               {"m.ts", "libx264", "g=12:bf=3:preset=veryfast"},
               {"n.h264", "libx264", "g=10:preset=veryfast:x264-params='open-gop=1:bframes=3:b-adapt=0'"},
               {"o.ts", "libx265", X265("bframes=3:open-gop=1")}};

enum { FILMS = sizeof films / sizeof *films, STREAMS = sizeof streams / sizeof *streams };

static int make(char path[512], const struct film *f) {
  snprintf(path, 512, "%s", scratch_path(f->name));
  dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
  s.codec = f->codec, s.options = f->options, s.full_range = strcmp(f->codec, "mjpeg") == 0;
  dgam_status status = film_write(path, &s, N);
  if (status == DGAM_EUNSUPPORTED) return 0;
  assert_ok(status);
  return 1;
}

static dgam_video_info count(const char *path) {
  dgam_video *v;
  dgam_video_info info;
  assert_ok(dgam_video_open(&v, path, NULL));
  assert_ok(dgam_video_count(v));
  dgam_video_get_info(v, &info);
  dgam_video_close(v);
  return info;
}

static void expect_sound(const char *path) {
  dgam_video_info info = count(path);
  if (*info.damage) fail_msg("%s: %s, expected no damage", path, info.damage);
}

/* Fewer frames and what is said of them. */
static void expect_damage(const char *path, const char *what) {
  dgam_video_info info = count(path);
  if (!strstr(info.damage, what)) fail_msg("%s: damage is '%s', expected '%s'", path, info.damage, what);
  assert_true(info.frames >= 1 && info.frames <= N);
}

static size_t find(const unsigned char *b, size_t n, const char *name) {
  size_t i = 4;
  while (i + 4 <= n && memcmp(b + i, name, 4) != 0) i++;
  assert_true(i + 4 <= n);
  return i;
}

static uint32_t get32(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

static void put32(unsigned char *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (24 - 8 * i));
}

/* An MP4 whose index, at the end as the encoder writes it, is moved before the frames, so that it opens when cut. */
static void index_first(unsigned char *b, size_t n) {
  size_t media = find(b, n, "mdat") - 4, index = find(b, n, "moov") - 4, size = n - index;
  unsigned char *moov = malloc(size);
  memcpy(moov, b + index, size);
  memmove(b + media + size, b + media, index - media);
  size_t places = find(moov, size, "stco");
  for (uint32_t i = 0; i < get32(moov + places + 8); i++) {
    unsigned char *place = moov + places + 12 + 4 * (size_t)i;
    put32(place, get32(place) + (uint32_t)size);
  }
  memcpy(b + media, moov, size);
  free(moov);
}

static void cut_files_and_holes_are_found(void **state) {
  (void)state;
  int found = 0;
  for (size_t k = 0; k < FILMS; k++) {
    char path[512];
    size_t n;
    if (!make(path, &films[k])) continue;
    unsigned char *b = read_file(path, &n), *copy = malloc(n);
    int mp4 = strstr(path, ".mp4") || strstr(path, ".mov");
    if (mp4) index_first(b, n);
    write_file(path, b, n);
    expect_sound(path);
    write_file(path, b, n * 6 / 10);
    expect_damage(path, "cut off: the file ends at byte ");
    memcpy(copy, b, n);
    memset(copy + n / 2, 0, n - n / 2); /* what a download has not yet brought */
    write_file(path, copy, n);
    expect_damage(path, mp4 ? "coded frames" : "a gap: there is no ");
    memcpy(copy, b, n);
    memset(copy + n / 2, 0, n / 10);
    write_file(path, copy, n);
    expect_damage(path, mp4 ? "coded frames" : "a gap: there is no ");
    found++;
    free(b), free(copy);
  }
  assert_true(found >= 4);
}

/* Noise within frames, as much as one byte in 500. */
static void bit_errors_are_found(void **state) {
  (void)state;
  dgam_rng g;
  dgam_rng_init(&g, 4, 0);
  for (size_t k = 0; k < FILMS; k++) {
    char path[512];
    size_t n;
    if (films[k].name[0] != 'g' && films[k].name[0] != 'h') continue; /* MPEG-4, H.264: others decode what they find */
    if (!make(path, &films[k])) continue;
    unsigned char *b = read_file(path, &n);
    size_t first = find(b, n, "mdat") + 500, end = find(b, n, "moov") - 4;
    for (size_t i = first; i < end; i += 1 + dgam_rng_below(&g, 1000)) b[i] ^= (unsigned char)(1 << dgam_rng_below(&g, 8));
    write_file(path, b, n);
    expect_damage(path, " of ");
    free(b);
  }
}

/* Streams that were taken up and left off anywhere, and files with something behind their end, are sound. */
static void loose_ends_are_no_damage(void **state) {
  (void)state;
  char path[512];
  size_t n;
  for (size_t k = 0; k < STREAMS; k++) {
    if (!make(path, &streams[k])) continue;
    unsigned char *b = read_file(path, &n);
    for (size_t part = 1; part < 8; part++) {
      size_t at = n * part / 9;
      if (part % 2) at -= at % 188; /* whole packets of a TS */
      write_file(path, b + at, n - at);
      expect_sound(path);
      write_file(path, b, n - at);
      expect_sound(path);
    }
    free(b);
  }
  for (size_t k = 0; k < FILMS; k++) {
    if (!make(path, &films[k])) continue;
    unsigned char *b = read_file(path, &n), *longer = calloc(n + 5000, 1);
    memcpy(longer, b, n);
    write_file(path, longer, n + 5000);
    expect_sound(path);
    free(b), free(longer);
  }
}

/* What a recorder could not go back to fill in says nothing: AVI lists of size 0, Matroska segments of unknown size. */
static void unfinished_sizes_are_no_damage(void **state) {
  (void)state;
  char path[512];
  size_t n;
  if (!make(path, &films[0])) skip();
  unsigned char *b = read_file(path, &n);
  memset(b + find(b, n, "movi") - 4, 0, 4);
  memset(b + 4, 0, 4);
  write_file(path, b, n);
  expect_sound(path);
  free(b);
  if (!make(path, &films[4])) skip();
  b = read_file(path, &n);
  size_t segment = find(b, n, "\x18\x53\x80\x67") + 4;
  assert_int_equal(b[segment], 1); /* a size of 8 bytes */
  memset(b + segment + 1, 0xff, 7);
  write_file(path, b, n * 6 / 10);
  assert_null(strstr(count(path).damage, "cut off"));
  free(b);
}

static uint32_t get32le(const unsigned char *p) { return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0]; }

static void put32le(unsigned char *p, uint32_t v) {
  for (int i = 0; i < 4; i++) p[i] = (unsigned char)(v >> (8 * i));
}

/* Parameter sets in a packet of their own, of which a decoder says that there is no frame; the file is sound. */
static void headers_alone_are_no_damage(void **state) {
  (void)state;
  char path[512];
  size_t n;
  if (!make(path, &films[2])) skip();
  unsigned char *b = read_file(path, &n), *split = calloc(n + 10, 1);
  size_t movi = find(b, n, "movi"), first = movi + 12;
  for (int i = 0; i < 36; i++) first += get32le(b + first - 4) + get32le(b + first - 4) % 2 + 8; /* to the fourth key picture */
  size_t size = get32le(b + first - 4), key = first;
  while (!(b[key] == 0 && b[key + 1] == 0 && b[key + 2] == 1 && (b[key + 3] & 31) == 5)) key++;
  assert_true(key > first + 10 && key < first + size);
  /* between them the second chunk's head, on an even byte, and, to keep what follows there too, a zero before the start code */
  size_t head = key - first, odd = head % 2, gap = 8 + 2 * odd;
  memcpy(split, b, key);
  memcpy(split + key + gap, b + key, n - key);
  memcpy(split + key + odd, "00dc", 4);
  put32le(split + key + odd + 4, (uint32_t)(size - head + odd));
  put32le(split + first - 4, (uint32_t)head);
  put32le(split + movi - 4, get32le(split + movi - 4) + (uint32_t)gap);
  memcpy(split + find(split, n + gap, "idx1"), "JUNK", 4);
  write_file(path, split, n + gap);
  dgam_video_info info = count(path);
  assert_int_equal(info.frames, N);
  assert_string_equal(info.damage, "");
  free(b), free(split);
}

/* What was found is kept with the rest that is known of a file. */
static void damage_is_remembered(void **state) {
  (void)state;
  char path[512];
  size_t n;
  dgam_video *v;
  dgam_video_info info;
  assert_true(make(path, &films[0]));
  unsigned char *b = read_file(path, &n);
  write_file(path, b, n / 2);
  free(b);
  struct timespec old[2] = {{1000000, 0}, {1000000, 0}};
  assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
  for (int again = 0; again < 2; again++) {
    assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.index = scratch}));
    if (!again) assert_ok(dgam_video_count(v));
    dgam_video_get_info(v, &info);
    assert_int_equal(strncmp(info.damage, "cut off", 7), 0);
    dgam_video_close(v);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(cut_files_and_holes_are_found), cmocka_unit_test(bit_errors_are_found),
      cmocka_unit_test(loose_ends_are_no_damage),      cmocka_unit_test(unfinished_sizes_are_no_damage),
      cmocka_unit_test(headers_alone_are_no_damage),   cmocka_unit_test(damage_is_remembered),
  };
  return cmocka_run_group_tests_name("video_damage", tests, scratch_make, scratch_remove);
}
