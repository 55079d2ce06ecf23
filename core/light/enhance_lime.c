/* enhance_lime.c - low-light enhancement by an illumination map; see enhance.h
 *
 * The map solves (I + alpha (Dx' Wx Dx + Dy' Wy Dy)) T = max_c L, a symmetric five-point system whose weights span six
 * orders of magnitude. Conjugate gradients with a modified incomplete Cholesky factor (MIC(0); Gustafsson 1978) need a
 * few dozen steps where plain ones need thousands.
 */
#include <math.h>
#include <string.h>

#include "light/enhance_frame.h"

static const float small = 1e-3f;
enum { STEPS = 500 };

size_t dgam_lime_scratch(size_t h, size_t w) {
  size_t plane;
  if (dgam_mul_overflow(h, w, &plane)) return SIZE_MAX;
  size_t doubles = dgam_arena_need(9 * plane, sizeof(double)), floats = dgam_arena_need(3 * plane, sizeof(float));
  size_t blur = dgam_blur_scratch(h, w);
  if (doubles == SIZE_MAX || floats == SIZE_MAX || blur == SIZE_MAX) return SIZE_MAX;
  size_t sum;
  return __builtin_add_overflow(doubles, floats, &sum) || __builtin_add_overflow(sum, blur, &sum) ? SIZE_MAX : sum;
}

typedef struct grid {
  size_t h, w;
  double *right, *down; /* weight between a pixel and its neighbour to the right, below; 0 at the border */
  double *diagonal;     /* of the system */
  double *factor;       /* 1 / diagonal of the incomplete factor */
} grid;

/* alpha / ((|blur(D m)| + e) (|D m| + e)) for D along x (step 1) or y (step w) */
static void weights(const float *map, size_t h, size_t w, int along_y, const dgam_enhance *e, float *difference,
                    float *blurred, void *scratch, double *out) {
  size_t step = along_y ? w : 1;
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      size_t i = y * w + x;
      difference[i] = (along_y ? y + 1 < h : x + 1 < w) ? map[i + step] - map[i] : 0;
    }
  dgam_blur(difference, h, w, e->sigma, blurred, scratch);
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      size_t i = y * w + x;
      int edge = along_y ? y + 1 == h : x + 1 == w;
      out[i] = edge ? 0 : (double)e->alpha / (((double)fabsf(blurred[i]) + (double)small) * ((double)fabsf(difference[i]) + (double)small));
    }
}

static void factorise(grid *g) {
  const double tuning = 0.97; /* how much of the dropped fill goes to the diagonal */
  size_t w = g->w;
  for (size_t y = 0; y < g->h; y++)
    for (size_t x = 0; x < w; x++) {
      size_t i = y * w + x;
      double left = x ? g->right[i - 1] : 0, above = y ? g->down[i - w] : 0;
      double fl = x ? g->factor[i - 1] : 0, fa = y ? g->factor[i - w] : 0;
      double fill = (x ? left * fl * g->down[i - 1] : 0) + (y ? above * fa * g->right[i - w] : 0);
      double pivot = g->diagonal[i] - left * left * fl - above * above * fa - tuning * fill;
      if (pivot < 0.25 * g->diagonal[i]) pivot = g->diagonal[i]; /* as Bridson advises */
      g->factor[i] = 1 / pivot;
    }
}

/* out = A v */
static void multiply(const grid *g, const double *v, double *out) {
  size_t w = g->w;
  for (size_t y = 0; y < g->h; y++)
    for (size_t x = 0; x < w; x++) {
      size_t i = y * w + x;
      double sum = g->diagonal[i] * v[i];
      if (x) sum -= g->right[i - 1] * v[i - 1];
      if (x + 1 < w) sum -= g->right[i] * v[i + 1];
      if (y) sum -= g->down[i - w] * v[i - w];
      if (y + 1 < g->h) sum -= g->down[i] * v[i + w];
      out[i] = sum;
    }
}

/* out = M^-1 v with M = (F^-1 + L) F (F^-1 + L'), L the strictly lower part of A */
static void precondition(const grid *g, const double *v, double *out) {
  size_t w = g->w, h = g->h;
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      size_t i = y * w + x;
      double sum = v[i];
      if (x) sum += g->right[i - 1] * out[i - 1];
      if (y) sum += g->down[i - w] * out[i - w];
      out[i] = sum * g->factor[i];
    }
  for (size_t y = h; y-- > 0;)
    for (size_t x = w; x-- > 0;) {
      size_t i = y * w + x;
      double sum = 0;
      if (x + 1 < w) sum += g->right[i] * out[i + 1];
      if (y + 1 < h) sum += g->down[i] * out[i + w];
      out[i] += sum * g->factor[i];
    }
}

static double dot(const double *a, const double *b, size_t n) {
  double s = 0;
  for (size_t i = 0; i < n; i++) s += a[i] * b[i];
  return s;
}

/* Solves A t = b to a relative residual of 1e-6; t starts as b. r, z, p, q: (H,W) scratch. */
static void solve(const grid *g, const double *b, double *t, double *r, double *z, double *p, double *q) {
  size_t n = g->h * g->w;
  double goal = 1e-12 * dot(b, b, n), rz, next;
  memcpy(t, b, n * sizeof *t);
  multiply(g, t, q);
  for (size_t i = 0; i < n; i++) r[i] = b[i] - q[i];
  precondition(g, r, z);
  memcpy(p, z, n * sizeof *p);
  rz = dot(r, z, n);
  for (int step = 0; step < STEPS && dot(r, r, n) > goal; step++) {
    multiply(g, p, q);
    double length = rz / dot(p, q, n);
    for (size_t i = 0; i < n; i++) t[i] += length * p[i], r[i] -= length * q[i];
    precondition(g, r, z);
    next = dot(r, z, n);
    for (size_t i = 0; i < n; i++) p[i] = z[i] + next / rz * p[i];
    rz = next;
  }
}

void dgam_lime_frame(const dgam_enhance *e, const dgam_frame *f, void *scratch) {
  size_t h = f->h, w = f->w, n = h * w;
  double *d = scratch, *b = d + 4 * n; /* the system's 4 planes, then b, t, r, z, p */
  grid g = {h, w, d, d + n, d + 2 * n, d + 3 * n};
  double *t = b + n, *r = b + 2 * n, *z = b + 3 * n, *p = b + 4 * n;
  float *map = (float *)((unsigned char *)scratch + dgam_arena_need(9 * n, sizeof(double)));
  float *difference = map + n, *blurred = map + 2 * n;
  void *more = (unsigned char *)map + dgam_arena_need(3 * n, sizeof(float));

  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      ptrdiff_t at = (ptrdiff_t)y * f->stride + (ptrdiff_t)x;
      uint8_t most = f->in[0][at] > f->in[1][at] ? f->in[0][at] : f->in[1][at];
      map[y * w + x] = (float)(most > f->in[2][at] ? most : f->in[2][at]) / 255.0f;
    }
  weights(map, h, w, 0, e, difference, blurred, more, g.right);
  weights(map, h, w, 1, e, difference, blurred, more, g.down);
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      size_t i = y * w + x;
      g.diagonal[i] = 1 + g.right[i] + g.down[i] + (x ? g.right[i - 1] : 0) + (y ? g.down[i - w] : 0);
      b[i] = (double)map[i];
    }
  factorise(&g);
  double *q = (double *)(void *)map; /* the float planes are done with */
  solve(&g, b, t, r, z, p, q);
  for (size_t y = 0; y < h; y++)
    for (size_t x = 0; x < w; x++) {
      float light = powf(fmaxf((float)t[y * w + x], small), e->gamma);
      for (int c = 0; c < 3; c++)
        f->out[c][y * w + x] = dgam_to_byte((float)f->in[c][(ptrdiff_t)y * f->stride + (ptrdiff_t)x] / light);
    }
}
