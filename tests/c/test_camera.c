/* Tests of core/light/camera: distributions, the photon transfer curve, every stage, exposure, determinism. */
#include "test.h"

#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "base/rng.h"
#include "light/camera.h"

enum { W = 64, H = 64, AREA = W * H };

static const dgam_camera_exposure dark_exposure = {.lux = 0, .time = .05, .gain = 16};

static void flat(float *light, float value) {
  for (int i = 0; i < 3 * AREA; i++) light[i] = value;
}

/* Mean and variance of raw DN over a frame of even light. */
static void raw_moments(const dgam_camera_model *m, const dgam_camera_exposure *x, float value, unsigned stages, double *mean,
                        double *variance) {
  static float light[3 * AREA];
  static uint8_t rgb[3 * AREA];
  dgam_camera *c;
  flat(light, value);
  assert_ok(dgam_camera_open(&c, m, W, H, x, stages, 3, 4));
  double s = 0, s2 = 0;
  enum { FRAMES = 8 };
  for (int f = 0; f < FRAMES; f++) {
    assert_ok(dgam_camera_frame(c, light, rgb));
    const float *raw = dgam_camera_raw(c);
    assert_non_null(raw);
    for (int i = 0; i < AREA; i++) {
      s += (double)raw[i];
      s2 += (double)raw[i] * (double)raw[i];
    }
  }
  double n = (double)AREA * FRAMES;
  *mean = s / n;
  *variance = s2 / n - *mean * *mean;
  dgam_camera_close(&c);
}

static void tukey_has_its_moments(void **state) {
  (void)state;
  /* lambda = 1: uniform on (-1, 1); lambda = 0: logistic; lambda = .14: nearly Gaussian. */
  assert_true(fabs(dgam_tukey_quantile(.75, 1) - .5) < 1e-12);
  assert_true(fabs(dgam_tukey_sd(1) - 1 / sqrt(3)) < 1e-9);
  assert_true(fabs(dgam_tukey_quantile(.9, 0) - log(9)) < 1e-12);
  assert_true(fabs(dgam_tukey_sd(1e-3) - dgam_tukey_sd(0)) < .01);
  const double lambdas[] = {-.1, -.05, .14, .5};
  for (size_t k = 0; k < 4; k++) { /* the closed form against the integral of Q^2 */
    double sum = 0, n = 2000000;
    for (int i = 0; i < n; i++) {
      double q = dgam_tukey_quantile((i + .5) / n, lambdas[k]);
      sum += q * q;
    }
    assert_true(fabs(sqrt(sum / n) / dgam_tukey_sd(lambdas[k]) - 1) < 2e-3);
  }
}

/* Read noise alone: the right standard deviation, and the quantiles of the distribution it is named after. */
static void read_noise_is_tukey(void **state) {
  (void)state;
  static float light[3 * AREA];
  static uint8_t rgb[3 * AREA];
  dgam_camera_model m = dgam_camera_models[0];
  m.tukey = -.1;
  m.dark = 0;
  m.black = 500;
  dgam_camera *c;
  flat(light, 0);
  assert_ok(dgam_camera_open(&c, &m, W, H, &dark_exposure, DGAM_CAMERA_READ | DGAM_CAMERA_BAYER, 1, 2));
  const double at[] = {.001, .01, .1, .25, .5, .75, .9, .99, .999};
  size_t below[9] = {0};
  double s2 = 0;
  enum { FRAMES = 50 };
  for (int f = 0; f < FRAMES; f++) {
    assert_ok(dgam_camera_frame(c, light, rgb));
    const float *raw = dgam_camera_raw(c);
    for (int i = 0; i < AREA; i++) {
      double e = ((double)raw[i] - 500) / (m.k0 * 16);
      s2 += e * e;
      for (int k = 0; k < 9; k++) below[k] += e < m.read * dgam_tukey_quantile(at[k], m.tukey) / dgam_tukey_sd(m.tukey);
    }
  }
  double n = (double)FRAMES * AREA;
  assert_true(fabs(sqrt(s2 / n) / m.read - 1) < .02);
  for (int k = 0; k < 9; k++) assert_true(fabs((double)below[k] / n - at[k]) < 5 * sqrt(at[k] * (1 - at[k]) / n) + 1e-5);
  dgam_camera_close(&c);
}

/* Shot noise alone: each count has its Poisson probability, on both sides of where the method changes. */
static void shot_noise_is_poisson(void **state) {
  (void)state;
  static float light[3 * AREA];
  static uint8_t rgb[3 * AREA];
  dgam_camera_model m = dgam_camera_models[0];
  m.dark = 0;
  m.black = 0;
  m.k0 = 1;
  for (int k = 0; k < 3; k++) m.cfa[k] = 1;
  const double means[] = {.05, .8, 5, 11.5, 12.5, 80};
  for (size_t t = 0; t < 6; t++) {
    dgam_camera_exposure x = {.lux = means[t] / (m.sensitivity * .05), .time = .05, .gain = 1};
    dgam_camera *c;
    flat(light, 1);
    assert_ok(dgam_camera_open(&c, &m, W, H, &x, DGAM_CAMERA_SHOT | DGAM_CAMERA_BAYER, 9, t));
    size_t count[400] = {0}, n = 0;
    for (int f = 0; f < 12; f++) {
      assert_ok(dgam_camera_frame(c, light, rgb));
      for (int i = 0; i < AREA; i++, n++) {
        int k = (int)dgam_camera_raw(c)[i];
        assert_true(k >= 0 && k < 400);
        count[k]++;
      }
    }
    double chi2 = 0, p = exp(-means[t]);
    int kinds = 0;
    for (int k = 0; k < 400; k++) {
      if (k > 0) p *= means[t] / k;
      double expected = p * (double)n;
      if (expected < 8) continue;
      chi2 += pow((double)count[k] - expected, 2) / expected;
      kinds++;
    }
    assert_true(chi2 < kinds + 5 * sqrt(2.0 * kinds) + 5);
    dgam_camera_close(&c);
  }
}

/* Photon transfer curve: variance against mean is a straight line whose slope is the gain (DN per electron) and whose
 * intercept is read noise and quantisation. */
static void photon_transfer(void **state) {
  (void)state;
  dgam_camera_model m = dgam_camera_models[1];
  m.prnu = m.row = m.column = m.dsnu = m.dark = 0;
  for (int k = 0; k < 3; k++) m.cfa[k] = 1;
  dgam_camera_exposure x = {.lux = 2, .time = .033, .gain = 6};
  double gain = m.k0 * x.gain, per_light = m.sensitivity * x.lux * x.time;
  double read = m.read * pow(x.gain / m.gain_most, m.read_slope - 1), sx = 0, sy = 0, sxx = 0, sxy = 0;
  const float levels[] = {.05f, .2f, .5f, 1, 1.5f, 2, 4, 6};
  for (int i = 0; i < 8; i++) {
    double mean, variance;
    raw_moments(&m, &x, levels[i], DGAM_CAMERA_ALL, &mean, &variance);
    assert_true(fabs(mean - (m.black + gain * per_light * (double)levels[i] - .5)) < .01 * mean); /* -.5: floor */
    sx += mean;
    sy += variance;
    sxx += mean * mean;
    sxy += mean * variance;
  }
  double slope = (8 * sxy - sx * sy) / (8 * sxx - sx * sx), intercept = (sy - slope * sx) / 8;
  assert_true(fabs(slope / gain - 1) < .03);
  double at_black = intercept + slope * (m.black - .5), expected = gain * gain * read * read + 1. / 12 + 1. / 12;
  assert_true(fabs(at_black / expected - 1) < .15);
}

/* Each stage that is switched off takes its own effect away and nothing else's: the quantiser's half a number, the
 * pedestal's error, the variance of shot and read noise. */
static void stages_switch_off_alone(void **state) {
  (void)state;
  dgam_camera_model m = dgam_camera_models[1];
  m.prnu = m.row = m.column = m.dsnu = m.dark = 0;
  for (int k = 0; k < 3; k++) m.cfa[k] = 1;
  dgam_camera_exposure x = {.lux = 2, .time = .033, .gain = 6};
  double gain = m.k0 * x.gain, light = m.sensitivity * x.lux * x.time, mean, variance, full;
  double read = m.read * pow(x.gain / m.gain_most, m.read_slope - 1);
  raw_moments(&m, &x, 1, DGAM_CAMERA_ALL, &mean, &full);
  assert_true(fabs(mean - (m.black + gain * light - .5)) < .15); /* floor takes half a number */
  raw_moments(&m, &x, 1, DGAM_CAMERA_ALL & ~(unsigned)DGAM_CAMERA_QUANTISE, &mean, &variance);
  assert_true(fabs(mean - (m.black + gain * light)) < .15); /* without it the mean is unbiased */
  raw_moments(&m, &x, 1, DGAM_CAMERA_ALL & ~(unsigned)DGAM_CAMERA_SHOT, &mean, &variance);
  assert_true(fabs((full - variance) / (gain * gain * light) - 1) < .05);
  raw_moments(&m, &x, 1, DGAM_CAMERA_ALL & ~(unsigned)DGAM_CAMERA_READ, &mean, &variance);
  assert_true(fabs((full - variance) / (gain * gain * read * read) - 1) < .1);
  raw_moments(&m, &x, 1, DGAM_CAMERA_BAYER, &mean, &variance);
  assert_true(fabs(mean - (m.black + gain * light)) < 1e-3 && variance < 1e-3);
}

static void read_noise_follows_gain(void **state) { /* log sigma linear in log gain */
  (void)state;
  dgam_camera_model m = dgam_camera_models[0];
  m.black = 500;
  const double gains[] = {1, 2, 4, 8, 16};
  for (int i = 0; i < 5; i++) {
    dgam_camera_exposure x = {.lux = 0, .time = .01, .gain = gains[i]};
    double mean, variance, expected = m.read * m.k0 * 16 * pow(gains[i] / 16, m.read_slope);
    raw_moments(&m, &x, 0, DGAM_CAMERA_READ | DGAM_CAMERA_BAYER, &mean, &variance);
    assert_true(fabs(sqrt(variance) / expected - 1) < .03);
  }
}

static void patterns_stay_rows_change(void **state) {
  (void)state;
  static float first[AREA];
  uint8_t rgb[3 * AREA];
  dgam_camera_model m = dgam_camera_models[2];
  dgam_camera *c;
  m.black = 200;
  m.dark = 0;
  m.row = 0;
  assert_ok(dgam_camera_open(&c, &m, W, H, &dark_exposure, DGAM_CAMERA_PATTERN | DGAM_CAMERA_BAYER, 1, 1));
  assert_ok(dgam_camera_frame(c, NULL, rgb));
  memcpy(first, dgam_camera_raw(c), sizeof first);
  assert_ok(dgam_camera_frame(c, NULL, rgb));
  assert_memory_equal(first, dgam_camera_raw(c), sizeof first); /* column and DSNU */
  double s2 = 0;
  for (int i = 0; i < AREA; i++) s2 += pow(((double)first[i] - 200) / (m.k0 * 16), 2);
  assert_true(fabs(sqrt(s2 / AREA) / sqrt(m.dsnu * m.dsnu + m.column * m.column) - 1) < .08);
  dgam_camera_close(&c);

  m.row = 2;
  m.column = m.dsnu = 0;
  assert_ok(dgam_camera_open(&c, &m, W, H, &dark_exposure, DGAM_CAMERA_PATTERN | DGAM_CAMERA_BAYER, 1, 1));
  assert_ok(dgam_camera_frame(c, NULL, rgb));
  memcpy(first, dgam_camera_raw(c), sizeof first);
  assert_ok(dgam_camera_frame(c, NULL, rgb));
  int changed = 0;
  for (int y = 0; y < H; y++) {
    for (int x = 1; x < W; x++) assert_true(first[y * W + x] == first[y * W]); /* one number a row */
    changed += first[y * W] != dgam_camera_raw(c)[y * W];
  }
  assert_int_equal(changed, H);
  dgam_camera_close(&c);
}

/* Even light of a colour comes out grey after white balance, at the level the curve gives. */
static void colours_are_balanced(void **state) {
  (void)state;
  static float light[3 * AREA];
  uint8_t rgb[3 * AREA];
  dgam_camera_model m = dgam_camera_models[0];
  const float colour[3] = {1.2f, 1, .6f};
  dgam_camera_balance(&m, colour);
  m.dark = 0;
  for (int i = 0; i < 3 * AREA; i++) light[i] = .5f * colour[i / AREA];
  dgam_camera_exposure x = {.lux = 10, .time = .05, .gain = 2};
  unsigned quiet = DGAM_CAMERA_ALL & ~(unsigned)(DGAM_CAMERA_NOISE | DGAM_CAMERA_QUANTISE | DGAM_CAMERA_CORING);
  dgam_camera *c;
  assert_ok(dgam_camera_open(&c, &m, W, H, &x, quiet, 0, 0));
  assert_ok(dgam_camera_frame(c, light, rgb));
  double e = m.sensitivity * 10 * .05 * .5 * m.cfa[1], v = e * m.k0 * 2 / (1023 - m.black);
  int want = (int)(255 * (1.099 * pow(v, .45) - .099) + .5);
  for (int i = 0; i < 3 * AREA; i++) assert_true(abs(rgb[i] - want) <= 1);
  dgam_camera_close(&c);
}

/* A smooth ramp survives mosaic and demosaic. */
static void demosaic_keeps_ramps(void **state) {
  (void)state;
  static float light[3 * AREA];
  static uint8_t with[3 * AREA], without[3 * AREA];
  dgam_camera_model m = dgam_camera_models[0];
  for (int c = 0; c < 3; c++)
    for (int i = 0; i < AREA; i++) light[c * AREA + i] = .2f + .005f * (float)(i % W) + .003f * (float)(i / W) * (float)(c + 1) / 3;
  dgam_camera_exposure x = {.lux = 10, .time = .05, .gain = 2};
  unsigned quiet = DGAM_CAMERA_BAYER | DGAM_CAMERA_CURVE;
  dgam_camera *c;
  assert_ok(dgam_camera_open(&c, &m, W, H, &x, quiet, 0, 0));
  assert_ok(dgam_camera_frame(c, light, with));
  dgam_camera_close(&c);
  assert_ok(dgam_camera_open(&c, &m, W, H, &x, DGAM_CAMERA_CURVE, 0, 0));
  assert_ok(dgam_camera_frame(c, light, without));
  dgam_camera_close(&c);
  for (int y = 2; y < H - 2; y++)
    for (int i = 3 * (y * W + 2); i < 3 * (y * W + W - 2); i++) assert_true(abs(with[i] - without[i]) <= 1);
}

static void denoiser_lowers_noise_and_coring_blackens(void **state) {
  (void)state;
  const dgam_camera_model *m = &dgam_camera_models[1];
  unsigned plain = DGAM_CAMERA_ALL & ~(unsigned)DGAM_CAMERA_DENOISE;
  double sigma[4][3];
  const unsigned sets[] = {plain, plain | DGAM_CAMERA_TEMPORAL, plain | DGAM_CAMERA_SPATIAL, DGAM_CAMERA_ALL};
  for (int i = 0; i < 4; i++) {
    dgam_camera *c;
    dgam_camera_exposure own = {.lux = 0, .time = m->exposure_most, .gain = m->gain_most};
    assert_ok(dgam_camera_open(&c, m, W, H, &own, sets[i], 1, 5));
    dgam_camera_dark_sigma(c, sigma[i]);
    if (i == 3) { /* in the dark 2.5 sigma of coring leave next to nothing */
      uint8_t rgb[3 * AREA];
      for (int f = 0; f < 5; f++) assert_ok(dgam_camera_frame(c, NULL, rgb));
      int black = 0;
      for (int k = 0; k < 3 * AREA; k++) black += rgb[k] == 0;
      assert_true(black > .85 * 3 * AREA);
    }
    dgam_camera_close(&c);
  }
  for (int k = 0; k < 3; k++) {
    assert_true(sigma[1][k] < sigma[0][k] && sigma[2][k] < sigma[0][k]);
    assert_true(sigma[3][k] < sigma[1][k] && sigma[3][k] < sigma[2][k]);
  }
  /* White noise under an IIR of alpha: variance times alpha / (2 - alpha). Patterns do not average, so only nearly. */
  assert_true(fabs(sigma[1][1] / sigma[0][1] / sqrt(.8 / 1.2) - 1) < .06);
}

static void exposure_first_time_then_gain(void **state) {
  (void)state;
  const dgam_camera_model *m = &dgam_camera_models[0];
  const double mean[3] = {.2, .2, .2};
  dgam_camera_exposure x;
  assert_ok(dgam_camera_expose(m, 500, mean, .18, &x)); /* bright: short, gain 1 */
  assert_true(x.time < .05 && x.gain == 1);
  double light = .25 * .2 * m->cfa[0] + .5 * .2 * m->cfa[1] + .25 * .2 * m->cfa[2];
  assert_true(fabs(m->sensitivity * 500 * light * x.time * m->k0 / (1023 - m->black) / .18 - 1) < 1e-9);
  assert_ok(dgam_camera_expose(m, 20, mean, .18, &x)); /* dim: longest time, some gain */
  assert_true(x.time == .05 && x.gain > 1 && x.gain < 16);
  assert_ok(dgam_camera_expose(m, .1, mean, .18, &x)); /* dark: both at their limit */
  assert_true(x.time == .05 && x.gain == 16);
}

static void film(uint8_t *out, int frames, int threads, uint64_t stream) {
  enum { W2 = 320, H2 = 160 };
  float *light = malloc(3 * W2 * H2 * sizeof *light);
  for (int i = 0; i < 3 * W2 * H2; i++) light[i] = (float)(i % 97) / 97;
  dgam_camera *c;
  dgam_camera_exposure x = {.lux = .2, .time = .05, .gain = 16};
  dgam_set_threads(threads);
  assert_ok(dgam_camera_open(&c, &dgam_camera_models[0], W2, H2, &x, DGAM_CAMERA_ALL, 7, stream));
  for (int f = 0; f < frames; f++) assert_ok(dgam_camera_frame(c, light, out));
  dgam_camera_close(&c);
  dgam_set_threads(0);
  free(light);
}

static void threads_change_nothing(void **state) {
  (void)state;
  enum { SIZE = 3 * 320 * 160 };
  uint8_t *one = malloc(SIZE), *many = malloc(SIZE), *other = malloc(SIZE);
  film(one, 3, 1, 5);
  film(many, 3, 5, 5);
  film(other, 3, 1, 6);
  assert_memory_equal(one, many, SIZE);
  assert_memory_not_equal(one, other, SIZE);
  free(one);
  free(many);
  free(other);
}

/* Light that is not a number, or infinite, gives some picture, whichever stage is off. */
static void any_light_is_filmed(void **state) {
  (void)state;
  static float light[3 * AREA];
  static uint8_t rgb[3 * AREA];
  const dgam_camera_exposure exposure = {.lux = 1, .time = .05, .gain = 16};
  flat(light, NAN);
  light[1] = INFINITY, light[2] = -INFINITY;
  for (int stage = -1; stage < DGAM_CAMERA_STAGES; stage++) {
    unsigned stages = DGAM_CAMERA_ALL & ~(stage < 0 ? 0 : 1u << stage);
    dgam_camera *c;
    assert_ok(dgam_camera_open(&c, &dgam_camera_models[0], W, H, &exposure, stages, 3, 4));
    for (int f = 0; f < 3; f++) assert_ok(dgam_camera_frame(c, light, rgb));
    const float *raw = dgam_camera_raw(c); /* NULL without the mosaic */
    for (int i = 0; raw && i < AREA; i++) assert_true(raw[i] >= 0 && raw[i] <= DGAM_CAMERA_WHITE);
    if (!(stages & DGAM_CAMERA_SHOT)) assert_true(raw[AREA - 1] == 0);
    dgam_camera_close(&c);
  }
}

static void jitter_stays_in_range(void **state) {
  (void)state;
  double lowest = 9, highest = 0;
  for (uint64_t i = 0; i < 200; i++) {
    dgam_camera_model m = dgam_camera_models[0];
    assert_ok(dgam_camera_jitter(&m, 1.5, 1, i));
    double f = m.sensitivity / 900;
    lowest = f < lowest ? f : lowest;
    highest = f > highest ? f : highest;
    assert_true(f >= 1 / 1.5 && f <= 1.5 && m.exposure_most == .05 && m.quality == 85);
  }
  assert_true(lowest < .7 && highest > 1.4);
}

static void refuses_nonsense(void **state) {
  (void)state;
  dgam_camera *c;
  dgam_camera_model m = dgam_camera_models[0];
  const double mean[3] = {.2, .2, .2};
  dgam_camera_exposure x = dark_exposure;
  assert_null(dgam_camera_find("nikon"));
  assert_non_null(strstr(dgam_error(), "nikon"));
  assert_non_null(dgam_camera_find("C920"));
  assert_null(dgam_camera_preset_find("dusk"));
  m.read = -1;
  assert_fails(dgam_camera_open(&c, &m, W, H, &x, DGAM_CAMERA_ALL, 0, 0), DGAM_EINVAL, "read");
  assert_null(c);
  m = dgam_camera_models[0];
  m.tukey = NAN;
  assert_fails(dgam_camera_check(&m), DGAM_EINVAL, "tukey");
  m = dgam_camera_models[0];
  assert_fails(dgam_camera_open(&c, &m, 1, H, &x, DGAM_CAMERA_ALL, 0, 0), DGAM_EINVAL, "1 x 64");
  assert_fails(dgam_camera_open(&c, &m, W, H, &x, 1u << 20, 0, 0), DGAM_EINVAL, "stages");
  assert_fails(dgam_camera_expose(&m, NAN, mean, .18, &x), DGAM_EINVAL, "lux");
  assert_fails(dgam_camera_expose(&m, 1, mean, 0, &x), DGAM_EINVAL, "target");
  assert_fails(dgam_camera_jitter(&m, .5, 0, 0), DGAM_EINVAL, "jitter");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(tukey_has_its_moments),     cmocka_unit_test(read_noise_is_tukey),
      cmocka_unit_test(shot_noise_is_poisson),     cmocka_unit_test(photon_transfer),
      cmocka_unit_test(read_noise_follows_gain), cmocka_unit_test(stages_switch_off_alone),
        cmocka_unit_test(patterns_stay_rows_change),
      cmocka_unit_test(colours_are_balanced),      cmocka_unit_test(demosaic_keeps_ramps),
      cmocka_unit_test(denoiser_lowers_noise_and_coring_blackens), cmocka_unit_test(exposure_first_time_then_gain),
      cmocka_unit_test(threads_change_nothing),    cmocka_unit_test(any_light_is_filmed),
      cmocka_unit_test(jitter_stays_in_range),
      cmocka_unit_test(refuses_nonsense),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
