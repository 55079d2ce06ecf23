/* Tests of core/light/curve: the formula pixel by pixel, finite differences, threads, in place. */
#include "test_light.h"

#include "light/curve.h"

/* the formula in double: pixel (n,c,p) */
static double curve_at(const float *x, const float *a, size_t c, size_t p, size_t iterations, size_t i) {
  size_t image = i / p / c, channel = i / p % c;
  double v = (double)x[i];
  for (size_t k = 0; k < iterations; k++)
    v += (double)a[((image * iterations + k) * c + channel) * p + i % p] * v * (1 - v);
  return v;
}

static void forward_and_backward(void **state) {
  (void)state;
  const size_t shapes[][4] = {{1, 1, 1, 1}, {2, 3, 63, 8}, {1, 3, 64, 1}, {2, 2, 65, 5}, {1, 3, 200, 64}};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
    size_t n = shapes[s][0], c = shapes[s][1], p = shapes[s][2], it = shapes[s][3], count = n * c * p;
    float *x = random_floats(count, 1), *a = random_floats(count * it, 2), *dout = random_floats(count, 3);
    for (size_t i = 0; i < count; i++) x[i] = 0.5f + 0.4f * (float)tanh((double)x[i]);
    for (size_t i = 0; i < count * it; i++) a[i] = 0.5f * (float)tanh((double)a[i]);
    float *out = malloc(count * sizeof *out), *dx = malloc(count * sizeof *dx), *da = malloc(count * it * sizeof *da);
    dgam_set_threads(3);
    assert_ok(dgam_curve(x, a, n, c, p, it, out));
    for (size_t i = 0; i < count; i++) assert_true(fabs((double)out[i] - curve_at(x, a, c, p, it, i)) < 1e-5);
    assert_ok(dgam_curve_backward(dout, x, a, n, c, p, it, dx, da));
    for (size_t i = 0; i < count; i += 7) {
      float keep = x[i], up, down;
      x[i] = up = keep + 1e-3f;
      double high = curve_at(x, a, c, p, it, i);
      x[i] = down = keep - 1e-3f;
      double want = (double)dout[i] * (high - curve_at(x, a, c, p, it, i)) / ((double)up - (double)down);
      x[i] = keep;
      assert_true(fabs((double)dx[i] - want) < 1e-4 + 2e-3 * fabs(want));
      for (size_t k = 0; k < it; k++) {
        size_t at = ((i / p / c * it + k) * c + i / p % c) * p + i % p;
        keep = a[at];
        a[at] = up = keep + 1e-3f;
        high = curve_at(x, a, c, p, it, i);
        a[at] = down = keep - 1e-3f;
        want = (double)dout[i] * (high - curve_at(x, a, c, p, it, i)) / ((double)up - (double)down);
        a[at] = keep;
        assert_true(fabs((double)da[at] - want) < 1e-4 + 2e-3 * fabs(want));
      }
    }
    float *in_place = malloc(count * sizeof *in_place);
    memcpy(in_place, x, count * sizeof *x);
    dgam_set_threads(1);
    assert_ok(dgam_curve(in_place, a, n, c, p, it, in_place));
    assert_memory_equal(in_place, out, count * sizeof *out);
    dgam_set_threads(0);
    free(x), free(a), free(dout), free(out), free(dx), free(da), free(in_place);
  }
}

static void bad_input_is_named(void **state) {
  (void)state;
  float v = 0;
  assert_fails(dgam_curve(&v, &v, 1, 1, 1, 0, &v), DGAM_EINVAL, "0 iterations");
  assert_fails(dgam_curve(&v, &v, 1, 1, 1, 65, &v), DGAM_EINVAL, "65 iterations");
  assert_fails(dgam_curve(&v, &v, SIZE_MAX, 3, 1, 1, &v), DGAM_EINVAL, "do not fit");
  assert_ok(dgam_curve(&v, &v, 0, 3, 1, 8, &v));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(forward_and_backward), cmocka_unit_test(bad_input_is_named)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
