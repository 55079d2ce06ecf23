/* Tests of core/video/augment: every change on pictures of any size stays within them, bad values change nothing. */
#include "test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "video/augment.h"

static void stay_within_the_picture(void **state) {
  (void)state;
  static const int sizes[][2] = {{1, 1}, {2, 1}, {1, 7}, {2, 2}, {3, 3}, {5, 3}, {17, 16}};
  dgam_augment a = dgam_augment_none();
  a.brightness[1] = a.contrast[1] = a.saturation[1] = 3, a.hue[0] = -0.5, a.hue[1] = 0.5;
  a.ops = DGAM_AUGMENT_OPS, a.magnitude = 30, a.gamma[1] = 4, a.erase = 1, a.erase_fill = -1;
  assert_ok(dgam_augment_check(&a));
  assert_int_equal(dgam_augment_any(&a), 1);
  int seen[DGAM_CHANGE_KINDS] = {0};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (uint64_t stream = 0; stream < 60; stream++) {
      int w = sizes[i][0], h = sizes[i][1];
      size_t n = (size_t)w * (size_t)h, frames = 2;
      uint8_t *data = malloc(3 * n * frames); /* exact, so that a sanitizer sees every step outside */
      void *scratch = malloc(dgam_change_scratch(w, h));
      for (size_t k = 0; k < 3 * n * frames; k++) data[k] = (uint8_t)(k * 37 + stream);
      dgam_pixels clip = {.data = data, .frames = frames, .plane = n * frames, .frame = n, .w = w, .h = h};
      if (stream % 2) clip.plane = n, clip.frame = 3 * n;
      dgam_rng rng;
      dgam_rng_init(&rng, 1, stream);
      dgam_change changes[DGAM_CHANGES];
      int count = dgam_augment_draw(&a, w, h, &rng, changes);
      assert_in_range(count, 0, DGAM_CHANGES);
      for (int k = 0; k < count; k++) {
        assert_ok(dgam_change_run(&changes[k], &clip, scratch));
        seen[changes[k].kind]++;
      }
      free(scratch);
      free(data);
    }
  for (int k = DGAM_IDENTITY + 1; k < DGAM_CHANGE_KINDS; k++) assert_true(seen[k] > 0);
}

static void bad_values_change_nothing(void **state) {
  (void)state;
  uint8_t data[12], before[12], scratch[64];
  for (int i = 0; i < 12; i++) data[i] = before[i] = (uint8_t)(20 * i);
  dgam_pixels clip = {.data = data, .frames = 1, .plane = 4, .frame = 4, .w = 2, .h = 2};
  const dgam_change bad[] = {{.kind = DGAM_GAMMA, .value = 0}, {.kind = DGAM_GAMMA, .value = NAN}, {.kind = DGAM_ROTATE, .value = INFINITY},
                             {.kind = DGAM_BRIGHTNESS, .value = -1}, {.kind = DGAM_POSTERISE, .value = 9},
                             {.kind = DGAM_ERASE, .x = 1, .w = 2, .h = 1}, {.kind = DGAM_ERASE, .x = -1, .w = 1, .h = 1},
                             {.kind = DGAM_CHANGE_KINDS}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    assert_int_equal(dgam_change_run(&bad[i], &clip, scratch), DGAM_EINVAL);
    assert_memory_equal(data, before, sizeof data);
  }
  dgam_augment a = dgam_augment_none();
  assert_int_equal(dgam_augment_any(&a), 0);
  a.erase = NAN;
  assert_fails(dgam_augment_check(&a), DGAM_EINVAL, "erasing is");
  a = dgam_augment_none();
  a.gamma[0] = 0;
  assert_fails(dgam_augment_check(&a), DGAM_EINVAL, "gamma is 0");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(stay_within_the_picture), cmocka_unit_test(bad_values_change_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
