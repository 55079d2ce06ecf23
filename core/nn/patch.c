/* patch.c - see patch.h
 *
 * Both operators are rows -> product -> rows, one tile of rows at a time inside a thread. Backward goes in rounds of
 * tiles: activations by tiles, then the weight gradient over all rows of the round, by slices of the weight. */
#include "nn/patch.h"

#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "nn/kernels.h"
#include "nn/swin_block_impl.h"

#define TILE 192  /* rows of a tile */
#define ROUND 64  /* tiles of a round of backward */

static size_t at_most(size_t a, size_t b) { return a < b ? a : b; }
static size_t at_least(size_t a, size_t b) { return a > b ? a : b; }
static size_t round64(size_t bytes) { return (bytes + 63) / 64 * 64; }

typedef struct patch_job {
  const dgam_nn_kernels *k;
  int merge;
  size_t rows;               /* tokens of the result */
  size_t in, out;            /* width of a gathered row; of a result row */
  size_t es;
  int bf;
  float eps;
  dgam_dtype type;
  size_t dims[3];            /* D, H', W' of the result */
  dgam_patch_embed_desc e;   /* of an embedding */
  dgam_patch_merge_desc m;   /* of a merge */
  const float *x, *weight, *bias, *norm_w, *norm_b, *dy;
  const void *operand;       /* weight in the operands' type */
  float *y, *dx, *dweight, *dbias, *dnorm_w, *dnorm_b;
  float *mean, *rstd, *pre;  /* saved: statistics by row; embedding: the product before the norm (rows, out) */
  /* scratch */
  dgam_tiled product, grad;
  char *base;                /* per thread: gathered row tile (in), operand tile, result tile, scratch of products */
  size_t bytes, work_bytes;
  char *operands, *slopes;   /* backward, of a round: gathered operands (rows, in), dy in the operands' type (rows, out) */
  float *partial;            /* (ROUND, 2, width of the norm) */
  dgam_tiled weights;        /* the weight gradient over a round: slices of `slice` of its rows */
  size_t slice;
  char *whole;               /* scratch of those products, of each thread */
  size_t whole_bytes;
  size_t first;              /* first tile of the round */
} patch_job;

typedef struct tile_space {
  float *row;    /* (TILE, in) fp32 */
  char *operand; /* (TILE, in) in the operands' type; `row` itself in fp32 */
  float *result; /* (TILE, max(in, out)) fp32 */
  void *work;
} tile_space;

static tile_space space_of(const patch_job *j, int ith) {
  dgam_cut cut = {j->base ? j->base + (size_t)ith * j->bytes : NULL, 0};
  tile_space s;
  s.row = dgam_cut_take(&cut, TILE * j->in * sizeof(float));
  s.operand = dgam_cut_take(&cut, TILE * j->in * j->es);
  s.result = dgam_cut_take(&cut, TILE * at_least(j->in, j->out) * sizeof(float));
  s.work = dgam_cut_take(&cut, j->work_bytes);
  return s;
}

/* --- gathering --- */

/* Row `r` of the embedding's matrix: a patch, or one written back into the clip. */
static void patch_row(const patch_job *j, size_t r, float *row, float *clip, int back) {
  const dgam_patch_embed_desc *e = &j->e;
  size_t w = r % j->dims[2], h = r / j->dims[2] % j->dims[1], t = r / (j->dims[1] * j->dims[2]) % j->dims[0];
  size_t sample = r / (j->dims[0] * j->dims[1] * j->dims[2]), pt = e->patch[0], ph = e->patch[1], pw = e->patch[2];
  for (size_t c = 0; c < e->channels; c++)
    for (size_t i = 0; i < pt; i++)
      for (size_t y = 0; y < ph; y++, row += pw) {
        size_t ft = t * pt + i, fy = h * ph + y, fx = w * pw;
        size_t valid = ft < e->t && fy < e->h ? at_most(pw, e->w - fx) : 0;
        float *at = valid ? clip + (((sample * e->channels + c) * e->t + ft) * e->h + fy) * e->w + fx : NULL;
        if (back)
          for (size_t q = 0; q < valid; q++) at[q] = row[q];
        else
          for (size_t q = 0; q < pw; q++) row[q] = q < valid ? at[q] : 0.f;
      }
}

/* Offsets of the four tokens of result row r in x, -1 where H or W is padded. */
static void merge_sources(const patch_job *j, size_t r, ptrdiff_t at[4]) {
  const dgam_patch_merge_desc *m = &j->m;
  size_t w = r % j->dims[2] * 2, h = r / j->dims[2] % j->dims[1] * 2, plane = r / (j->dims[1] * j->dims[2]);
  for (int q = 0; q < 4; q++) {
    size_t y = h + (size_t)(q & 1), x = w + (size_t)(q >> 1);
    at[q] = y < m->h && x < m->w ? (ptrdiff_t)(((plane * m->h + y) * m->w + x) * m->c) : -1;
  }
}

static void gather_rows(const patch_job *j, size_t r0, size_t rows, float *to) {
  for (size_t r = 0; r < rows; r++, to += j->in) {
    if (!j->merge) {
      patch_row(j, r0 + r, to, (float *)(uintptr_t)j->x, 0);
      continue;
    }
    ptrdiff_t at[4];
    merge_sources(j, r0 + r, at);
    for (size_t q = 0; q < 4; q++) {
      if (at[q] < 0) memset(to + q * j->m.c, 0, j->m.c * sizeof *to);
      else memcpy(to + q * j->m.c, j->x + at[q], j->m.c * sizeof *to);
    }
  }
}

static void scatter_rows(const patch_job *j, size_t r0, size_t rows, float *from) {
  for (size_t r = 0; r < rows; r++, from += j->in) {
    if (!j->merge) {
      patch_row(j, r0 + r, from, j->dx, 1);
      continue;
    }
    ptrdiff_t at[4];
    merge_sources(j, r0 + r, at);
    for (size_t q = 0; q < 4; q++)
      if (at[q] >= 0) memcpy(j->dx + at[q], from + q * j->m.c, j->m.c * sizeof *from);
  }
}

/* The operand rows of a tile: patches as they are, merged tokens through the norm. Returns the fp32 rows before it. */
static const float *operand_rows(const patch_job *j, size_t r0, size_t rows, const tile_space *s, void *operand) {
  const float *row = s->row;
  if (!j->merge && j->e.patches) row = j->x + r0 * j->in;
  else gather_rows(j, r0, rows, s->row);
  if (j->merge)
    j->k->layernorm(rows, j->in, row, NULL, j->norm_w, j->norm_b, j->eps, operand, j->bf,
                    j->mean ? j->mean + r0 : NULL, j->rstd ? j->rstd + r0 : NULL);
  else j->k->gather(rows, j->in, row, NULL, 1.f, operand, j->bf);
  return row;
}

/* --- forward --- */

static dgam_status forward_tiles(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  patch_job *j = ctx;
  tile_space s = space_of(j, ith);
  for (size_t u = begin; u < end; u++) {
    size_t r0 = u * TILE, rows = at_most(TILE, j->rows - r0);
    operand_rows(j, r0, rows, &s, s.operand);
    int norm = !j->merge && j->e.norm;
    float *y = j->y + r0 * j->out, *t = !norm ? y : j->pre ? j->pre + r0 * j->out : s.result;
    DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->product, rows), s.operand, j->operand, j->bias, t, s.work));
    if (norm)
      j->k->layernorm(rows, j->out, t, NULL, j->norm_w, j->norm_b, j->eps, y, 0, j->mean ? j->mean + r0 : NULL,
                      j->rstd ? j->rstd + r0 : NULL);
  }
  return DGAM_OK;
}

/* --- backward --- */

static dgam_status backward_tiles(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  patch_job *j = ctx;
  tile_space s = space_of(j, ith);
  size_t width = j->merge ? j->in : j->out;
  for (size_t u = begin; u < end; u++) {
    size_t r0 = (j->first + u) * TILE, rows = at_most(TILE, j->rows - r0);
    char *operand = j->operands + u * TILE * j->in * j->es, *slope = j->slopes + u * TILE * j->out * j->es;
    const float *row = operand_rows(j, r0, rows, &s, operand), *dy = j->dy + r0 * j->out;
    float *part = j->partial + u * 2 * width;
    memset(part, 0, 2 * width * sizeof *part);
    if (!j->merge && j->e.norm) {
      j->k->layernorm_grad(rows, j->out, j->pre + r0 * j->out, NULL, j->norm_w, j->mean + r0, j->rstd + r0, dy, NULL,
                           s.result, part, part + width);
      dy = s.result;
    }
    j->k->gather(rows, j->out, dy, NULL, 1.f, slope, j->bf);
    if (!j->merge && !j->dx) continue;
    float *grad = !j->merge && j->e.patches ? j->dx + r0 * j->in : s.result;
    DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->grad, rows), slope, j->operand, NULL, grad, s.work));
    if (j->merge)
      j->k->layernorm_grad(rows, j->in, row, NULL, j->norm_w, j->mean + r0, j->rstd + r0, grad, NULL, grad, part,
                           part + width);
    if (j->dx && grad == s.result) scatter_rows(j, r0, rows, grad);
  }
  return DGAM_OK;
}

/* The products of the weight gradient over `rows`. By slices of one thread each: a product of all threads would be summed
 * in another order for another number of them. */
static dgam_status weight_products(patch_job *j, size_t rows, size_t *bytes) {
  j->slice = at_least(16, (j->out / 8 + 15) / 16 * 16);
  dgam_gemm_desc g = {.n = j->in, .k = rows, .at = 1, .lda = j->out, .accumulate = 1, .in = j->type};
  *bytes = 0;
  dgam_status s = dgam_tiled_get(&j->weights, g, j->slice, j->out, bytes);
  *bytes = round64(*bytes);
  return s;
}

static dgam_status weight_slices(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  patch_job *j = ctx;
  for (size_t u = begin; u < end; u++) {
    size_t at = u * j->slice, width = at_most(j->slice, j->out - at);
    DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->weights, width), j->slopes + at * j->es, j->operands, NULL,
                           j->dweight + at * j->in, j->whole + (size_t)ith * j->whole_bytes));
  }
  return DGAM_OK;
}

static dgam_status weight_gradient(patch_job *j, size_t rows) {
  char *whole = j->whole;
  size_t planned = j->whole_bytes;
  dgam_arena own = {0};
  dgam_status s = weight_products(j, rows, &j->whole_bytes);
  if (s == DGAM_OK && j->whole_bytes > planned) { /* a short last round that oneDNN blocks in another way */
    s = dgam_arena_init(&own, j->whole_bytes * (size_t)dgam_threads());
    j->whole = (char *)own.base;
  }
  if (s == DGAM_OK) s = dgam_parallel_items((j->out + j->slice - 1) / j->slice, weight_slices, j);
  dgam_tiled_put(&j->weights);
  dgam_arena_free(&own);
  j->whole = whole;
  j->whole_bytes = planned;
  return s;
}

static dgam_status backward(patch_job *j) {
  size_t tiles = (j->rows + TILE - 1) / TILE, width = j->merge ? j->in : j->out;
  if (j->dweight) memset(j->dweight, 0, j->in * j->out * sizeof(float));
  if (j->dbias) memset(j->dbias, 0, j->out * sizeof(float));
  if (j->dnorm_w) memset(j->dnorm_w, 0, width * sizeof(float));
  if (j->dnorm_b) memset(j->dnorm_b, 0, width * sizeof(float));
  for (j->first = 0; j->first < tiles; j->first += ROUND) {
    size_t tiles_now = at_most(ROUND, tiles - j->first), rows = at_most(tiles_now * TILE, j->rows - j->first * TILE);
    DGAM_TRY(dgam_parallel_items(tiles_now, backward_tiles, j));
    if (j->dnorm_w) j->k->colsum(tiles_now, width, j->partial, 2 * width, 0, j->dnorm_w);
    if (j->dnorm_b) j->k->colsum(tiles_now, width, j->partial + width, 2 * width, 0, j->dnorm_b);
    if (j->dbias) j->k->colsum(rows, j->out, j->slopes, j->out, j->bf, j->dbias);
    if (j->dweight) DGAM_TRY(weight_gradient(j, rows));
  }
  return DGAM_OK;
}

/* --- planning, the same for both --- */

static dgam_status plan(patch_job *j, dgam_cut *cut, void **operand_space) {
  size_t threads = (size_t)dgam_threads(), rows = at_most(j->rows, TILE * ROUND);
  dgam_gemm_desc g = {.n = j->out, .k = j->in, .bt = 1, .bias = j->bias != NULL, .in = j->type};
  DGAM_TRY(dgam_tiled_get(&j->product, g, TILE, j->rows, &j->work_bytes));
  g = (dgam_gemm_desc){.n = j->in, .k = j->out, .in = j->type};
  DGAM_TRY(dgam_tiled_get(&j->grad, g, TILE, j->rows, &j->work_bytes));
  j->work_bytes = round64(j->work_bytes);
  dgam_status s = weight_products(j, rows, &j->whole_bytes);
  dgam_tiled_put(&j->weights);
  DGAM_TRY(s);
  size_t a = round64(TILE * j->in * sizeof(float)), b = round64(TILE * j->in * j->es);
  j->bytes = a + b + round64(TILE * at_least(j->in, j->out) * sizeof(float)) + j->work_bytes;
  *operand_space = dgam_cut_take(cut, j->bf ? j->in * j->out * 2 : 0);
  j->base = dgam_cut_take(cut, threads * j->bytes);
  j->operands = dgam_cut_take(cut, rows * j->in * j->es);
  j->slopes = dgam_cut_take(cut, rows * j->out * j->es);
  j->partial = dgam_cut_take(cut, ROUND * 2 * at_least(j->in, j->out) * sizeof(float));
  j->whole = dgam_cut_take(cut, threads * j->whole_bytes);
  return DGAM_OK;
}

static void plan_put(patch_job *j) { dgam_tiled_put(&j->product), dgam_tiled_put(&j->grad); }

static dgam_status run(patch_job *j, void *scratch, int back) {
  dgam_cut cut = {scratch, 0};
  void *space;
  dgam_status s = plan(j, &cut, &space);
  j->operand = j->weight;
  if (s == DGAM_OK && j->bf) {
    j->k->to_bf16(j->in * j->out, j->weight, space);
    j->operand = space;
  }
  if (s == DGAM_OK) s = back ? backward(j) : dgam_parallel_items((j->rows + TILE - 1) / TILE, forward_tiles, j);
  plan_put(j);
  return s;
}

static dgam_status sizes(patch_job *j, size_t *scratch) {
  static const float any[1] = {0};
  *scratch = 0;
  for (int with = 0; with < 2; with++) { /* with and without a bias */
    patch_job copy = *j;
    copy.bias = with ? any : NULL;
    dgam_cut cut = {NULL, 0};
    void *space;
    dgam_status s = plan(&copy, &cut, &space);
    plan_put(&copy);
    DGAM_TRY(s);
    *scratch = at_least(*scratch, cut.used);
  }
  return DGAM_OK;
}

static dgam_status finish_init(patch_job *j) {
  size_t all;
  if (j->type != DGAM_F32 && j->type != DGAM_BF16)
    return dgam_fail(DGAM_EINVAL, "%s: type is %s, expected float32 or bfloat16", j->merge ? "patch_merge" : "patch_embed",
                     dgam_dtype_name(j->type));
  j->k = dgam_nn_kernels_get();
  j->bf = j->type == DGAM_BF16;
  j->es = dgam_dtype_size(j->type);
  if (j->rows > INT32_MAX || dgam_mul_overflow(j->rows, at_least(j->in, j->out), &all) ||
      dgam_mul_overflow(all, 16, &all))
    return dgam_fail(DGAM_EINVAL, "%s: %zu tokens of %zu channels are too many", j->merge ? "patch_merge" : "patch_embed",
                     j->rows, at_least(j->in, j->out));
  return DGAM_OK;
}

/* --- embedding --- */

dgam_status dgam_patch_embed_dims(const dgam_patch_embed_desc *d, size_t dims[3]) {
  size_t in[3] = {d->t, d->h, d->w};
  for (int a = 0; a < 3; a++) {
    if (in[a] < 1 || in[a] > INT32_MAX || d->patch[a] < 1 || d->patch[a] > 1024)
      return dgam_fail(DGAM_EINVAL, "patch_embed: size %zu with patch %zu along %c, expected 1 or more of each", in[a],
                       d->patch[a], "THW"[a]);
    dims[a] = (in[a] + d->patch[a] - 1) / d->patch[a];
  }
  return DGAM_OK;
}

static dgam_status embed_init(patch_job *j, const dgam_patch_embed_desc *d) {
  if (d->n < 1 || d->channels < 1 || d->c < 1 || d->n > INT32_MAX || d->channels > 65536 || d->c > INT32_MAX)
    return dgam_fail(DGAM_EINVAL, "patch_embed: N, channels, C are %zu, %zu, %zu, expected 1 or more", d->n,
                     d->channels, d->c);
  j->e = *d;
  DGAM_TRY(dgam_patch_embed_dims(d, j->dims));
  if (dgam_mul_overflow(j->dims[0] * j->dims[1], j->dims[2] * d->n, &j->rows)) j->rows = SIZE_MAX;
  j->in = d->channels * d->patch[0] * d->patch[1] * d->patch[2];
  j->out = d->c;
  j->eps = d->eps;
  j->type = d->type;
  return finish_init(j);
}

static void embed_saved(patch_job *j, float *saved) {
  if (!saved || !j->e.norm) return;
  j->mean = saved;
  j->rstd = saved + j->rows;
  j->pre = saved + 2 * j->rows;
}

dgam_status dgam_patch_embed_sizes(const dgam_patch_embed_desc *d, size_t *scratch, size_t *saved) {
  patch_job j = {0};
  DGAM_TRY(embed_init(&j, d));
  *saved = d->norm ? j.rows * (2 + d->c) : 0;
  return sizes(&j, scratch);
}

dgam_status dgam_patch_embed_forward(const dgam_patch_embed_desc *d, const float *x, const float *weight,
                                     const float *bias, const float *norm_w, const float *norm_b, float *y,
                                     float *saved, void *scratch) {
  patch_job j = {.x = x, .weight = weight, .bias = bias, .norm_w = norm_w, .norm_b = norm_b, .y = y};
  DGAM_TRY(embed_init(&j, d));
  embed_saved(&j, saved);
  return run(&j, scratch, 0);
}

dgam_status dgam_patch_embed_backward(const dgam_patch_embed_desc *d, const float *x, const float *weight,
                                      const float *norm_w, const float *saved, const float *dy, float *dx,
                                      float *dweight, float *dbias, float *dnorm_w, float *dnorm_b, void *scratch) {
  patch_job j = {.x = x, .weight = weight, .norm_w = norm_w, .dy = dy, .dx = dx, .dweight = dweight, .dbias = dbias,
                 .dnorm_w = d->norm ? dnorm_w : NULL, .dnorm_b = d->norm ? dnorm_b : NULL};
  DGAM_TRY(embed_init(&j, d));
  embed_saved(&j, (float *)(uintptr_t)saved);
  return run(&j, scratch, 1);
}

/* --- merging --- */

static dgam_status merge_init(patch_job *j, const dgam_patch_merge_desc *d) {
  if (d->n < 1 || d->d < 1 || d->h < 1 || d->w < 1 || d->c < 1 || d->out < 1 || d->c > INT32_MAX || d->out > INT32_MAX)
    return dgam_fail(DGAM_EINVAL, "patch_merge: x is (%zu,%zu,%zu,%zu,%zu) to %zu channels, expected 1 or more", d->n,
                     d->d, d->h, d->w, d->c, d->out);
  j->m = *d;
  j->merge = 1;
  j->dims[0] = d->d, j->dims[1] = (d->h + 1) / 2, j->dims[2] = (d->w + 1) / 2;
  if (dgam_mul_overflow(d->n, d->d, &j->rows) || dgam_mul_overflow(j->rows, j->dims[1], &j->rows) ||
      dgam_mul_overflow(j->rows, j->dims[2], &j->rows))
    j->rows = SIZE_MAX;
  j->in = 4 * d->c;
  j->out = d->out;
  j->eps = d->eps;
  j->type = d->type;
  return finish_init(j);
}

static void merge_saved(patch_job *j, float *saved) {
  j->mean = saved;
  j->rstd = saved ? saved + j->rows : NULL;
}

dgam_status dgam_patch_merge_sizes(const dgam_patch_merge_desc *d, size_t *scratch, size_t *saved) {
  patch_job j = {0};
  DGAM_TRY(merge_init(&j, d));
  *saved = 2 * j.rows;
  return sizes(&j, scratch);
}

dgam_status dgam_patch_merge_forward(const dgam_patch_merge_desc *d, const float *x, const float *norm_w,
                                     const float *norm_b, const float *weight, float *y, float *saved, void *scratch) {
  patch_job j = {.x = x, .weight = weight, .norm_w = norm_w, .norm_b = norm_b, .y = y};
  DGAM_TRY(merge_init(&j, d));
  merge_saved(&j, saved);
  return run(&j, scratch, 0);
}

dgam_status dgam_patch_merge_backward(const dgam_patch_merge_desc *d, const float *x, const float *norm_w,
                                      const float *norm_b, const float *weight, const float *saved, const float *dy,
                                      float *dx, float *dnorm_w, float *dnorm_b, float *dweight, void *scratch) {
  patch_job j = {.x = x, .weight = weight, .norm_w = norm_w, .norm_b = norm_b, .dy = dy, .dx = dx, .dweight = dweight,
                 .dnorm_w = dnorm_w, .dnorm_b = dnorm_b};
  DGAM_TRY(merge_init(&j, d));
  merge_saved(&j, (float *)(uintptr_t)saved); /* written again with the same values */
  return run(&j, scratch, 1);
}
