/* gemm.c - see gemm.h */
#include "nn/gemm.h"

#include <math.h>
#include <oneapi/dnnl/dnnl.h>
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/parallel.h"

#define V3 (DNNL_VERSION_MAJOR >= 3)
#define MOST 1024 /* prepared products kept; beyond that the one unused for longest goes */

#if V3
typedef dnnl_memory_desc_t md_t; /* an opaque pointer since 3.0 */
#define MD_PTR(md) (md)
#else
typedef dnnl_memory_desc_t md_t; /* a plain struct before */
#define MD_PTR(md) (&(md))
#endif

struct dgam_gemm {
  dgam_gemm_desc d;
  dnnl_primitive_t primitive;
  md_t a, b, c, bias, work;
  size_t scratch;       /* oneDNN's, rounded up to 64; packed vectors follow it */
  int slow;             /* 1: oneDNN has nothing but its reference, plain loops */
  int pack_a, pack_b, pack_c; /* one strided row or column: oneDNN 3.6 misreads that, so it is copied */
  int users;
  unsigned long long last; /* clock of the last get */
  struct dgam_gemm *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static dgam_gemm *cache[257];
static size_t cached;
static unsigned long long clock_;
static dnnl_engine_t engine;
static _Thread_local dnnl_stream_t local_stream;
static pthread_key_t stream_key; /* destroys a thread's stream when the thread ends */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_status_t engine_status;
static char library[32];

static void drop_stream(void *s) { dnnl_stream_destroy(s); }

static void start(void) {
  pthread_key_create(&stream_key, drop_stream);
  engine_status = dnnl_engine_create(&engine, dnnl_cpu, 0);
  const dnnl_version_t *v = dnnl_version();
  snprintf(library, sizeof library, "%d.%d.%d", v->major, v->minor, v->patch);
}

static dgam_status stream_of_thread(dnnl_stream_t *s) {
  dgam_whole_teams();
  if (!local_stream) {
    if (dnnl_stream_create(&local_stream, engine, dnnl_stream_default_flags) != dnnl_success) {
      local_stream = NULL;
      return dgam_fail(DGAM_EINTERNAL, "oneDNN gave no stream");
    }
    pthread_setspecific(stream_key, local_stream);
  }
  *s = local_stream;
  return DGAM_OK;
}

/* --- memory descriptors, the same in 2.x and 3.x --- */

static dnnl_status_t md_strided(md_t *md, int nd, const dnnl_dims_t dims, dnnl_data_type_t t, const dnnl_dims_t strides) {
#if V3
  return dnnl_memory_desc_create_with_strides(md, nd, dims, t, strides);
#else
  return dnnl_memory_desc_init_by_strides(md, nd, dims, t, strides);
#endif
}

static void md_drop(md_t *md) {
#if V3
  if (*md) dnnl_memory_desc_destroy(*md);
  *md = NULL;
#else
  (void)md;
#endif
}

static dnnl_data_type_t type_of(dgam_dtype t) { return t == DGAM_BF16 ? dnnl_bf16 : dnnl_f32; }

static void gemm_free(dgam_gemm *g) {
  if (g->primitive) dnnl_primitive_destroy(g->primitive);
  md_drop(&g->a), md_drop(&g->b), md_drop(&g->c), md_drop(&g->bias), md_drop(&g->work);
  free(g);
}

/* --- preparing a product --- */

static dnnl_status_t build(dgam_gemm *g) {
  const dgam_gemm_desc *d = &g->d;
  dnnl_status_t s;
#define DO(call) \
  if ((s = (call)) != dnnl_success) goto out
  dnnl_primitive_attr_t attr = NULL;
  dnnl_post_ops_t ops = NULL;
  dnnl_primitive_desc_t pd = NULL;
  dnnl_dim_t m = (dnnl_dim_t)d->m, n = (dnnl_dim_t)d->n, k = (dnnl_dim_t)d->k;
  g->pack_a = d->at && d->m == 1 && d->lda > 1;
  g->pack_b = !d->bt && d->n == 1 && d->ldb > 1;
  g->pack_c = d->n == 1 && d->ldc > 1;
  dnnl_dim_t lda = g->pack_a ? 1 : (dnnl_dim_t)d->lda, ldb = g->pack_b ? 1 : (dnnl_dim_t)d->ldb;
  dnnl_dims_t da = {m, k}, db = {k, n}, dc = {m, n}, dbias = {1, n};
  dnnl_dims_t sa = {d->at ? 1 : lda, d->at ? lda : 1}, sb = {d->bt ? 1 : ldb, d->bt ? ldb : 1};
  dnnl_dims_t sc = {g->pack_c ? 1 : (dnnl_dim_t)d->ldc, 1}, sbias = {n, 1};
  DO(md_strided(&g->a, 2, da, type_of(d->in), sa));
  DO(md_strided(&g->b, 2, db, type_of(d->in), sb));
  DO(md_strided(&g->c, 2, dc, type_of(d->out), sc));
  DO(md_strided(&g->bias, 2, dbias, dnnl_f32, sbias));
  DO(dnnl_primitive_attr_create(&attr));
  DO(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
  DO(dnnl_post_ops_create(&ops));
#if V3
  if (d->accumulate) DO(dnnl_post_ops_append_sum(ops, 1.f, 0, dnnl_data_type_undef));
  if (d->gelu) DO(dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_gelu_erf, 0.f, 0.f));
  DO(dnnl_primitive_attr_set_post_ops(attr, ops));
  DO(dnnl_matmul_primitive_desc_create(&pd, engine, g->a, g->b, d->bias ? g->bias : NULL, g->c, attr));
#else
  if (d->accumulate) DO(dnnl_post_ops_append_sum(ops, 1.f));
  if (d->gelu) DO(dnnl_post_ops_append_eltwise(ops, 1.f, dnnl_eltwise_gelu_erf, 0.f, 0.f));
  DO(dnnl_primitive_attr_set_post_ops(attr, ops));
  dnnl_matmul_desc_t md;
  DO(dnnl_matmul_desc_init(&md, &g->a, &g->b, d->bias ? &g->bias : NULL, &g->c));
  DO(dnnl_primitive_desc_create(&pd, &md, attr, engine, NULL));
#endif
  {
#if V3
    const_dnnl_memory_desc_t work = dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
    DO(dnnl_memory_desc_clone(&g->work, work));
#else
    g->work = *dnnl_primitive_desc_query_md(pd, dnnl_query_scratchpad_md, 0);
#endif
    g->scratch = (dnnl_memory_desc_get_size(MD_PTR(g->work)) + 63) / 64 * 64;
  }
  const char *name = NULL;
  DO(dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name));
  g->slow = name && strncmp(name, "ref", 3) == 0;
  DO(dnnl_primitive_create(&g->primitive, pd));
#undef DO
out:
  if (pd) dnnl_primitive_desc_destroy(pd);
  if (ops) dnnl_post_ops_destroy(ops);
  if (attr) dnnl_primitive_attr_destroy(attr);
  return s;
}

static size_t slot_of(const dgam_gemm_desc *d) {
  size_t h = d->m;
  h = h * 1000003u ^ d->n;
  h = h * 1000003u ^ d->k;
  h = h * 1000003u ^ d->lda;
  h = h * 1000003u ^ d->ldb;
  h = h * 1000003u ^ d->ldc;
  h = h * 31u + (unsigned)(d->at + 2 * d->bt + 4 * d->bias + 8 * d->accumulate + 16 * d->gelu);
  h = h * 31u + (unsigned)(d->in + 16 * (int)d->out) + 512u * (unsigned)d->threads;
  return h % (sizeof cache / sizeof *cache);
}

static int same(const dgam_gemm_desc *x, const dgam_gemm_desc *y) {
  return x->m == y->m && x->n == y->n && x->k == y->k && x->lda == y->lda && x->ldb == y->ldb && x->ldc == y->ldc &&
         x->at == y->at && x->bt == y->bt && x->bias == y->bias && x->accumulate == y->accumulate &&
         x->gelu == y->gelu && x->in == y->in && x->out == y->out && x->threads == y->threads;
}

/* Gives back the product that nobody holds and that was asked for longest ago. The lock is held. */
static void evict_one(void) {
  dgam_gemm **oldest = NULL;
  for (size_t i = 0; i < sizeof cache / sizeof *cache; i++)
    for (dgam_gemm **p = &cache[i]; *p; p = &(*p)->next)
      if ((*p)->users == 0 && (!oldest || (*p)->last < (*oldest)->last)) oldest = p;
  if (!oldest) return;
  dgam_gemm *g = *oldest;
  *oldest = g->next;
  cached--;
  gemm_free(g);
}

/* Fills in the defaults and refuses what cannot be. */
static dgam_status complete(const dgam_gemm_desc *given, dgam_gemm_desc *d) {
  *d = *given;
  if (d->m < 1 || d->n < 1 || d->k < 1 || d->m > INT32_MAX || d->n > INT32_MAX || d->k > INT32_MAX)
    return dgam_fail(DGAM_EINVAL, "gemm: m, n, k are %zu, %zu, %zu, expected 1 to 2^31-1", d->m, d->n, d->k);
  size_t ra = d->at ? d->m : d->k, rb = d->bt ? d->k : d->n;
  if (!d->lda) d->lda = ra;
  if (!d->ldb) d->ldb = rb;
  if (!d->ldc) d->ldc = d->n;
  if (d->lda < ra || d->ldb < rb || d->ldc < d->n)
    return dgam_fail(DGAM_EINVAL, "gemm: row strides are %zu, %zu, %zu, expected at least %zu, %zu, %zu", d->lda,
                     d->ldb, d->ldc, ra, rb, d->n);
  if (!d->in) d->in = DGAM_F32;
  if (!d->out) d->out = DGAM_F32;
  if ((d->in != DGAM_F32 && d->in != DGAM_BF16) || (d->out != DGAM_F32 && d->out != DGAM_BF16))
    return dgam_fail(DGAM_EINVAL, "gemm: types are %s and %s, expected float32 or bfloat16", dgam_dtype_name(d->in),
                     dgam_dtype_name(d->out));
  if (d->accumulate && d->gelu) return dgam_fail(DGAM_EINVAL, "gemm: accumulate and gelu exclude each other");
  if (d->out == DGAM_BF16 && d->in != DGAM_BF16)
    return dgam_fail(DGAM_EINVAL, "gemm: a bf16 result needs bf16 operands");
  d->at = !!d->at, d->bt = !!d->bt, d->bias = !!d->bias, d->accumulate = !!d->accumulate, d->gelu = !!d->gelu;
  d->threads = omp_in_parallel() || d->threads == 1 ? 1 : dgam_threads();
  return DGAM_OK;
}

dgam_status dgam_gemm_get(const dgam_gemm_desc *given, const dgam_gemm **out) {
  dgam_gemm_desc d;
  DGAM_TRY(complete(given, &d));
  pthread_once(&once, start);
  if (engine_status != dnnl_success) return dgam_fail(DGAM_EUNSUPPORTED, "oneDNN has no CPU engine here");

  pthread_mutex_lock(&lock);
  dgam_gemm **slot = &cache[slot_of(&d)], *g = *slot;
  while (g && !same(&g->d, &d)) g = g->next;
  dnnl_status_t s = dnnl_success;
  if (!g) {
    if (cached >= MOST) evict_one();
    slot = &cache[slot_of(&d)];
    g = calloc(1, sizeof *g);
    if (!g) {
      pthread_mutex_unlock(&lock);
      return dgam_fail(DGAM_ENOMEM, "gemm: no memory for a prepared product");
    }
    g->d = d;
    /* The number of threads is fixed into a primitive when it is made; OpenMP's setting is this thread's own. */
    int before = omp_get_max_threads();
    omp_set_num_threads(d.threads);
    s = build(g);
    omp_set_num_threads(before);
    if (s == dnnl_success) {
      g->next = *slot;
      *slot = g;
      cached++;
    } else {
      gemm_free(g);
    }
  }
  if (s == dnnl_success) {
    g->users++;
    g->last = ++clock_;
  }
  pthread_mutex_unlock(&lock);
  if (s == dnnl_out_of_memory) return dgam_fail(DGAM_ENOMEM, "gemm: oneDNN ran out of memory");
  if (s != dnnl_success)
    return dgam_fail(s == dnnl_unimplemented ? DGAM_EUNSUPPORTED : DGAM_EINTERNAL,
                     "gemm: oneDNN %s refused (%zu,%zu) x (%zu,%zu) %s: status %d", dgam_gemm_library(), d.m, d.k, d.k,
                     d.n, d.in == DGAM_BF16 ? "bf16" : "f32", (int)s);
  *out = g;
  return DGAM_OK;
}

void dgam_gemm_put(const dgam_gemm *g) {
  if (!g) return;
  pthread_mutex_lock(&lock);
  ((dgam_gemm *)(uintptr_t)g)->users--;
  pthread_mutex_unlock(&lock);
}

static size_t vector_bytes(size_t count) { return (count * sizeof(float) + 63) / 64 * 64; }

size_t dgam_gemm_scratch(const dgam_gemm *g) {
  return g->scratch + (size_t)(g->pack_a + g->pack_b) * vector_bytes(g->d.k) + (size_t)g->pack_c * vector_bytes(g->d.m);
}

/* `count` elements, `from` elements apart in x, to `to` apart in y. */
static void copy_vector(size_t count, size_t size, const void *x, size_t from, void *y, size_t to) {
  for (size_t i = 0; i < count; i++) memcpy((char *)y + i * to * size, (const char *)x + i * from * size, size);
}

/* Some of oneDNN's products ask OpenMP anew for the number of threads, and split their sums by it. */
static dnnl_status_t execute(const dgam_gemm *g, dnnl_stream_t stream, int count, const dnnl_exec_arg_t *args) {
  int before = omp_get_max_threads(), alone = omp_in_parallel();
  if (!alone) omp_set_num_threads(g->d.threads);
  dnnl_status_t s = dnnl_primitive_execute(g->primitive, stream, count, args);
  if (s == dnnl_success) s = dnnl_stream_wait(stream);
  if (!alone) omp_set_num_threads(before);
  return s;
}

dgam_status dgam_gemm_run(const dgam_gemm *g, const void *a, const void *b, const float *bias, void *c, void *scratch) {
  dnnl_stream_t stream = NULL;
  if (dgam_interrupted()) return dgam_fail_interrupted();
  DGAM_TRY(stream_of_thread(&stream));
  char *tail = (char *)scratch + g->scratch, *strided = NULL;
  size_t in = dgam_dtype_size(g->d.in), out = dgam_dtype_size(g->d.out);
  if (g->pack_a) {
    copy_vector(g->d.k, in, a, g->d.lda, tail, 1);
    a = tail, tail += vector_bytes(g->d.k);
  }
  if (g->pack_b) {
    copy_vector(g->d.k, in, b, g->d.ldb, tail, 1);
    b = tail, tail += vector_bytes(g->d.k);
  }
  if (g->pack_c) {
    if (g->d.accumulate) copy_vector(g->d.m, out, c, g->d.ldc, tail, 1);
    strided = c, c = tail;
  }
  struct {
    int name;
    const md_t *md;
    const void *data;
  } want[5] = {{DNNL_ARG_SRC, &g->a, a}, {DNNL_ARG_WEIGHTS, &g->b, b}, {DNNL_ARG_DST, &g->c, c}};
  int count = 3, made = 0;
  if (g->d.bias) want[count].name = DNNL_ARG_BIAS, want[count].md = &g->bias, want[count++].data = bias;
  if (g->scratch) want[count].name = DNNL_ARG_SCRATCHPAD, want[count].md = &g->work, want[count++].data = scratch;
  dnnl_exec_arg_t args[5];
  dnnl_status_t s = dnnl_success;
  for (; made < count && s == dnnl_success; made++) {
    args[made].arg = want[made].name;
    s = dnnl_memory_create(&args[made].memory, MD_PTR(*want[made].md), engine, (void *)(uintptr_t)want[made].data);
    if (s != dnnl_success) break;
  }
  if (s == dnnl_success) s = execute(g, stream, count, args);
  if (strided && s == dnnl_success) copy_vector(g->d.m, out, c, 1, strided, g->d.ldc);
  while (made > 0) dnnl_memory_destroy(args[--made].memory);
  if (s != dnnl_success)
    return dgam_fail(s == dnnl_out_of_memory ? DGAM_ENOMEM : DGAM_EINTERNAL, "gemm: oneDNN failed with status %d",
                     (int)s);
  return DGAM_OK;
}

dgam_status dgam_gemm_once(const dgam_gemm_desc *d, const void *a, const void *b, const float *bias, void *c) {
  const dgam_gemm *g;
  DGAM_TRY(dgam_gemm_get(d, &g));
  dgam_arena arena;
  dgam_status s = dgam_arena_init(&arena, dgam_gemm_scratch(g));
  if (s == DGAM_OK) {
    s = dgam_gemm_run(g, a, b, bias, c, arena.base);
    dgam_arena_free(&arena);
  }
  dgam_gemm_put(g);
  return s;
}

/* --- reference --- */

static double element(const void *p, size_t i, dgam_dtype t) {
  if (t == DGAM_F32) return ((const float *)p)[i];
  uint32_t u = (uint32_t)((const uint16_t *)p)[i] << 16;
  float f;
  memcpy(&f, &u, sizeof f);
  return f;
}

static void store(void *p, size_t i, double v, dgam_dtype t) {
  float f = (float)v;
  if (t == DGAM_F32) {
    ((float *)p)[i] = f;
  } else {
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    ((uint16_t *)p)[i] = (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
  }
}

dgam_status dgam_gemm_reference(const dgam_gemm_desc *given, const void *a, const void *b, const float *bias, void *c) {
  dgam_gemm_desc d;
  DGAM_TRY(complete(given, &d));
  for (size_t i = 0; i < d.m; i++)
    for (size_t j = 0; j < d.n; j++) {
      double sum = d.bias ? bias[j] : 0;
      for (size_t p = 0; p < d.k; p++)
        sum += element(a, d.at ? p * d.lda + i : i * d.lda + p, d.in) *
               element(b, d.bt ? j * d.ldb + p : p * d.ldb + j, d.in);
      if (d.accumulate) sum += element(c, i * d.ldc + j, d.out);
      if (d.gelu) sum = 0.5 * sum * (1 + erf(sum * M_SQRT1_2));
      store(c, i * d.ldc + j, sum, d.out);
    }
  return DGAM_OK;
}

/* --- housekeeping --- */

size_t dgam_gemm_cached(void) {
  pthread_mutex_lock(&lock);
  size_t now = cached;
  pthread_mutex_unlock(&lock);
  return now;
}

void dgam_gemm_clear(void) {
  pthread_mutex_lock(&lock);
  for (size_t i = 0; i < sizeof cache / sizeof *cache; i++)
    for (dgam_gemm **p = &cache[i]; *p;) {
      dgam_gemm *g = *p;
      if (g->users) {
        p = &g->next;
      } else {
        *p = g->next;
        cached--;
        gemm_free(g);
      }
    }
  pthread_mutex_unlock(&lock);
}

int dgam_gemm_has_bf16(void) {
  const dgam_gemm *g;
  dgam_gemm_desc d = {.m = 16, .n = 16, .k = 16, .in = DGAM_BF16, .out = DGAM_BF16, .threads = 1};
  if (dgam_gemm_get(&d, &g) != DGAM_OK) return 0;
  int has = !g->slow;
  dgam_gemm_put(g);
  return has;
}

const char *dgam_gemm_library(void) {
  pthread_once(&once, start);
  return library;
}
