/* enhance_lime.c - low-light enhancement by an illumination map; see enhance.h
 *
 * The map solves (I + alpha (Dx' Wx Dx + Dy' Wy Dy)) T = max_c L, a five-point system whose weights span six orders of
 * magnitude: over dark, even surfaces it ties pixels hundreds apart together. Conjugate gradients, preconditioned by one
 * W-cycle of multigrid: 2 x 2 pixels make one of the next grid, edges between them add up, Gauss-Seidel smooths. About
 * twelve steps, where an incomplete Cholesky factor needs four hundred.
 */
#include <math.h>
#include <string.h>

#include "light/enhance_frame.h"

static const double small = 1e-3;
enum { LEVELS = 33, STEPS = 100 };
enum { ALPHA, GAMMA, SIGMA };

typedef struct grid {
  size_t h, w;
  double *right, *down;       /* weight between a pixel and its neighbour to the right, below; 0 at the border */
  double *diagonal, *inverse; /* of the system, and 1 / that */
  double *b, *x;              /* right-hand side and solution of a coarse grid; the finest uses the caller's */
} grid;

static size_t halved(size_t n) { return (n + 1) / 2; }

/* Doubles that the coarse grids below (H,W) take: six planes each. At most 2 h w + what odd sizes add. */
static size_t coarse_doubles(size_t h, size_t w) {
  size_t sum = 0;
  while (h > 1 || w > 1) {
    h = halved(h), w = halved(w);
    sum += 6 * h * w;
  }
  return sum;
}

/* 10 planes on the finest grid: 4 of the system, b, t, r, z, p, q. */
static size_t lime_scratch(const dgam_enhance *e, size_t h, size_t w) {
  (void)e;
  size_t plane, sum;
  if (dgam_mul_overflow(h, w, &plane) || dgam_mul_overflow(plane, 64, &sum)) return SIZE_MAX;
  size_t doubles = dgam_arena_need(10 * plane + coarse_doubles(h, w), sizeof(double));
  size_t floats = dgam_arena_need(3 * plane, sizeof(float)), blur = dgam_blur_scratch(h, w);
  if (doubles == SIZE_MAX || floats == SIZE_MAX || blur == SIZE_MAX) return SIZE_MAX;
  return __builtin_add_overflow(doubles, floats, &sum) || __builtin_add_overflow(sum, blur, &sum) ? SIZE_MAX : sum;
}

/* alpha / ((|blur(D m)| + e) (|D m| + e)) for D along x (step 1) or y (step w) */
static void weights(const float *map, size_t h, size_t w, int along_y, const dgam_enhance *e, float *difference,
                    float *blurred, void *scratch, double *out) {
  size_t step = along_y ? w : 1;
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      size_t i = y * w + x;
      difference[i] = (along_y ? y + 1 < h : x + 1 < w) ? map[i + step] - map[i] : 0;
    }
  double alpha = (double)(float)dgam_option_of(e, ALPHA);
  dgam_blur(difference, h, w, (float)dgam_option_of(e, SIGMA), blurred, scratch);
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      size_t i = y * w + x;
      int edge = along_y ? y + 1 == h : x + 1 == w;
      double wide = (double)fabsf(blurred[i]) + small, here = (double)fabsf(difference[i]) + small;
      out[i] = edge ? 0 : alpha / (wide * here);
    }
}

/* the weights of all edges of pixel (y,x) together */
static double edges(const grid *g, size_t y, size_t x) {
  size_t i = y * g->w + x;
  return g->right[i] + g->down[i] + (x ? g->right[i - 1] : 0) + (y ? g->down[i - g->w] : 0);
}

/* From grid f, whose weights and diagonal are known, the next coarser one in *c; *memory moves on. */
static void coarsen(const grid *f, grid *c, double **memory) {
  *c = (grid){.h = halved(f->h), .w = halved(f->w)};
  size_t n = c->h * c->w;
  double **const planes[] = {&c->right, &c->down, &c->diagonal, &c->inverse, &c->b, &c->x};
  for (int k = 0; k < 6; k++) *planes[k] = *memory, *memory += n;
  memset(c->right, 0, 3 * n * sizeof(double)); /* right, down, diagonal */
  for (size_t y = 0; y < f->h; y++)
    for (size_t x = 0; x < f->w; x++) {
      size_t i = y * f->w + x, k = y / 2 * c->w + x / 2;
      c->diagonal[k] += f->diagonal[i] - edges(f, y, x);
      if (x % 2) c->right[k] += f->right[i];
      if (y % 2) c->down[k] += f->down[i];
    }
  for (size_t y = 0; y < c->h; y++)
    for (size_t x = 0; x < c->w; x++) {
      size_t k = y * c->w + x;
      c->diagonal[k] += edges(c, y, x);
      c->inverse[k] = 1 / c->diagonal[k];
    }
}

/* sum_j weight_ij v_j over the neighbours of pixel (y,x) */
static inline double neighbours(const grid *g, const double *v, size_t y, size_t x) {
  size_t i = y * g->w + x;
  double sum = 0;
  if (y) sum += g->down[i - g->w] * v[i - g->w];
  if (y + 1 < g->h) sum += g->down[i] * v[i + g->w];
  if (x + 1 < g->w) sum += g->right[i] * v[i + 1];
  if (x) sum += g->right[i - 1] * v[i - 1];
  return sum;
}

/* Gauss-Seidel, once forth and once back, which keeps the whole cycle symmetric. */
static void smooth(const grid *g, const double *b, double *v) {
  size_t w = g->w;
  for (size_t y = 0; y < g->h; y++)
    for (size_t x = 0; x < w; x++) v[y * w + x] = (b[y * w + x] + neighbours(g, v, y, x)) * g->inverse[y * w + x];
  for (size_t y = g->h; y-- > 0;)
    for (size_t x = w; x-- > 0;) v[y * w + x] = (b[y * w + x] + neighbours(g, v, y, x)) * g->inverse[y * w + x];
}

/* v: about A^-1 b. g[0] is this grid, g[1] .. g[levels-1] the coarser ones. */
static void cycle(const grid *g, int levels, const double *b, double *v) {
  memset(v, 0, g->h * g->w * sizeof *v);
  smooth(g, b, v);
  for (int visit = 0; visit < 2 && levels > 1; visit++) {
    const grid *c = g + 1;
    memset(c->b, 0, c->h * c->w * sizeof *c->b);
    for (size_t y = 0; y < g->h; y++)
      for (size_t x = 0; x < g->w; x++) {
        size_t i = y * g->w + x;
        c->b[y / 2 * c->w + x / 2] += b[i] - g->diagonal[i] * v[i] + neighbours(g, v, y, x);
      }
    cycle(c, levels - 1, c->b, c->x);
    for (size_t y = 0; y < g->h; y++)
      for (size_t x = 0; x < g->w; x++) v[y * g->w + x] += c->x[y / 2 * c->w + x / 2];
    smooth(g, b, v);
  }
}

/* out = A v */
static void multiply(const grid *g, const double *v, double *out) {
  for (size_t y = 0; y < g->h; y++)
    for (size_t x = 0; x < g->w; x++)
      out[y * g->w + x] = g->diagonal[y * g->w + x] * v[y * g->w + x] - neighbours(g, v, y, x);
}

static double dot(const double *a, const double *b, size_t n) {
  double s = 0;
  for (size_t i = 0; i < n; i++) s += a[i] * b[i];
  return s;
}

/* Solves A t = b until the error, in the norm that A gives, is about 1e-4 of |b|; t starts as b. r, z, p, q: scratch. */
static void solve(const grid *g, int levels, const double *b, double *t, double *r, double *z, double *p, double *q) {
  size_t n = g->h * g->w;
  double goal = 1e-8 * dot(b, b, n), rz, next;
  memcpy(t, b, n * sizeof *t);
  multiply(g, t, q);
  for (size_t i = 0; i < n; i++) r[i] = b[i] - q[i];
  cycle(g, levels, r, z);
  memcpy(p, z, n * sizeof *p);
  rz = dot(r, z, n);
  for (int step = 0; step < STEPS && rz > goal; step++) {
    multiply(g, p, q);
    double length = rz / dot(p, q, n);
    for (size_t i = 0; i < n; i++) t[i] += length * p[i], r[i] -= length * q[i];
    cycle(g, levels, r, z);
    next = dot(r, z, n);
    for (size_t i = 0; i < n; i++) p[i] = z[i] + next / rz * p[i];
    rz = next;
  }
}

static void lime(const dgam_enhance *e, const dgam_frame *f, void *scratch) {
  size_t h = f->h, w = f->w, n = h * w;
  double *d = scratch, *coarse = d + 10 * n;
  double *b = d + 4 * n, *t = b + n, *r = b + 2 * n, *z = b + 3 * n, *p = b + 4 * n, *q = b + 5 * n;
  float *map = (float *)((unsigned char *)scratch + dgam_arena_need(10 * n + coarse_doubles(h, w), sizeof(double)));
  float *difference = map + n, *blurred = map + 2 * n;
  void *more = (unsigned char *)map + dgam_arena_need(3 * n, sizeof(float));
  grid g[LEVELS] = {{.h = h, .w = w, .right = d, .down = d + n, .diagonal = d + 2 * n, .inverse = d + 3 * n}};
  int levels = 1;
  float gamma = (float)dgam_option_of(e, GAMMA);

  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      ptrdiff_t at = (ptrdiff_t)y * f->stride + (ptrdiff_t)x;
      uint8_t most = f->in[0][at] > f->in[1][at] ? f->in[0][at] : f->in[1][at];
      map[y * w + x] = (float)(most > f->in[2][at] ? most : f->in[2][at]) / 255.0f;
    }
  weights(map, h, w, 0, e, difference, blurred, more, g->right);
  weights(map, h, w, 1, e, difference, blurred, more, g->down);
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      size_t i = y * w + x;
      g->diagonal[i] = 1 + edges(g, y, x);
      g->inverse[i] = 1 / g->diagonal[i];
      b[i] = (double)map[i];
    }
  for (; g[levels - 1].h > 1 || g[levels - 1].w > 1; levels++) coarsen(&g[levels - 1], &g[levels], &coarse);
  solve(g, levels, b, t, r, z, p, q);
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      float light = powf((float)fmax(t[y * w + x], small), gamma);
      for (int c = 0; c < 3; c++)
        f->out[c][y * w + x] = dgam_to_byte((float)f->in[c][(ptrdiff_t)y * f->stride + (ptrdiff_t)x] / light);
    }
}

const dgam_enhancer dgam_enhancer_lime = {
    .name = "lime",
    .options = {[ALPHA] = {"alpha", DGAM_NUMBER, {1, {0.15}}, .above = 1}, /* smoothness */
                [GAMMA] = {"gamma", DGAM_NUMBER, {1, {0.8}}},              /* exponent of the map */
                [SIGMA] = {"sigma", DGAM_NUMBER, {1, {2}}, 0, DGAM_BLUR_MOST, .above = 1}}, /* deviation of the blur in W_d */
    .scratch = lime_scratch, .frame = lime};
