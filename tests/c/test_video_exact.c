/* Frame n is the n-th frame that the decoder puts out, however it is reached: held against decoding everything, over
 * codecs, containers, rates, B pictures, pixel formats, and files whose timestamps, durations or edit lists are wrong. */
#include "video_kinds.h"

#include "base/rng.h"
#include "video/decode.h"

enum { W = 160, H = 96, N = 40 };

/* The film numbers that come out when the file is decoded from its start to its end. */
static int64_t count_through(const char *path, int truth[4 * N]) {
  dgam_video *v;
  dgam_video_info info;
  assert_ok(dgam_video_open(&v, path, NULL));
  assert_ok(dgam_video_count(v));
  dgam_video_get_info(v, &info);
  assert_int_equal(info.counted, 1);
  if (*info.damage) fail_msg("%s: %s, expected no damage", path, info.damage);
  int64_t all[4 * N];
  assert_true(info.frames <= 4 * N);
  for (int64_t i = 0; i < info.frames; i++) all[i] = i;
  film_numbers(v, all, (size_t)info.frames, info.width, info.height, truth);
  dgam_video_close(v);
  return info.frames;
}

/* Whatever order frames are asked for in, they are those that counting through the file gives. */
static void check_exact(const char *path, const int *truth, int64_t expected, uint64_t seed) {
  dgam_video *v;
  dgam_video_info info;
  dgam_status s = dgam_video_open(&v, path, NULL);
  if (s != DGAM_OK) fail_msg("%s: %s", path, dgam_error());
  dgam_video_get_info(v, &info);
  if (info.frames != expected) fail_msg("%s: %lld frames, expected %lld", path, (long long)info.frames, (long long)expected);
  dgam_rng g;
  dgam_rng_init(&g, seed, 0);
  for (int trial = 0; trial < 8; trial++) {
    int64_t frames[6];
    int got[6];
    size_t n = 1 + dgam_rng_below(&g, 6);
    for (size_t i = 0; i < n; i++) frames[i] = (int64_t)dgam_rng_below(&g, (uint64_t)expected);
    if (trial == 6) frames[0] = expected - 1;
    if (trial == 7) frames[0] = 0;
    film_numbers(v, frames, n, info.width, info.height, got);
    for (size_t i = 0; i < n; i++)
      if (got[i] != truth[frames[i]])
        fail_msg("%s: frame %lld shows picture %d, expected %d", path, (long long)frames[i], got[i], truth[frames[i]]);
  }
  dgam_video_close(v);
}

/* --- damage --- */

static uint32_t get32(const unsigned char *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

/* Offset of the entries of a table box of an MP4, whose count goes to *n; 0: there is none. */
static size_t table(const unsigned char *b, size_t size, const char *name, size_t entry, size_t *n) {
  for (size_t i = 4; i + 16 < size; i++) {
    if (memcmp(b + i, name, 4) != 0) continue;
    *n = get32(b + i + 8);
    if (*n < 1 || i + 12 + entry * *n > size) return 0;
    return i + 12;
  }
  return 0;
}

/* Presentation offsets of an MP4 (box ctts) all 0, some wrong, or neighbours swapped. */
static int wrong_offsets(unsigned char *b, size_t size, int how) {
  size_t n, at = table(b, size, "ctts", 8, &n);
  if (!at || n < 2) return 0;
  unsigned char *e = b + at;
  for (size_t k = 0; k + 1 < n; k++) {
    if (how == 0) memset(e + 8 * k + 4, 0, 4);
    if (how == 1 && k % 3 == 0) e[8 * k + 6] ^= 2;
    if (how == 2 && k % 2 == 0) {
      unsigned char t[4];
      memcpy(t, e + 8 * k + 4, 4);
      memcpy(e + 8 * k + 4, e + 8 * k + 12, 4);
      memcpy(e + 8 * k + 12, t, 4);
    }
  }
  return 1;
}

/* The one entry of stts says how long each frame lasts: 0, or far too long. */
static int wrong_durations(unsigned char *b, size_t size, int zero) {
  size_t n, at = table(b, size, "stts", 8, &n);
  if (!at) return 0;
  for (size_t k = 0; k < n; k++) {
    memset(b + at + 8 * k + 4, 0, 4);
    if (!zero) b[at + 8 * k + 5] = 7;
  }
  return 1;
}

/* An edit list that starts in the middle of the film. */
static int late_edit(unsigned char *b, size_t size) {
  size_t n, at = table(b, size, "elst", 12, &n), m, stts = table(b, size, "stts", 8, &m);
  if (!at || !stts) return 0;
  uint32_t start = get32(b + at + 4) + 7 * get32(b + stts + 4);
  for (int i = 0; i < 4; i++) b[at + 4 + (size_t)i] = (unsigned char)(start >> (24 - 8 * i));
  return 1;
}

/* Times of Matroska's blocks: irregular (variable rate, still ascending by packet), or any at all. */
static int wrong_block_times(unsigned char *b, size_t size, int any) {
  dgam_rng g;
  dgam_rng_init(&g, 5, (uint64_t)any);
  int n = 0;
  for (size_t i = 0; i + 16 < size; i++) {
    if (b[i] != 0xa3) continue; /* SimpleBlock, length, track 1, time, flags */
    size_t bytes = b[i + 1] & 0x80 ? 1 : b[i + 1] & 0x40 ? 2 : b[i + 1] & 0x20 ? 3 : b[i + 1] & 0x10 ? 4 : 8, length = b[i + 1];
    if (bytes == 8) continue;
    length &= 0xffu >> bytes;
    for (size_t k = 1; k < bytes; k++) length = length << 8 | b[i + 1 + k];
    unsigned char *t = b + i + 1 + bytes;
    if (t[0] != 0x81 || i + 1 + bytes + length > size || length < 4) continue;
    if (any) t[1] = (unsigned char)dgam_rng_below(&g, 3), t[2] = (unsigned char)dgam_rng_u32(&g);
    else t[2] = (unsigned char)(t[2] + dgam_rng_below(&g, 12));
    n++;
    i += bytes + length;
  }
  return n > N / 2;
}

enum { HOW = 8 };

static int damage(unsigned char *b, size_t n, int how) {
  if (how < 3) return wrong_offsets(b, n, how);
  if (how < 5) return wrong_durations(b, n, how == 3);
  if (how == 5) return late_edit(b, n);
  return wrong_block_times(b, n, how == 7);
}

/* The measure is what decoding everything gives: in MP4 an edit list may cut frames away whose time is wrong. Matroska has
 * none, so there it is the whole film. */
static void check_damaged(const char *path, const char *ending, const int *order, int files) {
  size_t n;
  unsigned char *bytes = read_file(path, &n);
  for (int how = 0; how < HOW; how++) {
    int truth[4 * N];
    unsigned char *copy = malloc(n);
    memcpy(copy, bytes, n);
    if (damage(copy, n, how)) {
      char damaged[600];
      snprintf(damaged, sizeof damaged, "%s.%d.%s", path, how, ending);
      write_file(damaged, copy, n);
      int64_t frames = count_through(damaged, truth);
      check_exact(damaged, truth, frames, (uint64_t)files);
      if (how >= 6 && (frames != N || memcmp(truth, order, N * sizeof *order) != 0))
        fail_msg("%s: %lld frames come out, expected the film's %d in order", damaged, (long long)frames, N);
      unlink(damaged);
    }
    free(copy);
  }
  free(bytes);
}

static int count_damaged(const char *path) {
  size_t n;
  unsigned char *bytes = read_file(path, &n), *copy = malloc(n);
  int count = 0;
  for (int how = 0; how < HOW; how++) memcpy(copy, bytes, n), count += damage(copy, n, how) != 0;
  free(bytes), free(copy);
  return count;
}

static void every_frame_is_exact(void **state) {
  (void)state;
  int files = 0, damaged = 0, missing = 0, order[N];
  for (int i = 0; i < N; i++) order[i] = i;
  size_t k = 0, c = 0;
  const video_kind *kind;
  for (char ending[8]; video_kind_next(&k, &c, &kind, ending);) {
    char name[64], path[512];
    snprintf(name, sizeof name, "f%zu.%s", k, ending);
    snprintf(path, sizeof path, "%s", scratch_path(name));
    dgam_encoder_spec s = video_kind_spec(kind, W, H);
    dgam_status status = film_write(path, &s, N);
    if (status == DGAM_EUNSUPPORTED || (status != DGAM_OK && strstr(dgam_error(), "cannot hold"))) {
      print_message("not in this FFmpeg: %s\n", dgam_error());
      missing++;
      continue;
    }
    assert_ok(status);
    check_exact(path, order, N, (uint64_t)files);
    int truth[4 * N];
    assert_int_equal(count_through(path, truth), N);
    check_damaged(path, ending, order, files);
    files++;
    damaged += count_damaged(path);
    unlink(path);
  }
  print_message("%d files and %d with damaged times, all exact; %d kinds not in this FFmpeg\n", files, damaged, missing);
  assert_true(files >= 60 && damaged >= 60);
}

/* A film of two halves that are coded differently, as FLV allows: the first half is exact also after the second was decoded. */
static void changed_codec_data(void **state) {
  (void)state;
  static const char *const options[2] = {X264("cabac=1"), X264("cabac=0:bframes=0:ref=4")};
  char path[512];
  FILE *both = fopen(scratch_path("both.flv"), "wb");
  assert_non_null(both);
  for (int half = 0; half < 2; half++) {
    dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
    s.codec = "libx264", s.options = options[half];
    snprintf(path, sizeof path, "%s", scratch_path("half.flv"));
    dgam_status status = film_write(path, &s, N);
    if (status == DGAM_EUNSUPPORTED) {
      fclose(both);
      skip();
    }
    assert_ok(status);
    size_t n, head = half ? 13 : 0;
    unsigned char *bytes = read_file(path, &n);
    assert_int_equal(fwrite(bytes + head, 1, n - head, both), n - head);
    free(bytes);
  }
  assert_int_equal(fclose(both), 0);
  snprintf(path, sizeof path, "%s", scratch_path("both.flv"));
  int truth[2 * N];
  for (int i = 0; i < 2 * N; i++) truth[i] = i % N;
  check_exact(path, truth, 2 * N, 7);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_frame_is_exact), cmocka_unit_test(changed_codec_data)};
  return cmocka_run_group_tests_name("video_exact", tests, scratch_make, scratch_remove);
}
