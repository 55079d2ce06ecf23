/* Tests of core/video/decode: frame-exactness over codecs, containers and damage; pictures; limits; bad files. */
#include "video_util.h"

#include <stdatomic.h>

#include "base/rng.h"
#include "video/decode.h"

enum { W = 160, H = 96, N = 40 };

/* Film numbers of `n` frames of an open video. */
static void read_numbers(dgam_video *v, const int64_t *frames, size_t n, int w, int h, int *numbers) {
  size_t size = 3 * (size_t)w * (size_t)h;
  uint8_t *out = malloc(n * size);
  assert_non_null(out);
  assert_ok(dgam_video_frames(v, frames, n, out));
  for (size_t i = 0; i < n; i++) numbers[i] = film_number(out + i * size, w, h);
  free(out);
}

/* Whatever order frames are asked for in, they are those that counting through the file gives. Returns the frame count. */
static int64_t check_exact(const char *path, const int *truth, int64_t expected, uint64_t seed) {
  dgam_video *v;
  dgam_video_info info;
  assert_ok(dgam_video_open(&v, path, NULL));
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
    read_numbers(v, frames, n, info.width, info.height, got);
    for (size_t i = 0; i < n; i++)
      if (got[i] != truth[frames[i]])
        fail_msg("%s: frame %lld shows picture %d, expected %d", path, (long long)frames[i], got[i], truth[frames[i]]);
  }
  dgam_video_close(v);
  return expected;
}

/* The film numbers that come out when the file is decoded from its start to its end. */
static int64_t count_through(const char *path, int *truth) {
  dgam_video *v;
  dgam_video_info info;
  assert_ok(dgam_video_open(&v, path, NULL));
  assert_ok(dgam_video_count(v));
  dgam_video_get_info(v, &info);
  assert_int_equal(info.counted, 1);
  int64_t all[4 * N];
  assert_true(info.frames <= 4 * N);
  for (int64_t i = 0; i < info.frames; i++) all[i] = i;
  read_numbers(v, all, (size_t)info.frames, info.width, info.height, truth);
  dgam_video_close(v);
  return info.frames;
}

typedef struct kind {
  const char *codec, *containers, *options;
  double fps;
} kind;

static const kind kinds[] = {
    {"mjpeg", "avi mkv mov mp4 nut", NULL, 30},
    {"mpeg4", "avi mp4 mkv mov nut", "g=12:bf=0:b=800000", 30},
    {"mpeg4", "avi mp4 mkv mov", "g=12:bf=2:b=800000", 25},
    {"mpeg4", "avi mp4 mkv", "g=250:bf=1:b=800000", 29.97},
    {"mpeg4", "avi mp4", "g=10:bf=2:b=800000:flags=+cgop:sc_threshold=1000000000", 12},
    {"mpeg2video", "avi mkv mpg ts", "g=12:bf=2:b=2000000", 25},
    {"mpeg1video", "avi mpg mkv", "g=12:bf=2:b=2000000", 25},
    {"libx264", "avi mp4 mkv mov ts h264", "g=12:bf=3:preset=veryfast", 30},
    {"libx264", "avi mp4 mkv mov", "g=250:bf=0:preset=ultrafast", 60},
    {"libx264", "avi mp4 mkv", "g=10:preset=veryfast:x264-params='open-gop=1:bframes=3:b-adapt=0'", 29.97},
    {"libx264", "avi mp4", "g=12:preset=veryfast:x264-params='bframes=5:b-pyramid=strict:b-adapt=0:ref=4'", 30},
    {"libx264", "mp4 mkv", "preset=veryfast:x264-params='interlaced=1:bframes=2:keyint=12'", 25},
    {"libx264", "mp4 avi", "preset=veryfast:x264-params='intra-refresh=1:keyint=12'", 25},
    {"libx265", "mp4 mkv mov", "preset=ultrafast:x265-params='log-level=none:keyint=12:bframes=3:open-gop=0:pools=none'", 30},
    {"libx265", "mp4 mkv", "preset=ultrafast:x265-params='log-level=none:keyint=12:bframes=3:open-gop=1:pools=none'", 30},
    {"libvpx", "webm mkv avi", "g=12:deadline=realtime:cpu-used=8:b=800000", 30},
    {"libvpx", "webm", "g=30:deadline=good:cpu-used=5:b=800000:auto-alt-ref=1:lag-in-frames=12", 30},
    {"libvpx-vp9", "webm mkv mp4", "g=12:deadline=realtime:cpu-used=8:b=800000", 30},
    {"libvpx-vp9", "webm mp4", "g=40:deadline=good:cpu-used=8:b=800000:auto-alt-ref=1:lag-in-frames=16", 24},
    {"ffv1", "avi mkv", "g=1", 30},
    {"ffv1", "avi mkv", "g=10:level=1", 30},
    {"huffyuv", "avi mkv", NULL, 30},
    {"png", "avi mov", NULL, 30},
    {"rawvideo", "avi nut", NULL, 30},
    {"msmpeg4v2", "avi", "g=12:b=800000", 30},
    {"wmv2", "avi asf", "g=12:b=800000", 30},
    {"flv", "flv avi", "g=12:b=800000", 30},
    {"prores", "mov mkv", NULL, 30},
    {"theora", "ogg", NULL, 30},
    {"gif", "gif", NULL, 10},
};

static dgam_encoder_spec spec_for(const kind *k) {
  int drop = k->fps != (int)k->fps;
  dgam_encoder_spec s = dgam_encoder_defaults(W, H, drop ? 30000 : (int)k->fps, drop ? 1001 : 1);
  s.codec = k->codec;
  s.options = k->options;
  s.full_range = strcmp(k->codec, "mjpeg") == 0;
  if (strcmp(k->codec, "huffyuv") == 0 || strcmp(k->codec, "prores") == 0) s.pixels = strcmp(k->codec, "prores") == 0 ? "yuv422p10le" : "yuv422p";
  if (strcmp(k->codec, "png") == 0) s.pixels = "rgb24";
  if (strcmp(k->codec, "gif") == 0) s.pixels = "rgb8";
  if (strcmp(k->codec, "theora") == 0) s.codec = "libtheora";
  return s;
}

/* Sets every presentation offset of an MP4 (box ctts) to 0, to a wrong one, or swaps neighbours. */
static int damage_offsets(unsigned char *b, size_t n, int how) {
  for (size_t i = 4; i + 16 < n; i++) {
    if (memcmp(b + i, "ctts", 4) != 0) continue;
    size_t count = (size_t)b[i + 8] << 24 | (size_t)b[i + 9] << 16 | (size_t)b[i + 10] << 8 | b[i + 11];
    unsigned char *e = b + i + 12;
    if (count < 2 || i + 12 + 8 * count > n) return 0;
    for (size_t k = 0; k + 1 < count; k++) {
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
  return 0;
}

static void every_frame_is_exact(void **state) {
  (void)state;
  int files = 0, damaged = 0, missing = 0;
  int order[N], truth[4 * N];
  for (int i = 0; i < N; i++) order[i] = i;
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    char containers[64], *rest = containers;
    snprintf(containers, sizeof containers, "%s", kinds[k].containers);
    for (char *ending; (ending = strsep(&rest, " "));) {
      char name[64], path[512];
      snprintf(name, sizeof name, "f%zu.%s", k, ending);
      snprintf(path, sizeof path, "%s", scratch_path(name));
      dgam_encoder_spec s = spec_for(&kinds[k]);
      dgam_status status = film_write(path, &s, N);
      if (status == DGAM_EUNSUPPORTED || (status != DGAM_OK && strstr(dgam_error(), "cannot hold"))) {
        print_message("not in this FFmpeg: %s\n", dgam_error());
        missing++;
        continue;
      }
      assert_ok(status);
      check_exact(path, order, N, files);
      files++;
      size_t n;
      unsigned char *bytes = read_file(path, &n);
      for (int how = 0; how < 3; how++) {
        unsigned char *copy = malloc(n);
        memcpy(copy, bytes, n);
        if (damage_offsets(copy, n, how)) {
          char damaged_path[600];
          snprintf(damaged_path, sizeof damaged_path, "%s.%d.%s", path, how, ending);
          write_file(damaged_path, copy, n);
          check_exact(damaged_path, truth, count_through(damaged_path, truth), files);
          damaged++;
        }
        free(copy);
      }
      free(bytes);
    }
    scratch_empty();
  }
  print_message("%d files and %d with damaged timestamps, all exact; %d kinds not in this FFmpeg\n", files, damaged, missing);
  assert_true(files + damaged >= 60);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(every_frame_is_exact),
  };
  return cmocka_run_group_tests_name("video_decode", tests, scratch_make, scratch_remove);
}
