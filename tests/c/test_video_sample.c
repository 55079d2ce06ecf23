/* Tests of core/video/sample: the published start frames and crops; draws that depend on (seed, stream) only. */
#include "video_util.h"

#include "store/h5.h"
#include "video/sample.h"

/* A table of tests/golden/sampling.h5. */
static int32_t *read_ints(dgam_h5 *f, const char *name, size_t *n) {
  dgam_h5_info info;
  assert_ok(dgam_h5_stat(f, name, &info));
  *n = info.array.count;
  int32_t *values = malloc(*n * sizeof *values);
  assert_non_null(values);
  assert_ok(dgam_h5_read(f, name, DGAM_I32, NULL, NULL, values, *n * sizeof *values));
  return values;
}

static int ascending(const void *a, const void *b) {
  const int64_t *p = a, *q = b;
  return (*p > *q) - (*p < *q);
}

/* The start that a draw gives: `least` is the start if the draw is 0. */
static int64_t start_of(dgam_clips rule, int64_t least, int64_t draw, int64_t n) {
  return rule == DGAM_CLIPS_DENSE ? (least + draw) % n : least + draw;
}

/* Every frame number, where nothing is drawn; else the starts that MMAction2 makes of the numbers that our generator gives. */
static void frames_as_mmaction(void **state) {
  (void)state;
  dgam_h5 *f;
  assert_ok(dgam_h5_open(DGAM_TESTS "/golden/sampling.h5", &f));
  size_t n_cases, n_frames, n_last, at = 0, at_last = 0, drawn = 0;
  int32_t *cases = read_ints(f, "cases", &n_cases), *frames = read_ints(f, "frames", &n_frames), *last = read_ints(f, "last", &n_last);
  dgam_h5_close(f);
  n_cases /= 9;
  for (size_t k = 0; k < n_cases; k++) {
    const int32_t *c = cases + 9 * k;
    dgam_sampling s = dgam_sampling_defaults();
    s.clips_rule = (dgam_clips)c[0], s.clip_len = c[1], s.interval = c[2], s.clips = c[3], s.seed = 7, s.stream = k;
    if (s.clips_rule >= DGAM_CLIPS_DENSE) s.window = c[4], s.positions = c[5];
    s.crop = DGAM_CROP_NONE; /* draws nothing */
    dgam_video_info info = {.width = 224, .height = 224, .frames = c[6]};
    size_t clips = (size_t)dgam_sampling_views(&s), length = (size_t)s.clip_len;
    const int32_t *want = frames + at, *most = last + at_last;
    at += clips * length, at_last += clips;
    assert_true(at <= n_frames && at_last <= n_last);
    int64_t *got = malloc(clips * length * sizeof *got), draws[10];
    dgam_view *views = malloc(clips * sizeof *views);
    assert_ok(dgam_sample_views(&s, &info, got, views, NULL));
    if (c[7] > 0) {
      assert_true(clips <= 10);
      drawn++;
      dgam_rng rng;
      dgam_rng_init(&rng, s.seed, s.stream);
      for (size_t i = 0; i < clips; i++)
        draws[i] = i > 0 && s.clips_rule == DGAM_CLIPS_DENSE ? draws[0] : (int64_t)dgam_rng_below(&rng, (uint64_t)c[7]);
      if (c[8]) qsort(draws, clips, sizeof *draws, ascending);
    }
    for (size_t i = 0; i < clips; i++) {
      assert_int_equal(most[i], start_of(s.clips_rule, want[i * length], c[7] > 0 ? c[7] - 1 : 0, info.frames));
      int64_t moved = start_of(s.clips_rule, want[i * length], c[7] > 0 ? draws[i] : 0, info.frames) - want[i * length];
      for (size_t t = 0; t < length; t++)
        if (got[i * length + t] != (want[i * length + t] + moved + info.frames) % info.frames)
          fail_msg("rule %d, %d x %d, %d clips, window %d, positions %d, %d frames: frame %zu of clip %zu is %lld, expected %lld", c[0], c[1],
                   c[2], c[3], c[4], c[5], c[6], t, i, (long long)got[i * length + t],
                   (long long)((want[i * length + t] + moved + info.frames) % info.frames));
    }
    free(got), free(views);
  }
  assert_true(at == n_frames && at_last == n_last && n_cases > 1000 && drawn > 100);
  free(cases), free(frames), free(last);
}

static void starts_as_published(void **state) {
  (void)state;
  static const struct {
    dgam_clips rule;
    int64_t n, want[4];
  } table[] = {
      {DGAM_CLIPS_TEST, 64, {0, 0, 0, 0}},       {DGAM_CLIPS_TEST, 90, {3, 10, 16, 23}},    {DGAM_CLIPS_TEST, 100, {4, 13, 23, 32}},
      {DGAM_CLIPS_TEST, 120, {7, 21, 35, 49}},   {DGAM_CLIPS_TEST, 30, {0, 0, 0, 0}},       {DGAM_CLIPS_TEST, 63, {0, 0, 0, 0}},
      {DGAM_CLIPS_TEST_1X, 64, {0, 0, 1, 1}},    {DGAM_CLIPS_TEST_1X, 90, {0, 9, 18, 27}},  {DGAM_CLIPS_TEST_1X, 100, {0, 12, 25, 37}},
      {DGAM_CLIPS_TEST_1X, 120, {0, 19, 38, 57}}, {DGAM_CLIPS_TEST_1X, 20, {0, 0, 0, 0}},
  };
  dgam_sampling s = dgam_sampling_defaults();
  s.clips = 4;
  dgam_rng g;
  dgam_rng_init(&g, 1, 1);
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    int64_t got[4];
    s.clips_rule = table[i].rule;
    assert_ok(dgam_sample_starts(&s, table[i].n, &g, got));
    assert_memory_equal(got, table[i].want, sizeof got);
  }
  s.clips = 1;
  int64_t one;
  s.clips_rule = DGAM_CLIPS_TEST;
  assert_ok(dgam_sample_starts(&s, 120, &g, &one));
  assert_int_equal(one, 28); /* floor(57 / 2) */
  s.clips_rule = DGAM_CLIPS_TEST_1X;
  assert_ok(dgam_sample_starts(&s, 120, &g, &one));
  assert_int_equal(one, 28);
  assert_fails(dgam_sample_starts(&s, 0, &g, &one), DGAM_EINVAL, "frames is 0");
}

static void training_starts_are_uniform(void **state) {
  (void)state;
  dgam_sampling s = dgam_sampling_defaults();
  dgam_rng g;
  dgam_rng_init(&g, 9, 9);
  int count[7] = {0};
  for (int i = 0; i < 14000; i++) {
    int64_t start;
    assert_ok(dgam_sample_starts(&s, 70, &g, &start)); /* [0, 70 - 64 + 1) */
    assert_true(start >= 0 && start < 7);
    count[start]++;
  }
  for (int i = 0; i < 7; i++) assert_true(abs(count[i] - 2000) < 5 * 45);
  int64_t start;
  for (int64_t n = 1; n <= 64; n++) {
    assert_ok(dgam_sample_starts(&s, n, &g, &start));
    assert_int_equal(start, 0);
  }
  s.clips = 3;
  for (int i = 0; i < 100; i++) {
    int64_t starts[3];
    assert_ok(dgam_sample_starts(&s, 64 + 29, &g, starts)); /* 30 places, 10 for each */
    for (int c = 0; c < 3; c++) assert_true(starts[c] >= 10 * c && starts[c] < 10 * c + 10);
    assert_ok(dgam_sample_starts(&s, 65, &g, starts)); /* fewer places than clips */
    assert_true(starts[0] <= starts[1] && starts[1] <= starts[2] && starts[2] <= 1);
  }
}

static void dense_clips_stay_in_their_window(void **state) {
  (void)state;
  dgam_sampling s = dgam_sampling_defaults();
  s.clips_rule = DGAM_CLIPS_DENSE;
  s.clips = 8, s.clip_len = 1, s.interval = 1, s.window = 64;
  dgam_rng g;
  dgam_rng_init(&g, 2, 2);
  for (int i = 0; i < 50; i++) {
    int64_t starts[8];
    assert_ok(dgam_sample_starts(&s, 200, &g, starts));
    for (int c = 1; c < 8; c++) assert_int_equal(starts[c] - starts[c - 1], 8);
    assert_true(starts[0] <= 136);
  }
  s.clips_rule = DGAM_CLIPS_DENSE_TEST;
  s.positions = 3;
  int64_t starts[24];
  assert_int_equal(dgam_sampling_views(&(dgam_sampling){.clips_rule = DGAM_CLIPS_DENSE_TEST, .clips = 8, .positions = 3, .crop = DGAM_CROP_THREE}), 72);
  assert_ok(dgam_sample_starts(&s, 200, &g, starts));
  assert_int_equal(starts[0], 0);
  assert_int_equal(starts[8], 68);
  assert_int_equal(starts[16], 136);
  assert_int_equal(starts[23], 136 + 56);
}

static void crops_as_published(void **state) {
  (void)state;
  dgam_sampling s = dgam_sampling_defaults();
  dgam_video_info info = {.width = 1280, .height = 720, .frames = 90};
  int64_t frames[4 * 32];
  dgam_view v[40];
  s.clips_rule = DGAM_CLIPS_TEST, s.clips = 4, s.crop = DGAM_CROP_THREE, s.short_side = 224;
  assert_int_equal(dgam_sampling_views(&s), 12);
  assert_ok(dgam_sample_views(&s, &info, frames, v, NULL));
  const int left_right_middle[3] = {0, 174, 87}, starts[4] = {3, 10, 16, 23}; /* 398 x 224 */
  for (int i = 0; i < 12; i++) {
    assert_int_equal(v[i].resize.rw, 398);
    assert_int_equal(v[i].resize.ox, left_right_middle[i % 3]);
    assert_int_equal(v[i].resize.oy, 0);
    assert_int_equal(v[i].resize.flip, 0);
    for (int t = 0; t < 32; t++) assert_int_equal(v[i].frames[t], starts[i / 3] + 2 * t);
  }
  info.width = 480, info.height = 640; /* tall: top, bottom, middle */
  s.clips = 1;
  assert_ok(dgam_sample_views(&s, &info, frames, v, NULL));
  assert_int_equal(v[0].resize.rh, 299);
  assert_int_equal(v[1].resize.oy, 74);
  assert_int_equal(v[2].resize.oy, 37);
  info.width = 1280, info.height = 720;
  s.crop = DGAM_CROP_CENTRE, s.short_side = 256;
  assert_ok(dgam_sample_views(&s, &info, frames, v, NULL));
  assert_int_equal(v[0].resize.rw, 455); /* 455.1 */
  assert_int_equal(v[0].resize.ox, 115);
  assert_int_equal(v[0].resize.oy, 16);
  s.crop = DGAM_CROP_TEN;
  assert_ok(dgam_sample_views(&s, &info, frames, v, NULL));
  const int x[5] = {0, 228, 0, 228, 114}, y[5] = {0, 0, 32, 32, 16};
  for (int i = 0; i < 10; i++) {
    assert_int_equal(v[i].resize.ox, x[i / 2]);
    assert_int_equal(v[i].resize.oy, y[i / 2]);
    assert_int_equal(v[i].resize.flip, i % 2);
  }
}

static void random_crops_keep_their_ranges(void **state) {
  (void)state;
  dgam_sampling s = dgam_sampling_defaults();
  dgam_video_info info = {.width = 1280, .height = 720, .frames = 90};
  int64_t frames[32];
  dgam_view v, again;
  int flips = 0;
  double small = 0;
  for (int i = 0; i < 2000; i++) {
    s.stream = (uint64_t)i;
    assert_ok(dgam_sample_views(&s, &info, frames, &v, NULL));
    double area = (double)v.resize.w * v.resize.h / (1280.0 * 720), ratio = (double)v.resize.w / v.resize.h;
    assert_true(area > 0.079 && area <= 1.001 && ratio > 0.74 && ratio < 1.35);
    assert_true(v.x >= 0 && v.y >= 0 && v.x + v.resize.w <= 1280 && v.y + v.resize.h <= 720);
    flips += v.resize.flip;
    small += area < 0.4;
    assert_ok(dgam_sample_views(&s, &info, frames, &again, NULL));
    assert_true(v.x == again.x && v.y == again.y && v.resize.w == again.resize.w && v.resize.h == again.resize.h &&
                v.resize.flip == again.resize.flip);
  }
  assert_true(abs(flips - 1000) < 5 * 23);
  assert_true(small > 800);
  info.width = 4000, info.height = 100; /* no rectangle fits in 10 tries: the centred square */
  s.area[0] = 0.9;
  assert_ok(dgam_sample_views(&s, &info, frames, &v, NULL));
  assert_int_equal(v.x, 1950);
  assert_int_equal(v.resize.w, 100);
  info.width = 1, info.height = 1;
  assert_ok(dgam_sample_views(&s, &info, frames, &v, NULL));
}

static void wrong_options_are_named(void **state) {
  (void)state;
  dgam_sampling s = dgam_sampling_defaults();
  s.clip_len = 0;
  assert_fails(dgam_sampling_check(&s), DGAM_EINVAL, "clip_len is 0");
  s = dgam_sampling_defaults(), s.flip = 1.5;
  assert_fails(dgam_sampling_check(&s), DGAM_EINVAL, "flip is 1.5");
  s = dgam_sampling_defaults(), s.ratio[0] = 2;
  assert_fails(dgam_sampling_check(&s), DGAM_EINVAL, "ratio is 2 to");
  s = dgam_sampling_defaults(), s.crop = DGAM_CROP_THREE, s.short_side = 100;
  assert_fails(dgam_sampling_check(&s), DGAM_EINVAL, "short_side is 100, expected 224");

  /* each in range, their products are not */
  s = dgam_sampling_defaults(), s.clips_rule = DGAM_CLIPS_DENSE_TEST, s.crop = DGAM_CROP_TEN, s.clips = s.positions = 1 << 16;
  assert_fails(dgam_sampling_check(&s), DGAM_EINVAL, "65536 x 65536 x 10, expected at most 1048576");
  s.clips = 1 << 10, s.positions = 103;
  assert_fails(dgam_sampling_check(&s), DGAM_EINVAL, "1024 x 103 x 10");
  s.positions = 102, s.clip_len = 8;
  assert_fails(dgam_sampling_check(&s), DGAM_EINVAL, "1044480 views of 3 x 8 x 224 x 224 bytes");
  s.clip_len = 4;
  assert_ok(dgam_sampling_check(&s));
  s = dgam_sampling_defaults(), s.clip_len = 1 << 20, s.out_w = s.out_h = 8192;
  assert_fails(dgam_sampling_check(&s), DGAM_EINVAL, "1 views of 3 x 1048576 x 8192 x 8192");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(frames_as_mmaction),
      cmocka_unit_test(starts_as_published),         cmocka_unit_test(training_starts_are_uniform),
      cmocka_unit_test(dense_clips_stay_in_their_window), cmocka_unit_test(crops_as_published),
      cmocka_unit_test(random_crops_keep_their_ranges),   cmocka_unit_test(wrong_options_are_named),
  };
  return cmocka_run_group_tests_name("video_sample", tests, NULL, NULL);
}
