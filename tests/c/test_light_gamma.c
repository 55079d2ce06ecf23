/* Tests of core/light/gamma: the official code's clips, the naive reference, every layout, type, size and CPU level,
 * gradients by finite differences. */
#include "test_light.h"

#include "light/gamma.h"
#include "light/gamma_kernels.h"
#include "light/histogram.h"

/* A batch of clips with everything a correction of it needs; sizes are small and odd on purpose. */
typedef struct fixture {
  size_t n, t, h, w;
  dgam_clip clip;
  uint8_t *pixels;
  uint32_t *hist;
  float *table;
} fixture;

static fixture make(size_t n, size_t t, size_t h, size_t w, int kind) {
  fixture f = {n, t, h, w, {0}, NULL, NULL, NULL};
  f.pixels = random_pixels(n * 3 * t * h * w, kind, n + 2 * t + 3 * h + 5 * w);
  f.clip = dgam_clip_ncthw(f.pixels, n, t, h, w);
  f.hist = malloc(n * t * 768 * sizeof *f.hist);
  f.table = malloc(n * t * 768 * sizeof *f.table);
  assert_ok(dgam_histogram_clip(&f.clip, f.hist));
  return f;
}

static void drop(fixture *f) { free(f->pixels), free(f->hist), free(f->table); }

static size_t clip_size(const fixture *f) { return f->n * 3 * f->t * f->h * f->w; }
static size_t patches_size(const fixture *f) { return f->n * dgam_gic_patches(f->t, f->h, f->w) * 96; }

/* Element of the patch layout where pixel (n,c,t,y,x) sits. */
static size_t patch_at(const fixture *f, size_t n, size_t c, size_t t, size_t y, size_t x) {
  size_t tp = (f->t + 1) / 2, hp = (f->h + 3) / 4, wp = (f->w + 3) / 4;
  return (((n * tp + t / 2) * hp + y / 4) * wp + x / 4) * 96 + ((c * 2 + t % 2) * 4 + y % 4) * 4 + x % 4;
}

static const float five[] = {1.0f, 1.5f, 2.0f, 2.5f, 3.0f};

static void experts_are_the_official_ones(void **state) {
  (void)state;
  enum { N = 4, T = 32, H = 36, W = 44, CLIP = 3 * T * H * W };
  uint8_t *data = golden_read("dgam_tiny.h5", "input/clip_uint8", H5T_NATIVE_UINT8, NULL);
  float *one_hot = golden_read("dgam_tiny.h5", "gate/one_hot", H5T_NATIVE_FLOAT, NULL);
  float *enhanced = golden_read("dgam_tiny.h5", "enhanced", H5T_NATIVE_FLOAT, NULL);
  static uint32_t hist[N * T * 768];
  static float table[N * T * 768], got[N * CLIP];
  dgam_clip clip = dgam_clip_ncthw(data, N, T, H, W);
  assert_ok(dgam_histogram_clip(&clip, hist));
  for_each_level(level) {
    dgam_gic gic = {DGAM_NORMALISED, imagenet, 5, one_hot, five, 0};
    assert_ok(dgam_gic_table(&gic, hist, N, T, table));
    assert_ok(dgam_gic_apply(&clip, table, DGAM_LAYOUT_CLIP, 0, got));
    assert_close(got, enhanced, N * CLIP, 1e-6, "enhanced");
    for (int e = 0; e < 5; e++) {
      char name[32];
      snprintf(name, sizeof name, "gic/gamma_%.1f", (double)five[e]);
      float *want = golden_read("dgam_tiny.h5", name, H5T_NATIVE_FLOAT, NULL), one = 1;
      dgam_gic expert = {DGAM_NORMALISED, imagenet, 1, &one, five + e, 0};
      assert_ok(dgam_gic_table(&expert, hist, 1, T, table));
      dgam_clip first = dgam_clip_ncthw(data, 1, T, H, W);
      assert_ok(dgam_gic_apply(&first, table, DGAM_LAYOUT_CLIP, 0, got));
      assert_close(got, want, CLIP, 1e-6, name);
      free(want);
    }
  }
  free(data), free(one_hot), free(enhanced);
}

static const size_t shapes[][4] = {{1, 1, 1, 1},  {1, 2, 4, 4},   {2, 3, 5, 7},    {1, 4, 8, 16},  {1, 1, 3, 66},
                                   {2, 2, 9, 33}, {1, 3, 6, 130}, {1, 2, 12, 100}, {3, 1, 2, 65}};

/* Table and clip-layout output against the formulas in double, in both domains, for weights that do not sum to 1 too. */
static void mixtures_equal_naive(void **state) {
  (void)state;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int kind = 0; kind < 4; kind++) {
      fixture f = make(shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3], kind);
      float *got = malloc(clip_size(&f) * sizeof *got), *want = malloc(clip_size(&f) * sizeof *want);
      float *weights = random_floats(f.n * 7, s), gammas[21];
      for (int i = 0; i < 21; i++) gammas[i] = 0.4f + 0.25f * (float)i;
      for (int domain = 0; domain < 2; domain++)
        for (int own = 0; own < 2; own++) { /* gammas shared, or of each clip's own */
          dgam_gic gic = {(dgam_domain)domain, imagenet, 7, weights, gammas, own ? 7 : 0};
          assert_ok(dgam_gic_naive(&gic, &f.clip, want));
          for_each_level(level) {
            assert_ok(dgam_gic_table(&gic, f.hist, f.n, f.t, f.table));
            assert_ok(dgam_gic_apply(&f.clip, f.table, DGAM_LAYOUT_CLIP, 0, got));
            assert_close(got, want, clip_size(&f), 2e-5, dgam_cpu_name(level)); /* weights of size 1, values up to 5 */
          }
        }
      free(got), free(want), free(weights);
      drop(&f);
    }
}

/* Both layouts and types, all sizes, strides: exactly the table's entries in the right place, zeros in the padding,
 * nothing outside. */
static void pixels_land_where_they_should(void **state) {
  (void)state;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int crop = 0; crop < 2; crop++) {
      fixture f = make(shapes[s][0], shapes[s][1], shapes[s][2] + (size_t)crop, shapes[s][3] + 3 * (size_t)crop, 0);
      if (crop) f.h -= 1, f.w -= 3, f.clip.h = f.h, f.clip.w = f.w, f.clip.data += 2;
      float *random = random_floats(f.n * f.t * 768, 9);
      size_t flat = clip_size(&f), all = patches_size(&f);
      float *want = calloc(all, sizeof *want), *want_flat = malloc(flat * sizeof *want_flat);
      size_t i = 0;
      for (size_t n = 0; n < f.n; n++)
        for (size_t c = 0; c < 3; c++)
          for (size_t t = 0; t < f.t; t++)
            for (size_t y = 0; y < f.h; y++)
              for (size_t x = 0; x < f.w; x++, i++) {
                uint8_t v = dgam_clip_plane(&f.clip, n, c, t)[(ptrdiff_t)y * f.clip.sh + (ptrdiff_t)x];
                want[patch_at(&f, n, c, t, y, x)] = want_flat[i] = random[((n * f.t + t) * 3 + c) * 256 + v];
              }
      for_each_level(level)
        for (int layout = 0; layout < 2; layout++)
          for (int threads = 1; threads <= 3; threads += 2) {
            size_t count = layout ? all : flat;
            const float *expected = layout ? want : want_flat;
            float *got = malloc((count + 1) * sizeof *got);
            uint16_t *half = malloc((count + 1) * sizeof *half);
            got[count] = 12345, half[count] = 12345;
            dgam_set_threads(threads);
            assert_ok(dgam_gic_apply(&f.clip, random, (dgam_layout)layout, 0, got));
            assert_ok(dgam_gic_apply(&f.clip, random, (dgam_layout)layout, 1, half));
            assert_memory_equal(got, expected, count * sizeof *got);
            for (size_t k = 0; k < count; k++) assert_int_equal(half[k], dgam_f32_to_bf16(expected[k]));
            assert_true(got[count] == 12345 && half[count] == 12345);
            free(got), free(half);
          }
      dgam_set_threads(0);
      free(random), free(want), free(want_flat);
      drop(&f);
    }
}

static void scatter_sums_per_entry(void **state) {
  (void)state;
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int layout = 0; layout < 2; layout++)
      for (int bf16 = 0; bf16 < 2; bf16++) {
        fixture f = make(shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3], 1);
        size_t count = layout ? patches_size(&f) : clip_size(&f), entries = f.n * f.t * 768, i = 0;
        float *grad = random_floats(count, 3);
        uint16_t *half = malloc(count * sizeof *half);
        for (size_t k = 0; k < count; k++) half[k] = dgam_f32_to_bf16(grad[k]);
        double *want = calloc(entries, sizeof *want), *got = malloc(entries * sizeof *got);
        double *again = malloc(entries * sizeof *again);
        for (size_t n = 0; n < f.n; n++)
          for (size_t c = 0; c < 3; c++)
            for (size_t t = 0; t < f.t; t++)
              for (size_t y = 0; y < f.h; y++)
                for (size_t x = 0; x < f.w; x++, i++) {
                  size_t at = layout ? patch_at(&f, n, c, t, y, x) : i;
                  double g = bf16 ? (double)dgam_bf16_to_f32(half[at]) : (double)grad[at];
                  want[((n * f.t + t) * 3 + c) * 256 + f.pixels[i]] += g;
                }
        dgam_set_threads(1);
        assert_ok(dgam_gic_scatter(&f.clip, bf16 ? (void *)half : grad, (dgam_layout)layout, bf16, got));
        for (size_t k = 0; k < entries; k++) assert_true(fabs(got[k] - want[k]) < 1e-11);
        dgam_set_threads(4);
        assert_ok(dgam_gic_scatter(&f.clip, bf16 ? (void *)half : grad, (dgam_layout)layout, bf16, again));
        assert_memory_equal(got, again, entries * sizeof *got); /* the same bits with any number of threads */
        dgam_set_threads(0);
        free(grad), free(half), free(want), free(got), free(again);
        drop(&f);
      }
}

/* sum(grad * output) in double, through the naive reference. */
static double loss(const dgam_gic *gic, const fixture *f, const float *grad) {
  float *out = malloc(clip_size(f) * sizeof *out);
  assert_ok(dgam_gic_naive(gic, &f->clip, out));
  double sum = 0;
  for (size_t i = 0; i < clip_size(f); i++) sum += (double)out[i] * (double)grad[i];
  free(out);
  return sum;
}

static void gradients_equal_finite_differences(void **state) {
  (void)state;
  enum { E = 18 }; /* more than one group of 16 */
  fixture f = make(2, 3, 6, 9, 1);
  float *grad = random_floats(clip_size(&f), 1), *weights = random_floats(2 * E, 2), gammas[2 * E];
  for (int i = 0; i < 2 * E; i++) gammas[i] = 0.6f + 0.2f * (float)i;
  double *sums = malloc(2 * 3 * 768 * sizeof *sums);
  assert_ok(dgam_gic_scatter(&f.clip, grad, DGAM_LAYOUT_CLIP, 0, sums));
  for (int domain = 0; domain < 2; domain++) {
    dgam_gic gic = {(dgam_domain)domain, imagenet, E, weights, gammas, E};
    for_each_level(level) {
      float dweights[2 * E], dgammas[2 * E];
      assert_ok(dgam_gic_table_backward(&gic, f.hist, 2, 3, sums, dweights, dgammas));
      for (int i = 0; i < 2 * E; i++) {
        float *const what[2] = {weights + i, gammas + i};
        for (int k = 0; k < 2; k++) {
          float keep = *what[k], step = 0.01f, up, down;
          *what[k] = up = keep + step;
          double high = loss(&gic, &f, grad);
          *what[k] = down = keep - step;
          double low = loss(&gic, &f, grad), want = (high - low) / ((double)up - (double)down);
          *what[k] = keep;
          double got = (double)(k ? dgammas : dweights)[i];
          if (!(fabs(got - want) <= 2e-3 * fabs(want) + 2e-3))
            fail_msg("%s: gradient of %s %d is %g, finite differences give %g", dgam_cpu_name(level),
                     k ? "gamma" : "weight", i, got, want);
        }
      }
    }
    assert_ok(dgam_gic_table_backward(&gic, f.hist, 2, 3, sums, NULL, NULL)); /* both are optional */
  }
  free(grad), free(weights), free(sums);
  drop(&f);
}

/* The loop itself, as the compiler makes it here; the other levels' are held by the tables' tests. */
static void power_is_accurate(void **state) {
  (void)state;
  float logs[256], p[256];
  for (int i = 0; i < 256; i++) logs[i] = -25.0f * (float)i / 255.0f;
  logs[255] = -1e30f;
  const float scales[] = {1.0f, 1.0f / 3.0f, 4.0f, 1e-3f};
  for (int g = 0; g < 4; g++) {
    dgam_pow_loop(logs, scales[g], 256, p);
    for (int i = 0; i < 255; i++) {
      double want = exp2((double)(logs[i] * scales[g]));
      assert_true(fabs((double)p[i] - want) <= 2.5e-7 * want);
    }
    assert_true(p[255] == 0);
  }
}

static void bad_input_is_named(void **state) {
  (void)state;
  uint32_t hist[768] = {1};
  float table[768], weights[2] = {1, 1}, gammas[2] = {1, 2};
  double sums[768] = {0};
  dgam_gic gic = {DGAM_NORMALISED, imagenet, 2, weights, gammas, 0};
  const float bad[] = {0, -2, NAN, INFINITY};
  for (size_t i = 0; i < 4; i++) {
    gammas[1] = bad[i];
    assert_fails(dgam_gic_table(&gic, hist, 1, 1, table), DGAM_EINVAL, "gamma 2 is ");
    assert_fails(dgam_gic_table_backward(&gic, hist, 1, 1, sums, NULL, NULL), DGAM_EINVAL, "gamma 2 is ");
  }
  gic.experts = 0;
  assert_fails(dgam_gic_table(&gic, hist, 1, 1, table), DGAM_EINVAL, "no experts");
  uint8_t pixel[3] = {0};
  dgam_clip clip = dgam_clip_ncthw(pixel, 1, 1, 0, 1);
  assert_fails(dgam_gic_apply(&clip, table, DGAM_LAYOUT_CLIP, 0, table), DGAM_EINVAL, "0 x 1");
  assert_fails(dgam_gic_scatter(&clip, table, DGAM_LAYOUT_CLIP, 0, sums), DGAM_EINVAL, "0 x 1");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(experts_are_the_official_ones),
      cmocka_unit_test(mixtures_equal_naive),
      cmocka_unit_test(pixels_land_where_they_should),
      cmocka_unit_test(scatter_sums_per_entry),
      cmocka_unit_test(gradients_equal_finite_differences),
      cmocka_unit_test(power_is_accurate),
      cmocka_unit_test(bad_input_is_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
