/* Tests of core/light/enhance: OpenCV's and scipy's results (tests/golden/make_enhance.py), threads, strides, errors. */
#include "test_light.h"

#include <sys/mman.h>
#include <unistd.h>

#include "light/enhance.h"

static void run(const dgam_enhance *e, const dgam_clip *clip, uint8_t *out) {
  dgam_arena arena;
  assert_ok(dgam_arena_init(&arena, dgam_enhance_scratch(e, clip)));
  assert_ok(dgam_enhance_clip(e, clip, out, &arena));
  dgam_arena_free(&arena);
}

/* The enhancer with an option at the values that follow. */
#define SET(e, option, ...) \
  dgam_enhance_set(e, option, (const double[]){__VA_ARGS__}, sizeof((const double[]){__VA_ARGS__}) / sizeof(double))

/* (T,3,H,W) of the file is a clip of T frames whose result comes as (3,T,H,W): at most `share` of the values may be off
 * by one level, none by more. */
static void compare(const char *group, const char *name, size_t h, size_t w, const dgam_enhance *e, double share) {
  char path[64];
  snprintf(path, sizeof path, "%s/source", group);
  uint8_t *source = golden_read("enhance.h5", path, H5T_NATIVE_UINT8, NULL);
  snprintf(path, sizeof path, "%s/%s", group, name);
  uint8_t *want = golden_read("enhance.h5", path, H5T_NATIVE_UINT8, NULL);
  size_t plane = h * w, off = 0;
  uint8_t *got = malloc(6 * plane);
  dgam_clip clip = dgam_clip_ntchw(source, 1, 2, h, w);
  run(e, &clip, got);
  for (size_t t = 0; t < 2; t++)
    for (size_t c = 0; c < 3; c++)
      for (size_t i = 0; i < plane; i++) {
        int a = got[(c * 2 + t) * plane + i], b = want[(t * 3 + c) * plane + i];
        if (abs(a - b) > 1) fail_msg("%s: frame %zu channel %zu pixel %zu is %d, expected %d", path, t, c, i, a, b);
        off += a != b;
      }
  if ((double)off > share * 6.0 * (double)plane) fail_msg("%s: %zu of %zu values are off by one", path, off, 6 * plane);
  free(source), free(want), free(got);
}

static const struct {
  const char *name;
  size_t h, w;
} cases[] = {{"even", 64, 80}, {"odd", 45, 61}};

static void equalise_is_opencvs(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    dgam_enhance e = dgam_enhance_defaults("equalise");
    compare(cases[i].name, "equalise_luma", cases[i].h, cases[i].w, &e, 0);
    assert_ok(SET(&e, "per_channel", 1));
    compare(cases[i].name, "equalise_rgb", cases[i].h, cases[i].w, &e, 0);
  }
}

static void clahe_is_opencvs(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++)
    for (int rgb = 0; rgb < 2; rgb++) {
      dgam_enhance e = dgam_enhance_defaults("clahe");
      assert_ok(SET(&e, "per_channel", rgb));
      compare(cases[i].name, rgb ? "clahe_rgb" : "clahe_luma", cases[i].h, cases[i].w, &e, 0.001);
      assert_ok(SET(&e, "clip_limit", 7.5));
      assert_ok(SET(&e, "tiles", 3, 5));
      compare(cases[i].name, rgb ? "clahe_5x3_rgb" : "clahe_5x3_luma", cases[i].h, cases[i].w, &e, 0.001);
    }
}

static void retinex_and_lime_are_what_double_precision_gives(void **state) {
  (void)state;
  for (size_t i = 0; i < 2; i++) {
    dgam_enhance e = dgam_enhance_defaults("retinex");
    compare(cases[i].name, "retinex", cases[i].h, cases[i].w, &e, 0.001);
    assert_ok(SET(&e, "scales", 3, 12));
    assert_ok(SET(&e, "dynamic", 2));
    assert_ok(SET(&e, "restore", 0));
    compare(cases[i].name, "retinex_plain", cases[i].h, cases[i].w, &e, 0.001);
    e = dgam_enhance_defaults("lime");
    compare(cases[i].name, "lime", cases[i].h, cases[i].w, &e, 0.001);
  }
}

/* Frames of a batch do not see each other, nor the number of threads, nor how the clip lies in memory. */
static void frames_are_independent(void **state) {
  (void)state;
  enum { N = 2, T = 3, H = 12, W = 17, H0 = 14, W0 = 23, PLANE = H * W };
  uint8_t *p = random_pixels(N * 3 * T * H0 * W0, 1, 4), *tight = malloc(N * 3 * T * PLANE);
  uint8_t *a = malloc(N * 3 * T * PLANE), *b = malloc(N * 3 * T * PLANE);
  dgam_clip crop = dgam_clip_ncthw(p, N, T, H0, W0), dense = dgam_clip_ncthw(tight, N, T, H, W);
  crop.h = H, crop.w = W, crop.data += W0 + 5;
  for (size_t i = 0; i < N * 3 * T * H; i++)
    memcpy(tight + i * W, p + (i / H * H0 + i % H + 1) * W0 + 5, W);
  for (size_t method = 0; dgam_enhancer_at(method); method++) {
    dgam_enhance e = dgam_enhance_defaults(dgam_enhancer_at(method)->name);
    dgam_set_threads(1);
    run(&e, &dense, a);
    dgam_set_threads(4);
    run(&e, &crop, b);
    assert_memory_equal(a, b, N * 3 * T * PLANE);
    dgam_set_threads(0);
    dgam_clip one = {dgam_clip_plane(&dense, 1, 0, 2), 1, 1, H, W, 0, T * PLANE, 0, W};
    run(&e, &one, b);
    for (size_t c = 0; c < 3; c++) assert_memory_equal(b + c * PLANE, a + ((3 + c) * T + 2) * PLANE, PLANE);
  }
  free(p), free(tight), free(a), free(b);
}

/* Black, flat and single-pixel frames: nothing divides by zero, flat stays flat. */
static void frames_without_content(void **state) {
  (void)state;
  const size_t sizes[][2] = {{1, 1}, {1, 9}, {9, 1}, {8, 8}};
  for (size_t s = 0; s < 4; s++)
    for (int value = 0; value < 256; value += 51)
      for (size_t method = 0; dgam_enhancer_at(method); method++) {
        const char *name = dgam_enhancer_at(method)->name;
        uint8_t p[192], out[192];
        size_t h = sizes[s][0], w = sizes[s][1];
        memset(p, value, sizeof p);
        dgam_clip clip = dgam_clip_ncthw(p, 1, 1, h, w);
        dgam_enhance e = dgam_enhance_defaults(name);
        if (strcmp(name, "clahe") == 0 && (h < 8 || w < 8)) assert_ok(SET(&e, "tiles", 1, 1));
        run(&e, &clip, out);
        for (size_t i = 1; i < 3 * h * w; i++) assert_int_equal(out[i], out[0]);
        if (strcmp(name, "equalise") == 0 || strcmp(name, "retinex") == 0) assert_int_equal(out[0], value);
        if (strcmp(name, "lime") == 0 && value == 0) assert_int_equal(out[0], 0);
        if (strcmp(name, "lime") == 0 && value == 255) assert_int_equal(out[0], 255);
      }
}

/* A tile for every row or column, where the other axis does not divide: nothing before the frame is read. */
static void clahe_stays_in_the_frame(void **state) {
  (void)state;
  static const size_t frames[][4] = {{4, 7, 4, 2}, {7, 4, 2, 4}, {2, 3, 2, 2}, {1, 3, 1, 2}}; /* h, w, tiles down, across */
  size_t page = (size_t)sysconf(_SC_PAGESIZE);
  uint8_t *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), out[3 * 28];
  assert_true(p != MAP_FAILED);
  assert_int_equal(mprotect(p, page, PROT_NONE), 0);
  for (size_t k = 0; k < 4; k++) {
    dgam_clip clip = dgam_clip_ncthw(p + page, 1, 1, frames[k][0], frames[k][1]);
    dgam_enhance e = dgam_enhance_defaults("clahe");
    assert_ok(SET(&e, "per_channel", 1));
    assert_ok(SET(&e, "tiles", (double)frames[k][2], (double)frames[k][3]));
    run(&e, &clip, out);
  }
  munmap(p, 2 * page);
}

static void bad_input_is_named(void **state) {
  (void)state;
  uint8_t p[48] = {0}, out[48];
  dgam_clip clip = dgam_clip_ncthw(p, 1, 1, 4, 4);
  dgam_arena none;
  dgam_arena_wrap(&none, NULL, 0);
  dgam_enhance e = dgam_enhance_defaults("clahe");
  assert_fails(dgam_enhance_clip(&e, &clip, out, &none), DGAM_EINVAL, "8 x 8 tiles on a frame of 4 x 4");
  assert_ok(SET(&e, "tiles", 2, 2));
  assert_fails(dgam_enhance_clip(&e, &clip, out, &none), DGAM_ENOMEM, "0 bytes left");
  assert_fails(SET(&e, "clip_limit", -1), DGAM_EINVAL, "clip limit is -1, expected at least 0");
  assert_fails(SET(&e, "tiles", 2.5, 2), DGAM_EINVAL, "tiles holds 2.5, expected whole numbers");
  assert_fails(SET(&e, "tiles", 0, 2), DGAM_EINVAL, "tiles are 0, expected at least 1");
  assert_fails(SET(&e, "tiles", 2), DGAM_EINVAL, "1 values for tiles, expected 2");
  assert_fails(SET(&e, "scales", 2), DGAM_EINVAL, "no option 'scales'");
  e = dgam_enhance_defaults("retinex");
  assert_fails(SET(&e, "scales", 15, 0), DGAM_EINVAL, "a scale is 0");
  assert_fails(SET(&e, "scales", 1, 2, 3, 4, 5, 6, 7, 8, 9), DGAM_EINVAL, "9 scales");
  assert_fails(SET(&e, "scales", 1e9), DGAM_EINVAL, "a scale is 1e+09, expected above 0 and at most 1024");
  assert_ok(SET(&e, "scales", 15, 80, 1024));
  assert_ok(dgam_enhance_check(&e, 4, 4));
  e = dgam_enhance_defaults("lime");
  assert_fails(SET(&e, "alpha", NAN), DGAM_EINVAL, "alpha is");
  assert_fails(SET(&e, "alpha", 1e300), DGAM_EINVAL, "alpha is 1e+300");
  assert_fails(SET(&e, "sigma", 2000), DGAM_EINVAL, "sigma is 2000, expected above 0 and at most 1024");
  e = dgam_enhance_defaults("clae");
  assert_fails(SET(&e, "tiles", 2, 2), DGAM_EINVAL, "no option 'tiles'");
  assert_fails(dgam_enhance_clip(&e, &clip, out, &none), DGAM_EINVAL, "no such method");
  e = dgam_enhance_defaults("equalise");
  clip.h = 0;
  assert_fails(dgam_enhance_clip(&e, &clip, out, &none), DGAM_EINVAL, "0 x 4");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(equalise_is_opencvs),
      cmocka_unit_test(clahe_is_opencvs),
      cmocka_unit_test(clahe_stays_in_the_frame),
      cmocka_unit_test(retinex_and_lime_are_what_double_precision_gives),
      cmocka_unit_test(frames_are_independent),
      cmocka_unit_test(frames_without_content),
      cmocka_unit_test(bad_input_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
