/* Tests of core/light/histogram and stats: naive references, the official code's numbers, strides, threads. */
#include "test_light.h"

#include "light/histogram.h"
#include "light/stats.h"

static void plane_equals_naive(void **state) {
  (void)state;
  const size_t sizes[][3] = {{1, 1, 1}, {1, 7, 7}, {3, 8, 8}, {5, 17, 23}, {31, 64, 64}, {36, 44, 50}, {200, 300, 300}};
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    for (int kind = 0; kind < 4; kind++) {
      size_t h = sizes[s][0], w = sizes[s][1], stride = sizes[s][2];
      uint8_t *p = random_pixels((h - 1) * stride + w, kind, s); /* ends with the last pixel: over-reads show in ASan */
      uint32_t fast[256], slow[256];
      dgam_histogram_plane(p, h, w, (ptrdiff_t)stride, fast);
      dgam_histogram_plane_naive(p, h, w, (ptrdiff_t)stride, slow);
      assert_memory_equal(fast, slow, sizeof fast);
      free(p);
    }
}

static void layouts_and_threads_agree(void **state) {
  (void)state;
  enum { N = 2, T = 3, H = 9, W = 13, SIZE = N * 3 * T * H * W };
  uint8_t *ncthw = random_pixels(SIZE, 1, 5), *ntchw = malloc(SIZE);
  for (size_t n = 0; n < N; n++)
    for (size_t c = 0; c < 3; c++)
      for (size_t t = 0; t < T; t++)
        memcpy(ntchw + ((n * T + t) * 3 + c) * H * W, ncthw + ((n * 3 + c) * T + t) * H * W, H * W);
  static uint32_t a[N * T * 768], b[N * T * 768];
  dgam_clip clip = dgam_clip_ncthw(ncthw, N, T, H, W), other = dgam_clip_ntchw(ntchw, N, T, H, W);
  dgam_set_threads(1);
  assert_ok(dgam_histogram_clip(&clip, a));
  assert_ok(dgam_histogram_clip(&other, b));
  assert_memory_equal(a, b, sizeof a);
  dgam_set_threads(5);
  assert_ok(dgam_histogram_clip(&clip, b));
  assert_memory_equal(a, b, sizeof a);
  dgam_set_threads(0);

  clip.h = 5, clip.w = 6, clip.data += 2 * W + 3; /* a crop, in place */
  assert_ok(dgam_histogram_clip(&clip, a));
  uint32_t want[256];
  dgam_histogram_plane_naive(ncthw + ((1 * 3 + 2) * T + 1) * H * W + 2 * W + 3, 5, 6, W, want);
  assert_memory_equal(a + ((1 * T + 1) * 3 + 2) * 256, want, sizeof want);
  free(ncthw), free(ntchw);
}

static void statistics_are_the_official_ones(void **state) {
  (void)state;
  enum { N = 4, T = 32, H = 36, W = 44 };
  size_t pixels, features;
  uint8_t *data = golden_read("dgam_tiny.h5", "input/clip_uint8", H5T_NATIVE_UINT8, &pixels);
  double *want = golden_read("dgam_tiny.h5", "gate/stats", H5T_NATIVE_DOUBLE, &features);
  assert_int_equal(pixels, N * 3 * T * H * W);
  assert_int_equal(features, N * 3 * T);
  static uint32_t hist[N * T * 768];
  static float got[N * 3 * T];
  dgam_clip clip = dgam_clip_ncthw(data, N, T, H, W);
  assert_ok(dgam_histogram_clip(&clip, hist));
  assert_ok(dgam_stats_from_histogram(hist, N, T, DGAM_NORMALISED, &imagenet, got));
  for (size_t i = 0; i < features; i++)
    if (!(fabs((double)got[i] - want[i]) <= 1e-6 * fabs(want[i])))
      fail_msg("feature %zu is %.9g, expected %.9g", i, (double)got[i], want[i]);
  free(data), free(want);
}

/* The float path reads every pixel; the histogram path must give the same in both domains, for any content. */
static void histogram_and_float_paths_agree(void **state) {
  (void)state;
  enum { COUNT = 40 * 40 };
  static float x[3 * COUNT], map[768];
  for (int domain = 0; domain < 2; domain++) {
    dgam_stats_values((dgam_domain)domain, &imagenet, map);
    for (int kind = 0; kind < 4; kind++) {
      uint8_t *p = random_pixels(3 * COUNT, kind, 11);
      uint32_t hist[768];
      double a[3], b[3];
      for (int c = 0; c < 3; c++) dgam_histogram_plane(p + c * COUNT, 40, 40, 40, hist + 256 * c);
      for (size_t i = 0; i < 3 * COUNT; i++) x[i] = map[i / COUNT * 256 + p[i]];
      dgam_stats_frame(hist, map, a);
      dgam_stats_frame_float(x, COUNT, COUNT, b);
      for (int k = 0; k < 3; k++) assert_true(fabs(a[k] - b[k]) <= 1e-11 * (fabs(b[k]) + 1e-3));
      free(p);
    }
  }
}

static void known_values(void **state) {
  (void)state;
  float map[768];
  double s[3];
  uint32_t hist[768] = {0};
  dgam_stats_values(DGAM_PIXEL, NULL, map);
  hist[51] = hist[256 + 51] = hist[512 + 51] = 100; /* one value only */
  dgam_stats_frame(hist, map, s);
  assert_true(fabs(s[0] - 0.2) < 1e-7 && s[1] < 1e-9 && s[2] == 0);
  memset(hist, 0, sizeof hist);
  hist[0] = 3, hist[256 + 255] = 1; /* 0 0 0 1 */
  dgam_stats_frame(hist, map, s);
  assert_true(fabs(s[0] - 0.25) < 1e-15 && fabs(s[1] - 0.5) < 1e-15);
  assert_true(fabs(s[2] + 0.75 * log(0.75) + 0.25 * log(0.25)) < 1e-15);
}

static void bad_input_is_named(void **state) {
  (void)state;
  uint8_t pixel[3] = {0};
  uint32_t hist[768];
  float out[3];
  dgam_clip clip = dgam_clip_ncthw(pixel, 1, 0, 1, 1);
  assert_fails(dgam_histogram_clip(&clip, hist), DGAM_EINVAL, "0 frames of 1 x 1");
  clip = dgam_clip_ncthw(pixel, 1, 1, (size_t)1 << 20, (size_t)1 << 20);
  assert_fails(dgam_histogram_clip(&clip, hist), DGAM_EINVAL, "1048576 x 1048576");
  clip = dgam_clip_ncthw(NULL, 1, 1, 1, 1);
  assert_fails(dgam_histogram_clip(&clip, hist), DGAM_EINVAL, "no data");
  clip = dgam_clip_ncthw(NULL, 0, 1, 1, 1);
  assert_ok(dgam_histogram_clip(&clip, hist));
  dgam_norm norm = imagenet;
  norm.std[1] = 0;
  memset(hist, 0, sizeof hist);
  assert_fails(dgam_stats_from_histogram(hist, 1, 1, DGAM_NORMALISED, &norm, out), DGAM_EINVAL, "std of channel 2 is 0");
  norm.mean[0] = NAN;
  assert_fails(dgam_stats_from_histogram(hist, 1, 1, DGAM_NORMALISED, &norm, out), DGAM_EINVAL, "mean of channel 1");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(plane_equals_naive),
      cmocka_unit_test(layouts_and_threads_agree),
      cmocka_unit_test(statistics_are_the_official_ones),
      cmocka_unit_test(histogram_and_float_paths_agree),
      cmocka_unit_test(known_values),
      cmocka_unit_test(bad_input_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
