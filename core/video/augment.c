/* augment.c - see augment.h */
#include "video/augment.h"

#include <math.h>
#include <string.h>

#include "light/clip.h"

static const char *const names[DGAM_CHANGE_KINDS] = {
    "identity", "shear_x", "shear_y", "translate_x", "translate_y", "rotate", "brightness", "saturation", "contrast",
    "sharpness", "posterise", "solarise", "autocontrast", "equalise", "hue", "gamma", "erase"};

const char *dgam_change_name(dgam_change_kind kind) { return names[kind]; }

dgam_change_kind dgam_change_kind_of(const char *name) {
  int k = 0;
  while (k < DGAM_CHANGE_KINDS && strcmp(names[k], name) != 0) k++;
  return (dgam_change_kind)k;
}

/* --- drawing --- */

dgam_augment dgam_augment_none(void) {
  return (dgam_augment){.brightness = {1, 1}, .contrast = {1, 1}, .saturation = {1, 1}, .gamma = {1, 1}, .magnitude = 9,
                        .erase_area = {0.02, 0.33}, .erase_ratio = {0.3, 3.3}};
}

static int is(const double range[2], double value) { return range[0] == value && range[1] == value; }

int dgam_augment_any(const dgam_augment *a) {
  return !is(a->brightness, 1) || !is(a->contrast, 1) || !is(a->saturation, 1) || !is(a->hue, 0) || a->ops > 0 || !is(a->gamma, 1) ||
         a->erase > 0;
}

static dgam_status check_range(const char *name, const double r[2], double least, double most) {
  if (r[0] >= least && r[0] <= r[1] && r[1] <= most) return DGAM_OK; /* false for NaN */
  return dgam_fail(DGAM_EINVAL, "%s is %g to %g, expected a range in ascending order within %g to %g", name, r[0], r[1], least, most);
}

dgam_status dgam_augment_check(const dgam_augment *a) {
  DGAM_TRY(check_range("brightness", a->brightness, 0, 255));
  DGAM_TRY(check_range("contrast", a->contrast, 0, 255));
  DGAM_TRY(check_range("saturation", a->saturation, 0, 255));
  DGAM_TRY(check_range("hue", a->hue, -0.5, 0.5));
  DGAM_TRY(check_range("gamma", a->gamma, 1e-3, 1e3));
  if (a->ops < 0 || a->ops > DGAM_AUGMENT_OPS)
    return dgam_fail(DGAM_EINVAL, "randaugment: %d changes a clip, expected 0 to %d", a->ops, DGAM_AUGMENT_OPS);
  if (a->magnitude < 0 || a->magnitude > 30)
    return dgam_fail(DGAM_EINVAL, "randaugment: magnitude is %d, expected 0 to 30", a->magnitude);
  if (!(a->erase >= 0 && a->erase <= 1)) return dgam_fail(DGAM_EINVAL, "erasing is %g, expected a probability", a->erase);
  DGAM_TRY(check_range("erasing: area", a->erase_area, 0, 1));
  DGAM_TRY(check_range("erasing: ratio", a->erase_ratio, 1e-3, 1e3));
  if (a->erase_fill < -1 || a->erase_fill > 255)
    return dgam_fail(DGAM_EINVAL, "erasing: fill is %d, expected 0 to 255", a->erase_fill);
  return DGAM_OK;
}

static double uniform(dgam_rng *rng, const double r[2]) { return r[0] + (r[1] - r[0]) * dgam_rng_uniform(rng); }

/* One of RandAugment's changes, at strength `bin` of 0 .. 30. */
static dgam_change rand_change(int bin, int w, int h, dgam_rng *rng) {
  double share = bin / 30.0;
  dgam_change c = {.kind = (dgam_change_kind)dgam_rng_below(rng, DGAM_EQUALISE_PIL + 1)};
  int signed_ = 1;
  switch (c.kind) {
    case DGAM_SHEAR_X: case DGAM_SHEAR_Y: c.value = 0.3 * share; break;
    case DGAM_TRANSLATE_X: c.value = 150.0 / 331 * w * share; break;
    case DGAM_TRANSLATE_Y: c.value = 150.0 / 331 * h * share; break;
    case DGAM_ROTATE: c.value = 30 * share; break;
    case DGAM_BRIGHTNESS: case DGAM_SATURATION: case DGAM_CONTRAST: case DGAM_SHARPNESS: c.value = 0.9 * share; break;
    case DGAM_POSTERISE: c.value = 8 - nearbyint(bin / 7.5), signed_ = 0; break;
    case DGAM_SOLARISE: c.value = 255 - 255 * share, signed_ = 0; break;
    default: signed_ = 0;
  }
  if (signed_ && dgam_rng_below(rng, 2)) c.value = -c.value;
  if (c.kind >= DGAM_BRIGHTNESS && c.kind <= DGAM_SHARPNESS) c.value += 1;
  return c;
}

static int rectangle(const dgam_augment *a, int w, int h, dgam_rng *rng, dgam_change *c) {
  double lo = log(a->erase_ratio[0]), hi = log(a->erase_ratio[1]);
  for (int i = 0; i < 10; i++) {
    double area = (double)w * h * uniform(rng, a->erase_area), ratio = exp(lo + (hi - lo) * dgam_rng_uniform(rng));
    int eh = (int)nearbyint(sqrt(area * ratio)), ew = (int)nearbyint(sqrt(area / ratio));
    if (eh >= h || ew >= w) continue;
    *c = (dgam_change){.kind = DGAM_ERASE, .value = a->erase_fill, .noisy = a->erase_fill < 0, .w = ew, .h = eh};
    c->y = (int)dgam_rng_below(rng, (uint64_t)(h - eh + 1));
    c->x = (int)dgam_rng_below(rng, (uint64_t)(w - ew + 1));
    if (c->noisy) c->value = 0, c->noise[0] = dgam_rng_u64(rng), c->noise[1] = dgam_rng_u64(rng);
    return 1;
  }
  return 0;
}

int dgam_augment_draw(const dgam_augment *a, int w, int h, dgam_rng *rng, dgam_change changes[DGAM_CHANGES]) {
  int n = 0;
  const dgam_change_kind kinds[4] = {DGAM_BRIGHTNESS, DGAM_CONTRAST, DGAM_SATURATION, DGAM_HUE};
  const double *ranges[4] = {a->brightness, a->contrast, a->saturation, a->hue};
  int order[4] = {0, 1, 2, 3};
  for (int i = 3; i > 0; i--) {
    int j = (int)dgam_rng_below(rng, (uint64_t)i + 1), swap = order[i];
    order[i] = order[j], order[j] = swap;
  }
  for (int i = 0; i < 4; i++) {
    int k = order[i];
    double value = uniform(rng, ranges[k]);
    if (!is(ranges[k], kinds[k] == DGAM_HUE ? 0 : 1)) changes[n++] = (dgam_change){.kind = kinds[k], .value = value};
  }
  for (int i = 0; i < a->ops; i++) {
    changes[n] = rand_change(a->magnitude, w, h, rng);
    if (changes[n].kind != DGAM_IDENTITY) n++;
  }
  if (!is(a->gamma, 1)) {
    double lo = log(a->gamma[0]), hi = log(a->gamma[1]);
    changes[n++] = (dgam_change){.kind = DGAM_GAMMA, .value = exp(lo + (hi - lo) * dgam_rng_uniform(rng))};
  }
  if (a->erase > 0 && dgam_rng_uniform(rng) < a->erase) n += rectangle(a, w, h, rng, &changes[n]);
  return n;
}

/* --- by value: a table of 256 entries --- */

static uint8_t cut(float v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

static void map_plane(uint8_t *p, size_t n, const uint8_t table[256]) {
  for (size_t i = 0; i < n; i++) p[i] = table[p[i]];
}

static void map_clip(const dgam_pixels *clip, const uint8_t table[256]) {
  for (size_t t = 0; t < clip->frames; t++)
    for (size_t c = 0; c < 3; c++) map_plane(clip->data + c * clip->plane + t * clip->frame, (size_t)clip->w * (size_t)clip->h, table);
}

static void value_table(const dgam_change *c, uint8_t table[256]) {
  float v = (float)c->value;
  for (int i = 0; i < 256; i++) switch (c->kind) {
      case DGAM_BRIGHTNESS: table[i] = cut(v * (float)i); break;
      case DGAM_GAMMA: table[i] = (uint8_t)(255 * pow(i / 255.0, 1 / c->value) + 0.5); break;
      case DGAM_POSTERISE: table[i] = (uint8_t)(i & -(1 << (8 - (int)c->value))); break;
      default: table[i] = (uint8_t)((float)i >= v ? 255 - i : i); /* solarise */
    }
}

/* --- by what the frame looks like --- */

static uint8_t grey(uint8_t r, uint8_t g, uint8_t b) { return (uint8_t)(0.2989f * (float)r + 0.587f * (float)g + 0.114f * (float)b); }

static void contrast(uint8_t *const p[3], size_t n, double value) {
  uint64_t sum = 0;
  for (size_t i = 0; i < n; i++) sum += grey(p[0][i], p[1][i], p[2][i]);
  float v = (float)value, rest = (float)(1 - value) * ((float)sum / (float)n);
  uint8_t table[256];
  for (int i = 0; i < 256; i++) table[i] = cut(v * (float)i + rest);
  for (int c = 0; c < 3; c++) map_plane(p[c], n, table);
}

static void saturation(uint8_t *const p[3], size_t n, double value) {
  uint8_t *restrict r = p[0], *restrict g = p[1], *restrict b = p[2];
  float v = (float)value, u = (float)(1 - value);
  for (size_t i = 0; i < n; i++) {
    float rest = u * (float)grey(r[i], g[i], b[i]);
    r[i] = cut(v * (float)r[i] + rest);
    g[i] = cut(v * (float)g[i] + rest);
    b[i] = cut(v * (float)b[i] + rest);
  }
}

static uint8_t to_byte(float x) { return (uint8_t)(x * (255.0f + 1.0f - 1e-3f)); }

/* RGB -> HSV -> RGB in floats of 0 .. 1, all values positive, so that a cast rounds down. */
static void hue(uint8_t *const p[3], size_t n, double value) {
  uint8_t *restrict pr = p[0], *restrict pg = p[1], *restrict pb = p[2];
  float turn = (float)value;
  for (size_t i = 0; i < n; i++) {
    float r = (float)pr[i] / 255, g = (float)pg[i] / 255, b = (float)pb[i] / 255;
    float top = r > g ? r : g, low = r < g ? r : g;
    top = top > b ? top : b, low = low < b ? low : b;
    float span = top - low, one = span == 0 ? 1 : span, s = span / (top == 0 ? 1 : top);
    float rc = (top - r) / one, gc = (top - g) / one, bc = (top - b) / one;
    float h = top == r ? bc - gc : top == g ? 2 + rc - bc : 4 + gc - rc;
    h = h / 6 + 1;
    h -= (float)(int)h;
    h += turn;
    h -= h < 0 ? -1 : (float)(int)h;
    float h6 = h * 6;
    int sector = (int)h6;
    float f = h6 - (float)sector;
    float x = top * (1 - s), q = top * (1 - s * f), t = top * (1 - s * (1 - f));
    sector = sector == 6 ? 0 : sector;
    float nr = sector == 0 || sector == 5 ? top : sector == 1 ? q : sector == 4 ? t : x;
    float ng = sector == 1 || sector == 2 ? top : sector == 0 ? t : sector == 3 ? q : x;
    float nb = sector == 3 || sector == 4 ? top : sector == 2 ? t : sector == 5 ? q : x;
    pr[i] = to_byte(nr), pg[i] = to_byte(ng), pb[i] = to_byte(nb);
  }
}

static void autocontrast(uint8_t *p, size_t n) {
  uint8_t lo = 255, hi = 0, table[256];
  for (size_t i = 0; i < n; i++) lo = p[i] < lo ? p[i] : lo, hi = p[i] > hi ? p[i] : hi;
  if (hi <= lo) return;
  float scale = 1.0f / (float)(hi - lo) * 255.0f; /* rounded twice, as torch does */
  for (int i = 0; i < 256; i++) table[i] = cut((float)(i - lo) * scale);
  map_plane(p, n, table);
}

static void equalise(uint8_t *p, size_t n) {
  uint64_t count[256] = {0}, last = 0, sum = 0;
  for (size_t i = 0; i < n; i++) count[p[i]]++;
  for (int i = 0; i < 256; i++) last = count[i] ? count[i] : last;
  uint64_t step = (n - last) / 255;
  if (step == 0) return;
  uint8_t table[256];
  for (int i = 0; i < 256; i++) {
    uint64_t v = i == 0 ? 0 : (sum + step / 2) / step;
    table[i] = (uint8_t)(v > 255 ? 255 : v);
    sum += count[i];
  }
  map_plane(p, n, table);
}

static void sharpness(uint8_t *p, int w, int h, double value, uint8_t *copy) {
  if (w <= 2 || h <= 2) return;
  float v = (float)value, u = (float)(1 - value);
  size_t s = (size_t)w, n = s * (size_t)h;
  memcpy(copy, p, n);
  for (size_t i = 0; i < n; i++) p[i] = cut(v * (float)copy[i] + u * (float)copy[i]); /* what stays at the border */
  for (int y = 1; y < h - 1; y++) {
    const uint8_t *a = copy + (size_t)(y - 1) * s, *b = a + s, *c = b + s;
    for (int x = 1; x < w - 1; x++) {
      int sum = a[x - 1] + a[x] + a[x + 1] + b[x - 1] + 5 * b[x] + b[x + 1] + c[x - 1] + c[x] + c[x + 1];
      p[(size_t)y * s + (size_t)x] = cut(v * (float)b[x] + u * (float)((2 * sum + 13) / 26)); /* never a tie: 13 is odd */
    }
  }
}

/* --- by place: a map from pixel to pixel, the same for all frames --- */

static void affine(const dgam_change *c, int w, int h, double m[6]) {
  static const double pi = 3.14159265358979323846;
  const double same[6] = {1, 0, 0, 0, 1, 0};
  memcpy(m, same, sizeof same);
  double v = c->value;
  switch (c->kind) { /* coordinates from the middle of the picture */
    case DGAM_SHEAR_X: m[1] = v, m[2] = v * h / 2; break;
    case DGAM_SHEAR_Y: m[3] = v, m[5] = v * w / 2; break;
    case DGAM_TRANSLATE_X: m[2] = -trunc(v); break;
    case DGAM_TRANSLATE_Y: m[5] = -trunc(v); break;
    default: m[0] = m[4] = cos(v * pi / 180), m[3] = sin(v * pi / 180), m[1] = -m[3];
  }
}

static void move(const dgam_change *change, const dgam_pixels *clip, int32_t *from) {
  int w = clip->w, h = clip->h;
  size_t n = (size_t)w * (size_t)h;
  uint8_t *copy = (uint8_t *)(from + n);
  double m[6];
  affine(change, w, h, m);
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      double cx = x - w * 0.5 + 0.5, cy = y - h * 0.5 + 0.5;
      double sx = nearbyint(m[0] * cx + m[1] * cy + m[2] + w * 0.5 - 0.5);
      double sy = nearbyint(m[3] * cx + m[4] * cy + m[5] + h * 0.5 - 0.5);
      int inside = sx >= 0 && sx < w && sy >= 0 && sy < h;
      from[(size_t)y * (size_t)w + (size_t)x] = inside ? (int32_t)sy * w + (int32_t)sx : -1;
    }
  for (size_t t = 0; t < clip->frames; t++)
    for (size_t c = 0; c < 3; c++) {
      uint8_t *p = clip->data + c * clip->plane + t * clip->frame;
      memcpy(copy, p, n);
      for (size_t i = 0; i < n; i++) p[i] = from[i] < 0 ? 0 : copy[from[i]];
    }
}

static void erase(const dgam_change *e, const dgam_pixels *clip, uint8_t *patch) {
  static const double mean[3] = {DGAM_IMAGENET_MEAN}, deviation[3] = {DGAM_IMAGENET_STD};
  size_t w = (size_t)e->w, h = (size_t)e->h;
  memset(patch, (int)e->value, 3 * w * h);
  if (e->noisy) {
    dgam_rng rng;
    dgam_rng_init(&rng, e->noise[0], e->noise[1]);
    for (size_t c = 0; c < 3; c++)
      for (size_t i = 0; i < w * h; i++) patch[c * w * h + i] = cut((float)(mean[c] + deviation[c] * dgam_rng_normal(&rng) + 0.5));
  }
  for (size_t t = 0; t < clip->frames; t++)
    for (size_t c = 0; c < 3; c++)
      for (size_t y = 0; y < h; y++)
        memcpy(clip->data + c * clip->plane + t * clip->frame + ((size_t)e->y + y) * (size_t)clip->w + (size_t)e->x,
               patch + (c * h + y) * w, w);
}

/* --- one change --- */

static dgam_status check_change(const dgam_change *c, const dgam_pixels *clip) {
  double least = -1e6, most = 1e6;
  switch (c->kind) {
    case DGAM_BRIGHTNESS: case DGAM_SATURATION: case DGAM_CONTRAST: case DGAM_SHARPNESS: least = 0, most = 256; break;
    case DGAM_POSTERISE: least = 0, most = 8; break;
    case DGAM_SOLARISE: case DGAM_ERASE: least = 0, most = 255; break;
    case DGAM_HUE: least = -0.5, most = 0.5; break;
    case DGAM_GAMMA: least = 1e-3, most = 1e3; break;
    default: break;
  }
  if (!(c->value >= least && c->value <= most))
    return dgam_fail(DGAM_EINVAL, "%s by %g, expected %g to %g", names[c->kind], c->value, least, most);
  if (c->kind == DGAM_ERASE && (c->x < 0 || c->y < 0 || c->w < 0 || c->h < 0 || c->w > clip->w - c->x || c->h > clip->h - c->y))
    return dgam_fail(DGAM_EINVAL, "erase: %d x %d pixels at (%d, %d) do not lie in a picture of %d x %d", c->w, c->h, c->x, c->y,
                     clip->w, clip->h);
  return DGAM_OK;
}

size_t dgam_change_scratch(int w, int h) { return (size_t)w * (size_t)h * (sizeof(int32_t) + 1); }

dgam_status dgam_change_run(const dgam_change *change, const dgam_pixels *clip, void *scratch) {
  if ((unsigned)change->kind >= DGAM_CHANGE_KINDS) return dgam_fail(DGAM_EINVAL, "there is no change %d", (int)change->kind);
  DGAM_TRY(check_change(change, clip));
  uint8_t table[256];
  size_t n = (size_t)clip->w * (size_t)clip->h;
  switch (change->kind) {
    case DGAM_IDENTITY: case DGAM_CHANGE_KINDS: return DGAM_OK;
    case DGAM_BRIGHTNESS: case DGAM_GAMMA: case DGAM_POSTERISE: case DGAM_SOLARISE:
      value_table(change, table);
      map_clip(clip, table);
      return DGAM_OK;
    case DGAM_SHEAR_X: case DGAM_SHEAR_Y: case DGAM_TRANSLATE_X: case DGAM_TRANSLATE_Y: case DGAM_ROTATE:
      move(change, clip, scratch);
      return DGAM_OK;
    case DGAM_ERASE: erase(change, clip, scratch); return DGAM_OK;
    default: break;
  }
  for (size_t t = 0; t < clip->frames; t++) {
    uint8_t *p[3];
    for (size_t c = 0; c < 3; c++) p[c] = clip->data + c * clip->plane + t * clip->frame;
    switch (change->kind) {
      case DGAM_CONTRAST: contrast(p, n, change->value); break;
      case DGAM_SATURATION: saturation(p, n, change->value); break;
      case DGAM_HUE: hue(p, n, change->value); break;
      default:
        for (int c = 0; c < 3; c++) {
          if (change->kind == DGAM_AUTOCONTRAST) autocontrast(p[c], n);
          else if (change->kind == DGAM_EQUALISE_PIL) equalise(p[c], n);
          else sharpness(p[c], clip->w, clip->h, change->value, scratch);
        }
    }
  }
  return DGAM_OK;
}
