/* Tests of core/video/resize: OpenCV's pictures, and the fast path against the reference on windows and odd sizes. */
#include "video_util.h"

#include <hdf5.h>

#include "base/cpu.h"
#include "base/rng.h"
#include "video/resize.h"

static uint8_t *read_picture(hid_t file, const char *name, int *h, int *w) {
  hid_t d = H5Dopen2(file, name, H5P_DEFAULT);
  assert_true(d >= 0);
  hid_t space = H5Dget_space(d);
  hsize_t n[3];
  assert_int_equal(H5Sget_simple_extent_dims(space, n, NULL), 3);
  uint8_t *p = malloc(n[0] * n[1] * n[2]);
  assert_non_null(p);
  assert_true(H5Dread(d, H5T_NATIVE_UINT8, H5S_ALL, H5S_ALL, H5P_DEFAULT, p) >= 0);
  H5Sclose(space);
  H5Dclose(d);
  *h = (int)n[0], *w = (int)n[1];
  return p;
}

static void as_opencv(void **state) {
  (void)state;
  hid_t file = H5Fopen(DGAM_TESTS "/golden/resize_bilinear.h5", H5F_ACC_RDONLY, H5P_DEFAULT);
  assert_true(file >= 0);
  int cases = 0;
  for (;; cases++) {
    char name[64];
    snprintf(name, sizeof name, "case%d", cases);
    if (H5Lexists(file, name, H5P_DEFAULT) <= 0) break;
    int h, w, rh, rw;
    snprintf(name, sizeof name, "case%d/source", cases);
    uint8_t *src = read_picture(file, name, &h, &w);
    snprintf(name, sizeof name, "case%d/resized", cases);
    uint8_t *want = read_picture(file, name, &rh, &rw);
    dgam_resize_spec s = {w, h, rw, rh, 0, 0, rw, rh, 0};
    size_t plane = (size_t)rw * (size_t)rh, off = 0;
    uint8_t *got = malloc(3 * plane);
    dgam_resize *r;
    assert_ok(dgam_resize_create(&r, &s));
    dgam_resize_run(r, src, 3 * (size_t)w, got, plane);
    dgam_resize_destroy(r);
    int worst = 0;
    for (size_t i = 0; i < plane; i++)
      for (size_t c = 0; c < 3; c++) {
        int d = abs(got[c * plane + i] - want[3 * i + c]);
        worst = d > worst ? d : worst;
        off += d != 0;
      }
    print_message("case %d: %d x %d -> %d x %d, %zu of %zu values differ, worst by %d\n", cases, w, h, rw, rh, off, 3 * plane, worst);
    assert_true(worst <= 1);
    free(got), free(want), free(src);
  }
  assert_true(cases >= 5);
  H5Fclose(file);
}

static void fast_is_naive(void **state) {
  (void)state;
  dgam_rng g;
  dgam_rng_init(&g, 5, 0);
  for (int trial = 0; trial < 400; trial++) {
    dgam_resize_spec s;
    int most = trial % 10 == 0 ? 3 : 90;
    s.w = 1 + (int)dgam_rng_below(&g, (uint64_t)most), s.h = 1 + (int)dgam_rng_below(&g, (uint64_t)most);
    s.rw = 1 + (int)dgam_rng_below(&g, 90), s.rh = 1 + (int)dgam_rng_below(&g, 90);
    s.ow = 1 + (int)dgam_rng_below(&g, (uint64_t)s.rw), s.oh = 1 + (int)dgam_rng_below(&g, (uint64_t)s.rh);
    s.ox = (int)dgam_rng_below(&g, (uint64_t)(s.rw - s.ow + 1)), s.oy = (int)dgam_rng_below(&g, (uint64_t)(s.rh - s.oh + 1));
    s.flip = trial & 1;
    size_t stride = 3 * (size_t)s.w, n = (size_t)s.h * stride, plane = (size_t)s.ow * (size_t)s.oh;
    uint8_t *src = malloc(n), *want = malloc(3 * plane), *got = malloc(3 * plane); /* exact sizes: ASan sees over-reads */
    for (size_t i = 0; i < n; i++) src[i] = (uint8_t)dgam_rng_u32(&g);
    dgam_resize_naive(&s, src, stride, want, plane);
    for (int level = 0; level <= 1; level++) {
      dgam_cpu_limit(level ? DGAM_CPU_AVX512BF : DGAM_CPU_PLAIN);
      dgam_resize *r;
      assert_ok(dgam_resize_create(&r, &s));
      for (int twice = 0; twice < 2; twice++) {
        memset(got, 77, 3 * plane);
        dgam_resize_run(r, src, stride, got, plane);
        assert_memory_equal(got, want, 3 * plane);
      }
      int first, last;
      dgam_resize_rows(r, &first, &last);
      assert_true(first >= 0 && first <= last && last < s.h);
      dgam_resize_columns(r, &first, &last);
      assert_true(first >= 0 && first <= last && last < s.w);
      dgam_resize_destroy(r);
    }
    free(src), free(want), free(got);
  }
}

static void same_size_is_a_copy(void **state) {
  (void)state;
  uint8_t src[7 * 9 * 3], got[7 * 9 * 3];
  for (size_t i = 0; i < sizeof src; i++) src[i] = (uint8_t)(i * 37);
  dgam_resize_spec s = {9, 7, 9, 7, 0, 0, 9, 7, 0};
  dgam_resize *r;
  assert_ok(dgam_resize_create(&r, &s));
  dgam_resize_run(r, src, 27, got, 63);
  dgam_resize_destroy(r);
  for (size_t i = 0; i < 63; i++)
    for (size_t c = 0; c < 3; c++) assert_int_equal(got[63 * c + i], src[3 * i + c]);
}

static void bad_windows_are_named(void **state) {
  (void)state;
  dgam_resize *r;
  dgam_resize_spec s = {9, 7, 20, 10, 13, 0, 8, 10, 0};
  assert_fails(dgam_resize_create(&r, &s), DGAM_EINVAL, "8 x 10 at (13, 0)");
  assert_null(r);
  s.ox = 0, s.w = 0;
  assert_fails(dgam_resize_create(&r, &s), DGAM_EINVAL, "0 x 7");
  s.w = 9, s.oh = 0;
  assert_fails(dgam_resize_create(&r, &s), DGAM_EINVAL, "8 x 0");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_opencv), cmocka_unit_test(fast_is_naive),
      cmocka_unit_test(same_size_is_a_copy), cmocka_unit_test(bad_windows_are_named),
  };
  return cmocka_run_group_tests_name("video_resize", tests, NULL, NULL);
}
