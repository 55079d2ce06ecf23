/* camera.c - see camera.h */
#include "light/camera.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "base/rng.h"

enum { TUKEY_STEPS = 1024, CURVE_STEPS = 65536 };

/* --- models --- */

#define COMMON                                                                                             \
  .cfa = {.9, 1, .8}, .prnu = .01, .read_slope = .9, .tukey = -.07, .black = 64,            \
  .matrix = {1.45, -.33, -.12, -.22, 1.38, -.16, -.04, -.42, 1.46}, .balance = {1, 1, 1}

const dgam_camera_model dgam_camera_models[DGAM_CAMERA_MODELS] = {
    {.name = "brio", .sensitivity = 900, .dark = 3, .read = 1.8, .row = .2, .column = .1, .dsnu = .25, .k0 = .20, .gain_most = 16,
     .exposure_most = .050, .alpha = .55, .mix = .5, .quality = 85, .kappa = 1, .width = 1280, .height = 720, COMMON},
    {.name = "arducam", .sensitivity = 420, .dark = 78, .read = 2.6, .row = .35, .column = .2, .dsnu = .4, .k0 = .22, .gain_most = 12,
     .black_error = 1, .exposure_most = .033, .alpha = .8, .mix = .3, .quality = 75, .kappa = 2.5, .width = 640,
     .height = 480, COMMON},
    {.name = "c920", .sensitivity = 330, .dark = 39, .read = 3.2, .row = .4, .column = .25, .dsnu = .5, .k0 = .20, .gain_most = 12,
     .black_error = 1, .exposure_most = .033, .alpha = .6, .mix = .6, .quality = 70, .kappa = 1.5, .width = 1280,
     .height = 720, COMMON},
};

const dgam_camera_preset dgam_camera_presets[DGAM_CAMERA_PRESETS] = {
    {"LL", {.5, 2}, .18},        {"ELL", {.05, .2}, .18},        {"arid", {20, 60}, .018},
    {"dark48", {30, 90}, .0090}, {"bright", {10, 500}, .16},
};

const char *const dgam_camera_stage_names[DGAM_CAMERA_STAGES] = {
    "shot", "read", "pattern", "quantise", "black", "bayer", "balance", "temporal", "spatial", "coring", "matrix", "curve"};

const dgam_camera_model *dgam_camera_find(const char *name) {
  for (int i = 0; i < DGAM_CAMERA_MODELS; i++)
    if (strcasecmp(name, dgam_camera_models[i].name) == 0) return &dgam_camera_models[i];
  dgam_fail(DGAM_EINVAL, "no camera is called '%s'; there are brio, arducam and c920", name);
  return NULL;
}

const dgam_camera_preset *dgam_camera_preset_find(const char *name) {
  for (int i = 0; i < DGAM_CAMERA_PRESETS; i++)
    if (strcasecmp(name, dgam_camera_presets[i].name) == 0) return &dgam_camera_presets[i];
  dgam_fail(DGAM_EINVAL, "no light is called '%s'; there are LL, ELL, arid, dark48 and bright", name);
  return NULL;
}

dgam_status dgam_camera_check(const dgam_camera_model *m) {
  const struct { const char *name; double value, low, high; } field[] = {
      {"sensitivity", m->sensitivity, 1e-6, 1e9},  {"cfa[red]", m->cfa[0], 1e-3, 10},
      {"cfa[green]", m->cfa[1], 1e-3, 10},         {"cfa[blue]", m->cfa[2], 1e-3, 10},
      {"dark", m->dark, 0, 1e6},                   {"prnu", m->prnu, 0, .5},
      {"read", m->read, 0, 1e4},                   {"read_slope", m->read_slope, -2, 2},
      {"tukey", m->tukey, -.4, 2},                 {"row", m->row, 0, 1e4},
      {"column", m->column, 0, 1e4},               {"dsnu", m->dsnu, 0, 1e4},
      {"k0", m->k0, 1e-6, 1e3},                    {"gain_most", m->gain_most, 1, 1e4},
      {"black", m->black, 0, 512},                 {"black_error", m->black_error, -64, 64},
      {"exposure_most", m->exposure_most, 1e-5, 10}, {"alpha", m->alpha, .01, 1},
      {"mix", m->mix, 0, 1},                       {"kappa", m->kappa, 0, 100},
      {"quality", m->quality, 1, 100},             {"balance[red]", m->balance[0], 1e-3, 1e3},
      {"balance[green]", m->balance[1], 1e-3, 1e3}, {"balance[blue]", m->balance[2], 1e-3, 1e3}};
  for (size_t i = 0; i < sizeof field / sizeof *field; i++)
    if (!(field[i].value >= field[i].low && field[i].value <= field[i].high))
      return dgam_fail(DGAM_EINVAL, "camera '%s': %s is %g, expected %g to %g", m->name ? m->name : "(no name)",
                       field[i].name, field[i].value, field[i].low, field[i].high);
  for (int i = 0; i < 9; i++)
    if (!(fabs(m->matrix[i]) <= 10))
      return dgam_fail(DGAM_EINVAL, "camera '%s': colour matrix entry %d is %g, expected -10 to 10",
                       m->name ? m->name : "(no name)", i + 1, m->matrix[i]);
  return DGAM_OK;
}

dgam_status dgam_camera_jitter(dgam_camera_model *m, double most, uint64_t seed, uint64_t stream) {
  if (!(most >= 1 && most <= 100)) return dgam_fail(DGAM_EINVAL, "jitter is %g, expected 1 to 100", most);
  dgam_rng r;
  dgam_rng_init(&r, seed, dgam_rng_mix(stream, 0x717e4));
  double *field[] = {&m->sensitivity, &m->dark, &m->prnu, &m->read, &m->row, &m->column, &m->dsnu};
  for (size_t i = 0; i < sizeof field / sizeof *field; i++) *field[i] *= pow(most, 2 * dgam_rng_uniform(&r) - 1);
  return DGAM_OK;
}

void dgam_camera_balance(dgam_camera_model *m, const float light[3]) {
  double green = m->cfa[1] * (double)light[1];
  for (int c = 0; c < 3; c++) m->balance[c] = fmin(8, fmax(.125, green / fmax(1e-9, m->cfa[c] * (double)light[c])));
}

dgam_status dgam_camera_expose(const dgam_camera_model *m, double lux, const double mean[3], double target,
                               dgam_camera_exposure *out) {
  if (!(lux >= 0 && lux <= 1e6)) return dgam_fail(DGAM_EINVAL, "lux is %g, expected 0 to 1e6", lux);
  if (!(target > 0 && target <= 1)) return dgam_fail(DGAM_EINVAL, "exposure target is %g, expected more than 0, at most 1", target);
  double light = .25 * mean[0] * m->cfa[0] + .5 * mean[1] * m->cfa[1] + .25 * mean[2] * m->cfa[2];
  double rate = m->sensitivity * lux * light;                         /* electrons per second */
  double wanted = target * (DGAM_CAMERA_WHITE - m->black) / m->k0;     /* electrons, at gain 1 */
  out->lux = lux;
  out->time = m->exposure_most;
  out->gain = rate > 0 ? fmin(m->gain_most, wanted / (rate * out->time)) : m->gain_most;
  if (out->gain <= 1) {
    out->gain = 1;
    out->time = fmax(1e-5, wanted / rate);
  }
  return DGAM_OK;
}

/* --- distributions --- */

double dgam_tukey_quantile(double u, double lambda) {
  if (fabs(lambda) < 1e-9) return log(u / (1 - u));
  return (pow(u, lambda) - pow(1 - u, lambda)) / lambda;
}

double dgam_tukey_sd(double l) {
  if (fabs(l) < 1e-4) return 1.8137993642342178; /* pi / sqrt 3 */
  int sign; /* lgamma would write it to a global of the process */
  return sqrt(2 / (l * l) * (1 / (1 + 2 * l) - exp(2 * lgamma_r(l + 1, &sign) - lgamma_r(2 * l + 2, &sign))));
}

/* The quantile function over u, divided by the standard deviation: straight lines inside, exact in both tails, which
 * are 1/32 of all draws. */
typedef struct tukey_table {
  double lambda, sd;
  float value[TUKEY_STEPS + 1];
} tukey_table;

static void tukey_fill(tukey_table *t, double lambda) {
  t->lambda = lambda;
  t->sd = dgam_tukey_sd(lambda);
  t->value[0] = t->value[TUKEY_STEPS] = 0; /* never read */
  for (int i = 1; i < TUKEY_STEPS; i++) t->value[i] = (float)(dgam_tukey_quantile((double)i / TUKEY_STEPS, lambda) / t->sd);
}

static float tukey_draw(const tukey_table *t, uint32_t word) {
  uint32_t i = word >> 22;
  if (i < TUKEY_STEPS / 64 || i >= TUKEY_STEPS - TUKEY_STEPS / 64)
    return (float)(dgam_tukey_quantile(((double)word + .5) * 0x1p-32, t->lambda) / t->sd);
  float f = (float)(word & 0x3FFFFF) * 0x1p-22f;
  return t->value[i] + f * (t->value[i + 1] - t->value[i]);
}

/* Poisson: one word and inversion for the few electrons of the dark, the generator's own method above. */
static float poisson_draw(dgam_rng *r, float mean) {
  if (!(mean > 0)) return 0;
  if (mean >= 12) return (float)dgam_rng_poisson(r, (double)mean);
  double u = ((double)dgam_rng_u32(r) + .5) * 0x1p-32, p = exp(-(double)mean);
  int k = 0;
  while (u > p && k < 100) {
    u -= p;
    p *= (double)mean / ++k;
  }
  return (float)k;
}

/* --- the camera --- */

struct dgam_camera {
  dgam_camera_model m;
  dgam_camera_exposure x;
  unsigned stages;
  int width, height, planes; /* planes of raw: 1 with a mosaic, else 3 */
  uint64_t seed, stream;
  uint64_t frames;     /* filmed so far */
  float electrons[3];  /* per unit of light */
  float read;          /* electrons, at this gain */
  float dark_sigma[3]; /* after the denoiser, share of white */
  const float *light;  /* of the frame being filmed */
  uint8_t *rgb;
  dgam_arena memory;
  tukey_table *tukey;
  uint8_t *curve;
  float *pattern; /* [planes,H,W] electrons: DSNU + column */
  float *gain;    /* [planes,H,W] 1 + PRNU */
  float *raw;     /* [planes,H,W] DN */
  float *state;   /* [3,H,W] share of white, memory of the IIR */
  float *mixed;   /* [3,H,W] after the 3x3 mix */
};

static int on(const dgam_camera *c, unsigned stage) { return (c->stages & stage) != 0; }

/* Which filter lies over a pixel: RGGB. */
static int filter_at(int y, int x) { return (y & 1) + (x & 1); }

/* Light to DN. */
static void expose_row(dgam_camera *c, int y) {
  size_t width = (size_t)c->width, area = width * (size_t)c->height;
  dgam_rng r;
  dgam_rng_init(&r, c->seed, dgam_rng_mix(c->stream, c->frames << 16 | (uint64_t)y));
  float row = on(c, DGAM_CAMERA_PATTERN) ? (float)(c->m.row * dgam_rng_normal(&r)) : 0;
  float dark = (float)(c->m.dark * c->x.time), to_dn = (float)(c->m.k0 * c->x.gain), black = (float)c->m.black;
  for (int p = 0; p < c->planes; p++) {
    size_t start = (size_t)p * area + (size_t)y * width;
    for (int x = 0; x < c->width; x++) {
      int k = c->planes == 3 ? p : filter_at(y, x);
      float light = c->light ? c->light[(size_t)k * area + (size_t)y * width + (size_t)x] : 0;
      float e = (c->electrons[k] * light + dark) * c->gain[start + (size_t)x];
      if (on(c, DGAM_CAMERA_SHOT)) e = poisson_draw(&r, e);
      if (on(c, DGAM_CAMERA_READ)) e += c->read * tukey_draw(c->tukey, dgam_rng_u32(&r));
      e += row + c->pattern[start + (size_t)x];
      float dn = to_dn * e + black;
      if (on(c, DGAM_CAMERA_QUANTISE)) dn = floorf(dn + (float)dgam_rng_u32(&r) * 0x1p-32f - .5f);
      c->raw[start + (size_t)x] = dn > 0 ? (dn > DGAM_CAMERA_WHITE ? DGAM_CAMERA_WHITE : dn) : 0; /* NaN gives 0 */
    }
  }
}

static int mirror(int i, int n) { return i < 0 ? -i : i >= n ? 2 * n - 2 - i : i; }

/* DN to balanced colour, and the IIR over frames. */
static void develop_row(dgam_camera *c, int y) {
  size_t width = (size_t)c->width, area = width * (size_t)c->height;
  float black = (float)(c->m.black + (on(c, DGAM_CAMERA_BLACK) ? c->m.black_error : 0));
  float unit = 1 / (float)(DGAM_CAMERA_WHITE - c->m.black), gain[3];
  for (int k = 0; k < 3; k++) gain[k] = unit * (on(c, DGAM_CAMERA_BALANCE) ? (float)c->m.balance[k] : 1);
  float alpha = on(c, DGAM_CAMERA_TEMPORAL) && c->frames > 0 ? (float)c->m.alpha : 1;
  const float *above = c->raw + (size_t)mirror(y - 1, c->height) * width, *here = c->raw + (size_t)y * width;
  const float *below = c->raw + (size_t)mirror(y + 1, c->height) * width;
  for (int x = 0; x < c->width; x++) {
    float v[3];
    if (c->planes == 3) {
      for (int k = 0; k < 3; k++) v[k] = here[(size_t)k * area + (size_t)x];
    } else { /* bilinear; the mirrored neighbour has the same filter as the missing one */
      int l = mirror(x - 1, c->width), r = mirror(x + 1, c->width);
      float cross = .25f * (above[x] + below[x] + here[l] + here[r]), across = .5f * (here[l] + here[r]);
      float upright = .5f * (above[x] + below[x]), corners = .25f * (above[l] + above[r] + below[l] + below[r]);
      if (filter_at(y, x) == 1) {
        v[1] = here[x];
        v[0] = y & 1 ? upright : across;
        v[2] = y & 1 ? across : upright;
      } else {
        v[1] = cross;
        v[0] = y & 1 ? corners : here[x];
        v[2] = y & 1 ? here[x] : corners;
      }
    }
    for (int k = 0; k < 3; k++) {
      float *s = c->state + (size_t)k * area + (size_t)y * width + (size_t)x, now = (v[k] - black) * gain[k];
      *s = alpha == 1 ? now : *s + alpha * (now - *s);
    }
  }
}

static inline float mixed_at(const float *const row[3], int l, int x, int r, float mix, float ninth) {
  float sum = 0;
  for (int k = 0; k < 3; k++) sum += row[k][l] + row[k][x] + row[k][r];
  return (1 - mix) * row[1][x] + ninth * sum;
}

static void mix_row(dgam_camera *c, int y) {
  size_t width = (size_t)c->width, area = width * (size_t)c->height;
  float mix = on(c, DGAM_CAMERA_SPATIAL) ? (float)c->m.mix : 0, ninth = mix / 9;
  for (int k = 0; k < 3; k++) {
    const float *plane = c->state + (size_t)k * area, *here = plane + (size_t)y * width;
    const float *above = plane + (size_t)mirror(y - 1, c->height) * width;
    const float *below = plane + (size_t)mirror(y + 1, c->height) * width;
    float *out = c->mixed + (size_t)k * area + (size_t)y * width;
    const float *rows[3] = {above, here, below};
    out[0] = mixed_at(rows, 1, 0, 1, mix, ninth);
    for (int x = 1; x < c->width - 1; x++) out[x] = mixed_at(rows, x - 1, x, x + 1, mix, ninth);
    out[width - 1] = mixed_at(rows, c->width - 2, c->width - 1, c->width - 2, mix, ninth);
  }
}

static void finish_row(dgam_camera *c, int y) {
  size_t width = (size_t)c->width, area = width * (size_t)c->height;
  float floor_at[3];
  for (int k = 0; k < 3; k++) floor_at[k] = on(c, DGAM_CAMERA_CORING) ? (float)c->m.kappa * c->dark_sigma[k] : 0;
  const float *in = c->mixed + (size_t)y * width;
  uint8_t *out = c->rgb + 3 * (size_t)y * width;
  float m[9];
  for (int i = 0; i < 9; i++) m[i] = on(c, DGAM_CAMERA_MATRIX) ? (float)c->m.matrix[i] : i % 4 == 0;
  for (int x = 0; x < c->width; x++, out += 3) {
    float v[3], w[3];
    for (int k = 0; k < 3; k++) {
      v[k] = in[(size_t)k * area + (size_t)x] - floor_at[k];
      if (v[k] < 0) v[k] = 0;
    }
    for (int k = 0; k < 3; k++) {
      w[k] = m[3 * k] * v[0] + m[3 * k + 1] * v[1] + m[3 * k + 2] * v[2];
      w[k] = w[k] < 0 ? 0 : w[k] > 1 ? 1 : w[k];
      out[k] = c->curve[(int)(w[k] * (CURVE_STEPS - 1) + .5f)];
    }
  }
}

static dgam_status expose_rows(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  for (size_t y = begin; y < end; y++) expose_row(ctx, (int)y);
  return DGAM_OK;
}

static dgam_status develop_rows(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  for (size_t y = begin; y < end; y++) develop_row(ctx, (int)y);
  return DGAM_OK;
}

static dgam_status finish_rows(void *ctx, size_t begin, size_t end, int ith, int nth) {
  dgam_camera *c = ctx;
  (void)ith, (void)nth;
  for (size_t y = begin; y < end; y++) {
    mix_row(c, (int)y);
    if (c->rgb) finish_row(c, (int)y);
  }
  return DGAM_OK;
}

/* --- open, calibrate, film --- */

static dgam_status reserve(dgam_camera *c) {
  size_t area, all;
  if (dgam_mul_overflow((size_t)c->width, (size_t)c->height, &area) || dgam_mul_overflow(area, 16 * sizeof(float), &all))
    return dgam_fail(DGAM_EINVAL, "frame of %d x %d is too large", c->width, c->height);
  size_t raw = (size_t)c->planes * area;
  DGAM_TRY(dgam_arena_init(&c->memory, dgam_arena_need(1, sizeof *c->tukey) + dgam_arena_need(CURVE_STEPS, 1) +
                                           3 * dgam_arena_need(raw, sizeof(float)) + 2 * dgam_arena_need(3 * area, sizeof(float))));
  c->tukey = dgam_arena_alloc(&c->memory, 1, sizeof *c->tukey);
  c->curve = dgam_arena_alloc(&c->memory, CURVE_STEPS, 1);
  c->pattern = dgam_arena_alloc(&c->memory, raw, sizeof(float));
  c->gain = dgam_arena_alloc(&c->memory, raw, sizeof(float));
  c->raw = dgam_arena_alloc(&c->memory, raw, sizeof(float));
  c->state = dgam_arena_alloc(&c->memory, 3 * area, sizeof(float));
  c->mixed = dgam_arena_alloc(&c->memory, 3 * area, sizeof(float));
  return DGAM_OK;
}

static void lay_patterns(dgam_camera *c) {
  size_t width = (size_t)c->width;
  dgam_rng r;
  dgam_rng_init(&r, c->seed, dgam_rng_mix(c->stream, 0xf1e1d));
  int draw = on(c, DGAM_CAMERA_PATTERN);
  float *column = c->state; /* not yet in use */
  for (size_t x = 0; x < width; x++) column[x] = draw ? (float)(c->m.column * dgam_rng_normal(&r)) : 0;
  for (size_t i = 0; i < (size_t)c->planes * width * (size_t)c->height; i++) {
    c->pattern[i] = draw ? column[i % width] + (float)(c->m.dsnu * dgam_rng_normal(&r)) : 0;
    c->gain[i] = draw ? fmaxf(0, 1 + (float)(c->m.prnu * dgam_rng_normal(&r))) : 1;
  }
}

static dgam_status make(dgam_camera **out, const dgam_camera_model *model, int width, int height,
                        const dgam_camera_exposure *x, unsigned stages, uint64_t seed, uint64_t stream) {
  *out = NULL;
  dgam_camera *c = calloc(1, sizeof *c);
  if (!c) return dgam_fail(DGAM_ENOMEM, "no memory for a camera");
  c->m = *model;
  c->x = *x;
  c->stages = stages;
  c->width = width;
  c->height = height;
  c->planes = stages & DGAM_CAMERA_BAYER ? 1 : 3;
  c->seed = seed;
  c->stream = stream;
  dgam_status s = reserve(c);
  if (s != DGAM_OK) {
    free(c);
    return s;
  }
  for (int k = 0; k < 3; k++) c->electrons[k] = (float)(model->sensitivity * x->lux * x->time * model->cfa[k]);
  c->read = (float)(model->read * pow(x->gain / model->gain_most, model->read_slope - 1));
  tukey_fill(c->tukey, model->tukey);
  for (int i = 0; i < CURVE_STEPS; i++) { /* ITU-R BT.709 */
    double v = (double)i / (CURVE_STEPS - 1);
    if (stages & DGAM_CAMERA_CURVE) v = v < .018 ? 4.5 * v : 1.099 * pow(v, .45) - .099;
    c->curve[i] = (uint8_t)(255 * v + .5);
  }
  lay_patterns(c);
  *out = c;
  return DGAM_OK;
}

/* Films the dark with a small piece of the same sensor until the IIR has settled, and measures what is left. */
static dgam_status calibrate(dgam_camera *c) {
  enum { SIDE = 32, SETTLE = 6, MEASURE = 3 };
  dgam_camera *dark;
  DGAM_TRY(make(&dark, &c->m, SIDE, SIDE, &c->x, c->stages, c->seed, dgam_rng_mix(c->stream, 0xda4c)));
  double variance[3] = {0, 0, 0};
  for (int f = 0; f < SETTLE + MEASURE; f++) {
    dgam_camera_frame(dark, NULL, NULL);
    for (int k = 0; k < 3 && f >= SETTLE; k++) {
      double sum = 0, square = 0, n = SIDE * SIDE;
      for (int i = 0; i < SIDE * SIDE; i++) {
        double v = (double)dark->mixed[k * SIDE * SIDE + i];
        sum += v;
        square += v * v;
      }
      variance[k] += (square - sum * sum / n) / (n - 1) / MEASURE;
    }
  }
  for (int k = 0; k < 3; k++) c->dark_sigma[k] = (float)sqrt(fmax(0, variance[k]));
  dgam_camera_close(&dark);
  return DGAM_OK;
}

dgam_status dgam_camera_open(dgam_camera **out, const dgam_camera_model *model, int width, int height,
                             const dgam_camera_exposure *x, unsigned stages, uint64_t seed, uint64_t stream) {
  *out = NULL;
  DGAM_TRY(dgam_camera_check(model));
  if (width < 2 || height < 2 || width > 16384 || height > 16384)
    return dgam_fail(DGAM_EINVAL, "frame is %d x %d, expected 2 to 16384 each", width, height);
  if (!(x->lux >= 0 && x->lux <= 1e6) || !(x->time > 0 && x->time <= 10) || !(x->gain > 0 && x->gain <= 1e4))
    return dgam_fail(DGAM_EINVAL, "exposure is %g lux, %g s, gain %g; expected lux 0..1e6, time 0..10 s, gain 0..1e4", x->lux,
                     x->time, x->gain);
  if (stages & ~(unsigned)DGAM_CAMERA_ALL) return dgam_fail(DGAM_EINVAL, "stages is %#x, expected bits of %#x", stages, DGAM_CAMERA_ALL);
  dgam_camera *c;
  DGAM_TRY(make(&c, model, width, height, x, stages, seed, stream));
  dgam_status s = calibrate(c);
  if (s != DGAM_OK) {
    dgam_camera_close(&c);
    return s;
  }
  *out = c;
  return DGAM_OK;
}

dgam_status dgam_camera_frame(dgam_camera *c, const float *light, uint8_t *rgb) {
  c->light = light;
  c->rgb = rgb;
  size_t rows = (size_t)c->height;
  if ((size_t)c->width * rows < 40000) { /* not worth waking threads */
    expose_rows(c, 0, rows, 0, 1);
    develop_rows(c, 0, rows, 0, 1);
    finish_rows(c, 0, rows, 0, 1);
  } else {
    DGAM_TRY(dgam_parallel(rows, expose_rows, c));
    DGAM_TRY(dgam_parallel(rows, develop_rows, c));
    DGAM_TRY(dgam_parallel(rows, finish_rows, c));
  }
  c->frames++;
  return DGAM_OK;
}

const float *dgam_camera_raw(const dgam_camera *c) { return c->frames > 0 && c->planes == 1 ? c->raw : NULL; }

void dgam_camera_dark_sigma(const dgam_camera *c, double sigma[3]) {
  for (int k = 0; k < 3; k++) sigma[k] = (double)c->dark_sigma[k];
}

void dgam_camera_close(dgam_camera **camera) {
  if (!*camera) return;
  dgam_arena_free(&(*camera)->memory);
  free(*camera);
  *camera = NULL;
}
