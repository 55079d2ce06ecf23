/* enhance_histogram.c - histogram equalisation and CLAHE, as OpenCV rounds them; see enhance.h */
#include <string.h>

#include "light/enhance_frame.h"
#include "light/histogram.h"

/* --- YCrCb (BT.601, full range) in 14-bit fixed point --- */

enum { SHIFT = 14, HALF = 1 << (SHIFT - 1) };

static inline int scaled(int v) { return (v + HALF) >> SHIFT; }
static inline uint8_t held(int v) { return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v); }

/* The luma of a frame goes to out[0], Cr and Cb to out[1] and out[2]. */
static void to_luma(const dgam_frame *f) {
  for (size_t y = 0; y < f->h; y++) {
    const uint8_t *red = f->in[0] + (ptrdiff_t)y * f->stride, *green = f->in[1] + (ptrdiff_t)y * f->stride;
    const uint8_t *blue = f->in[2] + (ptrdiff_t)y * f->stride;
    for (size_t x = 0; x < f->w; x++) {
      int r = red[x], g = green[x], b = blue[x];
      int luma = scaled(r * 4899 + g * 9617 + b * 1868);
      f->out[0][y * f->w + x] = (uint8_t)luma;
      f->out[1][y * f->w + x] = held(scaled((r - luma) * 11682 + (128 << SHIFT)));
      f->out[2][y * f->w + x] = held(scaled((b - luma) * 9241 + (128 << SHIFT)));
    }
  }
}

static void from_luma(const dgam_frame *f) {
  for (size_t i = 0; i < f->h * f->w; i++) {
    int luma = f->out[0][i], cr = f->out[1][i] - 128, cb = f->out[2][i] - 128;
    f->out[0][i] = held(luma + scaled(cr * 22987));
    f->out[1][i] = held(luma + scaled(cb * -5636 + cr * -11698));
    f->out[2][i] = held(luma + scaled(cb * 29049));
  }
}

/* Runs a plane-to-plane function on luma or on every channel, as option `per_channel` says. `in` may be `out`. */
typedef void (*plane_fn)(const dgam_enhance *e, const uint8_t *in, ptrdiff_t stride, size_t h, size_t w, uint8_t *out,
                         void *scratch);

static void run(const dgam_enhance *e, const dgam_frame *f, int per_channel, plane_fn fn, void *scratch) {
  if (dgam_option_of(e, per_channel) != 0) {
    for (int c = 0; c < 3; c++) fn(e, f->in[c], f->stride, f->h, f->w, f->out[c], scratch);
    return;
  }
  to_luma(f);
  fn(e, f->out[0], (ptrdiff_t)f->w, f->h, f->w, f->out[0], scratch);
  from_luma(f);
}

/* --- equalisation: a level becomes the share of pixels below or at it, those of the first level left out --- */

static void equalise_plane(const dgam_enhance *e, const uint8_t *in, ptrdiff_t stride, size_t h, size_t w, uint8_t *out,
                           void *scratch) {
  (void)e, (void)scratch;
  uint32_t hist[256], first = 0, sum = 0, total = (uint32_t)(h * w);
  uint8_t table[256] = {0};
  dgam_histogram_plane(in, h, w, stride, hist);
  while (!hist[first]) first++;
  if (hist[first] == total) {
    table[first] = (uint8_t)first; /* one level only: nothing to spread */
  } else {
    float scale = 255.0f / (float)(total - hist[first]);
    for (uint32_t v = first + 1; v < 256; v++) {
      sum += hist[v];
      table[v] = dgam_to_byte((float)sum * scale);
    }
  }
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) out[y * w + x] = table[in[(ptrdiff_t)y * stride + (ptrdiff_t)x]];
}

static void equalise(const dgam_enhance *e, const dgam_frame *f, void *scratch) { run(e, f, 0, equalise_plane, scratch); }

const dgam_enhancer dgam_enhancer_equalise = {
    .name = "equalise",
    .options = {{"per_channel", DGAM_FLAG, {1, {0}}, .most = 1}}, /* 1: each channel by itself, 0: luma only */
    .frame = equalise};

/* --- CLAHE: a clipped equalisation per tile, tables blended bilinearly between tile centres --- */

enum { CLIP_LIMIT, TILES, PER_CHANNEL };

static size_t tiles_down(const dgam_enhance *e) { return (size_t)e->option[TILES].v[0]; }
static size_t tiles_across(const dgam_enhance *e) { return (size_t)e->option[TILES].v[1]; }

static dgam_status clahe_check(const dgam_enhance *e, size_t h, size_t w) {
  if (tiles_across(e) <= w && tiles_down(e) <= h) return DGAM_OK;
  return dgam_fail(DGAM_EINVAL, "clahe: %zu x %zu tiles on a frame of %zu x %zu, expected no more than rows and columns",
                   tiles_down(e), tiles_across(e), h, w);
}

/* Size of a tile along one axis. Where either axis does not divide, both are filled up by reflection. */
static size_t tile_size(size_t n, size_t tiles, int divides) {
  return divides ? n / tiles : (n + tiles - n % tiles) / tiles;
}

static size_t clahe_scratch(const dgam_enhance *e, size_t h, size_t w) {
  (void)h;
  size_t tiles;
  if (dgam_mul_overflow(tiles_across(e), tiles_down(e), &tiles)) return SIZE_MAX;
  size_t tables = dgam_arena_need(tiles, 256), columns = dgam_arena_need(3 * w, sizeof(float));
  return tables == SIZE_MAX || columns > SIZE_MAX - tables ? SIZE_MAX : tables + columns;
}

static inline size_t reflect(size_t i, size_t n) { /* as often as it takes: with a tile for every row i goes up to 2n - 1 */
  if (i < n) return i;
  if (n == 1) return 0;
  i %= 2 * (n - 1);
  return i < n ? i : 2 * (n - 1) - i;
}

static void clip_counts(uint32_t *hist, uint32_t limit) {
  uint32_t clipped = 0;
  for (int v = 0; v < 256; v++)
    if (hist[v] > limit) clipped += hist[v] - limit, hist[v] = limit;
  uint32_t each = clipped / 256, rest = clipped % 256;
  for (int v = 0; v < 256; v++) hist[v] += each;
  if (rest)
    for (uint32_t v = 0, step = 256 / rest; v < 256 && rest > 0; v += step, rest--) hist[v]++;
}

static void clahe_plane(const dgam_enhance *e, const uint8_t *in, ptrdiff_t stride, size_t h, size_t w, uint8_t *out,
                        void *scratch) {
  size_t nx = tiles_across(e), ny = tiles_down(e);
  float clip_limit = (float)dgam_option_of(e, CLIP_LIMIT);
  int divides = w % nx == 0 && h % ny == 0;
  size_t tw = tile_size(w, nx, divides), th = tile_size(h, ny, divides), area = tw * th;
  uint8_t *tables = scratch; /* (NY,NX,256) */
  uint32_t limit = 0, hist[256];
  if (clip_limit > 0) {
    double wanted = (double)clip_limit * (double)area / 256;
    limit = wanted < 1 ? 1 : wanted < (double)area ? (uint32_t)wanted : (uint32_t)area;
  }
  for (size_t ty = 0; ty < ny; ty++)
    for (size_t tx = 0; tx < nx; tx++) {
      memset(hist, 0, sizeof hist);
      for (size_t y = ty * th; y < (ty + 1) * th; y++)
        for (size_t x = tx * tw; x < (tx + 1) * tw; x++)
          hist[in[(ptrdiff_t)reflect(y, h) * stride + (ptrdiff_t)reflect(x, w)]]++;
      if (limit) clip_counts(hist, limit);
      uint8_t *table = tables + (ty * nx + tx) * 256;
      uint32_t sum = 0;
      float scale = 255.0f / (float)area;
      for (int v = 0; v < 256; v++) {
        sum += hist[v];
        table[v] = dgam_to_byte((float)sum * scale);
      }
    }

  /* for each column: offsets of the tables left and right, and the right one's share */
  uint32_t *left = (uint32_t *)((unsigned char *)scratch + dgam_arena_need(nx * ny, 256)), *right = left + w;
  float *share = (float *)(right + w);
  for (size_t x = 0; x < w; x++) {
    float at = (float)x * (1.0f / (float)tw) - 0.5f;
    ptrdiff_t tx = at < 0 ? -1 : (ptrdiff_t)at;
    share[x] = at - (float)tx;
    left[x] = (uint32_t)(tx < 0 ? 0 : tx) * 256;
    right[x] = (uint32_t)((size_t)(tx + 1) < nx ? (size_t)(tx + 1) : nx - 1) * 256;
  }
  for (size_t y = 0; y < h; y++) {
    float at = (float)y * (1.0f / (float)th) - 0.5f;
    ptrdiff_t ty = at < 0 ? -1 : (ptrdiff_t)at;
    float down = at - (float)ty, up = 1 - down;
    const uint8_t *above = tables + (size_t)(ty < 0 ? 0 : ty) * nx * 256;
    const uint8_t *below = tables + ((size_t)(ty + 1) < ny ? (size_t)(ty + 1) : ny - 1) * nx * 256;
    for (size_t x = 0; x < w; x++) {
      uint8_t v = in[(ptrdiff_t)y * stride + (ptrdiff_t)x];
      float r = share[x], l = 1 - r;
      out[y * w + x] = dgam_to_byte(((float)above[left[x] + v] * l + (float)above[right[x] + v] * r) * up +
                                    ((float)below[left[x] + v] * l + (float)below[right[x] + v] * r) * down);
    }
  }
}

static void clahe(const dgam_enhance *e, const dgam_frame *f, void *scratch) { run(e, f, PER_CHANNEL, clahe_plane, scratch); }

const dgam_enhancer dgam_enhancer_clahe = {
    .name = "clahe",
    .options = {[CLIP_LIMIT] = {"clip_limit", DGAM_NUMBER, {1, {2}}, .words = "clip limit"}, /* times a bin's mean count; 0: none */
                [TILES] = {"tiles", DGAM_PAIR, {2, {8, 8}}, 1, 1e6, .words = "{down, across}"},
                [PER_CHANNEL] = {"per_channel", DGAM_FLAG, {1, {0}}, .most = 1}},
    .check = clahe_check, .scratch = clahe_scratch, .frame = clahe};
