/* Tests of core/video/decode: pictures, limits, bad files. test_video_exact.c has frame numbers. */
#include "video_util.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>

#include "base/rng.h"
#include "video/decode.h"

enum { W = 160, H = 96, N = 40 };

/* --- pictures --- */

typedef struct look {
  const char *codec, *pixels;
  int w, h, bt709, full, tolerance;
} look;

/* Flat pictures of several colours come back as they were, whatever the pixel format, range, matrix and size. (FFV1 with `level=3`
 * and 4:1:0 or 4:1:1 is left out: of a size whose slices do not end on multiples of 4 its files lack some of the colour.) */
static void colours_survive(void **state) {
  (void)state;
  static const look looks[] = {
      {"ffv1", "yuv420p", 64, 48, 0, 0, 3},   {"ffv1", "yuv420p", 64, 48, 1, 0, 3},     {"ffv1", "yuv420p", 64, 48, 0, 1, 3},
      {"ffv1", "yuv420p", 33, 17, 1, 1, 3},   {"ffv1", "yuv420p", 32, 17, 0, 0, 3},     {"ffv1", "yuv422p", 63, 48, 0, 0, 3},
      {"ffv1", "yuv444p", 64, 48, 1, 0, 3},   {"ffv1", "yuv410p", 64, 48, 0, 0, 3},     {"ffv1", "yuv411p", 64, 48, 0, 0, 3},
      {"ffv1", "yuv410p", 64, 47, 0, 0, 1},   {"ffv1", "yuv410p", 61, 33, 0, 0, 1},     {"ffv1", "yuv410p", 65, 46, 0, 0, 1},
      {"ffv1", "yuv410p", 5, 3, 0, 0, 1},     {"ffv1", "yuv411p", 61, 33, 0, 0, 1},     {"ffv1", "yuv410p", 160, 121, 1, 1, 1},
      {"ffv1", "yuv440p", 64, 48, 0, 0, 3},   {"ffv1", "yuva420p", 64, 48, 0, 0, 3},    {"ffv1", "yuva444p", 31, 31, 0, 0, 3},
      {"ffv1", "yuv420p10le", 64, 48, 1, 0, 2}, {"ffv1", "yuv422p10le", 33, 21, 0, 1, 2}, {"ffv1", "yuv444p12le", 20, 20, 0, 0, 2},
      {"ffv1", "bgra", 33, 17, 0, 0, 1},      {"ffv1", "rgb48le", 20, 20, 0, 0, 1},     {"png", "rgb24", 33, 17, 0, 0, 0},
      {"mjpeg", NULL, 65, 47, 0, 1, 5},       {"mjpeg", NULL, 64, 48, 0, 1, 5},         {"rawvideo", "nv12", 64, 48, 0, 0, 3},
      {"rawvideo", "yuyv422", 64, 48, 0, 0, 3}, {"rawvideo", "yuv420p", 33, 18, 0, 0, 3}, {"libx264", "yuv420p10le", 64, 48, 1, 0, 4},
  };
  static const uint8_t colours[][3] = {{200, 40, 60}, {6, 5, 9}, {0, 0, 0}, {255, 255, 255}, {30, 120, 220}, {90, 200, 20}};
  for (size_t i = 0; i < sizeof looks / sizeof *looks; i++) {
    const look *l = &looks[i];
    dgam_encoder_spec s = dgam_encoder_defaults(l->w, l->h, 25, 1);
    s.codec = l->codec, s.pixels = l->pixels, s.bt709 = l->bt709, s.full_range = l->full, s.quality = 100;
    if (strcmp(l->codec, "libx264") == 0) s.options = "qp=5";
    const char *path = scratch_path(strcmp(l->codec, "rawvideo") == 0 ? "c.nut" : "c.mkv");
    dgam_encoder *e;
    dgam_status status = dgam_encoder_open(&e, path, &s);
    if (status == DGAM_EUNSUPPORTED) continue;
    assert_ok(status);
    size_t plane = (size_t)l->w * (size_t)l->h, n = sizeof colours / sizeof *colours;
    uint8_t *rgb = malloc(3 * plane), *got = malloc(3 * plane);
    for (size_t k = 0; k < n; k++) {
      for (size_t p = 0; p < plane; p++) memcpy(rgb + 3 * p, colours[k], 3);
      assert_ok(dgam_encoder_rgb(e, rgb, 0));
    }
    assert_ok(dgam_encoder_finish(&e));
    dgam_video *v;
    assert_ok(dgam_video_open(&v, path, NULL));
    dgam_video_info info;
    dgam_video_get_info(v, &info);
    assert_int_equal(info.width, l->w);
    assert_int_equal(info.height, l->h);
    for (size_t k = 0; k < n; k++) {
      int64_t number = (int64_t)k;
      assert_ok(dgam_video_frames(v, &number, 1, got));
      for (size_t p = 0; p < 3 * plane; p++)
        if (abs(got[p] - colours[k][p / plane]) > l->tolerance)
          fail_msg("%s %s %d x %d: channel %zu is %d, expected %d", l->codec, l->pixels ? l->pixels : "", l->w, l->h, p / plane,
                   got[p], colours[k][p / plane]);
    }
    dgam_video_close(v);
    free(rgb), free(got);
  }
}

/* What dark pixels lose, as docs/data.md tells: luma 0 to 10 with every chroma within 3 of neutral, against BT.601 in real numbers
 * rounded to the nearest. 4:2:0 and 4:2:2 go through FFmpeg's fast conversion, 4:4:4 through the accurate one. */
static void dark_levels_lose_what_is_told(void **state) {
  (void)state;
  enum { BLOCK = 8, W8 = 49 * BLOCK, H8 = 11 * BLOCK }; /* a block for every (u, v) across, for every luma down */
  static const struct {
    const char *format;
    int full, across, down; /* chroma samples: every 2nd? */
    double tinted[3], grey;
  } kinds[] = {{"420jpeg XCOLORRANGE=FULL", 1, 1, 1, {-0.34, -0.72, -0.35}, 0}, {"420jpeg", 0, 1, 1, {-0.78, -1.20, -0.64}, -0.36},
               {"422 XCOLORRANGE=FULL", 1, 1, 0, {-0.34, -0.72, -0.35}, 0},     {"422", 0, 1, 0, {-0.78, -1.20, -0.64}, -0.36},
               {"444 XCOLORRANGE=FULL", 1, 0, 0, {0, 0, 0}, 0},                 {"444", 0, 0, 0, {0, 0, 0}, 0}};
  static uint8_t rgb[3 * W8 * H8];
  for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
    const char *path = scratch_path("dark.y4m");
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    fprintf(f, "YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C%s\nFRAME\n", W8, H8, kinds[k].format);
    for (int c = 0; c < 3; c++)
      for (int y = 0; y < H8; y += c && kinds[k].down ? 2 : 1)
        for (int x = 0; x < W8; x += c && kinds[k].across ? 2 : 1)
          fputc(c == 0 ? y / BLOCK + (kinds[k].full ? 0 : 16) : 125 + (c == 1 ? x / BLOCK % 7 : x / BLOCK / 7), f);
    assert_int_equal(fclose(f), 0);
    dgam_video *v;
    int64_t first = 0;
    assert_ok(dgam_video_open(&v, path, NULL));
    assert_ok(dgam_video_frames(v, &first, 1, rgb));
    dgam_video_close(v);
    double sum[3] = {0}, grey = 0;
    for (int y = 0; y < 11; y++)
      for (int x = 0; x < 49; x++) {
        double chroma = kinds[k].full ? 1 : 255 / 224.0, want[3];
        double luma = y * (kinds[k].full ? 1 : 255 / 219.0), cb = (x % 7 - 3) * chroma, cr = (x / 7 - 3) * chroma;
        want[0] = luma + 1.402 * cr, want[2] = luma + 1.772 * cb;
        want[1] = (luma - 0.299 * want[0] - 0.114 * want[2]) / 0.587;
        for (int c = 0; c < 3; c++) {
          int got = rgb[c * W8 * H8 + (y * BLOCK + 4) * W8 + x * BLOCK + 4];
          double lost = got - rint(fmax(want[c], 0));
          sum[c] += lost / (11 * 49);
          if (x == 3 * 7 + 3) grey += lost / (11 * 3);
        }
      }
    for (int c = 0; c < 3; c++)
      if (fabs(sum[c] - kinds[k].tinted[c]) > 0.02 || fabs(grey - kinds[k].grey) > 0.02)
        fail_msg("%s: channel %d is off by %.3f, grey by %.3f; expected %.2f and %.2f", kinds[k].format, c, sum[c], grey, kinds[k].tinted[c],
                 kinds[k].grey);
  }
}

/* Grey, in both ranges, is as bright as it was. */
static void grey_is_grey(void **state) {
  (void)state;
  static const char *const formats[] = {"gray", "gray10le", "gray16le"};
  for (size_t i = 0; i < 6; i++) {
    dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
    s.codec = "ffv1", s.pixels = formats[i / 2], s.full_range = i % 2;
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path("g.mkv"));
    assert_ok(film_write(path, &s, 5));
    dgam_video *v;
    assert_ok(dgam_video_open(&v, path, NULL));
    int64_t frames[5] = {4, 2, 0, 1, 3};
    int got[5];
    film_numbers(v, frames, 5, W, H, got);
    for (int k = 0; k < 5; k++) assert_int_equal(got[k], frames[k]);
    static uint8_t rgb[3 * W * H], out[3 * W * H];
    film_frame(rgb, W, H, 3);
    assert_ok(dgam_video_frames(v, &frames[4], 1, out));
    for (size_t p = 0; p < W * H / 4; p++) { /* where the film is grey */
      if (abs(out[p] - rgb[3 * p]) > 2)
        fail_msg("%s, %s range: pixel %zu is %d, expected %d", s.pixels, s.full_range ? "full" : "limited", p, out[p], rgb[3 * p]);
      assert_true(out[p] == out[p + W * H] && out[p] == out[p + 2 * W * H]);
    }
    dgam_video_close(v);
  }
}

/* The ways to show a picture: pixel (x, y) goes to (xx x + xy y, yx x + yy y), moved to where both start at 0. */
static const struct orientation {
  int xx, yx, xy, yy, rotation, mirrored;
} orientations[8] = {{1, 0, 0, 1, 0, 0},  {0, 1, -1, 0, 90, 0}, {-1, 0, 0, -1, 180, 0}, {0, -1, 1, 0, 270, 0},
                     {-1, 0, 0, 1, 0, 1}, {0, 1, 1, 0, 90, 1},  {1, 0, 0, -1, 180, 1},  {0, -1, -1, 0, 270, 1}};

/* Makes a copy of an MP4 whose track is to be shown in another way (matrix of box tkhd). */
static void turn_file(const char *from, const char *to, const struct orientation *o) {
  size_t n;
  unsigned char *b = read_file(from, &n);
  int32_t matrix[9] = {o->xx * 65536, o->yx * 65536, 0, o->xy * 65536, o->yy * 65536, 0, 0, 0, 1 << 30};
  size_t i = 0;
  while (i + 100 < n && memcmp(b + i, "tkhd", 4) != 0) i++;
  assert_true(i + 100 < n);
  for (size_t k = 0; k < 9; k++)
    for (size_t byte = 0; byte < 4; byte++)
      b[i + 44 + 4 * k + byte] = (unsigned char)((uint32_t)matrix[k] >> (24 - 8 * byte));
  write_file(to, b, n);
  free(b);
}

/* Any rectangle, resized: the same bytes as from the whole picture, which for a turned or mirrored file is the
 * picture turned or mirrored. */
static void parts_are_parts_of_the_whole(void **state) {
  (void)state;
  static const struct {
    const char *codec, *pixels, *name;
    int w, h;
  } files[] = {{"mjpeg", NULL, "p.mp4", 162, 98}, {"mjpeg", "yuvj422p", "q.avi", 160, 96}, {"ffv1", "yuv444p10le", "r.mkv", 100, 61},
               {"mpeg4", NULL, "s.mp4", 176, 144}, {"mjpeg", NULL, "t.avi", 75, 53}};
  dgam_rng g;
  dgam_rng_init(&g, 11, 0);
  for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
    dgam_encoder_spec s = dgam_encoder_defaults(files[f].w, files[f].h, 25, 1);
    s.codec = files[f].codec, s.pixels = files[f].pixels;
    char path[512], turned[512];
    snprintf(path, sizeof path, "%s", scratch_path(files[f].name));
    assert_ok(film_write(path, &s, 3));
    int mp4 = strstr(path, ".mp4") != NULL;
    size_t plane = (size_t)files[f].w * (size_t)files[f].h;
    uint8_t *stored = malloc(3 * plane), *whole = malloc(3 * plane), *packed = malloc(3 * plane);
    int64_t one = 1;
    dgam_video *v;
    assert_ok(dgam_video_open(&v, path, NULL));
    assert_ok(dgam_video_frames(v, &one, 1, stored));
    dgam_video_close(v);
    for (const struct orientation *o = orientations; o < orientations + (mp4 ? 8 : 1); o++) {
      snprintf(turned, sizeof turned, "%s", path);
      if (o > orientations) {
        snprintf(turned, sizeof turned, "%s", scratch_path("turned.mp4"));
        turn_file(path, turned, o);
      }
      dgam_video_info info;
      assert_ok(dgam_video_open(&v, turned, NULL));
      dgam_video_get_info(v, &info);
      assert_int_equal(info.rotation, o->rotation);
      assert_int_equal(info.mirrored, o->mirrored);
      int w = o->xy ? files[f].h : files[f].w, h = o->xy ? files[f].w : files[f].h;
      assert_int_equal(info.width, w);
      assert_int_equal(info.height, h);
      assert_ok(dgam_video_frames(v, &one, 1, whole));
      for (size_t c = 0; c < 3; c++)
        for (int sy = 0; sy < files[f].h; sy++)
          for (int sx = 0; sx < files[f].w; sx++) {
            int x = o->xx * sx + o->xy * sy + (o->xx + o->xy < 0 ? w - 1 : 0);
            int y = o->yx * sx + o->yy * sy + (o->yx + o->yy < 0 ? h - 1 : 0);
            uint8_t got = whole[c * plane + (size_t)y * (size_t)w + (size_t)x];
            assert_int_equal(got, stored[c * plane + (size_t)sy * (size_t)files[f].w + (size_t)sx]);
            packed[3 * ((size_t)y * (size_t)w + (size_t)x) + c] = got;
          }
      for (int trial = 0; trial < 12; trial++) {
        dgam_view view[2];
        uint8_t *want[2], *got[2];
        for (int i = 0; i < 2; i++) { /* two views of one decode */
          dgam_resize_spec r = {.flip = trial & 1};
          r.w = 1 + (int)dgam_rng_below(&g, (uint64_t)w), r.h = 1 + (int)dgam_rng_below(&g, (uint64_t)h);
          r.rw = 1 + (int)dgam_rng_below(&g, 60), r.rh = 1 + (int)dgam_rng_below(&g, 60);
          r.ow = 1 + (int)dgam_rng_below(&g, (uint64_t)r.rw), r.oh = 1 + (int)dgam_rng_below(&g, (uint64_t)r.rh);
          r.ox = r.rw - r.ow, r.oy = (r.rh - r.oh) / 2;
          size_t out = (size_t)r.ow * (size_t)r.oh;
          want[i] = malloc(3 * out), got[i] = malloc(3 * out);
          view[i] = (dgam_view){&one, 1, (int)dgam_rng_below(&g, (uint64_t)(w - r.w + 1)),
                                (int)dgam_rng_below(&g, (uint64_t)(h - r.h + 1)), r, got[i], out, 3 * out};
          dgam_resize_naive(&r, packed + 3 * ((size_t)view[i].y * (size_t)w + (size_t)view[i].x), 3 * (size_t)w, want[i], out);
        }
        assert_ok(dgam_video_views(v, view, 2));
        for (int i = 0; i < 2; i++) {
          assert_memory_equal(got[i], want[i], 3 * view[i].plane);
          free(want[i]), free(got[i]);
        }
      }
      dgam_video_close(v);
    }
    free(stored), free(whole), free(packed);
  }
}

/* --- limits and bad files --- */

static void limits_are_kept(void **state) {
  (void)state;
  dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
  s.codec = "mpeg4", s.options = "bf=2:g=12";
  char path[512];
  snprintf(path, sizeof path, "%s", scratch_path("l.avi"));
  assert_ok(film_write(path, &s, N));
  dgam_video *v;
  assert_fails(dgam_video_open(&v, path, &(dgam_video_options){.pixels = 1000}), DGAM_EINVAL, "160 x 96 are over the limit of 1000");
  assert_null(v);
  assert_fails(dgam_video_open(&v, path, &(dgam_video_options){.seconds = 1e-9}), DGAM_EINVAL, "gave up");
  atomic_int stop = 1;
  assert_fails(dgam_video_open(&v, path, &(dgam_video_options){.stop = &stop}), DGAM_EINTERRUPTED, "interrupted");
  static volatile sig_atomic_t flag = 1;
  dgam_interrupt_watch(&flag);
  assert_fails(dgam_video_open(&v, path, NULL), DGAM_EINTERRUPTED, "interrupted");
  dgam_interrupt_watch(NULL);

  /* Stopped in the middle, the file can be used on. */
  stop = 0;
  assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.stop = &stop}));
  int64_t frames[3] = {30, 7, 39};
  int got[3];
  uint8_t *out = malloc(3 * 3 * W * H);
  stop = 1;
  assert_fails(dgam_video_frames(v, frames, 3, out), DGAM_EINTERRUPTED, "interrupted");
  stop = 0;
  film_numbers(v, frames, 3, W, H, got);
  for (int i = 0; i < 3; i++) assert_int_equal(got[i], frames[i]);
  int64_t bad = 40;
  assert_fails(dgam_video_frames(v, &bad, 1, out), DGAM_EINVAL, "frame 40 is wanted, the video has frames 0 to 39");
  dgam_view view = {frames, 3, 10, 0, {W, H, 10, 10, 0, 0, 10, 10, 0}, out, 300, 100};
  assert_fails(dgam_video_views(v, &view, 1), DGAM_EINVAL, "leaves the picture");
  dgam_video_close(v);
  free(out);

  /* Packets that lie in pieces and are not held in memory are read again: same frames. */
  s.codec = "mpeg2video", s.options = "bf=2:g=12:b=2000000";
  snprintf(path, sizeof path, "%s", scratch_path("l.ts"));
  assert_ok(film_write(path, &s, N));
  for (size_t bytes = 1; bytes < 100000; bytes += 30000) {
    assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.bytes = bytes}));
    for (int again = 0; again < 2; again++) {
      film_numbers(v, frames, 3, W, H, got);
      for (int i = 0; i < 3; i++) assert_int_equal(got[i], frames[i]);
    }
    dgam_video_close(v);
  }
}

static volatile sig_atomic_t resumes, held;

/* Holds the decoding thread up for longer than the limit, as a stop does. */
static void hold_up(int sig) {
  (void)sig;
  nanosleep(&(struct timespec){1, 200000000}, NULL);
  held = 1;
  resumes++;
}

static void a_stopped_process_loses_no_file(void **state) {
  (void)state;
  dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
  s.codec = "mpeg4";
  char path[512];
  snprintf(path, sizeof path, "%s", scratch_path("stop.avi"));
  assert_ok(film_write(path, &s, N));
  dgam_video *v;
  assert_ok(dgam_video_open(&v, path, &(dgam_video_options){.seconds = 1}));
  int64_t frames[3] = {30, 7, 39};
  uint8_t *out = malloc(3 * 3 * W * H);
  struct sigaction hold = {.sa_handler = hold_up}, before;
  sigaction(SIGALRM, &hold, &before);
  for (int watching = 0; watching < 2; watching++) {
    dgam_resumes_watch(watching ? &resumes : NULL);
    dgam_status status = DGAM_OK;
    for (int tries = 0; tries < 5 && status == DGAM_OK; tries++) { /* the signal may come between two calls */
      held = 0;
      setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {0, 20000}}, NULL);
      while (!held && status == DGAM_OK) status = dgam_video_frames(v, frames, 3, out);
      if (watching) break;
    }
    if (watching)
      assert_ok(status);
    else
      assert_fails(status, DGAM_EINVAL, "gave up after 1 s");
  }
  dgam_resumes_watch(NULL);
  sigaction(SIGALRM, &before, NULL);
  dgam_video_close(v);
  free(out);
}

static void bad_files_are_named(void **state) {
  (void)state;
  dgam_video *v;
  char path[512];
  snprintf(path, sizeof path, "%s", scratch_path("bad.avi"));
  assert_fails(dgam_video_open(&v, "", NULL), DGAM_EINVAL, "empty");
  assert_fails(dgam_video_open(&v, path, NULL), DGAM_EIO, "No such file");
  assert_fails(dgam_video_open(&v, scratch, NULL), DGAM_EFORMAT, "no picture in this folder");
  write_file(path, "", 0);
  assert_fails(dgam_video_open(&v, path, NULL), DGAM_EFORMAT, "bad.avi: the file is empty");
  char text[5000];
  memset(text, 'x', sizeof text);
  write_file(path, text, sizeof text);
  assert_fails(dgam_video_open(&v, path, NULL), DGAM_EFORMAT, "not a video");
  assert_fails(dgam_video_open(&v, "/dev/zero", NULL), DGAM_EFORMAT, "/dev/zero: this is a pipe or a device");
  snprintf(path, sizeof path, "%s", scratch_path("pipe.avi"));
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_fails(dgam_video_open(&v, path, NULL), DGAM_EFORMAT, "pipe.avi: this is a pipe or a device");
  unlink(path);
  assert_null(v);

  /* A video cut off anywhere opens with the frames it still has, or says what is wrong. */
  static const char *const names[] = {"cut.avi", "cut.mp4", "cut.mkv"};
  for (int i = 0; i < 3; i++) {
    dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
    s.codec = i == 0 ? "mjpeg" : "mpeg4";
    assert_ok(film_write(scratch_path(names[i]), &s, N));
    size_t n;
    unsigned char *b = read_file(scratch_path(names[i]), &n);
    int opened = 0;
    for (int part = 0; part <= 20; part++) {
      snprintf(path, sizeof path, "%s", scratch_path("part.avi"));
      write_file(path, b, n * (size_t)part / 20 + (part == 0));
      dgam_status st = dgam_video_open(&v, path, NULL);
      if (st != DGAM_OK) {
        assert_int_equal(st, DGAM_EFORMAT);
        assert_non_null(strstr(dgam_error(), "part.avi: "));
        continue;
      }
      dgam_video_info info;
      assert_ok(dgam_video_count(v));
      dgam_video_get_info(v, &info);
      assert_true(info.frames >= 1 && info.frames <= N);
      for (int64_t k = 0; k < info.frames - 1; k += 7) { /* the last one may be half a picture */
        int got;
        film_numbers(v, &k, 1, W, H, &got);
        assert_int_equal(got, k);
      }
      opened++;
      dgam_video_close(v);
    }
    assert_true(opened >= (i == 1 ? 1 : 10));
    free(b);
  }
}

/* Files that name other files: none of them may be opened, whatever the ending. A good video lies where they point, and a
 * pipe, which would hang whoever opens it. */
static void nothing_else_is_opened(void **state) {
  (void)state;
  dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
  char target[512], pipe_path[512], text[4096];
  snprintf(target, sizeof target, "%s", scratch_path("target.avi"));
  assert_ok(film_write(target, &s, 3));
  snprintf(pipe_path, sizeof pipe_path, "%s", scratch_path("pipe.ts"));
  assert_int_equal(mkfifo(pipe_path, 0600), 0);
  static const char *const texts[] = {
      "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n%s\n#EXTINF:1,\n%s\n#EXT-X-ENDLIST\n",
      "ffconcat version 1.0\nfile '%s'\nfile '%s'\n",
      "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\na=x:%s %s\n",
      "<?xml version=\"1.0\"?><MPD><Period><AdaptationSet><Representation><BaseURL>%s</BaseURL>%s</Representation></AdaptationSet></Period></MPD>",
      "<smil><body><video src=\"%s\"/><video src=\"%s\"/></body></smil>",
      "RTSPtextRTSP://127.0.0.1/%s\n%s", "ASF http://127.0.0.1:1/%s\n%s",
      "concat:%s|%s"};
  static const char *const endings[] = {"m3u8", "ffconcat", "sdp", "mpd", "avi", "mp4", "mkv", "%03d.jpg"};
  for (size_t t = 0; t < sizeof texts / sizeof *texts; t++)
    for (size_t e = 0; e < sizeof endings / sizeof *endings; e++) {
      char name[64], path[512];
      snprintf(name, sizeof name, "list.%s", endings[e]);
      snprintf(path, sizeof path, "%s", scratch_path(name));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
      int n = snprintf(text, sizeof text, texts[t], target, pipe_path);
#pragma GCC diagnostic pop
      write_file(path, text, (size_t)n);
      dgam_video *v;
      assert_fails(dgam_video_open(&v, path, &(dgam_video_options){.seconds = 5}), DGAM_EFORMAT, "this is not a video file");
      unlink(path);
    }
  /* nor is a protocol or a pattern of names anything but the name of a file */
  static const char *const names[] = {"concat:%s", "file:%s", "http://127.0.0.1:1/x.avi%.0s", "subfile,,start,0,end,0,,:%s", "pipe:0%.0s"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    dgam_video *v;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(text, sizeof text, names[i], target);
#pragma GCC diagnostic pop
    assert_fails(dgam_video_open(&v, text, NULL), DGAM_EIO, "No such file");
  }
  scratch_empty();
}

static void put_le(unsigned char *b, uint32_t v) {
  for (int i = 0; i < 4; i++) b[i] = (unsigned char)(v >> (8 * i));
}

/* Headers that promise huge or no pictures are refused before memory is asked for. */
static void sizes_that_make_no_sense(void **state) {
  (void)state;
  static const uint32_t sizes[][2] = {{0, 0}, {0, H}, {W, 0}, {100000, 100000}, {0x7fffffff, 0x7fffffff}, {0xffffffff, 1}, {1 << 15, 1 << 15}};
  dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
  static const char *const codecs[] = {"mpeg4", "ffv1", "huffyuv", "mjpeg"};
  for (size_t c = 0; c < 4; c++) {
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path("size.avi"));
    s.codec = codecs[c], s.full_range = c == 3, s.pixels = c == 2 ? "yuv422p" : NULL;
    assert_ok(film_write(path, &s, 3));
    size_t n;
    unsigned char *b = read_file(path, &n);
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
      for (size_t i = 0; i + 60 < n; i++) /* the stream's format: size, width, height */
        if (memcmp(b + i, "strf", 4) == 0) put_le(b + i + 12, sizes[k][0]), put_le(b + i + 16, sizes[k][1]);
      for (size_t i = 0; c == 3 && i + 9 < n; i++) /* and in the JPEG itself */
        if (b[i] == 0xff && b[i + 1] == 0xc0) {
          b[i + 5] = (unsigned char)(sizes[k][1] >> 8), b[i + 6] = (unsigned char)sizes[k][1];
          b[i + 7] = (unsigned char)(sizes[k][0] >> 8), b[i + 8] = (unsigned char)sizes[k][0];
        }
      write_file(path, b, n);
      dgam_video *v;
      dgam_status st = dgam_video_open(&v, path, &(dgam_video_options){.seconds = 5});
      if (st == DGAM_OK) { /* where the bitstream tells the true size */
        dgam_video_info info;
        dgam_video_get_info(v, &info);
        assert_true((size_t)info.width * (size_t)info.height <= (size_t)1 << 26 && info.width > 0 && info.height > 0);
        dgam_video_close(v);
      } else {
        assert_true(st == DGAM_EFORMAT || st == DGAM_EINVAL);
        assert_non_null(strstr(dgam_error(), "size.avi"));
      }
    }
    free(b);
  }
  scratch_empty();
}

/* A folder of pictures counts its files as people do, and names the one that is broken. */
static void folders_are_videos(void **state) {
  (void)state;
  static const char *const kinds_of[] = {"jpg", "png"};
  for (int png = 0; png < 2; png++) {
    scratch_empty();
    dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
    s.format = "image2pipe";
    if (png) s.codec = "png", s.pixels = "rgb24";
    uint8_t *rgb = malloc(3 * W * H);
    for (int k = 0; k < 12; k++) {
      char name[64];
      snprintf(name, sizeof name, "img_%d.%s", k, kinds_of[png]);
      dgam_encoder *e;
      assert_ok(dgam_encoder_open(&e, scratch_path(name), &s));
      film_frame(rgb, W, H, k);
      assert_ok(dgam_encoder_rgb(e, rgb, 0));
      assert_ok(dgam_encoder_finish(&e));
    }
    free(rgb);
    write_file(scratch_path("notes.txt"), "x", 1);
    dgam_video *v;
    dgam_video_info info;
    assert_ok(dgam_video_open(&v, scratch, NULL));
    dgam_video_get_info(v, &info);
    assert_int_equal(info.frames, 12);
    assert_int_equal(info.width, W);
    assert_string_equal(info.format, "folder");
    int64_t frames[4] = {11, 2, 10, 2};
    int got[4];
    film_numbers(v, frames, 4, W, H, got);
    for (int i = 0; i < 4; i++) assert_int_equal(got[i], frames[i]);
    assert_ok(dgam_video_count(v));
    char broken[64];
    snprintf(broken, sizeof broken, "img_7.%s", kinds_of[png]);
    write_file(scratch_path(broken), "nothing", 7);
    uint8_t *out = malloc(2 * 3 * W * H);
    int64_t two[2] = {3, 7};
    assert_fails(dgam_video_frames(v, two, 2, out), DGAM_EFORMAT, broken);
    assert_fails(dgam_video_count(v), DGAM_EFORMAT, "1 of 12 pictures");
    assert_ok(dgam_video_frames(v, two, 1, out));
    free(out);
    dgam_video_close(v);
    write_file(scratch_path("other.bmp"), "x", 1);
    assert_fails(dgam_video_open(&v, scratch, NULL), DGAM_EFORMAT, "several kinds");
  }
  scratch_empty();
}

/* Numbers count by their value, however they are padded; equal ones by their text. */
static void pictures_are_in_order_of_number(void **state) {
  (void)state;
  static const char *const names[] = {"000.ppm", "7.ppm", "08.ppm", "9.ppm", "10.ppm", "011.ppm", "0012.ppm", "012.ppm", "99999999999999999999.ppm",
                                      "100000000000000000000.ppm", "a1b02.ppm", "a1b3.ppm", "a02b1.ppm"};
  enum { COUNT = sizeof names / sizeof *names };
  scratch_empty();
  for (int k = 0; k < COUNT; k++) {
    char picture[64];
    int n = snprintf(picture, sizeof picture, "P6 2 2 255\n");
    memset(picture + n, 10 * k, 12);
    write_file(scratch_path(names[k]), picture, (size_t)n + 12);
  }
  dgam_video *v;
  int64_t frames[COUNT];
  uint8_t out[COUNT][12];
  for (int k = 0; k < COUNT; k++) frames[k] = k;
  assert_ok(dgam_video_open(&v, scratch, NULL));
  assert_ok(dgam_video_frames(v, frames, COUNT, out[0]));
  for (int k = 0; k < COUNT; k++)
    if (out[k][0] != 10 * k) fail_msg("picture %d is %s, expected %s", k, names[out[k][0] / 10], names[k]);
  dgam_video_close(v);
  scratch_empty();
}

/* Opens the scratch folder with one picture of 2 x 2 pixels of each name, and removes them. */
static dgam_status open_pictures(const char *const *names, int64_t *frames) {
  dgam_video *v;
  dgam_video_info info = {0};
  scratch_empty();
  for (; *names; names++) write_file(scratch_path(*names), "P6 2 2 255\n............", 23);
  dgam_status s = dgam_video_open(&v, scratch, NULL);
  if (s == DGAM_OK) dgam_video_get_info(v, &info);
  dgam_video_close(v);
  *frames = info.frames;
  scratch_empty();
  return s;
}

/* Flow, masks, depth and thumbnails beside frames are never taken for frames. */
static void a_folder_is_one_film(void **state) {
  (void)state;
  static const char *const two_films[][5] = {
      {"flow_x_1.ppm", "flow_x_2.ppm", "flow_y_1.ppm", "flow_y_2.ppm"}, {"1.ppm", "1_mask.ppm", "2.ppm", "2_mask.ppm"},
      {"rgb_1.05.ppm", "depth_1.04.ppm", "rgb_1.08.ppm"},               {"1.ppm", "2.ppm", "thumbnail.ppm"},
      {"frame_1.ppm", "frame_1_thumb.ppm"},                             {"cover.ppm", "frame_1.ppm", "frame_2.ppm"}};
  int64_t frames;
  for (size_t i = 0; i < sizeof two_films / sizeof *two_films; i++)
    assert_fails(open_pictures(two_films[i], &frames), DGAM_EFORMAT, "pictures of several films in this folder (");
  static const char *const with_flow[] = {"img_1.ppm", "img_2.ppm", "img_10.ppm", "flow_x_1.ppm", "flow_y_1.ppm", "img_1_mask.ppm", "cover.ppm", NULL};
  assert_ok(open_pictures(with_flow, &frames));
  assert_int_equal(frames, 3);
  static const char *const one_film[][5] = {{"a.ppm", "b.ppm"}, {"v1_c2_1.ppm", "v1_c2_2.ppm"}, {"1.ppm", "01.ppm", "2.ppm"}};
  static const int counts[] = {2, 2, 3};
  for (size_t i = 0; i < 3; i++) {
    assert_ok(open_pictures(one_film[i], &frames));
    assert_int_equal(frames, counts[i]);
  }
}

/* Bytes changed at random: some frames are lost or ugly, but every call ends, within its memory, with frames or a reason. */
static void damage_never_ends_a_run(void **state) {
  (void)state;
  static const char *const codecs[] = {"mjpeg", "mpeg4", "libx264", "libvpx", "ffv1"};
  dgam_rng g;
  dgam_rng_init(&g, 3, 1);
  for (int i = 0; i < 5; i++) {
    dgam_encoder_spec s = dgam_encoder_defaults(W, H, 25, 1);
    s.codec = codecs[i];
    s.full_range = i == 0;
    char path[512];
    snprintf(path, sizeof path, "%s", scratch_path("whole.avi"));
    if (film_write(path, &s, 12) != DGAM_OK) continue;
    size_t n;
    unsigned char *b = read_file(path, &n), *copy = malloc(n);
    for (int trial = 0; trial < 30; trial++) {
      memcpy(copy, b, n);
      int changes = 1 << dgam_rng_below(&g, 9);
      for (int c = 0; c < changes; c++) copy[dgam_rng_below(&g, n)] = (unsigned char)dgam_rng_u32(&g);
      snprintf(path, sizeof path, "%s", scratch_path("damaged.avi"));
      write_file(path, copy, n);
      dgam_video *v;
      dgam_video_options limits = {.seconds = 2, .pixels = 1 << 20};
      if (dgam_video_open(&v, path, &limits) != DGAM_OK) continue;
      dgam_video_info info;
      dgam_video_get_info(v, &info);
      uint8_t *out = malloc(3 * (size_t)info.width * (size_t)info.height);
      for (int64_t k = 0; k < info.frames && k < 20; k += 3) {
        dgam_status st = dgam_video_frames(v, &k, 1, out);
        if (st != DGAM_OK) assert_non_null(strstr(dgam_error(), "damaged.avi"));
        dgam_video_get_info(v, &info);
      }
      dgam_status st = dgam_video_count(v);
      if (st != DGAM_OK) assert_non_null(strstr(dgam_error(), "damaged.avi"));
      free(out);
      dgam_video_close(v);
    }
    free(b), free(copy);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(colours_survive),
      cmocka_unit_test(dark_levels_lose_what_is_told), cmocka_unit_test(grey_is_grey),                 cmocka_unit_test(parts_are_parts_of_the_whole),
      cmocka_unit_test(limits_are_kept),              cmocka_unit_test(a_stopped_process_loses_no_file),
      cmocka_unit_test(bad_files_are_named),
      cmocka_unit_test(nothing_else_is_opened),       cmocka_unit_test(sizes_that_make_no_sense),
      cmocka_unit_test(folders_are_videos),           cmocka_unit_test(pictures_are_in_order_of_number),
      cmocka_unit_test(a_folder_is_one_film),
      cmocka_unit_test(damage_never_ends_a_run),
  };
  return cmocka_run_group_tests_name("video_decode", tests, scratch_make, scratch_remove);
}
