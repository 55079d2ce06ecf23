/* swin_block.c - see swin_block.h; backward is in swin_block_grad.c */
#include "nn/swin_block.h"

#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"
#include "nn/swin_block_impl.h"

/* --- shared with backward --- */

dgam_status dgam_block_init(const dgam_swin_block_desc *d, dgam_block *b) {
  memset(b, 0, sizeof *b);
  if (d->n < 1 || d->c < 1 || d->heads < 1 || d->hidden < 1)
    return dgam_fail(DGAM_EINVAL, "swin_block: N, C, heads, hidden are %zu, %zu, %zu, %zu, expected 1 or more", d->n,
                     d->c, d->heads, d->hidden);
  if (d->c % d->heads)
    return dgam_fail(DGAM_EINVAL, "swin_block: %zu channels do not split into %zu heads", d->c, d->heads);
  if (d->type != DGAM_F32 && d->type != DGAM_BF16)
    return dgam_fail(DGAM_EINVAL, "swin_block: type is %s, expected float32 or bfloat16", dgam_dtype_name(d->type));
  if (d->keep < DGAM_KEEP_NONE || d->keep > DGAM_KEEP_ALL)
    return dgam_fail(DGAM_EINVAL, "swin_block: keep is %d, expected 0, 1 or 2", (int)d->keep);
  if (!(d->eps >= 0)) return dgam_fail(DGAM_EINVAL, "swin_block: eps is %g, expected 0 or more", (double)d->eps);
  size_t dims[3] = {d->d, d->h, d->w}, all, width = d->hidden > 3 * d->c ? d->hidden : 3 * d->c;
  DGAM_TRY(dgam_windows_plan(dims, d->window, d->shift, &b->w));
  b->d = *d;
  b->windows = d->n * b->w.windows;
  b->rows = d->n * b->w.l;
  if (d->n > INT32_MAX || d->c > INT32_MAX || d->hidden > INT32_MAX ||
      dgam_mul_overflow(b->windows * b->w.tokens, width, &all) || dgam_mul_overflow(all, 16, &all))
    return dgam_fail(DGAM_EINVAL, "swin_block: (%zu,%zu,%zu,%zu,%zu) is too large", d->n, d->d, d->h, d->w, d->c);
  b->k = dgam_nn_kernels_get();
  b->hd = d->c / d->heads;
  b->bf = d->type == DGAM_BF16;
  b->es = dgam_dtype_size(d->type);
  b->threads = dgam_threads();
  return DGAM_OK;
}

void dgam_block_saved_layout(const dgam_block *b, dgam_cut *cut, dgam_block_saved *s) {
  memset(s, 0, sizeof *s);
  if (b->d.keep == DGAM_KEEP_NONE) return;
  size_t stat = b->rows * sizeof(float), rows = b->windows * b->w.tokens, c = b->d.c;
  s->mean1 = dgam_cut_take(cut, stat);
  s->rstd1 = dgam_cut_take(cut, stat);
  s->mean2 = dgam_cut_take(cut, stat);
  s->rstd2 = dgam_cut_take(cut, stat);
  s->lse = dgam_cut_take(cut, rows * b->d.heads * sizeof(float));
  s->o = dgam_cut_take(cut, rows * c * b->es);
  if (b->d.keep == DGAM_KEEP_LEAN) return;
  s->qkv = dgam_cut_take(cut, rows * 3 * c * b->es);
  s->h = dgam_cut_take(cut, b->rows * b->d.hidden * b->es);
  s->x1 = dgam_cut_take(cut, b->rows * c * sizeof(float));
}

dgam_status dgam_tiled_get(dgam_tiled *t, dgam_gemm_desc desc, size_t rows, size_t all, size_t *most) {
  desc.threads = 1;
  t->rows[0] = rows < all ? rows : all;
  t->rows[1] = all % t->rows[0];
  for (int i = 0; i < 2; i++) {
    if (!t->rows[i]) continue;
    desc.m = t->rows[i];
    DGAM_TRY(dgam_gemm_get(&desc, &t->g[i]));
    size_t need = dgam_gemm_scratch(t->g[i]);
    if (need > *most) *most = need;
  }
  return DGAM_OK;
}

void dgam_tiled_put(dgam_tiled *t) {
  for (int i = 0; i < 2; i++) dgam_gemm_put(t->g[i]), t->g[i] = NULL;
}

size_t dgam_block_weights_bytes(const dgam_block *b) {
  return b->bf ? (4 * b->d.c * b->d.c + 2 * b->d.c * b->d.hidden) * 2 + 256 : 0;
}

typedef struct convert_job {
  const dgam_nn_kernels *k;
  const float *from[4];
  uint16_t *to[4];
  size_t count[4];
} convert_job;

#define CONVERT 16384 /* elements in one unit of conversion */

static dgam_status convert(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  convert_job *j = ctx;
  size_t first = 0;
  for (int i = 0; i < 4; i++) {
    size_t units = (j->count[i] + CONVERT - 1) / CONVERT;
    for (size_t u = begin > first ? begin - first : 0; u < units && first + u < end; u++) {
      size_t at = u * CONVERT, len = j->count[i] - at < CONVERT ? j->count[i] - at : CONVERT;
      j->k->to_bf16(len, j->from[i] + at, j->to[i] + at);
    }
    first += units;
  }
  return DGAM_OK;
}

dgam_status dgam_block_weights_make(const dgam_block *b, const dgam_swin_block_params *p, void *space,
                                    dgam_block_weights *w) {
  *w = (dgam_block_weights){p->qkv_w, p->proj_w, p->fc1_w, p->fc2_w};
  if (!b->bf) return DGAM_OK;
  size_t c = b->d.c, hidden = b->d.hidden, units = 0;
  convert_job j = {b->k, {p->qkv_w, p->proj_w, p->fc1_w, p->fc2_w}, {0}, {3 * c * c, c * c, c * hidden, c * hidden}};
  dgam_cut cut = {space, 0};
  for (int i = 0; i < 4; i++) {
    j.to[i] = dgam_cut_take(&cut, j.count[i] * 2);
    units += (j.count[i] + CONVERT - 1) / CONVERT;
  }
  *w = (dgam_block_weights){j.to[0], j.to[1], j.to[2], j.to[3]};
  return dgam_parallel_items(units, convert, &j);
}

size_t dgam_block_group(const dgam_block *b) {
  size_t group = 200 / b->w.tokens, most = b->windows / 8;
  if (group > most) group = most;
  return group > 0 ? group : 1;
}

size_t dgam_block_head_scratch(const dgam_block *b) {
  size_t a = DGAM_ATTENTION_SCRATCH(b->w.tokens, b->hd), t = b->w.table;
  return a > t ? a : t;
}

typedef struct bias_job {
  const dgam_block *b;
  const float *table;
  float *out;
  char *scratch;
  size_t stride;
} bias_job;

static dgam_status bias_heads(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  bias_job *j = ctx;
  for (size_t h = begin; h < end; h++)
    dgam_windows_bias(&j->b->w, j->table, j->b->d.heads, h, j->out + h * j->b->w.tokens * j->b->w.padded,
                      (float *)(j->scratch + (size_t)ith * j->stride));
  return DGAM_OK;
}

dgam_status dgam_block_bias_make(const dgam_block *b, const float *table, float *out, char *scratch, size_t stride) {
  bias_job j = {b, table, out, scratch, stride};
  return dgam_parallel_items(b->d.heads, bias_heads, &j);
}

size_t dgam_block_active(const dgam_block *b, const float *scale, uint32_t *list) {
  size_t active = 0;
  for (size_t i = 0; i < b->d.n; i++)
    if (!scale || scale[i] != 0.f) list[active++] = (uint32_t)i;
  return active;
}

/* --- forward --- */

/* Buffers of `group` windows on their way through attention; each window's rows follow those of the one before. */
typedef struct window_buffers {
  int32_t *index; /* (tokens + 1): the tokens, and 1 if the window holds several regions */
  int32_t *region; /* (padded) */
  char *xn;       /* (tokens, C) */
  char *qkv;      /* (tokens, 3C) */
  char *o;        /* (tokens, C) */
  float *t;       /* (tokens, C) */
} window_buffers;

typedef struct forward_job {
  dgam_block b;
  const dgam_swin_block_params *p;
  const float *x, *scale;
  float *y;
  dgam_block_saved s;
  dgam_block_weights weights;
  float *bias;          /* (heads, tokens, padded) */
  char *heads, *gemms;  /* scratch of each thread: attention, products */
  size_t head_bytes, gemm_bytes;
  uint32_t *active;     /* samples of the branch under way */
  size_t actives;
  /* attention half */
  size_t group;         /* windows taken at once */
  size_t slots;         /* groups under way at a time */
  char *slot_base;
  size_t slot_bytes;
  size_t first;         /* split mode: number of the first unit of this round */
  size_t row_tile, row_tiles;
  int split;            /* 1: rows and heads of a unit are spread over threads */
  dgam_tiled qkv, proj;
  /* MLP half */
  size_t span, spans;   /* rows in a run that has one factor; number of runs */
  size_t mlp_tile, mlp_tiles;
  char *mlp_base;       /* per thread: xn (tile, C), h (tile, hidden), t (tile, C) fp32 */
  size_t mlp_bytes;
  dgam_tiled fc1, fc2, fc2_add;
} forward_job;

static size_t at_most(size_t a, size_t b) { return a < b ? a : b; }
static size_t at_least(size_t a, size_t b) { return a > b ? a : b; }

/* Lays out a slot, or counts its bytes if the job has no space yet. */
static window_buffers slot_cut(const forward_job *j, dgam_cut *cut) {
  const dgam_block *b = &j->b;
  size_t rows = j->group * b->w.tokens, c = b->d.c;
  window_buffers w;
  w.index = dgam_cut_take(cut, (rows + j->group) * sizeof *w.index);
  w.region = dgam_cut_take(cut, j->group * b->w.padded * sizeof *w.region);
  w.xn = dgam_cut_take(cut, rows * c * b->es);
  w.qkv = dgam_cut_take(cut, rows * 3 * c * b->es);
  w.o = dgam_cut_take(cut, rows * c * b->es);
  w.t = dgam_cut_take(cut, rows * c * sizeof *w.t);
  return w;
}

/* Slot i, for windows from `first` on among those of active samples. */
static window_buffers slot(const forward_job *j, size_t i, size_t first) {
  const dgam_block *b = &j->b;
  dgam_cut cut = {j->slot_base + i * j->slot_bytes, 0};
  window_buffers w = slot_cut(j, &cut);
  size_t row = first * b->w.tokens;
  if (j->s.o) w.o = j->s.o + row * b->d.c * b->es;
  if (j->s.qkv) w.qkv = j->s.qkv + row * 3 * b->d.c * b->es;
  return w;
}

static size_t units_of(size_t windows, size_t group) { return windows / group + windows % group; }

/* Number of the i-th window among those of active samples. */
static size_t window_of(const forward_job *j, size_t i) {
  return j->active[i / j->b.w.windows] * j->b.w.windows + i % j->b.w.windows;
}

static int32_t *index_of(const forward_job *j, const window_buffers *w, size_t k) {
  return w->index + k * (j->b.w.tokens + 1);
}

static void window_index(const forward_job *j, const window_buffers *w, size_t first, size_t k) {
  const dgam_windows *cut = &j->b.w;
  int32_t *index = index_of(j, w, k);
  index[cut->tokens] =
      dgam_windows_index(cut, window_of(j, first + k) % cut->windows, index, w->region + k * cut->padded);
}

/* LayerNorm and q, k, v of `count` windows from `first` on; of rows from `row` on if it is one. */
static dgam_status windows_in(const forward_job *j, const window_buffers *w, size_t first, size_t count, size_t row,
                              size_t rows, int ith) {
  const dgam_block *b = &j->b;
  size_t c = b->d.c;
  char *xn = w->xn + row * c * b->es;
  for (size_t k = 0; k < count; k++) {
    size_t token = window_of(j, first + k) / b->w.windows * b->w.l;
    b->k->layernorm(rows, c, j->x + token * c, index_of(j, w, k) + row, j->p->norm1_w, j->p->norm1_b, b->d.eps,
                    xn + k * rows * c * b->es, b->bf, j->s.mean1 ? j->s.mean1 + token : NULL,
                    j->s.rstd1 ? j->s.rstd1 + token : NULL);
  }
  return dgam_gemm_run(dgam_tiled_of(&j->qkv, count * rows), xn, j->weights.qkv, j->p->qkv_b,
                       w->qkv + row * 3 * c * b->es, j->gemms + (size_t)ith * j->gemm_bytes);
}

static void window_attend(const forward_job *j, const window_buffers *w, size_t first, size_t k, size_t head, int ith) {
  const dgam_block *b = &j->b;
  size_t tokens = b->w.tokens, c = b->d.c, row = k * tokens;
  const char *q = w->qkv + (row * 3 * c + head * b->hd) * b->es;
  const int32_t *region = index_of(j, w, k)[tokens] ? w->region + k * b->w.padded : NULL;
  dgam_attention_job a = dgam_block_attention(b, q, j->bias, region, head);
  a.out = w->o + (row * c + head * b->hd) * b->es;
  a.lse = j->s.lse ? j->s.lse + ((first + k) * b->d.heads + head) * tokens : NULL;
  a.scratch = (float *)(j->heads + (size_t)ith * j->head_bytes);
  b->k->attention(&a);
}

static dgam_status windows_out(const forward_job *j, const window_buffers *w, size_t first, size_t count, size_t row,
                               size_t rows, int ith) {
  const dgam_block *b = &j->b;
  size_t c = b->d.c;
  float *t = w->t + row * c;
  DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->proj, count * rows), w->o + row * c * b->es, j->weights.proj, j->p->proj_b,
                         t, j->gemms + (size_t)ith * j->gemm_bytes));
  for (size_t k = 0; k < count; k++) {
    size_t sample = window_of(j, first + k) / b->w.windows, token = sample * b->w.l;
    b->k->scatter(rows, c, t + k * rows * c, index_of(j, w, k) + row, j->scale ? j->scale[sample] : 1.f,
                  j->x + token * c, j->y + token * c);
  }
  return DGAM_OK;
}

/* Windows that are taken together: full groups come first, what is left over goes one by one. */
typedef struct window_unit {
  size_t first, count;
} window_unit;

static window_unit unit_of(const forward_job *j, size_t u) {
  size_t groups = j->actives * j->b.w.windows / j->group;
  if (u < groups) return (window_unit){u * j->group, j->group};
  return (window_unit){groups * j->group + (u - groups), 1};
}

/* A unit from beginning to end on one thread: everything a window needs stays near its core. */
static dgam_status whole_units(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  forward_job *j = ctx;
  size_t tokens = j->b.w.tokens;
  for (size_t i = begin; i < end; i++) {
    window_unit u = unit_of(j, i);
    window_buffers w = slot(j, (size_t)ith, u.first);
    for (size_t k = 0; k < u.count; k++) window_index(j, &w, u.first, k);
    for (size_t row = 0; row < tokens; row += j->row_tile)
      DGAM_TRY(windows_in(j, &w, u.first, u.count, row, at_most(j->row_tile, tokens - row), ith));
    for (size_t k = 0; k < u.count; k++)
      for (size_t h = 0; h < j->b.d.heads; h++) window_attend(j, &w, u.first, k, h, ith);
    for (size_t row = 0; row < tokens; row += j->row_tile)
      DGAM_TRY(windows_out(j, &w, u.first, u.count, row, at_most(j->row_tile, tokens - row), ith));
  }
  return DGAM_OK;
}

/* Few units for the threads: index, rows, heads, rows, each spread over all threads. The same tiles in the same
 * products, so the same bits. */
static dgam_status split_index(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)ith, (void)nth;
  forward_job *j = ctx;
  for (size_t i = begin; i < end; i++) {
    window_unit u = unit_of(j, j->first + i);
    window_buffers w = slot(j, i, u.first);
    for (size_t k = 0; k < u.count; k++) window_index(j, &w, u.first, k);
  }
  return DGAM_OK;
}
static dgam_status split_rows(forward_job *j, size_t begin, size_t end, int ith, int out) {
  for (size_t r = begin; r < end; r++) {
    size_t i = r / j->row_tiles, row = r % j->row_tiles * j->row_tile, rows = at_most(j->row_tile, j->b.w.tokens - row);
    window_unit u = unit_of(j, j->first + i);
    window_buffers w = slot(j, i, u.first);
    DGAM_TRY((out ? windows_out : windows_in)(j, &w, u.first, u.count, row, rows, ith));
  }
  return DGAM_OK;
}
static dgam_status split_in(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  return split_rows(ctx, begin, end, ith, 0);
}
static dgam_status split_out(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  return split_rows(ctx, begin, end, ith, 1);
}
static dgam_status split_heads(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  forward_job *j = ctx;
  for (size_t q = begin; q < end; q++) {
    size_t i = q / j->b.d.heads;
    window_unit u = unit_of(j, j->first + i);
    window_buffers w = slot(j, i, u.first);
    for (size_t k = 0; k < u.count; k++) window_attend(j, &w, u.first, k, q % j->b.d.heads, ith);
  }
  return DGAM_OK;
}

static dgam_status attention_half(forward_job *j) {
  const dgam_block *b = &j->b;
  size_t floats = b->w.l * b->d.c;
  j->actives = dgam_block_active(b, j->scale, j->active);
  if (j->actives < b->d.n)
    for (size_t i = 0; i < b->d.n; i++)
      if (j->scale[i] == 0.f) memcpy(j->y + i * floats, j->x + i * floats, floats * sizeof(float));
  size_t units = units_of(j->actives * b->w.windows, j->group);
  if (!j->split) return dgam_parallel_items(units, whole_units, j);
  for (j->first = 0; j->first < units; j->first += j->slots) {
    size_t units_now = at_most(j->slots, units - j->first);
    DGAM_TRY(dgam_parallel(units_now, split_index, j));
    DGAM_TRY(dgam_parallel_items(units_now * j->row_tiles, split_in, j));
    DGAM_TRY(dgam_parallel_items(units_now * b->d.heads, split_heads, j));
    DGAM_TRY(dgam_parallel_items(units_now * j->row_tiles, split_out, j));
  }
  return DGAM_OK;
}

static dgam_status mlp_tiles(void *ctx, size_t begin, size_t end, int ith, int nth) {
  (void)nth;
  forward_job *j = ctx;
  const dgam_block *b = &j->b;
  size_t c = b->d.c, hidden = b->d.hidden;
  dgam_cut cut = {j->mlp_base + (size_t)ith * j->mlp_bytes, 0};
  char *xn = dgam_cut_take(&cut, j->mlp_tile * c * b->es), *hb = dgam_cut_take(&cut, j->mlp_tile * hidden * b->es);
  float *t = dgam_cut_take(&cut, j->mlp_tile * c * sizeof *t);
  void *work = j->gemms + (size_t)ith * j->gemm_bytes;
  for (size_t u = begin; u < end; u++) {
    size_t run = j->scale ? j->active[u / j->mlp_tiles] : u / j->mlp_tiles;
    size_t row = u % j->mlp_tiles * j->mlp_tile, rows = at_most(j->mlp_tile, j->span - row);
    size_t token = run * j->span + row;
    float *y = j->y + token * c, s = j->scale ? j->scale[b->d.n + run] : 1.f;
    char *h = j->s.h ? j->s.h + token * hidden * b->es : hb;
    if (j->s.x1) memcpy(j->s.x1 + token * c, y, rows * c * sizeof *y);
    b->k->layernorm(rows, c, y, NULL, j->p->norm2_w, j->p->norm2_b, b->d.eps, xn, b->bf,
                    j->s.mean2 ? j->s.mean2 + token : NULL, j->s.rstd2 ? j->s.rstd2 + token : NULL);
    DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->fc1, rows), xn, j->weights.fc1, j->p->fc1_b, h, work));
    b->k->gelu(rows * hidden, h, hb, b->bf);
    if (s == 1.f) {
      DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->fc2_add, rows), hb, j->weights.fc2, j->p->fc2_b, y, work));
    } else {
      DGAM_TRY(dgam_gemm_run(dgam_tiled_of(&j->fc2, rows), hb, j->weights.fc2, j->p->fc2_b, t, work));
      b->k->scatter(rows, c, t, NULL, s, y, y);
    }
  }
  return DGAM_OK;
}

static dgam_status mlp_half(forward_job *j) {
  size_t runs = j->spans;
  if (j->scale) runs = dgam_block_active(&j->b, j->scale + j->b.d.n, j->active);
  return dgam_parallel_items(runs * j->mlp_tiles, mlp_tiles, j);
}

/* Rows of the MLP taken at once. The hidden layer of a tile should stay in the second-level cache. Where tiles are few,
 * their number is about a multiple of 8, which most numbers of threads share evenly; that of their rows is one of 4,
 * which oneDNN's inner loops take at a time. All follows from the shape alone: what a product rounds depends on how many
 * rows it has. */
static void choose_mlp_tile(forward_job *j) {
  const dgam_block *b = &j->b;
  size_t rows = 393216 / (b->d.hidden * b->es);
  rows = rows < 96 ? 96 : rows > 256 ? 256 : rows;
  size_t tiles = (j->span + rows - 1) / rows, all = j->spans * tiles;
  if (all < 64) {
    all = at_least(8, (all + 4) / 8 * 8);
    tiles = at_least(1, at_most((all + j->spans - 1) / j->spans, j->span / 32));
  }
  j->mlp_tile = (j->span + tiles - 1) / tiles;
  j->mlp_tile = at_most((j->mlp_tile + 3) / 4 * 4, j->span);
  j->mlp_tiles = (j->span + j->mlp_tile - 1) / j->mlp_tile;
}

/* Groups of windows and tiles of rows follow from the shape alone, as above: long tiles, over which the weights of a
 * product are read less often, and shorter ones where windows are few. Which thread does what may depend on the number of
 * threads. */
static void choose_split(forward_job *j) {
  const dgam_block *b = &j->b;
  size_t threads = (size_t)b->threads;
  j->group = dgam_block_group(b);
  size_t units = units_of(b->windows, j->group), each = (units + threads - 1) / threads, most = units < 8 ? 200 : 400;
  j->row_tiles = (b->w.tokens + most - 1) / most;
  j->row_tile = (b->w.tokens + j->row_tiles - 1) / j->row_tiles;
  j->row_tiles = (b->w.tokens + j->row_tile - 1) / j->row_tile;
  j->split = each * threads * 4 > units * 5; /* whole units would leave threads idle over a fifth of the time */
  j->slots = j->split ? at_most(units, 2 * threads) : threads;
}

/* Rows of the products of attention: full tiles, or full groups and then single windows. */
static dgam_status row_products(forward_job *j, dgam_tiled *t, dgam_gemm_desc g) {
  size_t tokens = j->b.w.tokens, rows = j->group > 1 ? j->group * tokens : j->row_tile;
  return dgam_tiled_get(t, g, rows, j->group > 1 ? rows + tokens : tokens, &j->gemm_bytes);
}

static dgam_status products(forward_job *j) {
  const dgam_block *b = &j->b;
  size_t c = b->d.c, hidden = b->d.hidden, *most = &j->gemm_bytes;
  dgam_gemm_desc g = {.n = 3 * c, .k = c, .bt = 1, .bias = j->p->qkv_b != NULL, .in = b->d.type, .out = b->d.type};
  DGAM_TRY(row_products(j, &j->qkv, g));
  g.n = c, g.bias = 1, g.out = DGAM_F32;
  DGAM_TRY(row_products(j, &j->proj, g));
  g.k = hidden;
  DGAM_TRY(dgam_tiled_get(&j->fc2, g, j->mlp_tile, j->span, most));
  g.accumulate = 1;
  DGAM_TRY(dgam_tiled_get(&j->fc2_add, g, j->mlp_tile, j->span, most));
  g = (dgam_gemm_desc){.n = hidden, .k = c, .bt = 1, .bias = 1, .in = b->d.type, .out = b->d.type};
  return dgam_tiled_get(&j->fc1, g, j->mlp_tile, j->span, most);
}

static void products_put(forward_job *j) {
  dgam_tiled_put(&j->qkv), dgam_tiled_put(&j->proj), dgam_tiled_put(&j->fc1);
  dgam_tiled_put(&j->fc2), dgam_tiled_put(&j->fc2_add);
}

/* Chooses the tiling, prepares the products and lays out the scratch. */
static dgam_status forward_plan(forward_job *j, dgam_cut *cut, void **weight_space) {
  const dgam_block *b = &j->b;
  size_t c = b->d.c, threads = (size_t)b->threads;
  j->spans = j->scale ? b->d.n : 1;
  j->span = j->scale ? b->w.l : b->rows;
  choose_mlp_tile(j);
  choose_split(j);
  DGAM_TRY(products(j));
  j->gemm_bytes = (j->gemm_bytes + 63) / 64 * 64;
  j->head_bytes = (dgam_block_head_scratch(b) * sizeof(float) + 63) / 64 * 64;
  dgam_cut one = {NULL, 0};
  slot_cut(j, &one);
  j->slot_bytes = one.used;
  dgam_cut mlp = {NULL, 0};
  dgam_cut_take(&mlp, j->mlp_tile * c * b->es);
  dgam_cut_take(&mlp, j->mlp_tile * b->d.hidden * b->es);
  dgam_cut_take(&mlp, j->mlp_tile * c * sizeof(float));
  j->mlp_bytes = mlp.used;
  j->active = dgam_cut_take(cut, b->d.n * sizeof *j->active);
  j->bias = dgam_cut_take(cut, b->d.heads * b->w.tokens * b->w.padded * sizeof(float));
  *weight_space = dgam_cut_take(cut, dgam_block_weights_bytes(b));
  j->gemms = dgam_cut_take(cut, j->gemm_bytes * threads);
  j->heads = dgam_cut_take(cut, j->head_bytes * threads);
  /* The two halves run one after the other and share their space. */
  size_t attention = j->slots * j->slot_bytes, both = at_least(attention, threads * j->mlp_bytes);
  j->slot_base = j->mlp_base = dgam_cut_take(cut, both);
  return DGAM_OK;
}

dgam_status dgam_swin_block_saved(const dgam_swin_block_desc *d, size_t *bytes) {
  dgam_block b;
  DGAM_TRY(dgam_block_init(d, &b));
  dgam_cut cut = {NULL, 0};
  dgam_block_saved s;
  dgam_block_saved_layout(&b, &cut, &s);
  *bytes = cut.used;
  return DGAM_OK;
}

dgam_status dgam_swin_block_scratch(const dgam_swin_block_desc *d, int backward, size_t *bytes) {
  if (backward) return dgam_block_backward_scratch(d, bytes);
  *bytes = 0;
  static const float any[1] = {0}; /* planning only asks whether a pointer is NULL */
  for (int with = 0; with < 4; with++) { /* the most of: with and without qkv_b, with and without factors */
    dgam_swin_block_params p = {.qkv_b = with & 1 ? any : NULL};
    forward_job j = {.p = &p, .scale = with & 2 ? any : NULL};
    DGAM_TRY(dgam_block_init(d, &j.b));
    dgam_cut cut = {NULL, 0};
    void *space;
    dgam_status s = forward_plan(&j, &cut, &space);
    products_put(&j);
    if (s != DGAM_OK) return s;
    *bytes = at_least(*bytes, cut.used);
  }
  return DGAM_OK;
}

dgam_status dgam_swin_block_forward(const dgam_swin_block_desc *d, const dgam_swin_block_params *p, const float *x,
                                    const float *scale, float *y, void *saved, void *scratch) {
  forward_job j = {.p = p, .x = x, .scale = scale, .y = y};
  DGAM_TRY(dgam_block_init(d, &j.b));
  if ((d->keep == DGAM_KEEP_NONE) != (saved == NULL))
    return dgam_fail(DGAM_EINVAL, "swin_block: keep is %d but saved is %s", (int)d->keep, saved ? "given" : "NULL");
  dgam_cut cut = {saved, 0};
  dgam_block_saved_layout(&j.b, &cut, &j.s);
  cut = (dgam_cut){scratch, 0};
  void *space;
  dgam_status s = forward_plan(&j, &cut, &space);
  if (s == DGAM_OK) s = dgam_block_weights_make(&j.b, p, space, &j.weights);
  if (s == DGAM_OK) s = dgam_block_bias_make(&j.b, p->table, j.bias, j.heads, j.head_bytes);
  if (s == DGAM_OK) s = attention_half(&j);
  if (s == DGAM_OK) s = mlp_half(&j);
  products_put(&j);
  return s;
}
