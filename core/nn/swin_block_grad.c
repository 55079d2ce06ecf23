/* swin_block_grad.c - backward of the Swin block; see swin_block.h
 *
 * The work goes in rounds of rows (MLP) and of windows (attention) that bound the scratch. A round has phases, each
 * split over the threads: gradients with respect to activations by tiles of rows or by heads, then weight gradients as
 * one product over all rows of the round, split by slices of the weight, so no thread holds a partial copy of it.
 * Tiles, slices and rounds follow from the shape alone, and so does the order of every sum.
 */
#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "nn/swin_block_impl.h"

static size_t at_most(size_t a, size_t b) { return a < b ? a : b; }
static size_t at_least(size_t a, size_t b) { return a > b ? a : b; }

/* A weight gradient dW (out, in) += dY^T X over the rows of a round, cut into slices along the longer side. */
typedef struct weight_task {
  const char *dy, *x;   /* (rows, out), (rows, in), dense */
  size_t out, in;
  float *dw, *db;       /* db may be NULL: column sums of dY */
  size_t slice, slices;
  int by_out;           /* 1: slices of rows of dW; 0: of columns */
  const dgam_gemm *g[2]; /* full slice and the last one, for this round's number of rows */
} weight_task;

typedef struct grad_job {
  dgam_block b;
  const dgam_swin_block_params *p;
  const dgam_swin_block_grads *g;
  const float *x, *scale, *dy;
  float *dx;
  dgam_block_saved s;
  dgam_block_weights weights;
  float *bias;           /* (heads, tokens, padded) */
  char *heads, *gemms;   /* scratch of each thread */
  size_t head_bytes, gemm_bytes;
  uint32_t *active;
  size_t actives;
  float *partial;        /* (tiles of a round, 2, C): LayerNorm gradients of each tile */
  weight_task task[2];
  /* MLP: rounds of tiles */
  size_t span, tile, tiles, round_tiles, first; /* rows with one factor; rows of a tile; tiles of a span; of a round */
  char *xn, *act, *dh, *gy; /* (round rows, C | hidden | hidden | C) */
  float *dxn;               /* per thread (tile, C) */
  dgam_tiled fc1, dfc2, dfc1;
  /* attention: rounds of windows */
  size_t round_windows, lanes; /* lanes: separate sums of dbias per head */
  size_t row_tile, row_tiles;  /* rows of a product; tiles in a window */
  size_t group;                /* or windows in a tile, if that is more than one */
  size_t in_round;
  int32_t *index, *region;  /* (round windows, tokens + 1), (round windows, padded) */
  char *wxn, *qkv, *gp, *go, *dqkv; /* (round rows, C | 3C | C | C | 3C) */
  float *dbias;             /* (lanes, heads, tokens, padded) */
  dgam_tiled wqkv, wproj, dproj, dwqkv;
  float *wt;                /* per thread (row tile, C) */
} grad_job;

/* --- weight gradients --- */

static void task_set(const grad_job *j, weight_task *t, const char *dy, const char *x, size_t out, size_t in) {
  size_t c = j->b.d.c, slice = c < 256 ? c / 2 : c < 1024 ? c / 4 : c / 8;
  slice = at_least(16, (slice + 15) / 16 * 16);
  *t = (weight_task){.dy = dy, .x = x, .out = out, .in = in};
  t->by_out = out >= in;
  size_t length = t->by_out ? out : in;
  t->slice = at_most(slice, length);
  t->slices = (length + t->slice - 1) / t->slice;
}

static dgam_status task_products(const grad_job *j, weight_task *t, size_t rows, size_t *most) {
  size_t length = t->by_out ? t->out : t->in;
  for (int i = 0; i < 2; i++) {
    size_t width = i ? length % t->slice : t->slice;
    t->g[i] = NULL;
    if (!width) continue;
    dgam_gemm_desc d = {.m = t->by_out ? width : t->out, .n = t->by_out ? t->in : width, .k = rows, .at = 1,
                        .lda = t->out, .ldb = t->in, .ldc = t->in, .accumulate = 1, .in = j->b.d.type, .threads = 1};
    DGAM_TRY(dgam_gemm_get(&d, &t->g[i]));
    *most = at_least(*most, dgam_gemm_scratch(t->g[i]));
  }
  return DGAM_OK;
}

static void task_put(weight_task *t) {
  for (int i = 0; i < 2; i++) dgam_gemm_put(t->g[i]), t->g[i] = NULL;
}

static dgam_status run_slice(const grad_job *j, const weight_task *t, size_t slice, size_t rows, void *work) {
  const dgam_block *b = &j->b;
  size_t at = slice * t->slice, length = t->by_out ? t->out : t->in, width = at_most(t->slice, length - at);
  const dgam_gemm *g = t->g[width == t->slice ? 0 : 1];
  const char *dy = t->dy + (t->by_out ? at : 0) * b->es, *x = t->x + (t->by_out ? 0 : at) * b->es;
  DGAM_TRY(dgam_gemm_run(g, dy, x, NULL, t->dw + (t->by_out ? at * t->in : at), work));
  if (t->db && t->by_out) b->k->colsum(rows, width, dy, t->out, b->bf, t->db + at);
  else if (t->db && slice == 0) b->k->colsum(rows, t->out, t->dy, t->out, b->bf, t->db);
  return DGAM_OK;
}

typedef struct slices_job {
  const grad_job *j;
  size_t rows;
  char *work; /* of each thread, as many bytes as this round's products need */
  size_t bytes;
} slices_job;

static dgam_status slices(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  slices_job *s = ctx;
  const weight_task *t = s->j->task;
  for (size_t u = begin; u < end; u++) {
    const weight_task *mine = u < t[0].slices ? &t[0] : &t[1];
    DGAM_TRY(run_slice(s->j, mine, u < t[0].slices ? u : u - t[0].slices, s->rows,
                       s->work + (size_t)ith * s->bytes));
  }
  return DGAM_OK;
}

/* Both weight gradients of a round of `rows`, then those of LayerNorm `norm` from the tiles' sums. */
static dgam_status finish_round(grad_job *j, size_t rows, size_t parts, int norm) {
  if (!j->g) return DGAM_OK; /* only dx is wanted */
  size_t need = 0, c = j->b.d.c;
  slices_job s = {j, rows, j->gemms, j->gemm_bytes};
  dgam_arena own = {0};
  dgam_status status = DGAM_OK;
  for (int i = 0; i < 2 && status == DGAM_OK; i++) status = task_products(j, &j->task[i], rows, &need);
  if (status == DGAM_OK && need > j->gemm_bytes) { /* a short last round that oneDNN blocks in another way */
    s.bytes = (need + 63) / 64 * 64;
    status = dgam_arena_init(&own, s.bytes * (size_t)j->b.threads);
    s.work = (char *)own.base;
  }
  if (status == DGAM_OK) status = dgam_parallel_items(j->task[0].slices + j->task[1].slices, slices, &s);
  for (int i = 0; i < 2; i++) task_put(&j->task[i]);
  dgam_arena_free(&own);
  j->b.k->colsum(parts, c, j->partial, 2 * c, 0, norm == 1 ? j->g->norm1_w : j->g->norm2_w);
  j->b.k->colsum(parts, c, j->partial + c, 2 * c, 0, norm == 1 ? j->g->norm1_b : j->g->norm2_b);
  return status;
}

/* --- x1, when forward did not save it --- */

static dgam_status again_x1(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  grad_job *j = ctx;
  const dgam_block *b = &j->b;
  size_t tokens = b->w.tokens, c = b->d.c;
  int32_t *index = j->index + (size_t)ith * (tokens + 1);
  float *t = j->wt + (size_t)ith * j->row_tile * c;
  for (size_t i = begin; i < end; i++) {
    size_t sample = j->active[i / b->w.windows], token = sample * b->w.l;
    dgam_windows_index(&b->w, i % b->w.windows, index, NULL);
    for (size_t row = 0; row < tokens; row += j->row_tile) {
      size_t rows = at_most(j->row_tile, tokens - row);
      DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->wproj, rows), j->s.o + (i * tokens + row) * c * b->es, j->weights.proj,
                             j->p->proj_b, t, j->gemms + (size_t)ith * j->gemm_bytes));
      b->k->scatter(rows, c, t, index + row, j->scale ? j->scale[sample] : 1.f, j->x + token * c, j->dx + token * c);
    }
  }
  return DGAM_OK;
}

/* --- MLP half: dx holds x1 (or x1 was saved) and gets dx1 --- */

/* Rows of the first `count` tiles counted from tile `first`. */
static size_t rows_of_tiles(const grad_job *j, size_t first, size_t count) {
  size_t end = first + count;
  size_t from = first / j->tiles * j->span + first % j->tiles * j->tile;
  size_t to = end / j->tiles * j->span + end % j->tiles * j->tile;
  return to - from;
}

static dgam_status mlp_tiles(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  grad_job *j = ctx;
  const dgam_block *b = &j->b;
  size_t c = b->d.c, hidden = b->d.hidden;
  void *work = j->gemms + (size_t)ith * j->gemm_bytes;
  float *dxn = j->dxn + (size_t)ith * j->tile * c;
  for (size_t u = begin; u < end; u++) {
    size_t tile = j->first + u, run = j->scale ? j->active[tile / j->tiles] : tile / j->tiles;
    size_t row = tile % j->tiles * j->tile, rows = at_most(j->tile, j->span - row), token = run * j->span + row;
    size_t at = rows_of_tiles(j, j->first, u); /* rows lie densely in the round's buffers */
    char *xn = j->xn + at * c * b->es, *act = j->act + at * hidden * b->es, *dh = j->dh + at * hidden * b->es;
    char *gy = j->gy + at * c * b->es;
    const float *x1 = (j->s.x1 ? j->s.x1 : j->dx) + token * c;
    float s = j->scale ? j->scale[b->d.n + run] : 1.f;
    b->k->layernorm(rows, c, x1, NULL, j->p->norm2_w, j->p->norm2_b, b->d.eps, xn, b->bf, NULL, NULL);
    const char *h = act;
    if (j->s.h) h = j->s.h + token * hidden * b->es;
    else DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->fc1, rows), xn, j->weights.fc1, j->p->fc1_b, act, work));
    b->k->gather(rows, c, j->dy + token * c, NULL, s, gy, b->bf);
    DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->dfc2, rows), gy, j->weights.fc2, NULL, dh, work));
    b->k->gelu_grad(rows * hidden, h, dh, dh, act, b->bf);
    DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->dfc1, rows), dh, j->weights.fc1, NULL, dxn, work));
    float *part = j->partial + u * 2 * c;
    memset(part, 0, 2 * c * sizeof *part);
    b->k->layernorm_grad(rows, c, x1, NULL, j->p->norm2_w, j->s.mean2 + token, j->s.rstd2 + token, dxn,
                         j->dy + token * c, j->dx + token * c, part, part + c);
  }
  return DGAM_OK;
}

static dgam_status mlp_half(grad_job *j) {
  const dgam_block *b = &j->b;
  size_t runs = b->rows / j->span, floats = j->span * b->d.c;
  if (j->scale) {
    runs = dgam_block_active(b, j->scale + b->d.n, j->active);
    for (size_t i = 0; i < b->d.n; i++)
      if (j->scale[b->d.n + i] == 0.f) memcpy(j->dx + i * floats, j->dy + i * floats, floats * sizeof(float));
  }
  size_t all = runs * j->tiles;
  for (j->first = 0; j->first < all; j->first += j->round_tiles) {
    size_t tiles = at_most(j->round_tiles, all - j->first);
    DGAM_TRY(dgam_parallel_items(tiles, mlp_tiles, j));
    task_set(j, &j->task[0], j->dh, j->xn, b->d.hidden, b->d.c);
    task_set(j, &j->task[1], j->gy, j->act, b->d.c, b->d.hidden);
    if (j->g) j->task[0].dw = j->g->fc1_w, j->task[0].db = j->g->fc1_b;
    if (j->g) j->task[1].dw = j->g->fc2_w, j->task[1].db = j->g->fc2_b;
    DGAM_TRY(finish_round(j, rows_of_tiles(j, j->first, tiles), tiles, 2));
  }
  return DGAM_OK;
}

/* --- attention half: dx holds dx1 and gets dx --- */

static size_t window_of(const grad_job *j, size_t i) {
  i += j->first;
  return j->active[i / j->b.w.windows] * j->b.w.windows + i % j->b.w.windows;
}

static int32_t *index_of(const grad_job *j, size_t i) { return j->index + i * (j->b.w.tokens + 1); }

static char *qkv_of(const grad_job *j, size_t i) {
  size_t bytes = j->b.w.tokens * 3 * j->b.d.c * j->b.es;
  return j->s.qkv ? j->s.qkv + (j->first + i) * bytes : j->qkv + i * bytes;
}

static dgam_status round_index(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  grad_job *j = ctx;
  for (size_t i = begin; i < end; i++)
    index_of(j, i)[j->b.w.tokens] = dgam_windows_index(&j->b.w, window_of(j, i) % j->b.w.windows, index_of(j, i),
                                                  j->region + i * j->b.w.padded);
  return DGAM_OK;
}

/* Rows of a round that one product takes: a tile of a window, or a group of windows, or one of those left over. */
typedef struct row_unit {
  size_t first, count, row, rows; /* windows; rows of each */
} row_unit;

static size_t row_units(const grad_job *j) {
  return j->group > 1 ? j->in_round / j->group + j->in_round % j->group : j->in_round * j->row_tiles;
}

static row_unit row_unit_of(const grad_job *j, size_t u) {
  size_t tokens = j->b.w.tokens, groups = j->in_round / j->group, row = u % j->row_tiles * j->row_tile;
  if (j->group == 1) return (row_unit){u / j->row_tiles, 1, row, at_most(j->row_tile, tokens - row)};
  if (u < groups) return (row_unit){u * j->group, j->group, 0, tokens};
  return (row_unit){groups * j->group + (u - groups), 1, 0, tokens};
}

/* q, k, v again; the gradient of the attention's output. */
static dgam_status round_in(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  grad_job *j = ctx;
  const dgam_block *b = &j->b;
  size_t tokens = b->w.tokens, c = b->d.c;
  void *work = j->gemms + (size_t)ith * j->gemm_bytes;
  for (size_t u = begin; u < end; u++) {
    row_unit r = row_unit_of(j, u);
    size_t at = r.first * tokens + r.row, rows = r.count * r.rows;
    char *xn = j->wxn + at * c * b->es, *gp = j->gp + at * c * b->es;
    for (size_t i = 0; i < r.count; i++) {
      size_t sample = window_of(j, r.first + i) / b->w.windows, token = sample * b->w.l;
      size_t off = i * r.rows * c * b->es;
      const int32_t *index = index_of(j, r.first + i) + r.row;
      b->k->layernorm(r.rows, c, j->x + token * c, index, j->p->norm1_w, j->p->norm1_b, b->d.eps, xn + off, b->bf,
                      NULL, NULL);
      b->k->gather(r.rows, c, j->dx + token * c, index, j->scale ? j->scale[sample] : 1.f, gp + off, b->bf);
    }
    if (!j->s.qkv)
      DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->wqkv, rows), xn, j->weights.qkv, j->p->qkv_b,
                             j->qkv + at * 3 * c * b->es, work));
    DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->dproj, rows), gp, j->weights.proj, NULL, j->go + at * c * b->es, work));
  }
  return DGAM_OK;
}

/* A unit is one head and one lane: every lanes-th window of the round, so a sum of dbias has one owner. */
static dgam_status round_heads(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  grad_job *j = ctx;
  const dgam_block *b = &j->b;
  size_t tokens = b->w.tokens, c = b->d.c, heads = b->d.heads;
  for (size_t u = begin; u < end; u++) {
    size_t head = u / j->lanes, lane = u % j->lanes, off = head * b->hd * b->es;
    float *dbias = j->g ? j->dbias + (lane * b->d.heads + head) * tokens * b->w.padded : NULL;
    if (dbias && j->first == 0) memset(dbias, 0, tokens * b->w.padded * sizeof *dbias);
    for (size_t i = lane; i < j->in_round; i += j->lanes) {
      const char *q = qkv_of(j, i) + off;
      char *dq = j->dqkv + i * tokens * 3 * c * b->es + off;
      const int32_t *region = index_of(j, i)[tokens] ? j->region + i * b->w.padded : NULL;
      dgam_attention_job a = dgam_block_attention(b, q, j->bias, region, head);
      a.lse = j->s.lse + ((j->first + i) * heads + head) * tokens;
      a.dout = j->go + i * tokens * c * b->es + off;
      a.dq = dq;
      a.dk = dq + c * b->es;
      a.dv = dq + 2 * c * b->es;
      a.dbias = dbias;
      a.scratch = (float *)(j->heads + (size_t)ith * j->head_bytes);
      b->k->attention_grad(&a);
    }
  }
  return DGAM_OK;
}

static dgam_status round_out(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  grad_job *j = ctx;
  const dgam_block *b = &j->b;
  size_t tokens = b->w.tokens, c = b->d.c;
  float *t = j->wt + (size_t)ith * j->row_tile * c;
  for (size_t u = begin; u < end; u++) {
    row_unit r = row_unit_of(j, u);
    DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->dwqkv, r.count * r.rows), j->dqkv + (r.first * tokens + r.row) * 3 * c * b->es,
                           j->weights.qkv, NULL, t, j->gemms + (size_t)ith * j->gemm_bytes));
    float *part = j->partial + u * 2 * c;
    memset(part, 0, 2 * c * sizeof *part);
    for (size_t i = 0; i < r.count; i++) {
      size_t token = window_of(j, r.first + i) / b->w.windows * b->w.l;
      float *dx = j->dx + token * c;
      b->k->layernorm_grad(r.rows, c, j->x + token * c, index_of(j, r.first + i) + r.row, j->p->norm1_w,
                           j->s.mean1 + token, j->s.rstd1 + token, t + i * r.rows * c, dx, dx, part, part + c);
    }
  }
  return DGAM_OK;
}

/* Sums the lanes of dbias into the first, a row of a head at a time. */
static dgam_status sum_lanes(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  grad_job *j = ctx;
  size_t len = (end - begin) * j->b.w.padded;
  float *sum = j->dbias + begin * j->b.w.padded;
  for (size_t lane = 1; lane < j->lanes; lane++)
    j->b.k->scatter(1, len, sum + lane * j->b.d.heads * j->b.w.tokens * j->b.w.padded, NULL, 1.f, sum, sum);
  return DGAM_OK;
}

static dgam_status table_heads(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  grad_job *j = ctx;
  const dgam_block *b = &j->b;
  for (size_t h = begin; h < end; h++)
    dgam_windows_bias_grad(&b->w, j->dbias + h * b->w.tokens * b->w.padded, b->d.heads, h, j->g->table,
                           (float *)(j->heads + (size_t)ith * j->head_bytes));
  return DGAM_OK;
}

static dgam_status attention_half(grad_job *j) {
  const dgam_block *b = &j->b;
  size_t tokens = b->w.tokens, c = b->d.c, all;
  j->actives = dgam_block_active(b, j->scale, j->active);
  all = j->actives * b->w.windows;
  for (j->first = 0; j->first < all; j->first += j->round_windows) {
    size_t in_round = j->in_round = at_most(j->round_windows, all - j->first);
    DGAM_TRY(dgam_parallel(in_round, round_index, j));
    DGAM_TRY(dgam_parallel_items(row_units(j), round_in, j));
    DGAM_TRY(dgam_parallel_items(b->d.heads * j->lanes, round_heads, j));
    DGAM_TRY(dgam_parallel_items(row_units(j), round_out, j));
    if (!j->g) continue;
    task_set(j, &j->task[0], j->dqkv, j->wxn, 3 * c, c);
    task_set(j, &j->task[1], j->gp, j->s.o + j->first * tokens * c * b->es, c, c);
    j->task[0].dw = j->g->qkv_w, j->task[0].db = j->g->qkv_b;
    j->task[1].dw = j->g->proj_w, j->task[1].db = j->g->proj_b;
    DGAM_TRY(finish_round(j, in_round * tokens, row_units(j), 1));
  }
  if (!j->g || !all) return DGAM_OK;
  DGAM_TRY(dgam_parallel_items(b->d.heads * tokens, sum_lanes, j));
  return dgam_parallel_items(b->d.heads, table_heads, j);
}

/* --- planning --- */

/* Items in a round if all of them go in as few rounds of at most `most` as possible. */
static size_t equal_rounds(size_t all, size_t most) {
  size_t rounds = (all + most - 1) / most;
  return (all + rounds - 1) / rounds;
}

static dgam_status grad_plan(grad_job *j, dgam_cut *cut, void **weight_space) {
  const dgam_block *b = &j->b;
  size_t c = b->d.c, hidden = b->d.hidden, tokens = b->w.tokens, threads = (size_t)b->threads, *most = &j->gemm_bytes;
  dgam_dtype t = b->d.type;
  /* Tiles of at most 200 rows, equal rounds of about 4 MB of operands, which the third-level cache
   * holds, but enough of them to share out. */
  j->span = j->scale ? b->w.l : b->rows;
  j->tile = at_most(196, j->span);
  j->tiles = (j->span + j->tile - 1) / j->tile;
  size_t runs = b->rows / j->span;
  j->round_tiles = equal_rounds(runs * j->tiles, at_least(16, (4u << 20) / (j->tile * (2 * c + 2 * hidden) * b->es)));
  j->row_tiles = (tokens + 199) / 200;
  j->row_tile = (tokens + j->row_tiles - 1) / j->row_tiles;
  j->row_tiles = (tokens + j->row_tile - 1) / j->row_tile;
  j->group = dgam_block_group(b);
  if (j->group > 1) j->row_tile = j->group * tokens;
  size_t row_end = j->group > 1 ? j->row_tile + tokens : tokens; /* full tiles, and the last one or single windows */
  j->round_windows = equal_rounds(b->windows, at_least(8, (4u << 20) / (tokens * 9 * c * b->es)));
  j->lanes = at_most(j->round_windows, (31 + b->d.heads) / b->d.heads);
  if (j->lanes > 16) j->lanes = 16;

  dgam_gemm_desc g = {.n = hidden, .k = c, .bt = 1, .bias = 1, .in = t, .out = t};
  DGAM_TRY(dgam_tiled_get(&j->fc1, g, j->tile, j->span, most));
  g.bt = g.bias = 0; /* dy (rows, C) W2 (C, hidden) */
  DGAM_TRY(dgam_tiled_get(&j->dfc2, g, j->tile, j->span, most));
  g.n = c, g.k = hidden, g.out = DGAM_F32;
  DGAM_TRY(dgam_tiled_get(&j->dfc1, g, j->tile, j->span, most));
  g.k = 3 * c;
  DGAM_TRY(dgam_tiled_get(&j->dwqkv, g, j->row_tile, row_end, most));
  g.k = c, g.out = t;
  DGAM_TRY(dgam_tiled_get(&j->dproj, g, j->row_tile, row_end, most));
  g = (dgam_gemm_desc){.n = 3 * c, .k = c, .bt = 1, .bias = j->p->qkv_b != NULL, .in = t, .out = t};
  DGAM_TRY(dgam_tiled_get(&j->wqkv, g, j->row_tile, row_end, most));
  g.n = c, g.bias = 1, g.out = DGAM_F32;
  DGAM_TRY(dgam_tiled_get(&j->wproj, g, j->row_tile, row_end, most));

  /* Weight gradients: the scratch of a full round. */
  size_t round_rows = at_most(b->rows, j->round_tiles * j->tile), window_rows = j->round_windows * tokens;
  size_t shapes[4][2] = {{hidden, c}, {c, hidden}, {3 * c, c}, {c, c}};
  size_t lengths[4] = {round_rows, round_rows, window_rows, window_rows};
  for (int i = 0; i < 4; i++) {
    weight_task *task = &j->task[0];
    task_set(j, task, NULL, NULL, shapes[i][0], shapes[i][1]);
    dgam_status s = task_products(j, task, lengths[i], most);
    task_put(task);
    if (s != DGAM_OK) return s;
  }
  j->gemm_bytes = (j->gemm_bytes + 63) / 64 * 64;
  j->head_bytes = (dgam_block_head_scratch(b) * sizeof(float) + 63) / 64 * 64;

  size_t parts = at_least(j->round_tiles, j->round_windows * j->row_tiles);
  j->active = dgam_cut_take(cut, b->d.n * sizeof *j->active);
  j->bias = dgam_cut_take(cut, b->d.heads * tokens * b->w.padded * sizeof(float));
  *weight_space = dgam_cut_take(cut, dgam_block_weights_bytes(b));
  j->gemms = dgam_cut_take(cut, j->gemm_bytes * threads);
  j->heads = dgam_cut_take(cut, j->head_bytes * threads);
  j->partial = dgam_cut_take(cut, parts * 2 * c * sizeof(float));
  size_t per_index = at_least(j->round_windows, threads);
  j->index = dgam_cut_take(cut, per_index * (tokens + 1) * sizeof *j->index);
  j->region = dgam_cut_take(cut, j->round_windows * b->w.padded * sizeof *j->region);
  j->dbias = dgam_cut_take(cut, j->lanes * b->d.heads * tokens * b->w.padded * sizeof(float));
  j->wt = dgam_cut_take(cut, threads * j->row_tile * c * sizeof(float));
  j->dxn = dgam_cut_take(cut, threads * j->tile * c * sizeof(float));
  /* The halves run one after the other and share their space. */
  size_t mark = cut->used;
  j->xn = dgam_cut_take(cut, round_rows * c * b->es);
  j->act = dgam_cut_take(cut, round_rows * hidden * b->es);
  j->dh = dgam_cut_take(cut, round_rows * hidden * b->es);
  j->gy = dgam_cut_take(cut, round_rows * c * b->es);
  size_t end = cut->used;
  cut->used = mark;
  j->wxn = dgam_cut_take(cut, window_rows * c * b->es);
  j->gp = dgam_cut_take(cut, window_rows * c * b->es);
  j->go = dgam_cut_take(cut, window_rows * c * b->es);
  j->dqkv = dgam_cut_take(cut, window_rows * 3 * c * b->es);
  if (b->d.keep != DGAM_KEEP_ALL) j->qkv = dgam_cut_take(cut, window_rows * 3 * c * b->es);
  cut->used = at_least(cut->used, end);
  return DGAM_OK;
}

static void products_put(grad_job *j) {
  dgam_tiled_put(&j->fc1), dgam_tiled_put(&j->dfc2), dgam_tiled_put(&j->dfc1), dgam_tiled_put(&j->wqkv);
  dgam_tiled_put(&j->wproj), dgam_tiled_put(&j->dproj), dgam_tiled_put(&j->dwqkv);
}

dgam_status dgam_block_backward_scratch(const dgam_swin_block_desc *d, size_t *bytes) {
  static const float any[1] = {0}; /* planning only asks whether a pointer is NULL */
  *bytes = 0;
  for (int with = 0; with < 4; with++) {
    dgam_swin_block_params p = {.qkv_b = with & 1 ? any : NULL};
    grad_job j = {.p = &p, .scale = with & 2 ? any : NULL};
    DGAM_TRY(dgam_block_init(d, &j.b));
    dgam_cut cut = {NULL, 0};
    void *space;
    dgam_status s = grad_plan(&j, &cut, &space);
    products_put(&j);
    if (s != DGAM_OK) return s;
    *bytes = at_least(*bytes, cut.used);
  }
  return DGAM_OK;
}

static dgam_status check_grads(const dgam_swin_block_grads *g) {
  const float *all[] = {g->norm1_w, g->norm1_b, g->qkv_w, g->proj_w, g->proj_b, g->table,
                        g->norm2_w, g->norm2_b, g->fc1_w, g->fc1_b,  g->fc2_w,  g->fc2_b};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (!all[i]) return dgam_fail(DGAM_EINVAL, "swin_block: a gradient is NULL, expected all but qkv_b, or none at all");
  return DGAM_OK;
}

static void clear_grads(const dgam_block *b, const dgam_swin_block_grads *g) {
  size_t c = b->d.c, hidden = b->d.hidden;
  struct {
    float *p;
    size_t count;
  } all[] = {{g->norm1_w, c},         {g->norm1_b, c},      {g->qkv_w, 3 * c * c}, {g->qkv_b, 3 * c},
             {g->proj_w, c * c},      {g->proj_b, c},       {g->table, b->w.table * b->d.heads},
             {g->norm2_w, c},         {g->norm2_b, c},      {g->fc1_w, c * hidden}, {g->fc1_b, hidden},
             {g->fc2_w, c * hidden},  {g->fc2_b, c}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i].p) memset(all[i].p, 0, all[i].count * sizeof(float));
}

dgam_status dgam_swin_block_backward(const dgam_swin_block_desc *d, const dgam_swin_block_params *p, const float *x,
                                     const float *scale, const void *saved, const float *dy, float *dx,
                                     const dgam_swin_block_grads *g, void *scratch) {
  grad_job j = {.p = p, .g = g, .x = x, .scale = scale, .dy = dy, .dx = dx};
  DGAM_TRY(dgam_block_init(d, &j.b));
  if (d->keep == DGAM_KEEP_NONE || !saved)
    return dgam_fail(DGAM_EINVAL, "swin_block: backward needs what forward saved, but keep is %d", (int)d->keep);
  if (g) DGAM_TRY(check_grads(g));
  dgam_cut cut = {(char *)(uintptr_t)saved, 0};
  dgam_block_saved_layout(&j.b, &cut, &j.s);
  cut = (dgam_cut){scratch, 0};
  void *space;
  size_t floats = j.b.w.l * d->c;
  if (g) clear_grads(&j.b, g);
  dgam_status s = grad_plan(&j, &cut, &space);
  if (s == DGAM_OK) s = dgam_block_weights_make(&j.b, p, space, &j.weights);
  if (s == DGAM_OK) s = dgam_block_bias_make(&j.b, p->table, j.bias, j.heads, j.head_bytes);
  if (s == DGAM_OK && !j.s.x1) {
    j.actives = dgam_block_active(&j.b, scale, j.active);
    for (size_t i = 0; scale && i < d->n; i++)
      if (scale[i] == 0.f) memcpy(dx + i * floats, x + i * floats, floats * sizeof(float));
    if (j.actives) s = dgam_parallel_items(j.actives * j.b.w.windows, again_x1, &j);
  }
  if (s == DGAM_OK) s = mlp_half(&j);
  if (s == DGAM_OK) s = attention_half(&j);
  products_put(&j);
  return s;
}
